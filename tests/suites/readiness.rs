//! An app serves when it says so, and not before.

use crate::harness::{Site, process};
use std::time::Instant;

#[test]
fn requests_of_a_slowly_booting_app_wait_for_it() {
    let paster = Site::new()
        .actor("slow", "/")
        .option("slow", "boot = 1")
        .serve_unready();
    assert_eq!(paster.status().app("slow").state, "starting");
    assert!(paster.text("/").contains("\"app\": \"slow\""));
    assert!(paster.status().app("slow").is_ready());
}

#[test]
fn a_worker_that_never_becomes_ready_is_ended_after_the_start_timeout() {
    let paster = Site::new()
        .server("mute", "/", "--mute")
        .policy("mute", "ready = notify")
        .policy("mute", "start_timeout = 500ms")
        .serve_unready();
    paster.expect_log("worker not ready in time; it is killed");
    paster.allow_log("crash loop");
    let first = paster.wait_until("a worker runs", |s| {
        s.app("mute").workers.iter().any(|w| w.pid.is_some())
    });
    let pid = first.app("mute").workers[0].pid.expect("just seen");
    paster.wait_for("the worker is gone", || !process::is_alive(pid));
    paster.wait_until("another one is tried", |s| {
        s.app("mute")
            .workers
            .iter()
            .any(|w| w.pid.is_some_and(|next| next != pid))
    });
}

#[test]
fn a_program_that_listens_late_is_ready_when_it_accepts() {
    for (name, address) in [
        ("by_socket", "--socket {socket}"),
        ("by_port", "--port {port}"),
    ] {
        let paster = Site::new()
            .server(name, "/", &format!("{address} --boot 0.5"))
            .policy(name, "ready = accept")
            .serve_unready();
        assert_eq!(paster.status().app(name).state, "starting");
        assert_eq!(paster.get("/").status, 200);
        assert!(paster.status().app(name).is_ready());
    }
}

#[test]
fn a_program_that_accepts_late_on_the_given_socket_is_not_ready_before() {
    let paster = Site::new()
        .server("late", "/", "--boot 0.5")
        .serve_unready();
    assert_eq!(paster.status().app("late").state, "starting");
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn with_ready_http_the_app_serves_after_the_first_good_answer() {
    let paster = Site::new()
        .server("sick", "/", "--sick 5")
        .policy("sick", "ready = http:/health")
        .serve_unready();
    assert_eq!(paster.get("/").json()["health_checks"], 6);
}

#[test]
fn a_worker_serves_only_after_it_was_healthy_for_min_healthy() {
    let begin = Instant::now();
    let paster = Site::new()
        .actor("young", "/")
        .policy("young", "min_healthy = 1s")
        .serve_unready();
    assert_eq!(paster.status().app("young").state, "starting");
    paster.text("/");
    assert!(begin.elapsed().as_secs_f64() >= 1.0);
}

#[test]
fn what_a_worker_says_about_its_start_is_shown() {
    let paster = Site::new()
        .server("chatty", "/", "--mute --status 'loading the dictionary'")
        .policy("chatty", "ready = notify")
        .serve_unready();
    paster.wait_until("the status is shown", |s| {
        s.app("chatty")
            .workers
            .iter()
            .any(|w| w.status.as_deref() == Some("loading the dictionary"))
    });
}

#[test]
fn a_failed_start_names_the_step_that_the_worker_was_at() {
    let paster = Site::new()
        .server("stuck", "/", "--mute --status 'connecting to the database'")
        .policy("stuck", "ready = notify")
        .policy("stuck", "start_timeout = 2s")
        .serve_unready();
    paster.expect_log("worker not ready in time; it is killed");
    paster.allow_log("crash loop");
    let restart = paster.command(&["restart", "stuck"]);
    assert_eq!(restart.code, Some(1), "{restart:#?}");
    assert!(
        restart.stderr.contains("was not ready within 2s"),
        "{restart:#?}"
    );
    assert!(
        restart
            .stderr
            .contains("last step: connecting to the database"),
        "{restart:#?}"
    );
}
