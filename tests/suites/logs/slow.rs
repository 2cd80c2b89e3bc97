//! Places that are full, slow or stand still: apps go on, paster does not grow, and what is missing is counted.

use super::{MB, log, numbers, print, wait_for_line, with_file};
use crate::harness::faults::{Calls, Faults, Plan, Role};
use crate::harness::paster::report;
use crate::harness::{Paster, Site, process};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Command;

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
fn memory_that_a_flood_has_needed_is_given_back_though_nothing_is_printed_after_it() {
    let site = with_file(&["log_file = %(here)s/pipe"]);
    let pipe = site.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("made");
    let paster = site.serve();
    paster.allow_log("cannot write the log file");
    let before = process::rss(paster.pid());
    // Both rings get full, for nobody reads.
    for fd in [1, 2] {
        for _ in 0..5 {
            paster.text(&format!("/lines?n=100000&word=flood&fd={fd}"));
        }
    }
    let grown = process::rss(paster.pid()).saturating_sub(before);
    assert!(grown > 8 * MB, "only {grown} bytes more");
    let mut reader = File::open(pipe).expect("the other end is open");
    let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let mut grown = 0;
    let is_back = || {
        grown = process::rss(paster.pid()).saturating_sub(before);
        grown < 4 * MB
    };
    paster.wait_for("the memory is given back", is_back);
    report(&format!("{grown} bytes more"));
    drop(paster);
    reading.join().expect("no panic").expect("read to the end");
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
fn a_terminal_that_stands_still_holds_up_nobody_and_gets_whole_lines_after_an_upgrade() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("quiet", "/quiet")
        .serve();
    paster.expect_log("cannot write standard output");
    let before = process::rss(paster.pid());
    let held = paster.stdout().hold();
    let load = paster.load("/quiet/", 1, 50);
    let word = "x".repeat(80);
    for _ in 0..10 {
        paster.text(&format!("/lines?n=100000&word={word}"));
    }
    paster.wait_until("the trouble is in the status", |s| {
        s.app("home").log().trouble.is_some()
    });
    let grown = process::rss(paster.pid()).saturating_sub(before);
    assert!(grown < 24 * MB, "{grown} bytes more");
    paster.command(&["upgrade"]).succeeded();
    paster.text(&format!("/lines?n=10&word={word}-end"));
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    drop(held);
    paster.wait_for("the last line", || {
        paster.stdout().text().ends_with("-end 9\n")
    });
    let (mut seen, mut dropped) = (0, 0);
    for line in paster.stdout().text().lines() {
        if let Some(gap) = line.strip_prefix("[home] paster: ") {
            let lines = gap.strip_suffix(" lines of stdout dropped");
            dropped += lines.and_then(|n| n.parse::<u64>().ok()).expect(gap);
        } else {
            assert!(line.starts_with(&format!("[home:0] {word}")), "{line}");
            seen += 1;
        }
    }
    let counts = paster.status().app("home").log().stdout.clone();
    report(&format!("{seen} seen, {dropped} dropped"));
    assert_eq!((seen + dropped, dropped), (counts.lines, counts.dropped));
    assert_eq!(counts.lines, 1_000_010);
}

#[test]
fn lines_wait_for_a_directory_that_somebody_has_removed() {
    let site = with_file(&["log_file = %(here)s/logs/home.log"]);
    let directory = site.path("logs");
    fs::create_dir(&directory).expect("made");
    let paster = site.serve();
    paster.expect_log("cannot write the log file");
    print(&paster, "before", "x");
    let file = directory.join("home.log");
    paster.wait_for("the first line", || super::text(&file).contains("before"));
    fs::remove_dir_all(&directory).expect("our own directory");
    paster.text("/lines?n=1000");
    paster.wait_for_log("No such file or directory");
    fs::create_dir(&directory).expect("made");
    paster.wait_for_log("is written again");
    paster.wait_for("all lines", || {
        numbers(&super::text(&file), "line") == (0..1000).collect::<Vec<u64>>()
    });
    assert_eq!(paster.status().app("home").log().stdout.dropped, 0);
}

/// Threads of paster that write a log.
fn writers(paster: &Paster) -> usize {
    let threads = fs::read_dir(format!("/proc/{}/task", paster.pid())).expect("it runs");
    let name = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("comm"));
    let names = threads.flatten().filter_map(|thread| name(thread).ok());
    names.filter(|name| name == "log\n").count()
}

#[test]
fn lines_wait_for_a_thread_that_cannot_be_started() {
    let (faults, site) = Faults::prepare(with_file(&["log_file = %(here)s/{stream}"]));
    let paster = site.serve();
    paster.wait_for("the end of idle threads", || writers(&paster) == 0);
    faults.begin(Plan {
        role: Role::Supervisor,
        calls: &[Calls::Thread],
        percent: 100,
        seed: 1,
    });
    print(&paster, "it+waits", "x");
    paster.wait_for("a refused thread", || faults.hit(Calls::Thread));
    let file = paster.site().path("stdout");
    assert_eq!(super::text(&file), "");
    faults.end();
    paster.wait_for("the line", || super::text(&file) == "[home:0] it waits\n");
}
