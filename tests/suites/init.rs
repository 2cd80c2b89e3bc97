//! Paster among processes that it has not started: as process 1 of a container, and as the parent of what was there before it.

use crate::harness::paster::report;
use crate::harness::{Site, process};
use nix::sys::signal::Signal;
use std::process::Command;

/// Only root makes pid namespaces.
fn may_not() -> bool {
    let unshared = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "true"])
        .output();
    let able = unshared.is_ok_and(|output| output.status.success());
    if !able {
        report("skipped: this needs root and unshare(1), to be process 1 of a pid namespace");
    }
    !able
}

/// Runs a shell command in the pid namespace of `pid`, as `docker exec` does.
fn exec_beside(pid: u32, script: &str) {
    let status = Command::new("nsenter")
        .args(["--target", &pid.to_string(), "--pid", "--mount"])
        .args(["sh", "-c", script])
        .status()
        .expect("nsenter comes with unshare");
    assert!(status.success());
}

/// Children of `pid` that run `sleep SECONDS`.
fn sleepers(pid: u32, seconds: &str) -> Vec<u32> {
    let wanted = format!("sleep\0{seconds}\0");
    let is_wanted = |child: &u32| {
        std::fs::read(format!("/proc/{child}/cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    };
    process::children(pid)
        .into_iter()
        .filter(is_wanted)
        .collect()
}

#[test]
fn process_1_reaps_strangers_and_does_not_kill_them() {
    if may_not() {
        return;
    }
    let paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .policy("home", "restart_delay = 20ms")
        .in_a_container()
        .serve();
    assert_eq!(paster.status().pid, 1);
    exec_beside(
        paster.pid(),
        "setsid sleep 87.1 >/dev/null 2>&1 & setsid sleep 0.3 >/dev/null 2>&1 &",
    );
    let mut stranger = Vec::new();
    paster.wait_for("the stranger is ours", || {
        stranger = sleepers(paster.pid(), "87.1");
        !stranger.is_empty()
    });
    paster.wait_for("the short one ended", || {
        sleepers(paster.pid(), "0.3").is_empty()
    });
    paster.wait_for("no zombie", || {
        process::zombie_children(paster.pid()).is_empty()
    });

    // What a lost keeper leaves is ended, its daemons too; a stranger is none of it.
    paster.expect_death("ended with its keeper");
    paster.text("/daemon");
    let children = process::children(paster.pid());
    let keeper = children.into_iter().find(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with("paster: keeper of home:0"))
    });
    let before = paster.status().app("home").pid();
    process::sigkill(keeper.expect("it runs"));
    paster.wait_until("it serves again", |s| {
        s.app("home").pids().iter().any(|pid| *pid != before)
    });
    paster.wait_for("the daemon is gone", || {
        // Two keepers, the proxy and the stranger.
        process::children(paster.pid()).len() == 4
    });
    assert_eq!(sleepers(paster.pid(), "87.1"), stranger);
    process::sigkill(stranger[0]);
    paster.wait_for("the stranger was reaped", || {
        process::state(stranger[0]).is_none()
    });
    assert_eq!(paster.get("/").status, 200);
    assert_eq!(paster.get("/other/").status, 200);
}

#[test]
fn process_1_obeys_its_signals() {
    if may_not() {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut paster = Site::new().actor("home", "/").in_a_container().serve();
        paster.allow_log("stopping now");
        paster.signal(signal);
        assert!(paster.wait_for_end().success(), "{signal}");
    }
}

#[test]
fn a_child_from_before_paster_is_reaped_and_not_taken_for_an_orphan() {
    let script = "setsid sleep 0.3 & setsid sleep 88.1 & exec \"$0\" \"$@\"";
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "restart_delay = 20ms")
        .wrapped(&["sh", "-c", script])
        .serve();
    let mut elder = Vec::new();
    paster.wait_for("what was there before is a child", || {
        elder = sleepers(paster.pid(), "88.1");
        elder.len() == 1
    });
    paster.wait_for("the short one ended", || {
        sleepers(paster.pid(), "0.3").is_empty()
    });
    paster.wait_for("no zombie", || {
        process::zombie_children(paster.pid()).is_empty()
    });
    paster.expect_death("ended with its keeper");
    let worker = paster.status().app("home").pid();
    process::sigkill(process::parent(worker).expect("it runs"));
    paster.wait_until("it serves again", |s| {
        s.app("home").pids().iter().any(|pid| *pid != worker)
    });
    assert_eq!(sleepers(paster.pid(), "88.1"), elder);
    process::sigkill(elder[0]);
}

#[test]
fn nothing_is_left_of_process_1() {
    if may_not() {
        return;
    }
    let mut paster = Site::new().actor("home", "/").in_a_container().serve();
    paster.text("/daemon");
    paster.command(&["stop"]).succeeded();
    assert!(paster.wait_for_end().success());
}
