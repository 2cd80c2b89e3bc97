//! The template: loaded once for a generation, kept, replaced and ended at the right times.

use super::{
    ACTOR, TWO_SECONDS, WARM, ask_all, daemon, has_no_keeper, is_ready, loads, pid, reaper,
    template, warm,
};
use crate::harness::{Paster, Site, Status, process};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::fs;

#[test]
fn code_that_cannot_be_loaded_is_given_up_and_the_old_generation_serves_on() {
    let mut paster = warm(2).serve();
    paster.expect_log("new generation given up; the old one serves on");
    paster.expect_log("the app is not loaded: the process that was to do it exited with status 1");
    paster.allow_log("exited with status 1");
    let before = paster.status();
    let broken = format!("{WARM}\nraise RuntimeError('broken on purpose')\n");
    paster.edit(|site| site.file("warm.py", &broken));
    let restart = paster.command(&["restart", "warm"]);
    assert_eq!(restart.code, Some(1), "{restart:#?}");
    for part in [
        "exited with status 1 before it was ready",
        "RuntimeError: broken on purpose",
        "Traceback",
    ] {
        assert!(restart.stderr.contains(part), "{part} in {restart:#?}");
    }
    assert_eq!(
        paster.status().app("warm").pids(),
        before.app("warm").pids()
    );
    paster.edit(|site| site.file("warm.py", WARM));
    paster.command(&["restart", "warm"]).succeeded();
    let old = before.app("warm").pids();
    paster.wait_until("the old ones are gone", |s| {
        s.app("warm").workers.len() == 2 && s.app("warm").pids().iter().all(|p| !old.contains(p))
    });
}

#[test]
fn workers_outlive_a_killed_template_and_another_is_started_when_one_is_needed() {
    let paster = warm(2).serve();
    paster.expect_log("the process that workers are forked from was killed by signal 9");
    paster.expect_death("was killed by signal 9 (SIGKILL) after");
    let before = paster.status();
    let old = template(&paster);
    process::sigkill(old);
    paster.wait_for_log("the workers go on");
    assert_eq!(
        paster.status().app("warm").pids(),
        before.app("warm").pids()
    );
    assert_eq!(loads(&paster), 1, "not before it is needed");
    let victim = before.app("warm").pids()[0];
    process::sigkill(victim);
    paster.wait_until("another serves", |s| {
        is_ready(s) && !s.app("warm").pids().contains(&victim)
    });
    let told = ask_all(&paster, 2);
    let templates: BTreeSet<u32> = told.iter().map(|w| pid(w, "loaded_by")).collect();
    assert_eq!((templates.len(), loads(&paster)), (2, 2), "{told:#?}");
}

#[test]
fn everything_goes_with_a_killed_keeper_of_the_template_and_the_app_recovers() {
    let paster = warm(2).serve();
    paster.expect_death("ended with its keeper");
    paster.allow_log("the process that workers are forked from");
    let before = paster.status().app("warm").pids();
    let (_, daemon) = daemon(&paster);
    let old = template(&paster);
    process::sigkill(process::parent(old).expect("it runs"));
    paster.wait_at_most(TWO_SECONDS, "all of it is gone", || {
        let mut all = before.iter().chain([&old, &daemon]);
        all.all(|pid| !process::is_alive(*pid))
    });
    paster.wait_until("it serves again", is_ready);
    assert_ne!(template(&paster), old);
}

#[test]
fn nothing_is_left_of_a_killed_supervisor() {
    let mut paster = warm(3).serve();
    let (_, daemon) = daemon(&paster);
    let reaper = reaper(paster.status().app("warm").pids()[0]);
    process::signal(daemon, Signal::SIGSTOP);
    process::signal(reaper, Signal::SIGSTOP);
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    let dir = paster.site().dir().to_owned();
    paster.wait_at_most(TWO_SECONDS, "everything is gone", || {
        process::mentioning(&dir).is_empty() && !process::is_alive(daemon)
    });
    let paster = paster.finish().serve();
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_restart_under_load_loses_nothing_and_ends_the_old_template() {
    let paster = warm(2).policy("warm", "threads = 4").serve();
    let old = template(&paster);
    let load = paster.load("/", 4, 100);
    load.wait_for(20);
    paster.command(&["restart", "warm"]).succeeded();
    load.wait_for(20);
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    paster.wait_for("the old template is gone", || !process::is_alive(old));
    assert_ne!(template(&paster), old);
    assert_eq!(loads(&paster), 2);
    let keeper = process::parent(template(&paster)).expect("it runs");
    paster.wait_for("one keeper is left", || {
        let children = process::children(paster.pid());
        let proxy = paster.status().proxy.pid;
        children
            .iter()
            .all(|pid| *pid == keeper || Some(*pid) == proxy)
    });
}

#[test]
fn an_upgrade_keeps_workers_and_template() {
    let paster = warm(2).serve();
    paster.expect_death("was killed by signal 9 (SIGKILL)");
    let before = paster.status();
    let template = template(&paster);
    let load = paster.load("/", 2, 50);
    load.wait_for(10);
    paster.command(&["upgrade"]).succeeded();
    load.wait_for(10);
    assert_eq!(
        paster.status().app("warm").pids(),
        before.app("warm").pids()
    );
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    // What was handed over is still in use: orders to fork, reports of ends.
    let victim = before.app("warm").pids()[0];
    process::sigkill(victim);
    paster.wait_until("another serves", |s| {
        is_ready(s) && !s.app("warm").pids().contains(&victim)
    });
    let told = ask_all(&paster, 2);
    assert!(told.iter().all(|w| pid(w, "loaded_by") == template));
    paster.command(&["stop", "warm"]).succeeded();
    assert!(!process::is_alive(template));
}

#[test]
fn an_app_on_demand_has_no_template_while_it_sleeps() {
    let paster = warm(1)
        .policy("warm", "idle_timeout = 500ms")
        .serve_unready();
    let asleep = |s: &Status| s.app("warm").state == "idle" && s.app("warm").workers.is_empty();
    paster.wait_until("it is asleep", asleep);
    let first = template(&paster);
    paster.wait_until("it is asleep again", asleep);
    paster.wait_for("no template", || !process::is_alive(first));
    assert_ne!(template(&paster), first);
}

#[test]
fn a_stop_while_the_app_is_loaded_leaves_nothing() {
    let paster = warm(2).option("warm", "boot = 60").serve_unready();
    paster.wait_for_log("[warm:0] loading");
    paster.command(&["stop", "warm"]).succeeded();
    assert!(has_no_keeper(&paster));
}

#[test]
fn loading_that_takes_too_long_is_a_start_that_takes_too_long() {
    let paster = warm(1)
        .option("warm", "boot = 60")
        .policy("warm", "start_timeout = 300ms")
        .policy("warm", "restart_delay = 60s")
        .policy("warm", "restart_max_delay = 60s")
        .serve_unready();
    paster.expect_log("worker not ready in time");
    paster.wait_for_log("worker not ready in time");
    paster.wait_until("it waits", |s| s.app("warm").state == "backoff");
    paster.wait_for("what loads it is gone", || has_no_keeper(&paster));
    paster.command(&["stop", "warm"]).succeeded();
}

#[test]
fn a_template_that_hangs_is_replaced() {
    let paster = warm(2)
        .policy("warm", "start_timeout = 1s")
        .policy("warm", "restart = always")
        .serve();
    paster.expect_log("worker not ready in time");
    paster.expect_log("the process that workers are forked from was killed by signal 9");
    paster.expect_death("was killed by signal 9 (SIGKILL)");
    paster.allow_log("could not be started: fork: the template has ended");
    let stopped = template(&paster);
    let victim = paster.status().app("warm").pids()[1];
    process::signal(stopped, Signal::SIGSTOP);
    process::sigkill(victim);
    paster.wait_for("it was killed", || !process::is_alive(stopped));
    paster.wait_until("both serve", |s| s.app("warm").pids().len() == 2);
    assert_eq!(loads(&paster), 2);
}

#[test]
fn an_app_in_a_crash_loop_is_loaded_again_and_recovers() {
    let ill = format!(
        "{WARM}\n\
         ILL = os.path.exists(os.path.join(HERE, 'ill'))\n\
         os.register_at_fork(after_in_child=lambda: ILL and os._exit(9))\n"
    );
    let paster = warm(1)
        .python("looping", "/", &ill)
        .without("warm")
        .policy("looping", "preload = on")
        .policy("looping", "restart_delay = 20ms")
        .policy("looping", "restart_max_delay = 200ms")
        .policy("looping", "crash_limit = 2")
        .file("ill", "")
        .serve_unready();
    paster.expect_log("crash loop");
    paster.allow_log("could not be started");
    paster.wait_until("it is failed", |s| s.app("looping").state == "failed");
    fs::remove_file(paster.site().path("ill")).expect("it is there");
    paster.wait_until("it has recovered", |s| s.app("looping").is_ready());
}

#[test]
fn only_python_apps_can_be_preloaded() {
    let site = Site::new()
        .server("program", "/program", "")
        .policy("program", "preload = on");
    let refused = Paster::refused(&site);
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    let line = site
        .text()
        .lines()
        .position(|line| line == "preload = on")
        .expect("written")
        + 1;
    assert!(
        refused.stderr.contains(&format!("site.ini:{line}"))
            && refused.stderr.contains("`preload` cannot be had"),
        "{refused:#?}"
    );
    // For all apps it concerns those that it can.
    let paster = Site::new()
        .server("program", "/program", "")
        .file("actor.py", ACTOR)
        .python("warm", "/", WARM)
        .policy("", "preload = on")
        .serve();
    assert_eq!(paster.get("/program/").status, 200);
    let told = paster.get("/warm").json();
    assert_ne!(told["pid"], told["loaded_by"]);
}
