//! Log files: written, put aside, moved, refused.

use super::{log, numbers, print, text, wait_for_line, whole_log, with_file};
use crate::harness::{Paster, Site};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

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
