//! What the proxy tells of requests that workers leave unanswered, and what it does about those that may be deadly.

use crate::backend::Backend;
use crate::client::Client;
use crate::front::{Front, app, eventually, site, worker};
use paster::router::message::{App, FromProxy, InFlight, Suspect};
use std::io::Write;

/// Reads a request and closes.
fn dying() -> Backend {
    Backend::new(|mut peer| {
        peer.head();
    })
}

fn suspected(app: App, path: &str, refused_ms: Option<u64>) -> App {
    let suspect = Suspect {
        method: "GET".into(),
        path: path.into(),
        deaths: 2,
        refused_ms,
    };
    App {
        suspects: vec![suspect],
        ..app
    }
}

fn lost(front: &Front, path: &str) -> InFlight {
    let told = front.wait_for(
        "the lost request",
        |message| matches!(message, FromProxy::Lost { request, .. } if request.path == path),
    );
    match told {
        FromProxy::Lost { request, .. } => request,
        _ => unreachable!("it was waited for"),
    }
}

fn answered(front: &Front) -> bool {
    front.has_said(|message| matches!(message, FromProxy::Answered { .. }))
}

#[test]
fn a_request_that_a_worker_left_unanswered_is_told() {
    let backend = dying();
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write(
        "POST /x?secret=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-1\r\nContent-Length: 1\r\n\r\nx",
    );
    assert_eq!(client.answer().unwrap().status, 502);
    let request = lost(&front, "/x");
    assert_eq!((&*request.method, &*request.path), ("POST", "/x"));
    assert_eq!(request.id.as_deref(), Some("r-1"));
    assert!(!request.answering);
}

#[test]
fn an_answer_that_a_worker_broke_off_is_told_before_the_worker_is_drained() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        let stream = peer.reader.get_mut();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxx");
    });
    let mut front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(lost(&front, "/half").answering);
    front.apply(site(app(vec![])));
    front.wait_for("drained", |m| *m == FromProxy::Drained { worker: 1 });
}

#[test]
fn a_tunnel_that_its_worker_ended_is_told_and_one_that_its_client_ended_is_not() {
    let backend = Backend::new(|mut peer| {
        let head = peer.head().unwrap_or_default();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let _ = peer.reader.get_mut().write_all(answer.as_bytes());
        if !head.starts_with("GET /dies") {
            peer.wait_closed();
        }
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let tunnel = |path: &str| {
        let mut client = Client::new(&front);
        client.write(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        ));
        client
    };
    drop(tunnel("/leaves"));
    let _stays = tunnel("/dies");
    assert!(lost(&front, "/dies").answering);
    assert!(
        !front.has_said(
            |m| matches!(m, FromProxy::Lost { request, .. } if request.path == "/leaves")
        )
    );
}

#[test]
fn a_refused_request_reaches_no_worker_and_others_do() {
    let backend = Backend::echo();
    let app = suspected(app(vec![worker(1, backend.path())]), "/boom", Some(60_000));
    let front = Front::start(site(app));
    let mut client = Client::new(&front);
    let answer = client.get("/boom?x=1");
    assert_eq!(answer.status, 503);
    let seconds: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((50..=61).contains(&seconds), "{seconds}");
    assert_eq!(backend.connections(), 0);
    assert_eq!(client.get("/boom/2").status, 200);
    assert_eq!(client.post("/boom", b"x").status, 200);
    assert!(!answered(&front), "nobody who is suspect was answered");
}

#[test]
fn an_answer_to_a_suspect_is_told_once() {
    let backend = Backend::echo();
    let app = suspected(app(vec![worker(1, backend.path())]), "/boom", None);
    let front = Front::start(site(app));
    let mut client = Client::new(&front);
    for path in ["/other", "/boom", "/boom?again"] {
        assert_eq!(client.get(path).status, 200);
    }
    let told = front.wait_for("the answer", |m| matches!(m, FromProxy::Answered { .. }));
    let (app, method, path) = ("app".into(), "GET".into(), "/boom".into());
    assert_eq!(told, FromProxy::Answered { app, method, path });
}

#[test]
fn a_request_on_probation_is_not_repeated() {
    let backend = dying();
    let app = |refused_ms| {
        suspected(
            app(vec![worker(1, backend.path()), worker(2, backend.path())]),
            "/boom",
            refused_ms,
        )
    };
    let mut front = Front::start(site(app(Some(0))));
    assert_eq!(Client::new(&front).get("/boom").status, 502);
    assert_eq!(backend.connections(), 1);
    // One that is only watched is.
    front.apply(site(app(None)));
    eventually("both workers are trusted again", || {
        let before = backend.connections();
        assert_eq!(Client::new(&front).get("/boom").status, 502);
        backend.connections() == before + 2
    });
}
