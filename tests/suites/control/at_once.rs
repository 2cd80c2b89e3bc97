//! Commands that meet: all of them end, and each is told what became of it.

use super::{SLOW_STARTER, json};
use crate::harness::{Paster, Site};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn a_newer_restart_decides_for_the_older_one_too() {
    let site = Site::new().python("late", "/", SLOW_STARTER);
    let boot = site.path("boot");
    let paster = site.policy("late", "start_timeout = 5s").serve();
    paster.expect_log("new generation given up; the old one serves on");
    paster.expect_log("worker not ready in time");
    let pid = paster.status().app("late").pid();
    fs::write(&boot, "600").expect("our own directory");
    let first = paster.command_in_background(&["restart", "late"]);
    paster.wait_until("it is under way", |s| s.app("late").workers.len() == 2);
    fs::write(&boot, "0").expect("our own directory");
    let second = paster.command(&["restart", "late", "--json"]).succeeded();
    let first = first.join().expect("no panic").succeeded();
    assert_eq!(first.stdout, "late: restarted (generation 3)\n");
    assert_eq!(json(&second)["apps"][0]["generation"], 3);
    assert_ne!(paster.status().app("late").pid(), pid);

    // And the other way round: the newer one fails, so the older one has not worked either.
    let pid = paster.status().app("late").pid();
    fs::write(&boot, "2").expect("our own directory");
    let first = paster.command_in_background(&["restart", "late"]);
    paster.wait_until("it is under way", |s| {
        s.app("late").workers.iter().any(|w| w.generation == 4)
    });
    fs::write(&boot, "600").expect("our own directory");
    let second = paster.command(&["restart", "late"]);
    let first = first.join().expect("no panic");
    for result in [first, second] {
        assert_eq!(result.code, Some(1), "{result:#?}");
    }
    assert_eq!(paster.status().app("late").pid(), pid);
}

#[test]
fn a_stop_ends_a_restart_and_both_are_told() {
    let site = Site::new().python("late", "/", SLOW_STARTER);
    let boot = site.path("boot");
    let paster = site.serve();
    fs::write(&boot, "600").expect("our own directory");
    let restart = paster.command_in_background(&["restart", "late"]);
    paster.wait_until("it is under way", |s| s.app("late").workers.len() == 2);
    paster.command(&["stop", "late"]).succeeded();
    let restart = restart.join().expect("no panic");
    assert_eq!(restart.code, Some(1), "{restart:#?}");
    assert_eq!(
        restart.stderr,
        "error: `late` was not restarted: the app was stopped\n"
    );
    assert!(paster.status().app("late").workers.is_empty());
}

#[test]
fn a_start_ends_a_stop_and_both_are_told() {
    let paster = Site::new().actor("home", "/").serve();
    let slow = paster.get_in_background("/slow?s=2");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    let stop = paster.command_in_background(&["stop", "home"]);
    paster.wait_until("it stops", |s| s.app("home").state == "stopped");
    paster.command(&["start", "home"]).succeeded();
    let stop = stop.join().expect("no panic");
    assert_eq!(stop.code, Some(1), "{stop:#?}");
    assert!(
        stop.stderr.contains("a later command has started it again"),
        "{stop:#?}"
    );
    assert_eq!(paster.get("/").status, 200);
    let slow = slow.join().expect("no panic").expect("an answer");
    assert_eq!(slow.status, 200);
}

#[test]
fn starts_of_an_app_that_is_starting_wait_for_that_start() {
    let site = Site::new().python("late", "/", SLOW_STARTER);
    fs::write(site.path("boot"), "1").expect("our own directory");
    let paster = site.serve_unready();
    let starts = [(); 3].map(|()| paster.command_in_background(&["start", "late"]));
    for start in starts {
        let start = start.join().expect("no panic").succeeded();
        assert_eq!(start.stdout, "late: started (generation 1)\n");
    }
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_restart_during_a_reload_and_a_reload_during_a_restart_both_end_well() {
    let mut paster = Site::new()
        .actor("home", "/")
        .option("home", "boot = 0.5")
        .serve();
    let load = paster.load("/", 4, 50);
    let restart = paster.command_in_background(&["restart", "home"]);
    paster.edit(|site| site.option("home", "version = 2"));
    let reload = paster.command_in_background(&["reload"]);
    let again = paster.command_in_background(&["restart", "home"]);
    for command in [restart, reload, again] {
        command.join().expect("no panic").succeeded();
    }
    assert_eq!(paster.get("/").json()["version"], "2");
    // A change that needs no new process, while others start: it is not lost.
    let restart = paster.command_in_background(&["restart", "home"]);
    paster.wait_until("it is under way", |s| s.app("home").workers.len() > 1);
    paster.edit(|site| site.policy("home", "processes = 2"));
    paster.command(&["reload"]).succeeded();
    restart.join().expect("no panic").succeeded();
    let status = paster.wait_until("two workers are left", |s| {
        s.app("home").is_ready() && s.app("home").workers.len() == 2
    });
    assert_eq!(status.app("home").pids().len(), 2);
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
}

#[test]
fn a_reload_tries_again_what_did_not_come_up() {
    let site = Site::new().actor("home", "/");
    let broken = site.path("broken");
    let mut paster = site
        .option("home", &format!("broken = {}", broken.display()))
        .serve();
    paster.expect_log("new generation given up; the old one serves on");
    paster.allow_log("exited with status 1");
    fs::write(&broken, "").expect("our own directory");
    paster.edit(|site| site.option("home", "version = 2"));
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert_eq!(paster.get("/").json()["version"], "1");
    fs::remove_file(&broken).expect("it is there");
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("home: restarted"), "{reload:#?}");
    assert_eq!(paster.get("/").json()["version"], "2");
    let reload = paster.command(&["reload"]).succeeded();
    assert_eq!(reload.stdout, "nothing has changed\n");
}

#[test]
fn an_app_that_a_reload_adds_serves_when_it_returns_or_is_reported() {
    let mut paster = Site::new().actor("home", "/").serve();
    paster.edit(|site| site.actor("good", "/good").option("good", "boot = 0.5"));
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("good: added"), "{reload:#?}");
    assert!(paster.status().app("good").is_ready());
    paster.expect_death("exited with status 3");
    paster.edit(|site| {
        site.actor("bad", "/bad")
            .option("bad", "exit = 3")
            .policy("bad", "restart_delay = 30s")
    });
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert!(
        reload
            .stderr
            .contains("`bad` was added, but does not serve"),
        "{reload:#?}"
    );
    assert!(
        reload
            .stderr
            .contains("exited with status 3 before it was ready"),
        "{reload:#?}"
    );
}

#[test]
fn another_upstream_address_is_used_after_a_reload() {
    let ours = Site::new().actor("home", "/").serve();
    let port = |paster: &Paster| format!("http://127.0.0.1:{}", paster.address().port());
    let mut paster = Site::new()
        .section("away", "/", "http://127.0.0.1:9")
        .policy("away", "queue_timeout = 500ms")
        .serve();
    paster.allow_log("the proxy cannot connect");
    assert_ne!(paster.get("/").status, 200);
    let text = paster.site().text();
    paster.edit(|site| site.ini(&text.replace("http://127.0.0.1:9", &port(&ours))));
    let reload = paster.command(&["reload"]).succeeded();
    assert_eq!(reload.stdout, "away: updated (generation 1)\n");
    assert_eq!(paster.get("/").status, 200);
    // Workers of our own instead, and elsewhere again.
    let elsewhere = paster.site().text();
    paster.edit(|site| {
        let ours = elsewhere.replace(&port_line(&elsewhere), "use = actor:factory");
        site.actor("unused", "/unused").ini(&ours)
    });
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/").json()["app"], "away");
    paster.command(&["stop", "away"]).succeeded();
    paster.edit(|site| site.ini(&elsewhere));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.status().app("away").state, "stopped");
    paster.command(&["start", "away"]).succeeded();
    assert_eq!(paster.get("/").json()["app"], "home");
}

/// The line of an INI file that names an upstream.
fn port_line(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("use = http:"));
    line.expect("an upstream").to_owned()
}

#[test]
fn on_the_way_out_nothing_is_started_and_nobody_waits_in_vain() {
    let mut paster = Site::new().actor("home", "/").serve();
    let slow = paster.get_in_background("/slow?s=2");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    let waiting = paster.command_in_background(&["wait", "home", "--for", "stopped"]);
    let stop = paster.command_in_background(&["stop"]);
    paster.wait_for_log("stopping: requests in flight finish first");
    for words in [
        &["restart", "home"][..],
        &["start"],
        &["reload"],
        &["scale", "home", "2"],
    ] {
        let result = paster.command(words);
        assert_eq!(result.code, Some(1), "{words:?}: {result:#?}");
        assert_eq!(result.stderr, "error: paster is stopping\n", "{words:?}");
    }
    let again = paster.command_in_background(&["stop"]);
    let answer = slow.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 200);
    stop.join().expect("no panic").succeeded();
    again.join().expect("no panic").succeeded();
    assert!(paster.wait_for_end().success());
    // The app is stopped for a moment before paster has ended; then nothing runs.
    let waiting = waiting.join().expect("no panic");
    assert!(matches!(waiting.code, Some(0 | 4)), "{waiting:#?}");
}

#[test]
fn fifty_commands_at_once_are_all_answered() {
    let paster = Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .serve();
    let load = paster.load("/two/", 2, 20);
    let lines: [&[&str]; 10] = [
        &["restart", "one"],
        &["restart"],
        &["scale", "one", "2"],
        &["scale", "one=1", "two=2"],
        &["reload"],
        &["stop", "one"],
        &["start", "one"],
        &["status"],
        &["events"],
        &["wait", "two", "--timeout", "60s"],
    ];
    let commands: Vec<_> = (0..50)
        .map(|n| {
            let words = lines[n % lines.len()];
            (words, paster.command_in_background(words))
        })
        .collect();
    for (words, command) in commands {
        let result = command.join().expect("it ends");
        assert!(matches!(result.code, Some(0 | 1)), "{words:?}: {result:#?}");
        assert!(!result.stderr.contains("busy"), "{words:?}: {result:#?}");
        if result.code == Some(1) {
            // What was undone by a later command says so.
            let is_true = result.stderr.contains("the app was stopped")
                || result
                    .stderr
                    .contains("a later command has started it again");
            assert!(is_true, "{words:?}: {result:#?}");
        }
    }
    paster.command(&["scale", "one=1", "two=1"]).succeeded();
    paster.command(&["start"]).succeeded();
    paster.command(&["wait"]).succeeded();
    let result = load.finish();
    assert!(result.is_clean(), "two was never stopped: {result}");
    let status = paster.wait_until("everything has its size", |s| {
        s.apps.iter().all(|app| app.workers.len() == 1)
    });
    assert!(status.apps.iter().all(|app| app.is_ready()), "{status:#?}");
}

#[test]
fn who_leaves_early_is_forgotten() {
    let paster = Site::new()
        .actor("home", "/")
        .option("home", "boot = 600")
        .serve_unready();
    for words in [["wait", "home"], ["restart", "home"]] {
        paster.wait_for("nobody asks", || paster.control_connections() == 0);
        let mut child = Command::new(env!("CARGO_BIN_EXE_paster"))
            .arg(words[0])
            .arg(paster.site().config())
            .arg("--run-dir")
            .arg(paster.site().run_dir())
            .arg(words[1])
            .stderr(Stdio::null())
            .spawn()
            .expect("paster was built");
        paster.wait_for("it has asked", || paster.control_connections() == 1);
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        paster.wait_for("it is forgotten", || paster.control_connections() == 0);
    }
    assert!(!paster.status().app("home").is_ready());
}
