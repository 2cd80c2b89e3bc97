//! Forked workers are what any workers are: told the same, replaced, confined, ended with all that they have started.

use super::{
    PRISONER, TWO_SECONDS, WARM, ask_all, daemon, has_no_keeper, is_ready, loads, number, pid,
    reaper, template, warm,
};
use crate::harness::confinement::{PYTHON, can_change_users, groups, if_it_can};
use crate::harness::{Site, Status, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

#[test]
fn the_app_is_loaded_once_for_all_workers() {
    let paster = warm(3).serve();
    let told = ask_all(&paster, 3);
    let template = pid(&told[0], "loaded_by");
    for (slot, worker) in told.iter().enumerate() {
        assert_eq!(worker["slot"], slot.to_string());
        assert_eq!(pid(worker, "loaded_by"), template);
        assert_eq!(pid(worker, "made_by"), template);
        assert_ne!(pid(worker, "pid"), template);
        assert_eq!(worker["leaks"], serde_json::json!([]));
        assert_eq!(worker["multiprocess"], true);
    }
    let numbers: BTreeSet<String> = told.iter().map(|w| w["random"].to_string()).collect();
    assert_eq!(numbers.len(), 3, "each has random numbers of its own");
    assert_eq!(loads(&paster), 1);
    let mut pids: Vec<u32> = told.iter().map(|worker| pid(worker, "pid")).collect();
    pids.sort_unstable();
    assert_eq!(paster.status().app("warm").pids(), pids);
    // More workers come from the same place.
    paster.command(&["scale", "warm", "5"]).succeeded();
    let more = ask_all(&paster, 5);
    assert!(more.iter().all(|w| pid(w, "loaded_by") == template));
    assert_eq!(loads(&paster), 1);
}

#[test]
fn a_worker_is_what_any_worker_is() {
    let paster = warm(1)
        .policy("warm", "umask = 027")
        .policy("warm", "nice = 3")
        .policy("warm", "limit_nofile = 77")
        .policy("warm", "environment = COLOUR=blue")
        .policy("warm", "watchdog = 5s")
        .serve();
    let own = paster.get("/process").json();
    let worker = pid(&own, "pid");
    assert_eq!(own["umask"], 0o027);
    assert_eq!(own["nice"], 3);
    assert_eq!(own["nofile"], 77);
    assert_eq!(own["sid"], worker, "it leads a session");
    let environment = paster.get("/environment").json();
    assert_eq!(environment["COLOUR"], "blue");
    assert_eq!(environment["PASTE_APP"], "warm");
    assert_eq!(environment["PASTE_SLOT"], "0");
    assert_eq!(environment["PASTE_GENERATION"], "1");
    paster.text("/print?out=to-stdout&err=to-stderr");
    paster.wait_for("its output has its name", || {
        paster.stdout().text().contains("[warm:0] to-stdout")
            && paster.stderr().text().contains("[warm:0] to-stderr")
    });
    // SIGTERM is heeded, and atexit handlers run.
    paster.command(&["stop", "warm"]).succeeded();
    let leaves = format!("[warm:0] {worker} leaves");
    paster.wait_for("its atexit handlers ran", || {
        paster.stdout().text().contains(&leaves)
    });
    assert_eq!(paster.stdout().text().matches(" leaves").count(), 1);
    assert_eq!(
        paster.stderr().text().matches("loading").count(),
        1,
        "what is in a buffer is not printed by each worker again"
    );
}

#[test]
fn a_killed_worker_comes_back_from_the_same_template_with_a_report() {
    let paster = warm(2).serve();
    paster.expect_death("was killed by signal 9 (SIGKILL)");
    paster.expect_death("exited with status 3");
    let before = ask_all(&paster, 2);
    let template = pid(&before[0], "loaded_by");
    let victim = pid(&before[1], "pid");
    process::sigkill(victim);
    let has_other = |s: &Status| is_ready(s) && !s.app("warm").pids().contains(&victim);
    paster.wait_until("another serves", has_other);
    let after = ask_all(&paster, 2);
    assert_eq!(pid(&after[0], "pid"), pid(&before[0], "pid"));
    assert!(after.iter().all(|w| pid(w, "loaded_by") == template));
    paster.command(&["scale", "warm", "1"]).succeeded();
    paster.wait_until("one is left", |s| s.app("warm").workers.len() == 1);
    paster.text("/print?out=x&err=last-words");
    assert_eq!(paster.post("/exit", b"").status, 502);
    paster.wait_until("it serves again", is_ready);
    assert_eq!(loads(&paster), 1);
    let mut reports: Vec<Value> = Vec::new();
    paster.wait_for("two reports", || {
        let listed = paster.command(&["crashes", "--json", "warm"]).succeeded();
        reports = serde_json::from_str(&listed.stdout).expect("JSON");
        reports.len() == 2
    });
    let of = |field: &str, value: u32| {
        let found = reports.iter().find(|report| report["exit"][field] == value);
        found.unwrap_or_else(|| panic!("a report with {field} {value} in {reports:#?}"))
    };
    let killed = of("signal", 9);
    assert_eq!((pid(killed, "pid"), &killed["slot"]), (victim, &1.into()));
    assert!(number(killed, "max_rss_bytes") > 1 << 20, "{killed}");
    let ended = of("status", 3);
    assert!(
        ended["output"].to_string().contains("last-words"),
        "{ended}"
    );
    assert_eq!(ended["requests"][0]["path"], "/exit");
}

#[test]
fn what_one_worker_has_started_ends_with_it_and_what_its_sibling_has_started_does_not() {
    let paster = warm(2).serve();
    paster.expect_death("was killed by signal 9 (SIGKILL)");
    let (first, of_first) = daemon(&paster);
    let (mut second, mut of_second) = daemon(&paster);
    paster.wait_for("a daemon of the other worker", || {
        if second == first {
            process::sigkill(of_second);
            (second, of_second) = daemon(&paster);
        }
        second != first
    });
    process::sigkill(first);
    paster.wait_at_most(TWO_SECONDS, "the daemon is gone", || {
        !process::is_alive(of_first)
    });
    paster.wait_until("another serves", |s| {
        is_ready(s) && !s.app("warm").pids().contains(&first)
    });
    assert!(process::is_alive(of_second) && process::is_alive(second));
    paster.command(&["stop", "warm"]).succeeded();
    assert!(!process::is_alive(of_second));
}

#[test]
fn a_killed_reaper_takes_its_worker_along_and_nothing_else() {
    let paster = warm(2).serve();
    paster.expect_death("ended with its keeper");
    let (worker, daemon) = daemon(&paster);
    let template = template(&paster);
    let other = paster.status().app("warm").pids();
    let other = *other.iter().find(|pid| **pid != worker).expect("two");
    process::sigkill(reaper(worker));
    paster.wait_at_most(TWO_SECONDS, "worker and daemon are gone", || {
        !process::is_alive(worker) && !process::is_alive(daemon)
    });
    paster.wait_until("another serves", |s| {
        is_ready(s) && !s.app("warm").pids().contains(&worker)
    });
    assert!(paster.status().app("warm").pids().contains(&other));
    assert!(process::is_alive(template));
    assert_eq!(loads(&paster), 1);
}

#[test]
fn a_stopped_reaper_does_not_save_its_worker() {
    let paster = warm(1).policy("warm", "stop_timeout = 200ms").serve();
    paster.expect_log("worker ignored SIGTERM; it is killed");
    let worker = paster.status().app("warm").pid();
    process::signal(reaper(worker), Signal::SIGSTOP);
    paster.text("/deaf");
    paster.command(&["stop", "warm"]).succeeded();
    assert!(!process::is_alive(worker));
}

#[test]
fn a_fork_that_hangs_is_ended_and_tried_again() {
    let hanging = format!(
        "{WARM}\n\
         def hang():\n    \
             while os.path.exists(os.path.join(HERE, 'hang')):\n        \
                 time.sleep(60)\n\
         os.register_at_fork(after_in_child=hang)\n"
    );
    let paster = warm(1)
        .python("hanging", "/", &hanging)
        .without("warm")
        .policy("hanging", "preload = on")
        .policy("hanging", "start_timeout = 1s")
        .policy("hanging", "restart_delay = 20ms")
        .file("hang", "")
        .serve_unready();
    paster.expect_log("worker not ready in time");
    paster.allow_log("the process that workers are forked from was killed by signal 9");
    paster.allow_log("was killed by signal 9 (SIGKILL)");
    paster.allow_log("could not be started: fork: the template has ended");
    paster.wait_for_log("worker not ready in time");
    fs::remove_file(paster.site().path("hang")).expect("it is there");
    paster.wait_until("it serves", |s| s.app("hanging").is_ready());
    paster.command(&["stop", "hanging"]).succeeded();
    assert!(has_no_keeper(&paster));
}

#[test]
fn confinement_holds_in_forked_workers() {
    let site = Site::new()
        .file("prisoner.py", PRISONER)
        .python("home", "/", "from prisoner import factory\n")
        .policy("home", "preload = on")
        .policy("home", "processes = 2")
        .policy("home", "read_only = /")
        .policy("home", "writable = var")
        .policy("home", "hidden = secret")
        .file("secret/file", "x")
        .file("var/file", "x");
    let Some(site) = if_it_can(site) else {
        return;
    };
    let dir = site.dir().display().to_string();
    let paster = site.serve();
    let ask = |target: String| paster.get(&target).json();
    assert_eq!(ask(format!("/write?path={dir}/var/new")), 1);
    for path in ["new", "secret/new"] {
        let refused = ask(format!("/write?path={dir}/{path}"));
        assert!(refused["error"].is_string(), "{path}: {refused}");
    }
    assert!(ask(format!("/read?path={dir}/secret/file"))["error"].is_string());
    let worker = paster.status().app("home").pids()[0];
    let status = fs::read_to_string(format!("/proc/{worker}/status")).expect("it runs");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
}

#[test]
fn forked_workers_are_the_user_that_is_configured_and_cannot_touch_their_keeper() {
    if !can_change_users() {
        return;
    }
    let paster = Site::new()
        .file("prisoner.py", PRISONER)
        .python("home", "/", "from prisoner import factory\n")
        .policy("home", "preload = on")
        .policy("home", "user = nobody")
        .policy("home", &format!("python = {PYTHON}"))
        .serve();
    let own = paster.get("/").json();
    assert_ne!(own["uid"], 0);
    let worker = paster.status().app("home").pid();
    let keeper = process::parent(reaper(worker)).expect("it runs");
    let refused = paster.get(&format!("/signal?pid={keeper}")).json();
    assert_eq!(refused["error"], "EPERM");
}

#[test]
fn each_forked_worker_has_a_control_group_of_its_own() {
    let site = warm(2).policy("warm", "cgroup_pids = 60");
    let Some(site) = if_it_can(site) else {
        return;
    };
    let paster = site.serve();
    paster.expect_death("was killed by signal 9 (SIGKILL)");
    let pids = paster.status().app("warm").pids();
    let of = |pid: u32| groups(pid);
    assert!(!of(pids[0]).is_empty());
    assert_ne!(of(pids[0]), of(pids[1]));
    assert_eq!(of(pids[0]), of(reaper(pids[0])));
    let old = of(pids[0]);
    process::sigkill(pids[0]);
    paster.wait_until("another serves", |s| {
        is_ready(s) && !s.app("warm").pids().contains(&pids[0])
    });
    paster.wait_for("its group is gone", || old.iter().all(|dir| !dir.exists()));
}
