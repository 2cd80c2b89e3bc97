//! What is refused, and what a worker gets to see.

use crate::backend::Backend;
use crate::client::Client;
use crate::front::{Front, app, mounted, site, worker};
use paster::router::message::Handover;

fn echo() -> (Backend, Front) {
    let backend = Backend::echo();
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    (backend, front)
}

#[test]
fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let (_backend, front) = echo();
    let host = "Host: a\r\n";
    let cases: &[(u16, String)] = &[
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (400, format!("GET / HTTP/1.1\r\n{host}Host: b\r\n\r\n")),
        (400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into()),
        (400, format!("GET foo HTTP/1.1\r\n{host}\r\n")),
        (400, format!("GET /%00 HTTP/1.1\r\n{host}\r\n")),
        (
            400,
            format!(
                "POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            400,
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
            ),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +3\r\n\r\nabc"),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\n{host}Content-Length : 3\r\n\r\nabc"),
        ),
        (
            501,
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            400,
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
        ),
        (405, format!("TRACE / HTTP/1.1\r\n{host}\r\n")),
        (405, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".into()),
        (
            414,
            format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(20_000)),
        ),
        (
            431,
            format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "a".repeat(100_000)),
        ),
    ];
    for (status, request) in cases {
        let mut client = Client::new(&front);
        client.write(request);
        let answer = client.answer();
        let shown = &request[..request.len().min(120)];
        assert_eq!(answer.map(|a| a.status), Some(*status), "{shown:?}");
        assert!(client.is_closed(), "{shown:?}");
    }
}

#[test]
fn the_server_itself_answers_options_asterisk() {
    let (_backend, front) = echo();
    let mut client = Client::new(&front);
    client.write("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.field("allow").is_some());
}

#[test]
fn a_worker_sees_the_rest_of_the_path_and_who_the_client_is() {
    let backend = Backend::echo();
    let front = Front::start(mounted("/blog", app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET /blog/a%2Fb/../c?q HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 7\r\nConnection: x-secret\r\nX-Secret: 1\r\nPaster-Environ: x\r\n\r\n");
    let seen = client.answer().unwrap().text().to_lowercase();
    assert!(seen.starts_with("get /a%2fb/../c?q http/1.1\r\n"), "{seen}");
    assert!(seen.contains("x-script-name: /blog\r\n"), "{seen}");
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
    assert!(seen.contains("x-request-id: "), "{seen}");
    for gone in [
        "6.6.6.6",
        "x_forwarded_for",
        "x-secret",
        "paster-environ",
        "connection:",
    ] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    assert_eq!(client.get("/blogs").status, 404);
}

#[test]
fn our_host_gets_the_environ() {
    let backend = Backend::echo();
    let mut app = app(vec![worker(1, backend.path())]);
    app.handover = Handover::Environ;
    let front = Front::start(mounted("/blog", app));
    let seen = Client::new(&front).get("/blog//x%20y").text();
    assert!(seen.starts_with("GET /blog//x%20y HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("paster-environ: /blog /x%20y 127.0.0.1 "),
        "{seen}"
    );
    assert!(!seen.contains("x-forwarded-for"), "{seen}");
}

#[test]
fn bodies_arrive_whole_in_either_framing() {
    let (_backend, front) = echo();
    let mut client = Client::new(&front);
    assert!(client.post("/", b"hello").text().ends_with("\r\n\r\nhello"));
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n");
    assert!(client.answer().unwrap().text().ends_with("\r\n\r\nabcde"));
    client.write(
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert!(client.answer().unwrap().text().ends_with("\r\n\r\nabc"));
}

#[test]
fn a_body_may_have_any_number_of_chunks() {
    let (_backend, front) = echo();
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write("1\r\nx\r\n".repeat(20_000));
    client.write("0\r\n\r\n");
    let text = client.answer().unwrap().text();
    assert!(text.ends_with(&"x".repeat(20_000)), "{text}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_backend, front) = echo();
    let mut client = Client::new(&front);
    let one = |n: u32| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write((0..5).map(one).collect::<String>());
    for n in 0..5 {
        let text = client.answer().unwrap().text();
        assert!(text.starts_with(&format!("GET /{n} ")), "{text}");
    }
}

#[test]
fn http_1_0_is_spoken_on_this_side_only() {
    let (_backend, front) = echo();
    let mut client = Client::new(&front);
    client.write("GET /x HTTP/1.0\r\n\r\n");
    let answer = client.answer().unwrap();
    assert!(
        answer.text().starts_with("GET /x HTTP/1.1\r\n"),
        "{answer:?}"
    );
    assert!(client.is_closed());
}

#[test]
fn a_head_request_has_the_length_and_no_body() {
    let (_backend, front) = echo();
    let backend = Backend::new(|mut peer| {
        while peer.head().is_some() {
            peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
                .unwrap();
        }
    });
    drop(front);
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    for _ in 0..2 {
        client.write("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.head().unwrap();
        assert!(
            head.to_lowercase().contains("content-length: 5\r\n"),
            "{head}"
        );
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn the_workers_framing_and_hop_end_here() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        peer.write(b"HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nuntil the end").unwrap();
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    for _ in 0..2 {
        let answer = client.get("/");
        assert!(answer.head.starts_with("HTTP/1.1 200"), "{answer:?}");
        assert_eq!(answer.text(), "until the end");
        assert!(
            answer.field("x-hop").is_none() && answer.field("connection").is_none(),
            "{answer:?}"
        );
        assert_eq!(answer.head.matches("set-cookie").count(), 2);
    }
}

#[test]
fn expect_continue_is_answered_by_us() {
    let (_backend, front) = echo();
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
    client.write("ok");
    let answer = client.answer().unwrap();
    assert!(answer.text().ends_with("ok"), "{answer:?}");
    assert!(!answer.text().contains("expect"), "{answer:?}");
}
