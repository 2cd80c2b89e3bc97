//! `paster wait`: comes back when what is waited for is there, or says what is missing.

use super::json;
use crate::harness::{Paster, Site};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

#[test]
fn it_waits_for_paster_itself_to_come() {
    let site = Site::new().actor("home", "/").option("home", "boot = 1");
    site.write();
    let mut waiter = Command::new(env!("CARGO_BIN_EXE_paster"))
        .args(["wait", "--timeout", "30s", "--run-dir"])
        .arg(site.run_dir())
        .arg(site.config())
        .stdout(Stdio::piped())
        .spawn()
        .expect("paster was built");
    let paster = site.serve_unready();
    let status = waiter.wait().expect("our own child");
    assert!(status.success(), "{status}");
    assert!(paster.status().app("home").is_ready());
    let mut text = String::new();
    let mut stdout = waiter.stdout.take().expect("piped");
    stdout.read_to_string(&mut text).expect("text");
    assert_eq!(text, "home: ready (generation 1)\n");
}

#[test]
fn what_is_missing_is_named_after_the_time() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .serve();
    paster.command(&["wait", "--timeout", "0"]).succeeded();
    paster.command(&["stop", "home"]).succeeded();
    let late = paster.command(&["wait", "--timeout", "100ms"]);
    assert_eq!(late.code, Some(4), "{late:#?}");
    assert!(late.stderr.contains("home: it is stopped"), "{late:#?}");
    assert!(!late.stderr.contains("other"), "{late:#?}");
    let late = paster.command(&["wait", "home", "--timeout", "100ms", "--json"]);
    let outcome = json(&late);
    assert_eq!(outcome["ok"], false, "{outcome}");
    assert_eq!(outcome["error"]["class"], "timeout", "{outcome}");
    assert_eq!(outcome["apps"][0]["app"], "home", "{outcome}");
    paster
        .command(&["wait", "other", "--timeout", "0"])
        .succeeded();
    let unknown = paster.command(&["wait", "hmoe"]);
    assert_eq!(unknown.code, Some(1), "{unknown:#?}");
}

#[test]
fn other_states_can_be_waited_for() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("lazy", "/lazy")
        .policy("lazy", "idle_timeout = 500ms")
        .actor("bad", "/bad")
        .option("bad", "exit = 78")
        .serve_unready();
    paster.expect_death("exited with status 78");
    paster
        .command(&["wait", "bad", "--for", "failed"])
        .succeeded();
    paster
        .command(&["wait", "home", "lazy", "--for", "ready"])
        .succeeded();
    assert_eq!(paster.get("/lazy/").status, 200);
    paster
        .command(&["wait", "lazy", "--for", "idle"])
        .succeeded();
    let stopped = paster.command_in_background(&["wait", "home", "--for", "stopped"]);
    paster.command(&["stop", "home"]).succeeded();
    stopped.join().expect("no panic").succeeded();
    assert!(paster.status().app("home").workers.is_empty());
}

#[test]
fn the_end_of_paster_can_be_waited_for() {
    let site = Site::new().actor("home", "/");
    site.write();
    let run_dir = site.run_dir().display().to_string();
    let words = [
        "wait",
        "site.ini",
        "--run-dir",
        &run_dir,
        "--timeout",
        "100ms",
    ];
    let nothing = Paster::run(&site, &words);
    assert_eq!(nothing.code, Some(4), "{nothing:#?}");
    assert!(nothing.stderr.contains("does not run"), "{nothing:#?}");
    let words = [
        "wait",
        "site.ini",
        "--run-dir",
        &run_dir,
        "--for",
        "stopped",
    ];
    Paster::run(&site, &words).succeeded();

    let mut paster = site.serve();
    let late = paster.command(&["wait", "--for", "stopped", "--timeout", "100ms"]);
    assert_eq!(late.code, Some(4), "{late:#?}");
    let end = paster.command_in_background(&["wait", "--for", "stopped"]);
    paster.command(&["stop"]).succeeded();
    end.join().expect("no panic").succeeded();
    assert!(paster.wait_for_end().success());
}

#[test]
fn it_waits_on_over_an_upgrade() {
    let paster = Site::new().actor("home", "/").serve();
    let waiter = paster.command_in_background(&["wait", "home", "--for", "stopped"]);
    paster.command(&["upgrade"]).succeeded();
    paster.command(&["stop", "home"]).succeeded();
    waiter.join().expect("no panic").succeeded();
}

#[test]
fn it_waits_on_when_paster_goes_and_comes_back() {
    let site = Site::new().actor("home", "/").option("home", "boot = 60");
    let mut paster = site.serve_unready();
    // By relative paths, so that nobody takes it for something that paster has left.
    let mut waiter = Command::new(env!("CARGO_BIN_EXE_paster"))
        .args(["wait", "site.ini", "--run-dir", "run", "--timeout", "60s"])
        .current_dir(paster.site().dir())
        .stdout(Stdio::null())
        .spawn()
        .expect("paster was built");
    paster.wait_for("it waits", || {
        let path = paster.site().run_dir().join("control.sock");
        let table = fs::read_to_string("/proc/net/unix").expect("proc(5)");
        // The listener itself, and the server's end of one connection.
        table.matches(&path.display().to_string()).count() == 2
    });
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    let paster = paster.finish().option("home", "boot = 0").serve_unready();
    assert!(waiter.wait().expect("our own child").success());
    assert!(paster.status().app("home").is_ready());
}
