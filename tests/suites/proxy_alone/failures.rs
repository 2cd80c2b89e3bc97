//! Workers that die, lie, stall or are not there.

use crate::backend::Backend;
use crate::client::Client;
use crate::front::{Front, app, eventually, site, worker};
use paster::router::message::{Death, FromProxy, Serving};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Reads a request and closes.
fn dying() -> Backend {
    Backend::new(|mut peer| {
        peer.head();
    })
}

#[test]
fn a_get_whose_worker_died_is_answered_by_another() {
    let (bad, good) = (dying(), Backend::echo());
    let front = Front::start(site(app(vec![
        worker(1, bad.path()),
        worker(2, good.path()),
    ])));
    for n in 0..6 {
        let answer = Client::new(&front).get(&format!("/{n}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert!(bad.connections() > 0);
}

#[test]
fn a_post_whose_worker_died_is_not_sent_again() {
    let backend = dying();
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    assert_eq!(Client::new(&front).post("/", b"x").status, 502);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_get_waits_for_the_successor_of_its_dead_worker() {
    let (bad, good) = (dying(), Backend::echo());
    let mut front = Front::start(site(app(vec![worker(1, bad.path())])));
    let mut client = Client::new(&front);
    client.write("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the first worker has it", || bad.connections() == 1);
    front.apply(site(app(vec![])));
    front.apply(site(app(vec![worker(2, good.path())])));
    assert!(client.answer().unwrap().text().starts_with("GET /again "));
    assert_eq!(bad.connections(), 1);
}

#[test]
fn a_worker_that_is_not_there_is_reported_and_the_request_waits() {
    let dir = tempfile::tempdir().unwrap();
    let good = Backend::echo();
    let mut front = Front::start(site(app(vec![worker(1, &dir.path().join("nobody"))])));
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    front.wait_for("the report", |m| {
        matches!(m, FromProxy::Unreachable { worker: 1, .. })
    });
    front.apply(site(app(vec![worker(2, good.path())])));
    assert_eq!(client.answer().unwrap().status, 200);
}

#[test]
fn garbage_is_a_bad_gateway_and_never_repeated() {
    for garbage in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        "HTTP/1.1 2",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let backend = Backend::new(move |mut peer| {
            peer.head();
            let _ = peer.write(garbage.as_bytes());
        });
        let front = Front::start(site(app(vec![worker(1, backend.path())])));
        assert_eq!(Client::new(&front).get("/").status, 502, "{garbage:?}");
        assert_eq!(backend.connections(), 1, "{garbage:?}");
    }
}

#[test]
fn a_response_that_breaks_off_does_not_look_whole() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        let _ = peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.answer().is_none());
}

#[test]
fn an_answer_without_a_length_that_ends_with_a_reset_does_not_look_whole() {
    // Its end is that of the connection: what a worker has not read makes it a reset.
    let backend = Backend::new(|mut peer| {
        peer.wait_unread();
        let _ = peer.write(b"HTTP/1.1 200 OK\r\n\r\nabc");
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.answer().is_none());
    let mut old = Client::new(&front);
    old.write("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(old.answer().is_none());
}

#[test]
fn a_worker_that_closes_after_each_answer_costs_no_request() {
    let backend = Backend::new(|mut peer| {
        if peer.request().is_some() {
            let _ = peer.answer("ok");
        }
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    for _ in 0..50 {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_request_over_its_time_is_answered_then() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        peer.wait_closed();
    });
    let mut app = app(vec![worker(7, backend.path())]);
    app.request_timeout_ms = Some(200);
    let front = Front::start(site(app));
    let before = Instant::now();
    assert_eq!(Client::new(&front).get("/slow?x").status, 504);
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    let told = front.wait_for("timed out", |m| matches!(m, FromProxy::TimedOut { .. }));
    let FromProxy::TimedOut { worker, request } = told else {
        unreachable!("it was waited for")
    };
    assert_eq!(worker, 7);
    assert_eq!(
        (&*request.method, &*request.path),
        ("GET", "/slow"),
        "without the query"
    );
    assert!(request.age_ms >= 200 && !request.answering, "{request:?}");
}

#[test]
fn a_client_that_sends_slowly_is_no_worker_that_hangs() {
    const LIMIT: Duration = Duration::from_millis(200);
    let backend = Backend::new(|mut peer| {
        while let Some(request) = peer.request() {
            if request.head.contains("/hang") {
                return peer.wait_closed();
            }
            let _ = peer.answer("ok");
        }
    });
    let mut app = app(vec![worker(1, backend.path())]);
    app.request_timeout_ms = Some(LIMIT.as_millis() as u64);
    let front = Front::start(site(app));
    let mut client = Client::new(&front);
    let head = |target| format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    client.write(head("/"));
    for _ in 0..10 {
        std::thread::sleep(LIMIT / 4);
        client.write("x");
    }
    std::thread::sleep(3 * LIMIT);
    client.write("xx");
    assert_eq!(client.answer().unwrap().status, 200);
    assert!(!front.has_said(|m| matches!(m, FromProxy::TimedOut { .. })));
    // From the last byte on it is the worker's time.
    client.write(head("/hang"));
    client.write("twelve bytes");
    assert_eq!(client.answer().unwrap().status, 504);
    front.wait_for("timed out", |m| matches!(m, FromProxy::TimedOut { .. }));
}

#[test]
fn the_clients_broken_body_is_not_the_workers_fault() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        peer.wait_closed();
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    eventually("the worker has it", || backend.connections() == 1);
    client.write("nonsense\r\n");
    assert_eq!(client.answer().unwrap().status, 400);
}

#[test]
fn a_client_that_leaves_ends_its_request_at_the_worker() {
    let gone = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gone);
    let backend = Backend::new(move |mut peer| {
        peer.head();
        peer.wait_closed();
        count.fetch_add(1, Ordering::SeqCst);
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    for (n, rest) in ["", "GET /pipelined HTTP/1.1\r\nHost: a\r\n\r\n"]
        .iter()
        .enumerate()
    {
        let mut client = Client::new(&front);
        client.write(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{rest}"));
        eventually("the worker has it", || backend.connections() == n + 1);
        drop(client);
        eventually("the worker is told", || {
            gone.load(Ordering::SeqCst) == n + 1
        });
    }
}

#[test]
fn a_full_queue_refuses_at_once_and_a_client_that_leaves_makes_room() {
    let mut busy = app(vec![]);
    busy.queue = 2;
    let mut front = Front::start(site(busy));
    let mut waiting: Vec<Client> = (0..2).map(|_| Client::new(&front)).collect();
    for client in &mut waiting {
        client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let queued =
        |n| move |m: &FromProxy| matches!(m, FromProxy::Stats(s) if s.apps["app"].queued == n);
    front.wait_for("two are waiting", queued(2));
    let before = Instant::now();
    let answer = Client::new(&front).get("/");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("retry-after"), Some("1"));
    assert!(
        before.elapsed() < Duration::from_millis(500),
        "{:?}",
        before.elapsed()
    );
    drop(waiting.pop());
    front.wait_for("one is waiting", queued(1));
    let good = Backend::echo();
    front.apply(site(app(vec![worker(1, good.path())])));
    assert_eq!(waiting[0].answer().unwrap().status, 200);
}

#[test]
fn waiting_has_an_end() {
    let mut app = app(vec![]);
    app.queue_timeout_ms = 100;
    let front = Front::start(site(app));
    let answer = Client::new(&front).get("/");
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("1"))
    );
}

#[test]
fn stopped_and_failed_apps_refuse_at_once() {
    let mut failed = app(vec![]);
    failed.serving = Serving::Failed { retry_after_s: 17 };
    let mut front = Front::start(site(failed));
    let answer = Client::new(&front).get("/");
    assert_eq!(
        (answer.status, answer.field("retry-after")),
        (503, Some("17"))
    );
    let mut stopped = app(vec![]);
    stopped.serving = Serving::Stopped;
    front.apply(site(stopped));
    assert_eq!(Client::new(&front).get("/").status, 503);
}

#[test]
fn a_debug_page_tells_what_died() {
    let bad = dying();
    let mut table = site(app(vec![worker(1, bad.path())]));
    table.debug = true;
    let mut front = Front::start(table.clone());
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nContent-Length: 0\r\n\r\n");
    eventually("the worker has it", || bad.connections() == 1);
    let app = table.apps.get_mut("app").unwrap();
    app.workers.clear();
    app.last_death = Some(Death {
        worker: 1,
        what: "worker 0 of app (pid 4000) was killed by signal 11".into(),
        last_output: vec!["<oops>".into()],
    });
    front.apply(table);
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 502);
    let text = answer.text();
    assert!(
        text.contains("killed by signal 11") && text.contains("&lt;oops&gt;"),
        "{text}"
    );
}

#[test]
fn no_worker_gets_more_than_it_may_have() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (n, m) = (Arc::clone(&now), Arc::clone(&most));
    let backend = Backend::answering(move |_| {
        m.fetch_max(n.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        n.fetch_sub(1, Ordering::SeqCst);
        "ok".into()
    });
    let mut one = worker(1, backend.path());
    one.max_in_flight = 2;
    let front = Front::start(site(app(vec![one])));
    let address = front.address;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::to(address);
                (0..20).all(|_| client.get("/").status == 200)
            })
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        let _ = peer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    for _ in 0..10 {
        let mut client = Client::new(&front);
        client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
        let piece = [b'x'; 10_000];
        for _ in 0..100 {
            if client.reader.get_mut().write_all(&piece).is_err() {
                break;
            }
        }
        assert_eq!(client.answer().map(|answer| answer.status), Some(413));
    }
}

#[test]
fn a_worker_that_answers_and_reads_no_more_is_let_go_in_the_end() {
    let gone = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gone);
    let backend = Backend::new(move |mut peer| {
        peer.head();
        let _ = peer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
        peer.wait_closed_unread();
        count.fetch_add(1, Ordering::SeqCst);
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n");
    // More than the worker's socket holds.
    let _ = client.reader.get_mut().write_all(&[b'x'; 1_000_000]);
    assert_eq!(client.answer().map(|answer| answer.status), Some(401));
    drop(client);
    eventually("it is let go", || gone.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_worker_that_answers_and_is_gone_does_not_take_the_client_along() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        let _ = peer.answer("early");
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    let half = [b'x'; 50_000];
    for _ in 0..5 {
        client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
        client.write(half);
        let answer = client.answer().unwrap();
        assert_eq!(answer.text(), "early");
        assert_eq!(answer.field("connection"), None);
        client.write(half);
    }
}
