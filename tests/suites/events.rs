//! `paster events`: what happens, in order, for those who come late and for those who stay.

use crate::harness::{Paster, Running, Site};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// What `paster events --json` prints with these arguments.
fn events(paster: &Paster, arguments: &[&str]) -> Vec<Value> {
    let words = [&["events", "--json"], arguments].concat();
    parse(&paster.command(&words).succeeded().stdout)
}

fn parse(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

/// The positions of these kinds, each after the one before.
#[track_caller]
fn assert_order(events: &[Value], wanted: &[&str]) {
    let mut seen = events.iter().filter_map(|event| event["kind"].as_str());
    for kind in wanted {
        assert!(
            seen.any(|seen| seen == *kind),
            "`{kind}` of {wanted:?} in this order: {events:#?}"
        );
    }
}

#[test]
fn the_life_of_a_worker_is_told_in_order_and_with_its_numbers() {
    let paster = Site::new().actor("home", "/").actor("other", "/o").serve();
    paster.expect_death("exited with status 3");
    let pid = paster.status().app("home").pid();
    assert_eq!(paster.post("/exit", b"").status, 502);
    paster.wait_until("it is back", |s| {
        s.app("home").is_ready() && s.app("home").pid() != pid
    });
    paster.command(&["restart", "home"]).succeeded();
    paster.wait_until("the old one is gone", |s| s.app("home").workers.len() == 1);
    let events = events(&paster, &["home"]);
    assert!(events.iter().all(|event| event["app"] == "home"));
    assert_order(
        &events,
        &[
            "worker_spawned",
            "worker_ready",
            "app_state",
            "worker_crashed",
            "app_state",
            "worker_ready",
            "app_state",
            "rollout_begun",
            "worker_spawned",
            "worker_ready",
            "rollout_done",
            "worker_stopped",
        ],
    );
    let crash = events
        .iter()
        .find(|event| event["kind"] == "worker_crashed")
        .expect("just seen");
    assert_eq!(
        (&crash["slot"], &crash["generation"], &crash["pid"]),
        (&0.into(), &1.into(), &pid.into())
    );
    assert_eq!(crash["level"], "warn");
    let message = crash["message"].as_str().unwrap_or_default();
    assert!(message.contains("exited with status 3"), "{crash}");
    assert!(
        paster.stderr().text().contains(message),
        "the log says the same: {crash}"
    );
    let numbers: Vec<u64> = events.iter().filter_map(|e| e["seq"].as_u64()).collect();
    assert!(numbers.is_sorted() && numbers.len() == events.len());
    let states: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event["kind"] == "app_state")
        .map(|event| &event["details"])
        .map(|details| {
            (
                details["from"].as_str().unwrap_or("-"),
                details["to"].as_str().unwrap_or("-"),
            )
        })
        .collect();
    assert_eq!(states[..2], [("-", "starting"), ("starting", "ready")]);
    assert!(
        states.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "{states:?}"
    );
}

#[test]
fn an_app_that_is_restarted_is_ready_all_the_time() {
    let paster = Site::new().actor("home", "/").serve();
    for _ in 0..3 {
        paster.command(&["restart", "home"]).succeeded();
    }
    let states: Vec<Value> = events(&paster, &["home"])
        .into_iter()
        .filter(|event| event["kind"] == "app_state")
        .map(|event| event["details"]["to"].clone())
        .collect();
    assert_eq!(states, ["starting", "ready"], "from the start on");
}

#[test]
fn the_last_few_and_the_recent_ones_can_be_asked_for() {
    let paster = Site::new().actor("home", "/").serve();
    paster.wait_for_log("all apps are ready");
    let all = events(&paster, &[]);
    assert_eq!(all[0]["seq"], 1);
    let last = events(&paster, &["-n", "2"]);
    assert_eq!(last[..], all[all.len() - 2..]);
    assert_eq!(events(&paster, &["--since", "1h"]), all);
    assert!(events(&paster, &["--since", "0"]).is_empty());
    let shown = paster.command(&["events", "-n", "1"]).succeeded().stdout;
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.contains("all_ready"), "{shown}");
}

#[test]
fn who_follows_a_paster_that_is_killed_is_told_so() {
    let mut paster = Site::new().actor("home", "/").serve();
    paster.wait_for_log("all apps are ready");
    paster.text("/print?out=hello&err=x");
    let followers = ["logs", "events"].map(|stream| paster.follow(&[stream, "-f", "-n", "1"]));
    paster.wait_for("both follow", || followers.iter().all(Running::has_printed));
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    for follower in followers {
        let result = follower.end();
        assert_eq!(result.code, Some(1), "{result:#?}");
        let said = "error: paster was killed, and its answer ends here\nhint: ";
        assert!(result.stderr.starts_with(said), "{result:#?}");
    }
}

#[test]
fn an_unknown_app_is_named_with_those_that_exist() {
    let paster = Site::new().actor("home", "/").serve();
    let result = paster.command(&["events", "hmoe"]);
    assert_eq!(result.code, Some(1), "{result:#?}");
    assert!(
        result
            .stderr
            .contains("there is no app `hmoe`; this site has home"),
        "{result:#?}"
    );
    let result = paster.command(&["events", "hmoe", "--json"]);
    let outcome: Value = serde_json::from_str(&result.stdout).expect("JSON");
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["class"], "refused", "{outcome}");
}

#[test]
fn a_follower_sees_what_comes_until_paster_ends() {
    let mut paster = Site::new().actor("home", "/").serve();
    let follower = paster.command_in_background(&["events", "-f", "--json", "-n", "100"]);
    let of_new_ones = paster.command_in_background(&["events", "-f", "-n", "0"]);
    paster.wait_for("they have connected", || paster.control_connections() == 2);
    paster.command(&["restart"]).succeeded();
    paster.command(&["upgrade"]).succeeded();
    paster.wait_for("they have come back", || paster.control_connections() == 2);
    paster.command(&["stop"]).succeeded();
    assert!(paster.wait_for_end().success());
    let new_ones = of_new_ones.join().expect("it does not panic").succeeded();
    assert!(!new_ones.stdout.contains("all_ready"), "{new_ones:#?}");
    assert!(new_ones.stdout.contains("upgraded"), "{new_ones:#?}");
    assert_eq!(new_ones.stderr, "paster has stopped\n");
    let followed = follower.join().expect("it does not panic").succeeded();
    assert_eq!(followed.stderr, "");
    let seen = parse(&followed.stdout);
    let numbers: Vec<u64> = seen.iter().filter_map(|e| e["seq"].as_u64()).collect();
    let all: Vec<u64> = (1..=seen.len() as u64).collect();
    assert_eq!(numbers, all, "none is missed or told twice");
    assert_order(
        &seen,
        &[
            "all_ready",
            "rollout_begun",
            "rollout_done",
            "upgraded",
            "stop_begun",
            "proxy_finished",
            "worker_stopped",
        ],
    );
}

#[test]
fn followers_are_so_many_and_no_more() {
    let paster = Site::new().actor("home", "/").serve();
    let mut followers: Vec<UnixStream> = (0..32).map(|_| follow(&paster, "200")).collect();
    follow(&paster, "429");
    let refused = paster.command(&["events", "-f"]);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(refused.stderr.contains("follow already"), "{refused:#?}");
    assert!(!events(&paster, &[]).is_empty(), "one look is no follower");
    paster.command(&["restart"]).succeeded();
    followers.pop();
    paster.wait_for("a free place", || {
        let mut stream = UnixStream::connect(paster.site().run_dir().join("control.sock"))
            .expect("paster listens");
        ask(&mut stream).contains("200")
    });
}

fn follow(paster: &Paster, status: &str) -> UnixStream {
    let mut stream =
        UnixStream::connect(paster.site().run_dir().join("control.sock")).expect("paster listens");
    let line = ask(&mut stream);
    assert!(line.contains(status), "{line}");
    stream
}

fn ask(stream: &mut UnixStream) -> String {
    stream
        .write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nHost: paster\r\n\r\n")
        .expect("sent");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("read");
    line
}
