//! `paster upgrade`: another program takes over in the same process, and nobody notices.

use crate::harness::{Paster, Site, Status, process};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn two_apps() -> Site {
    Site::new()
        .actor("one", "/one")
        .actor("two", "/two")
        .policy("one", "processes = 2")
}

fn pids(status: &Status) -> Vec<Vec<u32>> {
    status.apps.iter().map(|app| app.pids()).collect()
}

fn descriptors(paster: &Paster) -> usize {
    fs::read_dir(format!("/proc/{}/fd", paster.pid())).map_or(0, Iterator::count)
}

/// Until only one proxy runs: the old one has finished.
fn wait_for_one_proxy(paster: &Paster) {
    paster.wait_for("the old proxy has finished", || {
        let children = process::children(paster.pid());
        let proxies = children
            .iter()
            .filter(|pid| process::command_line(**pid).contains("proxy-process"));
        proxies.count() == 1
    });
}

#[test]
fn an_upgrade_under_load_keeps_every_worker_and_loses_no_request() {
    let paster = two_apps().serve();
    let before = paster.status();
    let load = [paster.load("/one/", 4, 100), paster.load("/two/", 2, 50)];
    for upgrades in 1..=3 {
        load[0].wait_for(20);
        let upgrade = paster.command(&["upgrade"]).succeeded();
        assert!(upgrade.stdout.contains("took over"), "{upgrade:#?}");
        assert_eq!(paster.status().upgrades, upgrades);
    }
    load[0].wait_for(20);
    for load in load {
        let result = load.finish();
        assert!(result.is_clean(), "{result}");
    }
    let after = paster.status();
    assert_eq!(after.pid, before.pid);
    assert_eq!(pids(&after), pids(&before));
    assert_ne!(
        after.proxy.pid, before.proxy.pid,
        "the proxy is of the new version too"
    );
    assert_eq!(after.listen, before.listen);
    assert!(after.uptime_s > before.uptime_s);
    wait_for_one_proxy(&paster);
}

#[test]
fn what_runs_is_still_supervised_afterwards() {
    let mut paster = two_apps().serve();
    paster.command(&["restart", "two"]).succeeded();
    paster.expect_death("worker 0 of two");
    assert_eq!(paster.get("/two/kill").status, 502);
    paster.wait_until("it is back", |s| {
        s.app("two").is_ready() && s.app("two").restarts == 2
    });
    let before = paster.status();
    let requests = before.app("two").requests;
    paster.command(&["upgrade"]).succeeded();
    let after = paster.status();
    assert_eq!(after.app("two").generation, 2);
    assert_eq!(
        after.app("two").restarts,
        before.app("two").restarts,
        "counters stay"
    );
    assert_eq!(after.app("two").last_death, before.app("two").last_death);
    paster.wait_until("requests are still counted", |s| {
        s.app("two").requests >= requests
    });
    // A worker that dies is replaced, and what it printed is in the report.
    paster.expect_death("of one (pid");
    let old = after.app("one").pids();
    process::sigkill(old[0]);
    paster.wait_until("it is replaced", |s| {
        s.app("one").is_ready() && !s.app("one").pids().contains(&old[0])
    });
    // Commands and reloads work, and what was up before can be stopped.
    paster.edit(|site| site.option("two", "version = 7"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/two/").json()["version"], "7");
    paster.command(&["stop", "one"]).succeeded();
    assert_eq!(paster.get("/one/").status, 503);
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(
        paster.get("/one/").status,
        503,
        "a stopped app stays stopped"
    );
    paster.command(&["start", "one"]).succeeded();
    assert_eq!(paster.get("/one/").status, 200);
}

#[test]
fn output_and_requests_that_are_under_way_arrive() {
    let paster = two_apps().serve();
    let slow = paster.get_in_background("/two/slow?s=1.5");
    paster.wait_until("it is in flight", |s| {
        s.app("two").workers[0].in_flight == 1
    });
    let mut idle = paster.connect();
    assert_eq!(idle.get("/one/").expect("an answer").status, 200);
    paster.command(&["upgrade"]).succeeded();
    // An idle connection is not closed under its client.
    assert_eq!(idle.get("/one/").expect("an answer").status, 200);
    assert_eq!(
        slow.join().expect("no panic").expect("an answer").status,
        200
    );
    paster.get("/two/print?out=after+the+upgrade&err=and+here");
    paster.wait_for("its output", || {
        paster.stdout().text().contains("[two:0] after the upgrade")
            && paster.stderr().text().contains("[two:0] and here")
    });
    wait_for_one_proxy(&paster);
}

#[test]
fn no_descriptor_and_no_zombie_is_left_by_many_upgrades() {
    let paster = two_apps().serve();
    paster.command(&["upgrade"]).succeeded();
    wait_for_one_proxy(&paster);
    let before = descriptors(&paster);
    for _ in 0..5 {
        paster.command(&["upgrade"]).succeeded();
    }
    wait_for_one_proxy(&paster);
    paster.wait_for("as many descriptors as before", || {
        descriptors(&paster) <= before
    });
}

#[test]
fn sigusr2_upgrades_too() {
    let mut paster = two_apps().serve();
    let before = paster.status();
    paster.signal(Signal::SIGUSR2);
    let after = paster.wait_until("it has taken over", |s| s.upgrades == 1);
    assert_eq!(pids(&after), pids(&before));
}

#[test]
fn a_program_that_cannot_take_over_changes_nothing() {
    let paster = two_apps().serve();
    let before = paster.status();
    let dir = paster.site().dir().to_path_buf();
    let script = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path.display().to_string()
    };
    paster.expect_log("nothing was changed");
    let cases = [
        ("/nonexistent/paster".to_owned(), "No such file"),
        ("/etc/passwd".to_owned(), "Permission denied"),
        ("/bin/true".to_owned(), "is no version of paster that can"),
        (
            script("noise", "#!/bin/sh\nhead -c 1000000 /dev/zero\nexit 3\n"),
            "cannot take over",
        ),
        (
            script(
                "future",
                "#!/bin/sh\necho '{\"takes_over\":99,\"version\":\"99.0\"}'\n",
            ),
            "cannot take over",
        ),
        (
            script(
                "dies",
                "#!/bin/sh\necho 'error: wrong libc' >&2\nkill -9 $$\n",
            ),
            "wrong libc",
        ),
    ];
    for (program, why) in cases {
        let upgrade = paster.command(&["upgrade", "--program", &program]);
        assert_eq!(upgrade.code, Some(1), "{upgrade:#?}");
        assert!(upgrade.stderr.contains(why), "{upgrade:#?}");
    }
    let after = paster.status();
    assert_eq!(
        (pids(&after), after.proxy.pid),
        (pids(&before), before.proxy.pid)
    );
    assert_eq!(paster.get("/one/").status, 200);
    assert_eq!(after.upgrades, 0);
}

#[test]
fn a_program_that_agrees_and_cannot_be_executed_changes_nothing() {
    let paster = two_apps().serve();
    let before = paster.status();
    let path = paster.site().dir().join("vanishes");
    // It is gone as soon as it has said yes.
    fs::write(
        &path,
        "#!/bin/sh\nrm \"$0\"\necho '{\"takes_over\":1,\"version\":\"9.9\"}'\n",
    )
    .expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    paster.expect_log("nothing was changed");
    let load = paster.load("/one/", 2, 50);
    let upgrade = paster.command(&["upgrade", "--program", &path.display().to_string()]);
    assert_eq!(upgrade.code, Some(1), "{upgrade:#?}");
    assert!(upgrade.stderr.contains("No such file"), "{upgrade:#?}");
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    let after = paster.status();
    assert_eq!(
        (pids(&after), after.proxy.pid),
        (pids(&before), before.proxy.pid)
    );
    // And it is still all there: output, deaths, the next upgrade.
    paster.expect_death("worker 0 of two");
    assert_eq!(paster.get("/two/kill").status, 502);
    paster.wait_until("it is back", |s| {
        s.app("two").is_ready() && s.app("two").restarts == 2
    });
    paster.command(&["upgrade"]).succeeded();
}

#[test]
fn a_changed_or_broken_configuration_is_said_before_anything_happens() {
    let mut paster = two_apps().serve();
    paster.expect_log("nothing was changed");
    paster.edit(|site| site.option("two", "version = 2"));
    let upgrade = paster.command(&["upgrade"]);
    assert_eq!(upgrade.code, Some(1));
    assert!(
        upgrade.stderr.contains("`paster reload` first"),
        "{upgrade:#?}"
    );
    paster.command(&["reload"]).succeeded();
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(paster.get("/two/").json()["version"], "2");
}

#[test]
fn commands_during_an_upgrade_are_answered() {
    let paster = two_apps().serve();
    let upgrade = paster.command_in_background(&["upgrade"]);
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(paster.command_in_background(&["status"]));
        others.push(paster.command_in_background(&["restart", "two"]));
    }
    upgrade.join().expect("no panic").succeeded();
    for other in others {
        other.join().expect("no panic").succeeded();
    }
    let status = paster.status();
    assert_eq!(status.upgrades, 1);
    assert!(status.app("two").is_ready());
}

#[test]
fn after_an_upgrade_a_kill_of_the_supervisor_still_ends_everything() {
    let mut paster = two_apps().serve();
    paster.command(&["upgrade"]).succeeded();
    let status = paster.status();
    let workers: Vec<u32> = pids(&status).concat();
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    paster.wait_for("everything is gone", || {
        workers.iter().all(|pid| !process::is_alive(*pid))
            && status.proxy.pid.is_some_and(|pid| !process::is_alive(pid))
    });
}
