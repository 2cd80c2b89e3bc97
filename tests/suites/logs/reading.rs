//! `paster logs`: what was printed, and what comes.

use super::{MB, log, numbers, with_file};
use crate::harness::paster::report;
use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

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

/// The order of lines of several apps is that in which they are read.
fn wait_until_read(paster: &Paster, app: &str, lines: [u64; 2]) {
    paster.wait_until("the lines were read", |status| {
        let log = status.app(app).log();
        [log.stdout.lines, log.stderr.lines] == lines
    });
}

#[test]
fn logs_shows_the_last_lines_of_all_apps_in_the_order_of_time() {
    let paster = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .serve();
    for number in 0..5 {
        paster.text(&format!("/one/print?out=one-{number}&err=x"));
        wait_until_read(&paster, "one", [number + 1; 2]);
        paster.text(&format!("/two/print?out=x&err=two-{number}"));
        wait_until_read(&paster, "two", [number + 1; 2]);
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

#[test]
fn a_follower_follows_through_restarts_of_workers_and_an_upgrade() {
    let mut paster = Site::new().actor("home", "/").serve();
    let follower = paster.command_in_background(&["logs", "-f", "-n", "2", "--json"]);
    let mut number = 0;
    let mut say = |paster: &Paster| {
        for _ in 0..30 {
            paster.text(&format!("/print?out=line+{number}&err=x"));
            number += 1;
        }
    };
    say(&paster);
    paster.command(&["restart", "home"]).succeeded();
    say(&paster);
    for _ in 0..2 {
        paster.command(&["upgrade"]).succeeded();
        say(&paster);
    }
    paster.signal(Signal::SIGTERM);
    assert!(paster.wait_for_end().success());
    let result = follower.join().expect("it does not panic").succeeded();
    assert!(!result.stdout.contains("missed"), "{result:#?}");
    let seen = numbers(&result.stdout.replace('"', "\n"), "line");
    let first = seen.first().copied().unwrap_or(120);
    assert_eq!(
        seen,
        (first..120).collect::<Vec<u64>>(),
        "without gap or repetition"
    );
    assert!(first < 60, "it began before the upgrades");
    let generations = |generation: u64| {
        let lines = result.stdout.lines();
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .filter(|line| line["generation"] == generation)
            .count()
    };
    assert!(generations(2) > 100, "the lines of the new worker");
}

#[test]
fn many_lines_of_many_apps_come_in_order_and_exactly_as_many_as_are_asked_for() {
    let paster = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .serve();
    for round in 0..10 {
        paster.text(&format!("/one/lines?n=500&word=one-{round}"));
        wait_until_read(&paster, "one", [(round + 1) * 500, 0]);
        paster.text(&format!("/two/lines?n=300&word=two-{round}"));
        wait_until_read(&paster, "two", [(round + 1) * 300, 0]);
    }
    for wanted in [0, 1, 299, 300, 301, 1000, 7999] {
        let shown = shown(&paster, &["-n", &wanted.to_string()]);
        assert_eq!(shown.len(), wanted);
        let words: Vec<&str> = messages(&shown)
            .iter()
            .filter_map(|line| line.split(' ').next())
            .collect();
        let mut rounds = words.clone();
        rounds.dedup();
        // Each request was answered before the next one.
        let rounds_of = |app: &str| -> Vec<usize> {
            let of_app = rounds.iter().filter_map(|word| word.strip_prefix(app));
            of_app.filter_map(|round| round.parse().ok()).collect()
        };
        assert!(rounds_of("one-").is_sorted() && rounds_of("two-").is_sorted());
        let last = shown.last().map(|line| line["message"].clone());
        assert!(last.is_none_or(|last| last == "two-9 299"));
    }
}
