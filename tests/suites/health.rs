//! Health checks: what does not answer well does not serve (`health_path`).

use crate::harness::{Site, process};

fn checked() -> Site {
    Site::new()
        .actor("home", "/")
        .policy("home", "health_path = /health")
        .policy("home", "health_interval = 1s")
        .policy("home", "stop_timeout = 500ms")
}

#[test]
fn a_worker_whose_checks_fail_is_replaced_and_requests_go_on() {
    let paster = checked().policy("home", "processes = 2").serve();
    paster.expect_log(
        "worker hangs: it failed 3 health checks in a row: it answered `GET /health` with status 503; it is replaced",
    );
    let before = paster.status().app("home").pids();
    assert_eq!(paster.get("/sicken?how=503").status, 200);
    let load = paster.load("/", 2, 20);
    let after = paster.wait_until("one was replaced", |s| {
        let new = s.app("home").pids();
        new.len() == 2 && new.iter().any(|pid| !before.contains(pid))
    });
    let report = load.finish();
    assert!(report.is_clean(), "{report}");
    let app = after.app("home");
    assert_eq!(app.restarts, 1);
    let kept = app.pids().into_iter().filter(|pid| before.contains(pid));
    assert_eq!(kept.count(), 1, "the other one is well");
}

#[test]
fn a_worker_that_does_not_answer_its_checks_is_replaced() {
    let paster = checked().serve();
    paster.expect_log("failed 3 health checks in a row: it did not answer `GET /health` within 1s");
    paster.allow_log("worker ignored SIGTERM; it is killed");
    let pid = paster.status().app("home").pid();
    assert_eq!(paster.get("/sicken?how=silent").status, 200);
    paster.wait_until("it was replaced", |s| {
        s.app("home").is_ready() && s.app("home").pids().iter().all(|new| *new != pid)
    });
    paster.wait_for("the old one is gone", || !process::is_alive(pid));
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_generation_that_is_not_healthy_never_serves() {
    let mut paster = checked().policy("home", "start_timeout = 3s").serve();
    paster.expect_log("worker not healthy in time; it is killed");
    paster.expect_log("new generation given up");
    let old = paster.status().app("home").pid();
    paster.edit(|site| site.option("home", "ill = 500"));
    let load = paster.load("/", 2, 20);
    let reload = paster.command(&["reload"]);
    assert_eq!(reload.code, Some(1), "{reload:#?}");
    assert!(
        reload.stderr.contains("was not healthy within 3s")
            && reload
                .stderr
                .contains("health check: it answered `GET /health` with status 500"),
        "{reload:#?}"
    );
    let report = load.finish();
    assert!(report.is_clean(), "{report}");
    assert_eq!(paster.status().app("home").pid(), old);
}

#[test]
fn a_worker_serves_only_when_it_is_healthy_for_a_while() {
    let paster = Site::new()
        .server("slow", "/", "--sick 2")
        .policy("slow", "health_path = /health")
        .policy("slow", "health_interval = 1s")
        .policy("slow", "min_healthy = 1s")
        .serve_unready();
    let waiting = paster.get_in_background("/");
    let status = paster.wait_until("it is checked", |s| {
        s.app("slow").workers.iter().any(|w| w.health.is_some())
    });
    assert_eq!(status.app("slow").state, "starting");
    let answer = waiting.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 200);
    let checks = answer.json()["health_checks"].as_u64();
    assert!(checks >= Some(3), "two failures, one success: {checks:?}");
    let status = paster.status();
    let worker = &status.app("slow").workers[0];
    assert_eq!(worker.health.as_deref(), Some("good"));
}

#[test]
fn a_busy_worker_is_not_ill() {
    let paster = checked().policy("home", "threads = 1").serve();
    let pid = paster.status().app("home").pid();
    assert_eq!(paster.get("/slow?s=6").status, 200);
    let status = paster.status();
    assert_eq!(status.app("home").pid(), pid);
    assert_eq!(status.app("home").restarts, 0);
}

#[test]
fn checks_are_no_traffic() {
    let paster = checked()
        .policy("home", "idle_timeout = 3s")
        .serve_unready();
    assert_eq!(paster.get("/").status, 200);
    paster.wait_until("it is checked", |s| {
        s.app("home").workers.iter().any(|w| w.health.is_some())
    });
    let status = paster.wait_until("it sleeps", |s| {
        s.app("home").state == "idle" && s.app("home").workers.is_empty()
    });
    assert_eq!(status.app("home").requests, 1);
}

#[test]
fn checks_begin_and_end_with_a_reload_and_need_no_new_process() {
    let mut paster = Site::new().actor("home", "/").serve();
    let pid = paster.status().app("home").pid();
    assert_eq!(paster.status().app("home").workers[0].health, None);
    paster.edit(|site| site.policy("home", "health_path = /health"));
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("home: updated"), "{reload:#?}");
    let status = paster.wait_until("it is checked", |s| {
        s.app("home").workers[0].health.as_deref() == Some("good")
    });
    assert_eq!(status.app("home").pid(), pid);
    paster.edit(|site| site.policy("home", "health_path = off"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/sicken?how=500").status, 200);
    assert_eq!(paster.status().app("home").pid(), pid);
}
