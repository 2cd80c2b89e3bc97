//! A new generation is ready before the old one goes; nobody who asks sees anything of it.

use crate::harness::paster::report;
use crate::harness::{Site, process};
use std::fs;
use std::time::Duration;

/// A restart costs nobody more than this. It should be far less; the machine may be busy.
const LONGEST_STALL: Duration = Duration::from_millis(1500);

#[test]
fn a_restart_under_load_loses_nothing_and_holds_up_nothing() {
    let paster = Site::new()
        .actor("home", "/")
        .option("home", "boot = 3")
        .serve();
    let before = paster.status();
    let load = paster.load("/", 8, 200);
    load.wait_for(50);
    paster.command(&["restart", "home"]).succeeded();
    load.wait_for(50);
    let result = load.finish();
    report(&format!(
        "a restart with a boot of 3 s at 200 requests per second: {result}"
    ));
    assert!(result.is_clean(), "{result}");
    assert!(result.max_latency < LONGEST_STALL, "{result}");
    let after = paster.wait_until("the old worker is gone", |s| {
        s.app("home").workers.len() == 1
    });
    assert_ne!(after.app("home").pid(), before.app("home").pid());
    assert_eq!(
        after.app("home").generation,
        before.app("home").generation + 1
    );
    assert_eq!(
        after.app("home").restarts,
        0,
        "a restart by hand is no crash"
    );
}

#[test]
fn restarts_again_and_again_under_load_lose_nothing() {
    let paster = Site::new().actor("home", "/").serve();
    let load = paster.load("/", 8, 100);
    for _ in 0..4 {
        paster.command(&["restart", "home"]).succeeded();
    }
    load.wait_for(20);
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    assert_eq!(paster.status().app("home").generation, 5);
}

#[test]
fn a_broken_new_version_leaves_the_old_one_serving() {
    let site = Site::new().actor("home", "/");
    let broken = site.path("broken");
    let paster = site
        .option("home", &format!("broken = {}", broken.display()))
        .serve();
    paster.expect_log("new generation given up; the old one serves on");
    paster.allow_log("exited with status 1");
    let pid = paster.status().app("home").pid();
    fs::write(&broken, "").expect("our own directory");
    let load = paster.load("/", 4, 100);
    let restart = paster.command(&["restart", "home"]);
    assert_eq!(restart.code, Some(1), "{restart:#?}");
    assert!(
        restart
            .stderr
            .contains("exited with status 1 before it was ready"),
        "{restart:#?}"
    );
    assert!(restart.stderr.contains("broken on purpose"), "{restart:#?}");
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    assert_eq!(paster.status().app("home").pid(), pid);

    fs::remove_file(&broken).expect("it is there");
    paster.command(&["restart", "home"]).succeeded();
    assert_ne!(paster.get("/").json()["pid"], pid);
}

#[test]
fn two_restarts_at_the_same_time_both_end_well() {
    let paster = Site::new()
        .actor("home", "/")
        .option("home", "boot = 0.5")
        .serve();
    let load = paster.load("/", 4, 50);
    let both = [
        paster.command_in_background(&["restart", "home"]),
        paster.command_in_background(&["restart", "home"]),
    ];
    for restart in both {
        restart.join().expect("it does not panic").succeeded();
    }
    let result = load.finish();
    assert!(result.is_clean(), "{result}");
    let status = paster.wait_until("one worker is left", |s| s.app("home").workers.len() == 1);
    assert_eq!(status.app("home").state, "ready");
}

#[test]
fn requests_in_flight_finish_on_the_old_worker() {
    let paster = Site::new().actor("home", "/").serve();
    let old = paster.status().app("home").pid();
    let slow = paster.get_in_background("/slow?s=2");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    paster.command(&["restart", "home"]).succeeded();
    let status = paster.status();
    assert_ne!(status.app("home").pid(), old, "{status:#?}");
    let answer = slow
        .join()
        .expect("it does not panic")
        .expect("it is answered");
    assert_eq!(
        (answer.status, answer.text()),
        (200, format!("finished by {old}\n"))
    );
    paster.wait_for("the old worker is gone", || !process::is_alive(old));
}

#[test]
fn a_post_in_flight_finishes() {
    let paster = Site::new().actor("home", "/").serve();
    let mut client = paster.connect();
    client
        .send(b"POST /echo?s=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n01234")
        .expect("sent");
    let restart = paster.command_in_background(&["restart", "home"]);
    client.send(b"56789").expect("sent");
    let answer = client.response_to("POST").expect("it is answered");
    assert_eq!((answer.status, answer.text().as_str()), (200, "10 bytes\n"));
    restart.join().expect("it does not panic").succeeded();
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_after_the_stop_timeout() {
    let source = "
import signal
def factory(global_conf):
    def app(environ, start_response):
        start_response('200 OK', [('Content-Length', '0')])
        return []
    return app
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
";
    let paster = Site::new()
        .python("deaf", "/", source)
        .policy("deaf", "stop_timeout = 300ms")
        .serve();
    paster.expect_log("worker ignored SIGTERM; it is killed");
    let old = paster.status().app("deaf").pid();
    paster.command(&["restart", "deaf"]).succeeded();
    paster.wait_for("the old worker is gone", || !process::is_alive(old));
}

#[test]
fn a_request_that_does_not_end_delays_the_old_worker_for_the_drain_timeout_only() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "drain_timeout = 300ms")
        .policy("home", "stop_timeout = 300ms")
        .serve();
    paster.expect_log("requests did not finish within the drain timeout");
    paster.allow_log("worker ignored SIGTERM");
    let old = paster.status().app("home").pid();
    // A POST: a GET would be tried once more, on the new worker.
    let endless = paster.post_in_background("/slow?s=60", b"");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    paster.command(&["restart", "home"]).succeeded();
    paster.wait_for("the old worker is gone", || !process::is_alive(old));
    let answer = endless
        .join()
        .expect("it does not panic")
        .expect("it is answered");
    assert_eq!(answer.status, 502);
}
