//! No process outlives what it belongs to, however it ends and whatever it did to escape.

use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use std::time::Duration;

/// After the supervisor's death, however it died.
const TWO_SECONDS: Duration = Duration::from_secs(2);

/// Starts a daemon (setsid, double fork, ignores SIGTERM) from the app at `path`; returns its pid.
fn daemon(paster: &Paster, path: &str) -> u32 {
    let pid = paster.text(path).trim().parse().expect("a pid");
    assert!(process::is_alive(pid));
    pid
}

/// The keeper of a worker.
fn keeper(worker: u32) -> u32 {
    process::parent(worker).expect("the worker runs")
}

#[test]
fn a_daemon_that_a_worker_started_is_gone_when_the_app_was_stopped() {
    let paster = Site::new().actor("home", "/").serve();
    let daemons = [daemon(&paster, "/daemon"), daemon(&paster, "/daemon")];
    paster.command(&["stop", "home"]).succeeded();
    for pid in daemons {
        assert!(!process::is_alive(pid), "{pid} is left");
    }
}

#[test]
fn a_daemon_goes_with_the_worker_that_a_restart_replaces() {
    let paster = Site::new().actor("home", "/").serve();
    let old = daemon(&paster, "/daemon");
    paster.command(&["restart", "home"]).succeeded();
    paster.wait_for("the daemon is gone", || !process::is_alive(old));
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_daemon_goes_with_a_worker_that_crashes() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "restart_delay = 20ms")
        .serve();
    paster.expect_death("exited with status 3");
    let left = daemon(&paster, "/daemon");
    assert_eq!(paster.post("/exit", b"").status, 502);
    paster.wait_for("the daemon is gone", || !process::is_alive(left));
    paster.wait_until("it serves again", |s| s.app("home").is_ready());
}

#[test]
fn everything_is_gone_two_seconds_after_the_supervisor_was_killed() {
    let mut paster = Site::new()
        .actor("plain", "/plain")
        .actor("stopped", "/stopped")
        .actor("spinning", "/spinning")
        .actor("parent", "/parent")
        .server("program", "/program", "")
        .serve();
    paster.text("/spinning/spin");
    let escaped = daemon(&paster, "/parent/daemon");
    process::signal(escaped, Signal::SIGSTOP);
    process::signal(paster.status().app("stopped").pid(), Signal::SIGSTOP);
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    let dir = paster.site().dir().to_owned();
    paster.wait_at_most(TWO_SECONDS, "everything is gone", || {
        process::mentioning(&dir).is_empty() && !process::is_alive(escaped)
    });

    // And the next start on the same runtime directory works.
    let site = paster.finish();
    let paster = site.serve();
    assert_eq!(paster.get("/plain/").status, 200);
    assert_eq!(paster.get("/program/").status, 200);
}

#[test]
fn the_worker_and_its_daemon_go_with_a_killed_keeper_and_the_app_recovers() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .policy("home", "restart_delay = 20ms")
        .serve();
    paster.expect_death("ended with its keeper");
    let other = paster.status().app("other").pid();
    let left = daemon(&paster, "/daemon");
    let worker = paster.status().app("home").pid();
    process::sigkill(keeper(worker));
    paster.wait_at_most(TWO_SECONDS, "worker and daemon are gone", || {
        !process::is_alive(worker) && !process::is_alive(left)
    });
    let status = paster.wait_until("the app serves again", |s| s.app("home").is_ready());
    assert_ne!(status.app("home").pid(), worker);
    assert_eq!(status.app("other").pid(), other);
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_killed_proxy_is_replaced_on_the_same_listener_and_workers_do_not_notice() {
    let paster = Site::new().actor("home", "/").serve();
    paster.expect_log("the proxy ended; it is replaced");
    let before = paster.status();
    let proxy = before.proxy.pid.expect("it runs");
    let uptime = Duration::from_millis(1100);
    paster.wait_at_most(uptime * 20, "the proxy has lived for a while", || {
        Duration::from_secs_f64(paster.status().uptime_s) > uptime
    });
    process::sigkill(proxy);
    // The listener is the supervisor's: connections wait in its backlog for the new proxy.
    assert_eq!(paster.get("/").status, 200);
    let after = paster.wait_until("another proxy runs", |s| {
        s.proxy.pid.is_some_and(|pid| pid != proxy)
    });
    assert_eq!(after.app("home").pid(), before.app("home").pid());
    assert_eq!(after.listen, before.listen);
    assert_eq!(paster.get("/").json()["pid"], before.app("home").pid());
}

#[test]
fn a_second_serve_of_the_same_configuration_is_refused_clearly() {
    let paster = Site::new().actor("home", "/").serve();
    let words = [
        "serve",
        "site.ini",
        "--isolate",
        "--listen",
        "127.0.0.1:0",
        "--run-dir",
    ];
    let run_dir = paster.site().run_dir().display().to_string();
    let second = Paster::run(paster.site(), &[&words[..], &[run_dir.as_str()]].concat());
    assert_eq!(second.code, Some(1), "{second:#?}");
    let message = format!(
        "paster already serves this configuration (pid {}",
        paster.pid()
    );
    assert!(second.stderr.contains(&message), "{second:#?}");
    assert_eq!(
        paster.get("/").status,
        200,
        "the first one is not disturbed"
    );
}

#[test]
fn a_second_serve_on_the_same_address_is_refused_clearly() {
    let paster = Site::new().actor("home", "/").serve();
    let address = paster.address().to_string();
    let refused = Paster::refused(&Site::new().actor("home", "/").listen(&address));
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains(&address) && refused.stderr.starts_with("error:"),
        "{refused:#?}"
    );
}

#[test]
fn nothing_is_left_of_a_supervisor_that_was_killed_while_it_started() {
    for moment in ["announced", "spawned", "ready"] {
        let site = Site::new()
            .actor("home", "/")
            .server("program", "/program", "--boot 30")
            .actor("third", "/third");
        let mut paster = site.serve_unready();
        let has_pid = |s: &crate::harness::Status, app: &str| {
            s.app(app).workers.iter().any(|w| w.pid.is_some())
        };
        match moment {
            "spawned" => drop(paster.wait_until("a worker runs", |s| has_pid(s, "program"))),
            "ready" => drop(paster.wait_until("an app is ready", |s| s.app("home").is_ready())),
            _ => {}
        }
        paster.signal(Signal::SIGKILL);
        paster.wait_for_end();
        let dir = paster.site().dir().to_owned();
        paster.wait_at_most(TWO_SECONDS, moment, || process::mentioning(&dir).is_empty());
    }
}
