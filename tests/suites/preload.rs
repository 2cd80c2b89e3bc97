//! `preload = on`: the code is loaded once and all workers are forked from there, with every promise of other workers.

use crate::harness::confinement::{PYTHON, can_change_users, groups, if_it_can};
use crate::harness::{Paster, Site, Status, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const ACTOR: &str = include_str!("../fixtures/apps/actor.py");
const WARM: &str = include_str!("../fixtures/apps/warm.py");
const PRISONER: &str = include_str!("../fixtures/apps/prisoner.py");

/// After the supervisor's death (design section 3, promise 2).
const TWO_SECONDS: Duration = Duration::from_secs(2);

/// A preloaded app `home` at `/` with so many workers, which serve a request at a time.
fn warm(processes: u32) -> Site {
    Site::new()
        .file("actor.py", ACTOR)
        .python("warm", "/", WARM)
        .policy("warm", "preload = on")
        .policy("warm", &format!("processes = {processes}"))
        .policy("warm", "threads = 1")
        .policy("warm", "restart_delay = 20ms")
}

/// What each of so many workers says of itself, by slot.
#[track_caller]
fn ask_all(paster: &Paster, count: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    paster.wait_for("an answer of each worker", || {
        let asked: Vec<_> = (0..count)
            .map(|_| paster.get_in_background("/warm"))
            .collect();
        found = asked
            .into_iter()
            .map(|pending| pending.join().expect("no panic").expect("an answer").json())
            .collect();
        found.sort_by_key(|told| told["slot"].as_str().map(str::to_owned));
        let pids: BTreeSet<u64> = found.iter().map(|told| number(told, "pid")).collect();
        pids.len() == count
    });
    found
}

#[track_caller]
fn number(told: &Value, field: &str) -> u64 {
    told[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no {field} in {told}"))
}

#[track_caller]
fn pid(told: &Value, field: &str) -> u32 {
    u32::try_from(number(told, field)).expect("a pid")
}

fn loads(paster: &Paster) -> usize {
    let text = fs::read_to_string(paster.site().path("loads")).expect("it was loaded");
    text.lines().count()
}

fn template(paster: &Paster) -> u32 {
    pid(&paster.get("/warm").json(), "loaded_by")
}

fn reaper(worker: u32) -> u32 {
    process::parent(worker).expect("the worker runs")
}

/// Starts a daemon (setsid, double fork) from whichever worker answers; returns who that was, and the daemon.
fn daemon(paster: &Paster) -> (u32, u32) {
    let mut connection = paster.connect();
    let daemon: u32 = connection
        .get("/daemon")
        .expect("an answer")
        .text()
        .trim()
        .parse()
        .expect("a pid");
    let reaper = process::parent(daemon).expect("it runs");
    let worker = process::children(reaper)
        .into_iter()
        .find(|child| *child != daemon && paster.status().app("warm").pids().contains(child))
        .expect("it came to the reaper of a worker");
    (worker, daemon)
}

fn has_no_keeper(paster: &Paster) -> bool {
    let proxy = paster.status().proxy.pid;
    let children = process::children(paster.pid());
    children.iter().all(|pid| Some(*pid) == proxy)
}

fn is_ready(status: &Status) -> bool {
    status.app("warm").is_ready()
}

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
