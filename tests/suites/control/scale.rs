//! `paster scale`: the number that was asked for last, wherever it was asked for.

use super::{SLOW_STARTER, json};
use crate::harness::Site;
use nix::sys::signal::Signal;
use std::fs;

#[test]
fn more_workers_serve_when_the_command_returns_and_fewer_are_gone() {
    let paster = Site::new().actor("home", "/").serve();
    let first = paster.status().app("home").pid();
    let load = paster.load("/", 4, 100);
    let more = paster.command(&["scale", "home", "3"]).succeeded();
    assert_eq!(more.stdout, "home: scaled (3 processes)\n");
    let status = paster.status();
    let app = status.app("home");
    assert_eq!(app.pids().len(), 3, "{app:#?}");
    assert!(app.pids().contains(&first), "the old one goes on: {app:#?}");
    assert_eq!((app.processes, app.configured_processes), (3, 1));
    let fewer = paster.command(&["scale", "home=1", "--json"]).succeeded();
    let fewer = json(&fewer);
    assert_eq!(fewer["apps"][0]["action"], "scaled", "{fewer}");
    assert_eq!(fewer["apps"][0]["processes"], 1, "{fewer}");
    let status = paster.status();
    assert_eq!(status.app("home").workers.len(), 1, "{status:#?}");
    assert_eq!(status.app("home").pid(), first);
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
}

#[test]
fn workers_that_do_not_come_up_are_given_up_and_the_number_is_as_before() {
    let site = Site::new().actor("home", "/");
    let broken = site.path("broken");
    let paster = site
        .option("home", &format!("broken = {}", broken.display()))
        .serve();
    paster.expect_log("new workers did not come up; their number is taken back");
    paster.expect_death("exited with status 1");
    let first = paster.status().app("home").pid();
    fs::write(&broken, "").expect("our own directory");
    let scale = paster.command(&["scale", "home", "3"]);
    assert_eq!(scale.code, Some(1), "{scale:#?}");
    for part in [
        "`home` was not scaled",
        "exited with status 1 before it was ready",
        "broken on purpose",
    ] {
        assert!(scale.stderr.contains(part), "{part}: {scale:#?}");
    }
    let status = paster.wait_until("the others are gone", |s| s.app("home").workers.len() == 1);
    assert_eq!(status.app("home").pid(), first);
    assert_eq!(status.app("home").processes, 1);
    fs::remove_file(&broken).expect("it is there");
    paster.command(&["scale", "home", "2"]).succeeded();
    assert_eq!(paster.status().app("home").pids().len(), 2);
}

#[test]
fn workers_that_are_never_ready_are_given_up_in_time() {
    let site = Site::new().python("late", "/", SLOW_STARTER);
    let boot = site.path("boot");
    let paster = site.policy("late", "start_timeout = 2s").serve();
    paster.expect_log("new workers did not come up; their number is taken back");
    paster.expect_log("worker not ready in time; it is killed");
    fs::write(&boot, "600").expect("our own directory");
    let scale = paster.command(&["scale", "late", "2"]);
    assert_eq!(scale.code, Some(1), "{scale:#?}");
    assert!(
        scale.stderr.contains("was not ready within 2s"),
        "{scale:#?}"
    );
    assert!(scale.stderr.contains("waiting on purpose"), "{scale:#?}");
    assert_eq!(paster.status().app("late").processes, 1);
}

#[test]
fn the_number_survives_restarts_and_reloads_until_the_file_says_another_one() {
    let mut paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .serve();
    paster.command(&["scale", "home=2", "other=2"]).succeeded();
    paster.command(&["restart", "home"]).succeeded();
    paster.edit(|site| {
        site.policy("home", "queue = 7")
            .option("other", "version = 2")
    });
    paster.command(&["reload"]).succeeded();
    let status = paster.wait_until("the old ones are gone", |s| {
        s.apps.iter().all(|app| app.workers.len() == 2)
    });
    for name in ["home", "other"] {
        let app = status.app(name);
        assert_eq!((app.processes, app.configured_processes), (2, 1));
    }
    assert_eq!(paster.get("/other/").json()["version"], "2");
    paster.edit(|site| site.policy("home", "processes = 3"));
    paster.command(&["reload"]).succeeded();
    let status = paster.wait_until("the file counts", |s| s.app("home").pids().len() == 3);
    assert_eq!(status.app("other").pids().len(), 2, "its file is as it was");
    paster.edit(|site| site.policy("home", "processes = 1"));
    paster.command(&["reload"]).succeeded();
    paster.wait_until("the file counts", |s| s.app("home").workers.len() == 1);
}

#[test]
fn the_number_survives_an_upgrade() {
    let paster = Site::new().actor("home", "/").serve();
    paster.command(&["scale", "home", "2"]).succeeded();
    paster.command(&["upgrade"]).succeeded();
    let status = paster.status();
    let app = status.app("home");
    assert_eq!((app.processes, app.configured_processes), (2, 1));
    paster.command(&["restart"]).succeeded();
    assert_eq!(paster.status().app("home").pids().len(), 2);
}

#[test]
fn signals_take_the_same_path() {
    let mut paster = Site::new().actor("home", "/").serve();
    paster.signal(Signal::SIGTTIN);
    let status = paster.wait_until("there are two", |s| s.app("home").pids().len() == 2);
    let app = status.app("home");
    assert_eq!((app.processes, app.configured_processes), (2, 1));
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(paster.status().app("home").pids().len(), 2);
    paster.signal(Signal::SIGTTOU);
    paster.wait_until("there is one", |s| s.app("home").workers.len() == 1);
    paster.signal(Signal::SIGTTOU);
    paster.command(&["restart", "home"]).succeeded();
    assert_eq!(paster.status().app("home").processes, 1, "one is left");
}

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence() {
    let paster = Site::new()
        .actor("home", "/")
        .section("away", "/away", "http://127.0.0.1:9")
        .serve();
    let refused = |words: &[&str], part: &str| {
        let words = [&["scale"], words].concat();
        let result = paster.command(&words);
        assert_eq!(result.code, Some(1), "{result:#?}");
        assert!(result.stderr.contains(part), "{part}: {result:#?}");
    };
    refused(&["home", "0"], "paster stop CONFIG home");
    refused(&["away", "2"], "runs elsewhere");
    refused(&["hmoe", "2"], "there is no app `hmoe`");
    refused(&["home=2", "hmoe=2"], "there is no app `hmoe`");
    refused(&["home", "100000"], "more than 1024");
    assert_eq!(paster.status().app("home").processes, 1);
    for words in [
        &["scale"][..],
        &["scale", "home"],
        &["scale", "home", "two"],
    ] {
        let result = paster.command(words);
        assert_eq!(result.code, Some(2), "{result:#?}");
    }
}

#[test]
fn a_stopped_app_starts_in_the_number_that_was_asked_for_meanwhile() {
    let paster = Site::new().actor("home", "/").serve();
    paster.command(&["stop", "home"]).succeeded();
    paster.command(&["scale", "home", "2"]).succeeded();
    assert_eq!(paster.status().app("home").state, "stopped");
    paster.command(&["start", "home"]).succeeded();
    assert_eq!(paster.status().app("home").pids().len(), 2);
}

#[test]
fn during_a_rollout_the_new_generation_gets_the_number() {
    let site = Site::new().python("late", "/", SLOW_STARTER);
    let boot = site.path("boot");
    let paster = site.serve();
    fs::write(&boot, "1").expect("our own directory");
    let restart = paster.command_in_background(&["restart", "late"]);
    paster.wait_until("it is under way", |s| s.app("late").workers.len() == 2);
    paster.command(&["scale", "late", "3"]).succeeded();
    restart.join().expect("no panic").succeeded();
    let status = paster.status();
    let app = status.app("late");
    assert_eq!((app.generation, app.pids().len()), (2, 3), "{app:#?}");
}

#[test]
fn a_newer_number_replaces_an_older_one_and_both_hear_of_it() {
    let site = Site::new().python("late", "/", SLOW_STARTER);
    let boot = site.path("boot");
    let paster = site.serve();
    fs::write(&boot, "1").expect("our own directory");
    let first = paster.command_in_background(&["scale", "late", "2", "--json"]);
    paster.wait_until("it is under way", |s| s.app("late").processes == 2);
    let second = paster
        .command(&["scale", "late", "3", "--json"])
        .succeeded();
    let first = first.join().expect("no panic").succeeded();
    for result in [first, second] {
        assert_eq!(json(&result)["apps"][0]["processes"], 3, "{result:#?}");
    }
    assert_eq!(paster.status().app("late").pids().len(), 3);
}
