//! What is wanted wins: a stopped app stays stopped, and paster itself goes when it is told to.

use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_stopped_app_answers_503_and_stays_stopped_until_it_is_started() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .serve();
    let (home, other) = (
        paster.status().app("home").pid(),
        paster.status().app("other").pid(),
    );
    let stop = paster.command(&["stop", "home"]).succeeded();
    assert!(stop.stdout.contains("home: stopped"), "{stop:#?}");
    assert!(
        !process::is_alive(home),
        "the command returned before the effect was there"
    );
    assert_eq!(paster.get("/").status, 503);
    let status = paster.status();
    assert_eq!(status.app("home").state, "stopped");
    assert!(status.app("home").workers.is_empty());
    assert_eq!(status.app("other").pid(), other);

    paster.command(&["reload"]).succeeded();
    assert_eq!(
        paster.status().app("home").state,
        "stopped",
        "a reload of an unchanged file starts nothing"
    );

    paster.command(&["start", "home"]).succeeded();
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn when_start_and_stop_return_clients_see_their_effect() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "processes = 2")
        .serve();
    let mut client = paster.connect();
    for round in 0..4 {
        paster.order(&json!({"command": "stop", "apps": ["home"]}));
        assert_eq!(
            client.get("/").expect("it is answered").status,
            503,
            "round {round}"
        );
        paster.order(&json!({"command": "start", "apps": ["home"]}));
        assert_eq!(
            client.get("/").expect("it is answered").status,
            200,
            "round {round}"
        );
    }
}

#[test]
fn an_app_that_was_killed_while_it_stops_is_not_started_again() {
    let paster = Site::new().actor("home", "/").serve();
    let pid = paster.status().app("home").pid();
    let _slow = paster.post_in_background("/slow?s=60", b"");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    let stop = paster.command_in_background(&["stop", "home"]);
    paster.wait_until("it drains", |s| {
        s.app("home").workers.iter().any(|w| w.state == "draining")
    });
    process::sigkill(pid);
    stop.join().expect("it does not panic").succeeded();
    let status = paster.status();
    assert_eq!(status.app("home").state, "stopped", "{status:#?}");
    assert!(status.app("home").workers.is_empty(), "{status:#?}");
}

/// Nothing of it runs, and clients are told at once.
#[track_caller]
fn assert_is_stopped(paster: &Paster, after: &str) {
    assert_eq!(paster.get("/").status, 503, "{after}");
    let status = paster.status();
    let app = status.app("home");
    assert_eq!(app.state, "stopped", "{after}");
    assert!(app.workers.is_empty(), "{after}: {app:#?}");
}

#[test]
fn a_stopped_app_stays_stopped_whatever_else_happens() {
    let mut paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .serve();
    paster.command(&["stop", "home"]).succeeded();
    assert_is_stopped(&paster, "stop");

    paster.signal(Signal::SIGTTIN);
    paster.wait_until("the others have a worker more", |s| {
        s.app("other").is_ready() && s.app("other").workers.len() == 2
    });
    assert_is_stopped(&paster, "TTIN");
    paster.signal(Signal::SIGTTOU);
    paster.wait_until("and one fewer", |s| s.app("other").workers.len() == 1);
    assert_is_stopped(&paster, "TTOU");

    paster.edit(|site| site.policy("home", "processes = 2"));
    paster.command(&["reload"]).succeeded();
    assert_is_stopped(&paster, "a reload with other settings");

    paster.edit(|site| site.option("home", "version = 2"));
    paster.command(&["reload"]).succeeded();
    assert_is_stopped(&paster, "a reload with another configuration");

    paster.edit(|site| site.policy("home", "idle_timeout = 60s"));
    paster.command(&["reload"]).succeeded();
    assert_is_stopped(&paster, "a reload that puts it on demand");

    paster.edit(|site| site.option("other", "version = 2"));
    paster.signal(Signal::SIGHUP);
    paster.wait_until("the other app is replaced", |s| {
        s.app("other").generation == 2 && s.app("other").is_ready()
    });
    assert_is_stopped(&paster, "SIGHUP");

    paster.expect_log("the proxy ended; it is replaced");
    let proxy = paster.status().proxy.pid.expect("a proxy runs");
    process::sigkill(proxy);
    paster.wait_until("a new proxy serves", |s| {
        s.proxy.pid.is_some_and(|pid| pid != proxy)
    });
    assert_is_stopped(&paster, "the death of the proxy");

    paster.command(&["start", "home"]).succeeded();
    let status = paster.status();
    assert_eq!(
        status.app("home").pids().len(),
        2,
        "what was changed meanwhile counts from its start"
    );
    assert_eq!(paster.get("/").json()["version"], "2");
}

#[test]
fn a_stop_ends_the_wait_of_requests_in_the_queue() {
    let paster = Site::new()
        .actor("home", "/")
        .option("home", "boot = 60")
        .serve_unready();
    let waiting = paster.get_in_background("/");
    paster.wait_until("it waits", |s| s.app("home").queued == 1);
    paster.command(&["stop", "home"]).succeeded();
    let answer = waiting.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 503);
}

#[test]
fn nothing_is_started_while_paster_stops() {
    let source = r#"
import signal

def factory(global_conf, **local_conf):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b"here"]
    return app
"#;
    let mut paster = Site::new()
        .python("deaf", "/", source)
        .policy("deaf", "stop_timeout = 3s")
        .serve();
    paster.expect_log("worker ignored SIGTERM; it is killed");
    paster.signal(Signal::SIGTERM);
    paster.wait_until("the worker is told to stop", |s| {
        s.app("deaf").workers.iter().any(|w| w.state == "stopping")
    });
    for command in [&["restart"][..], &["start", "deaf"], &["reload"]] {
        let refused = paster.command(command);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(refused.stderr.contains("is stopping"), "{refused:#?}");
    }
    assert!(paster.wait_for_end().success());
}

#[test]
fn an_unknown_app_is_refused_by_name() {
    let paster = Site::new().actor("home", "/").serve();
    for command in ["stop", "start", "restart"] {
        let refused = paster.command(&[command, "hoem"]);
        assert_eq!(refused.code, Some(1), "{refused:#?}");
        assert!(
            refused.stderr.contains("there is no app `hoem`") && refused.stderr.contains("home"),
            "{refused:#?}"
        );
    }
}

#[test]
fn paster_stop_ends_paster_and_everything_with_it() {
    let mut paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .serve();
    paster.command(&["stop"]).succeeded();
    assert!(paster.wait_for_end().success());
    assert!(process::mentioning(paster.site().dir()).is_empty());
}

#[test]
fn after_sigterm_requests_in_flight_finish_and_new_connections_are_refused() {
    let mut paster = Site::new().actor("home", "/").serve();
    let pid = paster.status().app("home").pid();
    let slow = paster.get_in_background("/slow?s=1");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    paster.signal(Signal::SIGTERM);
    let address = paster.address();
    paster.wait_for("new connections are refused", || {
        crate::harness::http::Connection::open(address).is_err()
    });
    let answer = slow
        .join()
        .expect("it does not panic")
        .expect("it is answered");
    assert_eq!(
        (answer.status, answer.text()),
        (200, format!("finished by {pid}\n"))
    );
    assert!(paster.wait_for_end().success());
}

#[test]
fn a_second_sigterm_ends_everything_at_once() {
    let mut paster = Site::new().actor("home", "/").serve();
    paster.expect_log("stopping now");
    let slow = paster.get_in_background("/slow?s=60");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    paster.signal(Signal::SIGTERM);
    paster.wait_for_log("stopping: requests in flight finish first");
    let told = Instant::now();
    paster.signal(Signal::SIGTERM);
    paster.wait_for_end();
    assert!(
        told.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        told.elapsed()
    );
    assert!(slow.join().expect("it does not panic").is_err());
}

#[test]
fn sigterm_during_the_start_ends_an_app_that_is_not_ready() {
    let mut paster = Site::new()
        .actor("slow", "/")
        .option("slow", "boot = 60")
        .serve_unready();
    paster.wait_until("the worker runs", |s| {
        s.app("slow").workers.iter().any(|w| w.pid.is_some())
    });
    paster.signal(Signal::SIGTERM);
    let told = Instant::now();
    assert!(paster.wait_for_end().success());
    assert!(
        told.elapsed() < Duration::from_secs(8),
        "it took {:?}",
        told.elapsed()
    );
}

#[test]
fn at_a_second_sigterm_even_stopped_workers_and_daemons_go() {
    let mut paster = Site::new()
        .actor("home", "/")
        .actor("frozen", "/frozen")
        .serve();
    paster.expect_log("stopping now");
    let daemon: u32 = paster.text("/daemon").trim().parse().expect("a pid");
    let frozen = paster.status().app("frozen").pid();
    let _slow = paster.get_in_background("/slow?s=60");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    process::signal(frozen, Signal::SIGSTOP);
    paster.signal(Signal::SIGTERM);
    paster.wait_for_log("stopping: requests in flight finish first");
    paster.signal(Signal::SIGTERM);
    paster.wait_for_end();
    for pid in [daemon, frozen] {
        assert!(!process::is_alive(pid), "{pid} is left");
    }
}

#[test]
fn sigint_stops_gracefully_too() {
    let mut paster = Site::new().actor("home", "/").serve();
    paster.signal(Signal::SIGINT);
    assert!(paster.wait_for_end().success());
}

#[test]
fn an_app_with_a_frozen_worker_can_be_stopped_and_restarted() {
    let paster = Site::new().actor("home", "/").serve();
    for command in ["restart", "stop"] {
        let pid = paster.status().app("home").pid();
        process::signal(pid, Signal::SIGSTOP);
        paster.command(&[command, "home"]).succeeded();
        paster.wait_for("the frozen worker is gone", || !process::is_alive(pid));
    }
}

#[test]
fn an_app_that_waits_between_two_attempts_can_be_stopped() {
    let paster = Site::new()
        .actor("home", "/")
        .option("home", "exit = 9")
        .policy("home", "restart_delay = 20s")
        .serve_unready();
    paster.expect_log("exited with status 9");
    paster.wait_until("it waits", |s| s.app("home").state == "backoff");
    paster.command(&["stop", "home"]).succeeded();
    assert_eq!(paster.status().app("home").state, "stopped");
    assert_eq!(paster.get("/").status, 503);
}

#[test]
fn ttin_and_ttou_add_and_take_away_a_worker() {
    let mut paster = Site::new().actor("home", "/").serve();
    let first = paster.status().app("home").pid();
    paster.signal(Signal::SIGTTIN);
    paster.wait_until("two workers serve", |s| s.app("home").pids().len() == 2);
    paster.signal(Signal::SIGTTOU);
    let status = paster.wait_until("one is left", |s| s.app("home").workers.len() == 1);
    assert_eq!(status.app("home").pid(), first);
}
