//! A request that was in flight at several deaths in a row is kept from killing again.

use crate::harness::{Paster, Site, process};
use serde_json::Value;
use std::time::Duration;

/// `home` dies when asked to; `steady` is its neighbour.
fn site() -> Site {
    Site::new()
        .actor("home", "/")
        .actor("steady", "/steady")
        .policy("home", "restart_delay = 20ms")
        .policy("home", "crash_limit = 100")
}

/// A POST of `path` that kills the worker; returns when the next one serves and the death is judged.
#[track_caller]
fn kill_with(paster: &Paster, path: &str) {
    let before = paster.status().app("home").restarts;
    assert_eq!(paster.post(path, b"").status, 502);
    paster.wait_until("it serves again", |s| {
        s.app("home").is_ready() && s.app("home").restarts > before
    });
}

#[track_caller]
fn is_refused(paster: &Paster, path: &str) {
    paster.wait_until(&format!("{path} is refused"), |s| {
        s.app("home").refused.iter().any(|r| r.path == path)
    });
}

#[test]
fn a_deadly_request_is_refused_and_all_others_are_served() {
    let paster = site().policy("home", "deadly_pause = 60s").serve();
    paster.expect_death("exited with status 3");
    paster.expect_log("`POST /exit` was in flight at 2 deaths in a row; it gets 503 for 60s");
    kill_with(&paster, "/exit");
    kill_with(&paster, "/exit?code=3");
    is_refused(&paster, "/exit");
    let steady = paster.status().app("steady").pid();

    let pid = paster.status().app("home").pid();
    for _ in 0..3 {
        let answer = paster.post("/exit", b"");
        assert_eq!(answer.status, 503, "{answer:?}");
        let seconds = answer.header("retry-after").and_then(|s| s.parse().ok());
        assert!(
            seconds.is_some_and(|s: u64| (1..=60).contains(&s)),
            "{answer:?}"
        );
        assert!(
            !answer.text().contains("deaths"),
            "no details without debug"
        );
    }
    for path in ["/", "/slow?s=0", "/steady/"] {
        assert_eq!(paster.get(path).status, 200, "{path}");
    }
    let status = paster.status();
    assert_eq!(status.app("home").pid(), pid, "nothing died of it again");
    assert_eq!(status.app("steady").pid(), steady);
    let refused = &status.app("home").refused[0];
    assert_eq!((&*refused.method, refused.deaths), ("POST", 2));
    assert!(
        refused.left_s > 0.0 && refused.left_s <= 60.0,
        "{refused:?}"
    );
    let shown = paster.command(&["status"]).succeeded();
    assert!(
        shown
            .stdout
            .contains("refused by home: POST /exit for another "),
        "{shown:#?}"
    );

    let mut last = Value::Null;
    paster.wait_for("the report says so", || {
        let listed = paster.command(&["crashes", "home", "--json", "-n", "1"]);
        let mut found: Vec<Value> = serde_json::from_str(&listed.stdout).expect("JSON");
        last = found.pop().unwrap_or_default();
        last["refused"][0]["path"] == "/exit"
    });
    assert_eq!(last["refused"][0]["deaths"], 2);
}

#[test]
fn one_deadly_get_kills_two_workers_and_not_a_third() {
    let paster = site().policy("home", "deadly_pause = 60s").serve();
    paster.expect_death("SIGSEGV");
    assert_eq!(paster.get("/segv").status, 502);
    is_refused(&paster, "/segv");
    assert_eq!(paster.get("/segv").status, 503);
    let status = paster.wait_until("it serves again", |s| s.app("home").is_ready());
    assert_eq!(status.app("home").restarts, 2);
}

#[test]
fn a_request_that_waits_for_a_worker_is_refused_there() {
    let paster = site()
        .policy("home", "deadly_pause = 60s")
        .policy("home", "restart_delay = 2s")
        .serve();
    paster.expect_death("exited with status 3");
    kill_with(&paster, "/exit");
    assert_eq!(paster.post("/exit", b"").status, 502);
    // No worker is there now; the verdict comes while these wait for one.
    let waiting: Vec<_> = (0..3)
        .map(|_| paster.post_in_background("/exit", b""))
        .collect();
    for request in waiting {
        let answer = request.join().expect("no panic").expect("an answer");
        assert_eq!(answer.status, 503);
    }
    let status = paster.wait_until("it serves again", |s| s.app("home").is_ready());
    assert_eq!(status.app("home").restarts, 2);
}

#[test]
fn it_is_allowed_again_later_and_refused_for_longer_if_it_still_kills() {
    let paster = site().policy("home", "deadly_pause = 500ms").serve();
    paster.expect_death("exited with status 3");
    paster.expect_log("`GET /exit` was in flight at 2 deaths in a row; it gets 503 for 500ms");
    paster.expect_log("`GET /exit` was in flight at 3 deaths in a row; it gets 503 for 1s");
    assert_eq!(paster.get("/exit").status, 502);
    let before = paster.wait_until("its time is over", |s| {
        s.app("home").is_ready() && s.app("home").restarts == 2 && s.app("home").refused.is_empty()
    });
    assert_eq!(paster.get("/exit").status, 502, "it may try again, once");
    paster.wait_for_log("3 deaths in a row");
    let after = paster.wait_until("it serves again", |s| s.app("home").is_ready());
    assert_eq!(
        after.app("home").restarts,
        before.app("home").restarts + 1,
        "a second try somewhere else would have been a second death"
    );
}

#[test]
fn a_request_that_is_answered_later_is_forgiven() {
    let paster = site().policy("home", "deadly_pause = 500ms").serve();
    paster.expect_death("exited with status");
    kill_with(&paster, "/exit");
    kill_with(&paster, "/exit");
    paster.wait_until("its time is over", |s| s.app("home").refused.is_empty());
    // Repaired, so to say: the same method and path, but answered.
    assert_eq!(paster.post("/exit?code=nonsense", b"").status, 500);
    // Had it not been forgiven, the next death would be the third in a row.
    let log = paster.stderr().text();
    kill_with(&paster, "/exit");
    assert_eq!(paster.status().app("home").refused.len(), 0);
    assert!(!log.contains("3 deaths in a row"));
}

#[test]
fn a_page_that_is_answered_meanwhile_is_never_refused() {
    let paster = site().serve();
    paster.expect_death("SIGKILL");
    for _ in 0..4 {
        let slow = paster.post_in_background("/slow?s=60", b"");
        let status = paster.wait_until("it is in flight", |s| {
            s.app("home").is_ready() && s.app("home").workers.iter().any(|w| w.in_flight == 1)
        });
        process::sigkill(status.app("home").pid());
        assert_eq!(
            slow.join().expect("no panic").expect("an answer").status,
            502
        );
        paster.wait_until("it serves again", |s| {
            s.app("home").is_ready() && s.app("home").pid() != status.app("home").pid()
        });
        assert_eq!(paster.post("/slow?s=0", b"").status, 200, "the same page");
    }
    assert!(!paster.stderr().text().contains("deaths in a row"));
}

#[test]
fn a_restart_forgets_it() {
    let paster = site().policy("home", "deadly_pause = 60s").serve();
    paster.expect_death("exited with status 3");
    kill_with(&paster, "/exit");
    kill_with(&paster, "/exit");
    is_refused(&paster, "/exit");
    paster.command(&["restart", "home"]).succeeded();
    assert!(paster.status().app("home").refused.is_empty());
    kill_with(&paster, "/exit");
    assert!(
        paster.status().app("home").refused.is_empty(),
        "counted anew"
    );
}

#[test]
fn an_upgrade_does_not_forget_it() {
    let paster = site().policy("home", "deadly_pause = 60s").serve();
    paster.expect_death("exited with status 3");
    kill_with(&paster, "/exit");
    kill_with(&paster, "/exit");
    is_refused(&paster, "/exit");
    paster.command(&["upgrade"]).succeeded();
    is_refused(&paster, "/exit");
    assert_eq!(paster.post("/exit", b"").status, 503);
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_reload_that_switches_it_off_forgets_it() {
    let mut paster = site().policy("home", "deadly_pause = 60s").serve();
    paster.expect_death("exited with status 3");
    kill_with(&paster, "/exit");
    kill_with(&paster, "/exit");
    is_refused(&paster, "/exit");
    let pid = paster.status().app("home").pid();
    paster.edit(|site| site.policy("home", "deadly_requests = off"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(
        paster.status().app("home").pid(),
        pid,
        "no new process for this"
    );
    for _ in 0..3 {
        kill_with(&paster, "/exit");
    }
}

#[test]
fn a_request_that_makes_workers_hang_is_refused_too() {
    let paster = site()
        .policy("home", "deadly_pause = 60s")
        .policy("home", "request_timeout = 300ms")
        .policy("home", "stop_timeout = 200ms")
        .serve();
    paster.expect_log("worker hangs: it did not answer `POST /slow` within 300ms");
    paster.expect_log("`POST /slow` was in flight at 2 deaths in a row; it gets 503 for 60s");
    paster.allow_log("worker ignored SIGTERM; it is killed");
    for restarts in 1..=2 {
        assert_eq!(paster.post("/slow?s=60", b"").status, 504);
        paster.wait_until("it is replaced", |s| {
            s.app("home").is_ready() && s.app("home").restarts == restarts
        });
    }
    is_refused(&paster, "/slow");
    let asked = std::time::Instant::now();
    assert_eq!(paster.post("/slow?s=60", b"").status, 503);
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_debug_page_says_why() {
    let site = site().policy("home", "deadly_pause = 60s");
    let text = format!("[DEFAULT]\ndebug = true\n\n{}", site.text());
    let paster = site.ini(&text).serve();
    paster.expect_death("exited with status 3");
    kill_with(&paster, "/exit");
    kill_with(&paster, "/exit");
    is_refused(&paster, "/exit");
    let page = paster.post("/exit", b"");
    assert_eq!(page.status, 503);
    let text = page.text();
    for part in [
        "in flight at 2 deaths in a row",
        "app: home",
        "exited with status 3",
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}
