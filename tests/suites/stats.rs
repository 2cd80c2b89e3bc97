//! `paster stats`: every request is counted once, by what came of it, also over the ends of proxies.

use crate::harness::h2::{self, get, run};
use crate::harness::{Paster, Site, process};
use serde_json::Value;

fn stats(paster: &Paster, app: &str) -> Value {
    let told = paster.command(&["stats", app, "--json"]).succeeded();
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["schema_version"], 1);
    told["apps"][0].clone()
}

/// The counts of `home` when these are as given; what the proxy counts it tells about once a second.
#[track_caller]
fn wait_for(paster: &Paster, counts: &[(&str, u64)]) -> Value {
    let at = |told: &Value, path: &str| told.pointer(path).and_then(Value::as_u64);
    paster.wait_for(&format!("{counts:?}"), || {
        let told = paster.order(&serde_json::json!({"command": "status"}));
        let told = &told["apps"][0]["traffic"];
        counts
            .iter()
            .all(|(path, count)| at(told, path) == Some(*count))
    });
    stats(paster, "home")
}

#[test]
fn requests_are_counted_by_what_came_of_them() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("other", "/other")
        .policy("home", "threads = 1")
        .policy("home", "queue = 1")
        .serve();
    for _ in 0..3 {
        assert_eq!(paster.get("/health").text(), "/health\n");
    }
    assert_eq!(paster.get("/nothing").status, 404);
    assert_eq!(paster.post("/echo", &[b'x'; 2000]).text(), "2000 bytes\n");
    let told = wait_for(&paster, &[("/responses/2xx", 4), ("/responses/4xx", 1)]);
    assert_eq!(
        (&told["requests"], &told["in_flight"]),
        (&5.into(), &0.into())
    );
    assert_eq!(told["bytes_received"], 2000);
    assert_eq!(
        told["bytes_sent"],
        3 * 8 + "no such action\n".len() + "2000 bytes\n".len()
    );
    assert_eq!(told["duration"]["count"], 5);
    assert_eq!(told["queue_time"]["count"], 5);
    for times in ["duration", "queue_time"] {
        let at = |name: &str| told[times][name].as_f64().expect("it was measured");
        assert!(
            at("p50_ms") <= at("p90_ms") && at("p90_ms") <= at("p99_ms"),
            "{told}"
        );
        let buckets = told[times]["buckets"].as_array().expect("a list");
        assert_eq!(buckets.last().expect("not empty")["count"], 5);
    }

    let running = paster.get_in_background("/slow?s=4");
    wait_for(&paster, &[("/in_flight", 1)]);
    let mut leaving = paster.connect();
    leaving
        .send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    paster.wait_until("it waits", |status| status.app("home").queued == 1);
    assert_eq!(paster.get("/health").status, 503, "there is room for one");
    drop(leaving);
    wait_for(
        &paster,
        &[("/client_gone", 1), ("/queue_full", 1), ("/in_flight", 1)],
    );
    assert_eq!(
        running.join().expect("no panic").expect("an answer").status,
        200
    );
    let told = wait_for(&paster, &[("/in_flight", 0), ("/responses/5xx", 1)]);
    assert_eq!(told["requests"], 8);
    let longest = told["duration"]["p99_ms"]
        .as_f64()
        .expect("it was measured");
    assert!((3000.0..=5000.0).contains(&longest), "{told}");
    let waited = told["queue_time"]["sum_ms"]
        .as_f64()
        .expect("it was measured");
    assert!(waited > 0.0, "{told}");

    assert_eq!(stats(&paster, "other")["requests"], 0);
    let table = paster.command(&["stats"]).succeeded().stdout;
    let row = table
        .lines()
        .find(|line| line.starts_with("home "))
        .expect("a row");
    assert!(row.split_whitespace().nth(1) == Some("8"), "{table}");
    let unknown = paster.command(&["stats", "hoem"]);
    assert_eq!(unknown.code, Some(1), "{unknown:#?}");
    assert!(
        unknown.stderr.contains("there is no app `hoem`"),
        "{unknown:#?}"
    );
}

#[test]
fn workers_that_die_or_hang_are_counted() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "request_timeout = 1s")
        .policy("home", "restart_delay = 10ms")
        .serve();
    paster.expect_death("exited with status 3");
    paster.allow_log("home");
    assert_eq!(paster.post("/exit", b"").status, 502);
    paster.wait_until("it is back", |status| status.app("home").is_ready());
    assert_eq!(paster.get("/slow?s=30").status, 504);
    let told = wait_for(&paster, &[("/worker_errors", 1), ("/worker_timeouts", 1)]);
    assert_eq!(told["responses"]["5xx"], 2);
    assert_eq!(told["in_flight"], 0);
}

#[test]
fn counts_survive_proxies_and_upgrades() {
    let paster = Site::new().actor("home", "/").serve();
    paster.expect_log("the proxy ended; it is replaced");
    let ask = |count: u32| (0..count).for_each(|_| assert_eq!(paster.get("/health").status, 200));
    ask(5);
    wait_for(&paster, &[("/responses/2xx", 5)]);
    let proxy = paster.status().proxy.pid.expect("it runs");
    process::sigkill(proxy);
    ask(2);
    wait_for(&paster, &[("/responses/2xx", 7), ("/lost", 0)]);
    paster.command(&["upgrade"]).succeeded();
    ask(1);
    let told = wait_for(&paster, &[("/responses/2xx", 8)]);
    assert_eq!(told["duration"]["count"], 8);
    assert_eq!(
        (&told["requests"], &told["in_flight"]),
        (&8.into(), &0.into())
    );
}

#[test]
fn requests_that_reach_no_app_are_counted_too() {
    let paster = Site::new()
        .actor("home", "/home")
        .policy("", "redirects = /old /new 301")
        .serve();
    paster.expect_log("the proxy ended; it is replaced");
    let status = |request: &[u8]| {
        let mut connection = paster.connect();
        // Who was refused need not listen to the rest.
        let _ = connection.send(request);
        connection.response().expect("an answer").status
    };
    assert_eq!(paster.get("/home/health").status, 200);
    assert_eq!(paster.get("/nowhere").status, 404);
    assert_eq!(paster.get("/old").status, 301);
    assert_eq!(status(b"nonsense\r\n\r\n"), 400);
    assert_eq!(
        status(b"GET /home HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        400
    );
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    assert_eq!(status(large.as_bytes()), 431);
    run(async {
        let mut connection = h2::Connection::open(paster.address()).await;
        let mut of_two_minds = get("/home/health");
        let host = "b.example".parse().expect("valid");
        of_two_minds.headers_mut().insert("host", host);
        let refused = connection.ask(of_two_minds).await.expect("an answer");
        assert_eq!(refused.status(), 400);
    });
    let others = |redirects: u64, errors: u64| {
        paster.wait_until("they are counted", |status| {
            let others = &status.without_app;
            let counts = (
                others["requests"].as_u64(),
                others["traffic"]["in_flight"].as_u64(),
            );
            let answers = &others["traffic"]["responses"];
            counts == (Some(redirects + errors), Some(0))
                && answers["3xx"] == redirects
                && answers["4xx"] == errors
        })
    };
    others(1, 5);
    process::sigkill(paster.status().proxy.pid.expect("it runs"));
    assert_eq!(paster.get("/nowhere").status, 404);
    others(1, 6);
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(paster.get("/old").status, 301);
    others(2, 6);
    assert_eq!(stats(&paster, "home")["requests"], 1);
    let table = paster.command(&["stats"]).succeeded().stdout;
    let row = table.lines().last().expect("a table");
    let words: Vec<&str> = row.split_whitespace().take(5).collect();
    assert_eq!(words, ["-", "8", "0", "2", "6"], "{table}");
    let told = paster.command(&["stats", "--json"]).succeeded().stdout;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["without_app"]["responses"]["4xx"], 6, "{told}");
    assert_eq!(told["without_app"]["requests"], 8, "{told}");
}
