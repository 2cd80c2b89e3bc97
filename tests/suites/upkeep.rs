//! Workers that hang, apps on demand, workers that have had their share.

use crate::harness::{Site, process};
use nix::sys::signal::Signal;

#[test]
fn a_request_over_its_time_gets_504_and_its_worker_is_replaced() {
    let paster = Site::new()
        .actor("hangs", "/")
        .policy("hangs", "request_timeout = 300ms")
        .policy("hangs", "stop_timeout = 300ms")
        .actor("steady", "/steady")
        .serve();
    // All lines write the name of an app in the same way.
    paster.expect_log(
        "worker hangs: it did not answer `GET /slow` within 300ms; it is replaced app=hangs slot=0",
    );
    paster.allow_log("worker ignored SIGTERM; it is killed");
    let before = paster.status();
    assert_eq!(paster.get("/slow?s=60").status, 504);
    assert_eq!(
        paster.get("/").status,
        200,
        "the next request finds a new worker"
    );
    let old = before.app("hangs").pid();
    let after = paster.wait_until("a new worker serves", |s| {
        s.app("hangs").is_ready() && s.app("hangs").pids().iter().all(|pid| *pid != old)
    });
    assert_eq!(after.app("hangs").restarts, 1);
    assert_eq!(after.app("steady").pid(), before.app("steady").pid());
    paster.wait_for("the old worker is gone", || !process::is_alive(old));
    // It wrote where it hung before it was ended.
    paster.wait_for("the stacks of its threads", || {
        paster.stderr().text().contains("in do_slow")
    });
}

#[test]
fn other_requests_on_a_worker_that_hangs_finish() {
    let paster = Site::new()
        .actor("hangs", "/")
        .policy("hangs", "request_timeout = 2s")
        .policy("hangs", "stop_timeout = 300ms")
        .serve();
    paster.expect_log("worker hangs");
    paster.allow_log("worker ignored SIGTERM; it is killed");
    let hanging = paster.get_in_background("/slow?s=60");
    paster.wait_until("it is in flight", |s| {
        s.app("hangs").workers[0].in_flight == 1
    });
    let neighbour = paster.get_in_background("/slow?s=1.5");
    paster.wait_until("both are in flight", |s| {
        s.app("hangs").workers.iter().any(|w| w.in_flight == 2)
    });
    assert_eq!(
        neighbour
            .join()
            .expect("no panic")
            .expect("an answer")
            .status,
        200
    );
    assert_eq!(
        hanging.join().expect("no panic").expect("an answer").status,
        504
    );
}

#[test]
fn a_stopped_worker_misses_its_watchdog_and_is_replaced() {
    let paster = Site::new()
        .actor("frozen", "/")
        .policy("frozen", "watchdog = 500ms")
        .serve();
    paster.expect_log("worker hangs: it missed its watchdog of 500ms");
    let pid = paster.status().app("frozen").pid();
    process::signal(pid, Signal::SIGSTOP);
    paster.wait_until("a new worker serves", |s| {
        s.app("frozen").is_ready() && s.app("frozen").pids().iter().all(|new| *new != pid)
    });
    assert_eq!(paster.get("/").status, 200);
    paster.wait_for("the stopped one is gone", || !process::is_alive(pid));
}

#[test]
fn a_worker_that_pings_its_watchdog_is_left_alone() {
    let paster = Site::new()
        .actor("fine", "/")
        .policy("fine", "watchdog = 400ms")
        .serve();
    let pid = paster.status().app("fine").pid();
    assert_eq!(paster.get("/slow?s=1.5").status, 200);
    assert_eq!(paster.status().app("fine").pid(), pid);
}

#[test]
fn an_app_on_demand_has_no_process_until_a_request_comes_and_none_again_later() {
    let paster = Site::new()
        .actor("lazy", "/")
        .policy("lazy", "idle_timeout = 1s")
        .serve_unready();
    assert_eq!(paster.status().app("lazy").state, "idle");
    for _ in 0..3 {
        assert_eq!(paster.get("/").status, 200, "it wakes and answers");
        let woken = paster.status();
        assert_eq!(woken.app("lazy").pids().len(), 1);
        let asleep = paster.wait_until("it sleeps again", |s| {
            s.app("lazy").state == "idle" && s.app("lazy").workers.is_empty()
        });
        assert_eq!(asleep.app("lazy").restarts, 0);
    }
}

#[test]
fn an_app_on_demand_does_not_sleep_while_it_works() {
    let paster = Site::new()
        .actor("lazy", "/")
        .policy("lazy", "idle_timeout = 500ms")
        .serve_unready();
    assert_eq!(paster.get("/slow?s=3").status, 200);
    assert_eq!(paster.status().app("lazy").restarts, 0);
}

#[test]
fn a_worker_is_recycled_after_its_requests_without_a_lost_one() {
    let paster = Site::new()
        .actor("counted", "/")
        .policy("counted", "max_requests = 50")
        .serve();
    let first = paster.status().app("counted").pid();
    let load = paster.load("/", 4, 100);
    paster.wait_until("it was replaced twice", |s| {
        let app = s.app("counted");
        app.workers
            .iter()
            .any(|w| w.pid.is_some_and(|pid| pid != first))
            && app.requests > 250
    });
    let report = load.finish();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(paster.status().app("counted").restarts, 0, "nobody crashed");
}

#[test]
fn workers_are_recycled_one_after_the_other_each_after_its_own_share() {
    let paster = Site::new()
        .actor("counted", "/")
        .policy("counted", "processes = 3")
        .policy("counted", "max_requests = 20")
        .policy("counted", "max_requests_jitter = 40")
        .serve();
    let first = paster.status().app("counted").pids();
    let load = paster.load("/", 6, 150);
    paster.wait_until("each was replaced", |s| {
        let app = s.app("counted");
        let starting = app.workers.iter().filter(|w| w.state == "starting");
        assert!(starting.count() <= 1, "one at a time: {app:#?}");
        app.is_ready() && app.pids().iter().all(|pid| !first.contains(pid))
    });
    let report = load.finish();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(paster.status().app("counted").restarts, 0);
    let log = paster.stderr().text();
    let shares: std::collections::BTreeSet<u32> = log
        .lines()
        .filter_map(|line| {
            line.split_once("worker has had ")?
                .1
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .collect();
    assert!(shares.iter().all(|share| *share >= 20), "{shares:?}");
}

#[test]
fn requests_are_counted_over_the_death_of_the_proxy() {
    let paster = Site::new()
        .actor("counted", "/")
        .policy("counted", "max_requests = 30")
        .serve();
    paster.expect_log("the proxy ended; it is replaced");
    let (worker, proxy) = {
        let status = paster.status();
        (status.app("counted").pid(), status.proxy.pid)
    };
    for _ in 0..20 {
        assert_eq!(paster.get("/").status, 200);
    }
    paster.wait_until("they are counted", |s| s.app("counted").requests == 20);
    process::sigkill(proxy.expect("a proxy runs"));
    paster.wait_until("a new proxy serves", |s| {
        s.proxy.pid.is_some_and(|pid| Some(pid) != proxy)
    });
    for _ in 0..15 {
        assert_eq!(paster.get("/").status, 200);
    }
    paster.wait_until("it was replaced", |s| {
        s.app("counted").is_ready() && s.app("counted").pids().iter().all(|pid| *pid != worker)
    });
}

#[test]
fn a_worker_that_uses_too_much_memory_is_replaced_first() {
    let source = r#"
import os
kept = []
def factory(global_conf, **local_conf):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/eat":
            kept.append(b"x" * 150_000_000)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]
    return app
"#;
    let paster = Site::new()
        .python("eater", "/", source)
        .policy("eater", "max_memory = 100M")
        .serve();
    let pid = paster.status().app("eater").pid();
    let load = paster.load("/", 2, 50);
    assert_eq!(paster.get("/eat").status, 200);
    paster.wait_until("it was replaced", |s| {
        s.app("eater").is_ready() && s.app("eater").pids().iter().all(|new| *new != pid)
    });
    let report = load.finish();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_worker_is_replaced_when_it_is_old() {
    let paster = Site::new()
        .actor("old", "/")
        .policy("old", "max_lifetime = 1s")
        .serve();
    let pid = paster.status().app("old").pid();
    let load = paster.load("/", 2, 50);
    paster.wait_until("it was replaced", |s| {
        s.app("old").is_ready() && s.app("old").pids().iter().all(|new| *new != pid)
    });
    let report = load.finish();
    assert!(report.is_clean(), "{report:?}");
}
