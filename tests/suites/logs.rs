//! What apps print goes where it is wanted, whole and in order, and holds up nobody.

use crate::harness::paster::report;
use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const MB: u64 = 1024 * 1024;

/// One app with a log file `home.log`, with these settings of it.
fn with_file(settings: &[&str]) -> Site {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log_file = %(here)s/{app}.log");
    settings
        .iter()
        .fold(site, |site, line| site.policy("home", line))
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn log(paster: &Paster) -> String {
    text(&paster.site().path("home.log"))
}

fn print(paster: &Paster, out: &str, err: &str) {
    paster.text(&format!("/print?out={out}&err={err}"));
}

/// The numbers of the lines `WORD n` in a log, with whatever before them.
fn numbers(text: &str, word: &str) -> Vec<u64> {
    let needle = format!("{word} ");
    let number = |line: &str| line.split_once(&needle)?.1.parse().ok();
    text.lines().filter_map(number).collect()
}

/// The log with all files that were put aside, oldest first.
fn whole_log(paster: &Paster) -> String {
    let path = |number| paster.site().path(&format!("home.log.{number}"));
    let count = (1..).take_while(|number| path(*number).exists()).count();
    let old: String = (1..=count)
        .rev()
        .map(|number| text(&path(number)))
        .collect();
    old + &log(paster)
}

fn wait_for_line(paster: &Paster, part: &str) {
    paster.wait_for(&format!("`{part}` in the log file"), || {
        log(paster).contains(part)
    });
}

#[test]
fn a_log_file_takes_both_streams_with_a_prefix_and_nothing_comes_to_stdout() {
    let paster = with_file(&[]).actor("other", "/other").serve();
    print(&paster, "to+stdout", "to+stderr");
    paster.text("/other/print?out=elsewhere&err=elsewhere");
    wait_for_line(&paster, "to stderr");
    paster.wait_for("the line of the other app", || {
        paster.stdout().text().contains("[other:0] elsewhere")
    });
    let log = log(&paster);
    assert!(log.contains("[home:0] to stdout\n") && log.contains("[home:0] to stderr\n"));
    assert!(!log.contains("elsewhere"));
    let printed = paster.stdout().text() + &paster.stderr().text();
    assert!(!printed.contains("to std"), "{printed}");
    let mode = fs::metadata(paster.site().path("home.log")).expect("it is there");
    assert_eq!(mode.permissions().mode() & 0o777, 0o640);
}

#[test]
fn each_stream_may_have_a_file_of_its_own() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("", "log_file = %(here)s/{app}-{stream}.txt")
        .policy("home", "log_format = plain")
        .serve();
    print(&paster, "left", "right");
    let file = |stream: &str| text(&paster.site().path(&format!("home-{stream}.txt")));
    paster.wait_for("both lines", || {
        file("stdout") == "left\n" && file("stderr").contains("right\n")
    });
    assert!(!file("stderr").contains("left"));
}

#[test]
fn apps_may_share_a_file_and_their_lines_stay_whole() {
    let paster = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .policy("", "log_file = %(here)s/home.log")
        .policy("", "log_max_size = off")
        .serve();
    for _ in 0..20 {
        paster.text("/one/lines?n=100&word=first");
        paster.text("/two/lines?n=100&word=second&fd=2");
    }
    paster.wait_for("all lines", || {
        log(&paster).matches("first").count() == 2000
            && log(&paster).matches("second").count() == 2000
    });
    for line in log(&paster).lines() {
        assert!(
            line.starts_with("[one:0] first ")
                || line.starts_with("[two:0] ") && !line.contains("first"),
            "{line}"
        );
    }
}

#[test]
fn json_lines_say_when_who_and_where() {
    let paster = with_file(&["log_format = json"]).serve();
    print(&paster, "%22quoted%22", "%FFbytes");
    wait_for_line(&paster, "bytes");
    let pid = paster.status().app("home").pid();
    let lines: Vec<Value> = log(&paster)
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    let find = |stream: &str, message: &str| {
        lines
            .iter()
            .find(|line| line["stream"] == stream && line["message"] == message)
            .unwrap_or_else(|| panic!("{message} in {lines:#?}"))
    };
    let line = find("stdout", "\"quoted\"");
    assert_eq!(
        (
            &line["app"],
            &line["slot"],
            &line["generation"],
            &line["pid"]
        ),
        (&"home".into(), &0.into(), &1.into(), &pid.into())
    );
    let time = line["time"].as_str().expect("text");
    assert!(
        time.starts_with("20") && time.ends_with('Z') && time.len() == 24,
        "{time}"
    );
    find("stderr", "\u{fffd}bytes");
    assert!(line["dropped"].is_null());
}

#[test]
fn the_time_may_stand_before_each_line() {
    let paster = with_file(&["log_format = time"]).serve();
    print(&paster, "stamped", "x");
    wait_for_line(&paster, "stamped");
    let log = log(&paster);
    let line = log
        .lines()
        .find(|line| line.contains("stamped"))
        .expect("just seen");
    let (time, rest) = line.split_at(24);
    assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
    assert_eq!(rest, " [home:0] stamped");
}

#[test]
fn a_file_is_put_aside_when_it_is_full_and_no_line_is_lost() {
    let paster = with_file(&["log_max_size = 2K", "log_keep = 1000"]).serve();
    for _ in 0..5 {
        paster.text("/lines?n=1000");
    }
    paster.wait_for("all lines", || {
        numbers(&whole_log(&paster), "line").len() == 5000
    });
    let expected: Vec<u64> = (0..5).flat_map(|_| 0..1000).collect();
    assert_eq!(numbers(&whole_log(&paster), "line"), expected);
    let old = fs::read_dir(paster.site().dir())
        .expect("our own directory")
        .flatten();
    let old = old.filter(|entry| entry.file_name().to_string_lossy().starts_with("home.log."));
    let mut count = 0;
    for entry in old {
        count += 1;
        let text = text(&entry.path());
        assert!(
            text.len() <= 2048 && text.ends_with('\n'),
            "{} bytes",
            text.len()
        );
    }
    assert!(count > 30, "{count}");
}

#[test]
fn only_so_many_old_files_stay() {
    let mut paster = with_file(&["log_max_size = 1K", "log_keep = 3"]).serve();
    paster.text("/lines?n=2000");
    wait_for_line(&paster, "line 1999");
    let exists =
        |paster: &Paster, number: u32| paster.site().path(&format!("home.log.{number}")).exists();
    let there: Vec<u32> = (1..10).filter(|number| exists(&paster, *number)).collect();
    assert_eq!(there, [1, 2, 3]);
    let kept = numbers(&whole_log(&paster), "line");
    assert_eq!(
        kept,
        (kept[0]..2000).collect::<Vec<u64>>(),
        "the newest lines without a gap"
    );
    paster.edit(|site| site.policy("home", "log_keep = 1"));
    paster.command(&["reload"]).succeeded();
    paster.text("/lines?n=200");
    paster.wait_for("fewer files", || !exists(&paster, 2) && !exists(&paster, 3));
    assert!(exists(&paster, 1));
}

#[test]
fn a_file_is_put_aside_when_it_is_old() {
    let paster = with_file(&["log_max_age = 1s"]).serve();
    let old = paster.site().path("home.log.1");
    paster.wait_for("a file that was put aside", || {
        paster.text("/lines?n=1&word=aged");
        old.exists()
    });
    assert!(text(&old).contains("aged 0\n"));
}

#[test]
fn after_a_move_and_sigusr1_a_new_file_is_written() {
    let mut paster = with_file(&[]).serve();
    let (path, moved) = (paster.site().path("home.log"), paster.site().path("moved"));
    print(&paster, "first", "x");
    wait_for_line(&paster, "first");
    fs::rename(&path, &moved).expect("our own file");
    print(&paster, "second", "x");
    paster.wait_for("the line in the old file", || {
        text(&moved).contains("second")
    });
    assert!(!path.exists());
    paster.signal(Signal::SIGUSR1);
    paster.wait_for("a new file", || path.exists());
    print(&paster, "third", "x");
    wait_for_line(&paster, "third");
    assert!(!log(&paster).contains("second") && !text(&moved).contains("third"));
}

#[test]
fn a_file_that_somebody_truncates_or_removes_is_written_on() {
    let paster = with_file(&[]).serve();
    let path = paster.site().path("home.log");
    paster.text("/lines?n=1000");
    wait_for_line(&paster, "line 999");
    File::create(&path).expect("our own file");
    print(&paster, "after+the+cut", "x");
    wait_for_line(&paster, "after the cut");
    assert!(log(&paster).starts_with("[home:0] "), "{:?}", log(&paster));
    fs::remove_file(&path).expect("our own file");
    print(&paster, "after+the+removal", "x");
    wait_for_line(&paster, "after the removal");
}

#[test]
fn half_a_line_of_a_killed_paster_is_ended() {
    let site = with_file(&[]).file("home.log", "[home:0] hal");
    let paster = site.serve();
    print(&paster, "whole", "x");
    wait_for_line(&paster, "whole");
    assert!(
        log(&paster).starts_with("[home:0] hal\n[home:0] "),
        "{}",
        log(&paster)
    );
}

#[test]
fn a_full_disk_is_told_once_and_blocks_nobody() {
    let mut paster = with_file(&["log_file = /dev/full"]).serve();
    paster.expect_log("cannot write the log file /dev/full");
    let load = paster.load("/", 1, 50);
    paster.text("/lines?n=100000&word=lost");
    paster.text("/lines?n=10&word=seen");
    paster.wait_for_log("No space left on device");
    paster.wait_until("the trouble is in the status", |s| {
        s.app("home").log().trouble.is_some()
    });
    assert!(load.finish().is_clean());
    let shown = paster.command(&["logs", "-n", "10"]).succeeded().stdout;
    assert_eq!(numbers(&shown, "seen"), (0..10).collect::<Vec<u64>>());
    let told = paster
        .stderr()
        .text()
        .matches("cannot write the log file")
        .count();
    assert_eq!(told, 1);
    // Another place takes what waits, but for what the full one had accepted.
    paster.expect_log("are lost");
    paster.edit(|site| site.policy("home", "log_file = %(here)s/home.log"));
    let pid = paster.status().app("home").pid();
    paster.command(&["reload"]).succeeded();
    wait_for_line(&paster, "seen 9");
    paster.wait_for_log("are lost");
    assert_eq!(paster.status().app("home").pid(), pid, "its process stays");
    paster.wait_until("the trouble is over", |s| {
        s.app("home").log().trouble.is_none()
    });
}

/// With prlimit(1), if it is there: the file cannot become larger than so many bytes.
fn limit_files(paster: &Paster, limit: &str) -> bool {
    let pid = paster.pid().to_string();
    let limit = format!("--fsize={limit}:");
    Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn when_there_is_room_again_nothing_is_missing() {
    let paster = with_file(&["log_max_size = off"]).serve();
    if !limit_files(&paster, "4000") {
        report("skipped: there is no prlimit");
        return;
    }
    paster.expect_log("cannot write the log file");
    for _ in 0..10 {
        paster.text("/lines?n=1000");
    }
    paster.wait_for_log("File too large");
    assert!(log(&paster).len() <= 4000);
    assert!(limit_files(&paster, "unlimited"));
    paster.wait_for("all lines", || {
        numbers(&log(&paster), "line").len() == 10_000
    });
    let expected: Vec<u64> = (0..10).flat_map(|_| 0..1000).collect();
    assert_eq!(numbers(&log(&paster), "line"), expected);
    assert_eq!(paster.status().app("home").log().stdout.dropped, 0);
    paster.wait_for_log("is written again");
}

#[test]
fn what_a_log_does_not_take_is_counted_and_announced_and_the_end_is_there() {
    let site = with_file(&["log_file = %(here)s/pipe", "log_format = json"]);
    let pipe = site.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("made");
    let paster = site.serve();
    paster.allow_log("cannot write the log file");
    let before = process::rss(paster.pid());
    // More than fits anywhere: lines of 11 to 17 bytes.
    for _ in 0..20 {
        paster.text("/lines?n=100000&word=flood&fd=2");
    }
    paster.text("/lines?n=10&word=end&fd=2");
    let status = paster.status();
    let counts = status.app("home").log();
    assert!(counts.stderr.dropped > 100_000, "{counts:?}");
    assert_eq!(counts.stdout.dropped, 0);
    let grown = process::rss(paster.pid()).saturating_sub(before);
    assert!(grown < 32 * MB, "{grown} bytes more");
    // Now somebody reads.
    let reader = BufReader::new(File::open(pipe).expect("the other end is open"));
    let (mut seen, mut dropped, mut last) = (0, 0, 0);
    for line in reader.lines() {
        let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        if let Some(lines) = line["dropped"].as_u64() {
            let message = line["message"].as_str().expect("text");
            assert_eq!(message, format!("{lines} lines of stderr dropped"));
            dropped += lines;
        } else if line["stream"] == "stderr" {
            seen += 1;
            last += u64::from(
                line["message"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("end ")),
            );
        }
        if last == 10 {
            break;
        }
    }
    let status = paster.status();
    let counts = status.app("home").log();
    assert_eq!(
        (dropped, seen),
        (counts.stderr.dropped, counts.stderr.lines - dropped)
    );
}

#[test]
fn a_flood_into_a_file_costs_no_memory_and_no_neighbour_anything() {
    let paster = with_file(&["log_max_size = 10M", "log_keep = 1"])
        .actor("quiet", "/quiet")
        .serve();
    paster.text("/flood?mb=1");
    let before = process::rss(paster.pid());
    let load = paster.load("/quiet/", 2, 50);
    assert_eq!(paster.text("/flood?mb=300"), "flooded\n");
    paster.text("/quiet/print?out=calm&err=x");
    let after = process::rss(paster.pid());
    paster.wait_for("the line of the neighbour", || {
        paster.stdout().text().contains("[quiet:0] calm")
    });
    let result = load.finish();
    report(&format!("{before} bytes before, {after} after; {result}"));
    assert!(result.is_clean(), "{result}");
    assert!(after < before + 16 * MB, "from {before} to {after} bytes");
    wait_for_line(&paster, "the flood is over");
    assert_eq!(paster.command(&["status"]).code, Some(0));
}

#[test]
fn the_last_words_of_a_site_are_in_the_file() {
    let mut paster = with_file(&[]).serve();
    paster.text("/lines?n=20000&word=last");
    paster.signal(Signal::SIGTERM);
    assert!(paster.wait_for_end().success());
    assert_eq!(numbers(&log(&paster), "last").len(), 20_000);
}

#[test]
fn a_file_that_cannot_be_opened_is_refused_at_once() {
    let site = |file: &str| with_file(&[&format!("log_file = {file}")]);
    let refused = Paster::refused(&site("%(here)s/missing/{app}.log"));
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("missing/home.log: No such file")
            && refused.stderr.contains("create the directory"),
        "{refused:#?}"
    );
    let linked = site("%(here)s/link");
    std::os::unix::fs::symlink(linked.path("elsewhere"), linked.path("link")).expect("made");
    let refused = Paster::refused(&linked);
    assert!(
        refused.stderr.contains("it is a symbolic link"),
        "{refused:#?}"
    );
    assert!(!linked.path("elsewhere").exists());

    let mut paster = with_file(&[]).serve();
    paster.expect_log("cannot open the log file");
    paster.expect_log("the configuration is invalid; nothing was changed");
    paster.edit(|site| site.policy("home", "log_file = %(here)s/missing/x"));
    let refused = paster.command(&["reload"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    print(&paster, "still+there", "x");
    wait_for_line(&paster, "still there");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refused = Paster::refused(&with_file(&["log = journald"]));
    assert!(
        refused.stderr.contains("`log` and `log_file` both say"),
        "{refused:#?}"
    );
    let shared = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .policy("", "log_file = %(here)s/site.log")
        .policy("two", "log_keep = 3");
    let refused = Paster::refused(&shared);
    assert!(
        refused.stderr.contains("rotate it differently"),
        "{refused:#?}"
    );
}

/// One entry of the journal.
fn entry(socket: &UnixDatagram) -> Vec<(String, String)> {
    let mut bytes = vec![0; 256 * 1024];
    let length = socket.recv(&mut bytes).expect("an entry comes");
    let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
    let field = |line: &str| {
        let (name, value) = line.split_once('=').expect("NAME=value");
        (name.to_owned(), value.to_owned())
    };
    text.lines().map(field).collect()
}

fn field<'a>(entry: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = entry.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

fn daemon(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket in the site");
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout");
    socket
}

/// The first entry with this message.
fn entry_with(socket: &UnixDatagram, message: &str) -> Vec<(String, String)> {
    loop {
        let entry = entry(socket);
        if field(&entry, "MESSAGE") == Some(message) {
            return entry;
        }
    }
}

#[test]
fn the_journal_gets_each_line_with_its_fields() {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log = journald:%(here)s/journal");
    let journal = daemon(&site.path("journal"));
    let paster = site.serve();
    let pid = paster.status().app("home").pid().to_string();
    print(&paster, "plain", "%3C3%3Ebad");
    let plain = entry_with(&journal, "plain");
    for (name, value) in [
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "home"),
        ("PASTER_APP", "home"),
        ("PASTER_SLOT", "0"),
        ("PASTER_GENERATION", "1"),
        ("PASTER_PID", &pid),
        ("PASTER_STREAM", "stdout"),
    ] {
        assert_eq!(field(&plain, name), Some(value), "{name} in {plain:?}");
    }
    let bad = entry_with(&journal, "bad");
    assert_eq!(field(&bad, "PRIORITY"), Some("3"));
    assert_eq!(field(&bad, "PASTER_STREAM"), Some("stderr"));
    print(&paster, "x", "unmarked");
    assert_eq!(
        field(&entry_with(&journal, "unmarked"), "PRIORITY"),
        Some("4")
    );
    assert!(!paster.stdout().text().contains("plain"));
}

#[test]
fn without_a_daemon_lines_come_to_stdout_and_go_to_it_when_it_is_there() {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log = journald:%(here)s/journal");
    let path = site.path("journal");
    let paster = site.serve();
    paster.expect_log("cannot write journald at");
    print(&paster, "nobody+there", "x");
    paster.wait_for("the line on stdout", || {
        paster.stdout().text().contains("[home:0] nobody there\n")
    });
    assert!(paster.status().app("home").log().trouble.is_some());
    let journal = daemon(&path);
    paster.wait_for_log("is written again");
    paster.wait_until("the trouble is over", |s| {
        s.app("home").log().trouble.is_none()
    });
    print(&paster, "somebody+there", "x");
    entry_with(&journal, "somebody there");
    assert!(!paster.stdout().text().contains("somebody"));
    // It ends and comes back, as at an update of its own.
    drop(journal);
    fs::remove_file(&path).expect("our own file");
    let journal = daemon(&path);
    print(&paster, "another+one", "x");
    entry_with(&journal, "another one");
}

#[test]
fn syslog_gets_each_line_in_the_form_of_syslog() {
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "log = syslog:%(here)s/syslog");
    let syslog = daemon(&site.path("syslog"));
    let paster = site.serve();
    let pid = paster.status().app("home").pid();
    print(&paster, "plain", "%3C2%3Ecritical");
    let find = |end: &str| loop {
        let mut bytes = vec![0; 16 * 1024];
        let length = syslog.recv(&mut bytes).expect("a message comes");
        let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        if message.ends_with(end) {
            return message;
        }
    };
    let plain = find(&format!(" home[{pid}]: plain"));
    assert!(plain.starts_with("<30>"), "{plain}");
    assert!(find(": critical").starts_with("<26>"));
}

#[test]
fn nothing_may_be_passed_on_and_is_known_all_the_same() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "log = off")
        .serve();
    paster.expect_death("exited with status 3");
    paster.text("/print?out=unheard&err=cry");
    assert_eq!(paster.post("/exit", b"").status, 502);
    paster.wait_until("it is back", |s| {
        s.app("home").is_ready() && s.app("home").restarts == 1
    });
    // What the dead one has printed is still there.
    let shown = paster.command(&["logs", "home"]).succeeded().stdout;
    assert!(
        shown.contains("[home:0] unheard") && shown.contains("[home:0] cry"),
        "{shown}"
    );
    let printed = paster.stdout().text() + &paster.stderr().text();
    assert!(!printed.contains("unheard"), "{printed}");
    assert_eq!(paster.status().app("home").log().stdout.lines, 1);
}

/// What `paster logs --json` prints with these arguments.
fn shown(paster: &Paster, arguments: &[&str]) -> Vec<Value> {
    let words = [&["logs", "--json"], arguments].concat();
    let lines = paster.command(&words).succeeded().stdout;
    let line = |line: &str| serde_json::from_str(line).expect("each line is JSON");
    lines.lines().map(line).collect()
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .collect()
}

#[test]
fn logs_shows_the_last_lines_of_all_apps_in_the_order_of_time() {
    let paster = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .serve();
    for number in 0..5 {
        paster.text(&format!("/one/print?out=one-{number}&err=x"));
        paster.text(&format!("/two/print?out=x&err=two-{number}"));
    }
    let of_interest = |lines: Vec<Value>| -> Vec<String> {
        let kept = messages(&lines)
            .into_iter()
            .filter(|text| text.contains('-'));
        kept.map(str::to_owned).collect()
    };
    let expected: Vec<String> = (0..5)
        .flat_map(|number| [format!("one-{number}"), format!("two-{number}")])
        .collect();
    paster.wait_for("all lines", || of_interest(shown(&paster, &[])).len() == 10);
    let lines = shown(&paster, &[]);
    assert_eq!(of_interest(lines.clone()), expected);
    let times: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["time"].as_str())
        .collect();
    assert!(times.is_sorted());
    assert_eq!(messages(&shown(&paster, &["-n", "2"])).len(), 2);
    let of_two = shown(&paster, &["two"]);
    assert!(of_two.iter().all(|line| line["app"] == "two"), "{of_two:?}");
    let refused = paster.command(&["logs", "three"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("there is no app `three`"),
        "{refused:#?}"
    );
    let text = paster
        .command(&["logs", "one", "-n", "1"])
        .succeeded()
        .stdout;
    assert!(text.trim_end().ends_with(" [one:0] x"), "{text}");
}

#[test]
fn a_follower_gets_what_was_and_what_comes_until_the_end() {
    let mut paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .serve();
    paster.text("/print?out=before&err=x");
    let follower = paster.command_in_background(&["logs", "home", "-f", "-n", "2", "--json"]);
    // A line that it has seen would tell that it follows, but only at its end; so it gets many.
    for number in 0..50 {
        paster.text(&format!("/print?out=line+{number}&err=x"));
        paster.text("/other/print?out=not+wanted&err=x");
    }
    paster.signal(Signal::SIGTERM);
    assert!(paster.wait_for_end().success());
    let result = follower.join().expect("it does not panic").succeeded();
    assert!(!result.stdout.contains("not wanted") && !result.stdout.contains("missed"));
    let seen = numbers(&result.stdout.replace('"', "\n"), "line");
    let first = seen.first().copied().unwrap_or(50);
    assert_eq!(
        seen,
        (first..50).collect::<Vec<u64>>(),
        "without gap or repetition"
    );
}

#[test]
fn a_follower_that_does_not_read_holds_up_nobody_and_is_told_what_it_missed() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "log = off")
        .serve();
    let mut stream =
        UnixStream::connect(paster.site().run_dir().join("control.sock")).expect("connected");
    stream
        .write_all(b"GET /v1/logs?follow=true&last=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("sent");
    let mut head = [0; 15];
    stream.read_exact(&mut head).expect("it follows");
    let before = process::rss(paster.pid());
    for _ in 0..20 {
        paster.text("/lines?n=100000&word=flood");
    }
    let grown = process::rss(paster.pid()).saturating_sub(before);
    assert!(grown < 16 * MB, "{grown} bytes more");
    paster.text("/lines?n=1&word=end");
    let (mut seen, mut missed) = (0, 0);
    for line in BufReader::new(stream).lines() {
        let line = line.expect("text");
        if let Some(rest) = line.strip_prefix("{\"missed\":") {
            missed += rest.trim_end_matches('}').parse::<u64>().expect("a number");
        } else if line.contains("flood ") {
            seen += 1;
        } else if line.contains("end 0") {
            break;
        }
    }
    report(&format!("{seen} seen, {missed} missed"));
    assert!(missed > 0);
    assert!(seen + missed >= 2_000_000, "{seen} and {missed}");
}

#[test]
fn a_reload_sends_lines_another_way_and_loses_none() {
    let mut paster = with_file(&[]).serve();
    let pid = paster.status().app("home").pid();
    paster.text("/lines?n=20000&word=old");
    paster.edit(|site| site.policy("home", "log_file = %(here)s/new.log"));
    paster.command(&["reload"]).succeeded();
    paster.text("/lines?n=100&word=new");
    let new = paster.site().path("new.log");
    paster.wait_for("the new lines", || numbers(&text(&new), "new").len() == 100);
    paster.wait_for("the old lines, in one file or the other", || {
        let both = log(&paster) + &text(&new);
        numbers(&both, "old") == (0..20_000).collect::<Vec<u64>>()
    });
    assert_eq!(paster.status().app("home").pid(), pid);
}

#[test]
fn an_upgrade_keeps_what_was_printed_and_what_is_counted() {
    let paster = with_file(&["log_max_size = off"]).serve();
    paster.text("/lines?n=1000&word=before");
    let counted = paster.wait_until("all is counted", |s| {
        s.app("home").log().stdout.lines == 1000
    });
    let bytes = counted.app("home").log().stdout.bytes;
    paster.command(&["upgrade"]).succeeded();
    paster.text("/lines?n=1000&word=after");
    let counted = paster.wait_until("all is counted", |s| {
        s.app("home").log().stdout.lines == 2000
    });
    assert!(counted.app("home").log().stdout.bytes > bytes);
    paster.wait_for("all lines", || {
        numbers(&log(&paster), "after").len() == 1000
    });
    assert_eq!(
        numbers(&log(&paster), "before"),
        (0..1000).collect::<Vec<u64>>()
    );
    let shown = paster.command(&["logs", "-n", "2000"]).succeeded().stdout;
    assert_eq!(numbers(&shown, "before"), (0..1000).collect::<Vec<u64>>());
    assert_eq!(numbers(&shown, "after"), (0..1000).collect::<Vec<u64>>());
}
