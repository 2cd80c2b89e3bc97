//! Clients that are slow, silent or too large: each has its status, and none of them costs the others anything.

use crate::harness::front::{front, serve_on, served};
use crate::harness::http::Connection;
use crate::harness::{Paster, Site};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A server that answers each request with `answer`, in a thread for each connection.
fn backend(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    served(move |stream| serve(stream, &answer))
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&mut TcpStream)) {
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
        if seen.windows(4).any(|part| part == b"\r\n\r\n") {
            seen.clear();
            answer(&mut stream);
        }
    }
}

fn ok(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

fn status(paster: &Paster, pieces: &[&[u8]]) -> u16 {
    let mut connection = paster.connect();
    for piece in pieces {
        // Who was refused need not listen to the rest.
        let _ = connection.send(piece);
    }
    connection.response().expect("an answer").status
}

#[test]
fn clients_that_send_their_heads_slowly_hinder_nobody() {
    let paster = front(backend(ok), "head_timeout = 2s");
    let mut slow: Vec<Connection> = (0..300)
        .map(|_| {
            let mut connection = paster.connect();
            connection
                .send(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
                .expect("it reads");
            connection
        })
        .collect();
    let mut answered = 0;
    while answered < slow.len() {
        assert_eq!(paster.text("/"), "ok");
        for connection in slow.iter_mut().skip(answered).take(20) {
            let _ = connection.send(b"a");
            assert_eq!(connection.response().expect("an answer").status, 408);
            assert_eq!(connection.rest().unwrap_or_default(), b"");
            answered += 1;
        }
    }
}

#[test]
fn a_head_that_begins_behind_another_request_has_its_time() {
    let paster = front(backend(ok), "head_timeout = 500ms");
    let mut slow = paster.connect();
    slow.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT")
        .expect("it reads");
    assert_eq!(slow.response().expect("an answer").status, 200);
    assert_eq!(slow.response().expect("an answer").status, 408);
}

#[test]
fn silent_and_idle_connections_are_closed_without_a_word() {
    let paster = front(
        backend(ok),
        "head_timeout = 500ms\nkeep_alive_timeout = 500ms",
    );
    assert_eq!(paster.connect().rest().expect("the end"), b"");
    let mut idle = paster.connect();
    assert_eq!(idle.get("/").expect("an answer").status, 200);
    assert_eq!(idle.rest().expect("the end"), b"");
}

#[test]
fn a_connection_that_was_quiet_for_long_goes_on() {
    let paster = front(backend(ok), "");
    let mut quiet = paster.connect();
    assert_eq!(quiet.get("/").expect("an answer").status, 200);
    let before = paster.status().uptime_s;
    paster.wait_until("it rests", |status| status.uptime_s > before + 1.5);
    quiet
        .send(b"GET / HTTP/1.1\r\nHos")
        .expect("it is open still");
    quiet.send(b"t: a\r\n\r\n").expect("it is open still");
    assert_eq!(quiet.response().expect("an answer").status, 200);
    let two = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    quiet.send(&two).expect("it is open still");
    assert_eq!(quiet.response().expect("an answer").status, 200);
    assert_eq!(quiet.response().expect("an answer").status, 200);
    let (begun, rest) = two.split_at(two.len() - 5);
    quiet.send(begun).expect("it is open still");
    assert_eq!(quiet.response().expect("an answer").status, 200);
    let before = paster.status().uptime_s;
    paster.wait_until("it rests", |status| status.uptime_s > before + 1.5);
    quiet.send(rest).expect("it is open still");
    assert_eq!(quiet.response().expect("an answer").status, 200);
}

#[test]
fn a_body_that_comes_long_after_the_answer_is_no_request() {
    let paster = front(backend(ok), "");
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for framing in [
        format!("Content-Length: {}\r\n\r\n", body.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()),
    ] {
        let mut client = paster.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}");
        client.send(head.as_bytes()).expect("it is open");
        assert_eq!(client.response().expect("an answer").status, 200);
        let answered = paster.status().uptime_s;
        paster.wait_until("idle ones rest", |status| status.uptime_s > answered + 1.5);
        let _ = client.send(body.as_bytes());
        let _ = client.send(b"\r\n0\r\n\r\n");
        client.response().expect_err("there was no other request");
    }
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let paster = front(backend(|_| {}), "body_timeout = 500ms");
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";
    assert_eq!(status(&paster, &[head, b"abc"]), 408);
}

#[test]
fn a_client_that_does_not_read_loses_its_connection() {
    let broken = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&broken);
    let endless = move |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n");
        while stream.write_all(&[b'x'; 16 * 1024]).is_ok() {}
        ended.store(true, Ordering::SeqCst);
    };
    let paster = front(backend(endless), "write_timeout = 500ms");
    let mut stuck = paster.connect();
    stuck
        .send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    paster.wait_for("the backend is let go", || broken.load(Ordering::SeqCst));
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let paster = front(backend(ok), "max_body = 1K");
    let post = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let announced = post("Content-Length: 1025\r\nExpect: 100-continue");
    let mut connection = paster.connect();
    connection.send(announced.as_bytes()).expect("it reads");
    // Not even an interim answer.
    assert_eq!(connection.head().expect("an answer").status, 413);
    let chunked = post("Transfer-Encoding: chunked");
    let chunk = [&b"400\r\n"[..], &[b'x'; 1024], b"\r\n"].concat();
    let last = b"1\r\nx\r\n0\r\n\r\n";
    // One that answers would do so before it has read the body.
    let silent = front(backend(|_| {}), "max_body = 1K");
    assert_eq!(status(&silent, &[chunked.as_bytes(), &chunk, last]), 413);
    let fits = post("Content-Length: 1024");
    assert_eq!(status(&paster, &[fits.as_bytes(), &[b'x'; 1024]]), 200);
}

#[test]
fn heads_over_the_configured_sizes_are_refused() {
    let settings = "max_target = 1K\nmax_head = 8K\nmax_fields = 200";
    let paster = front(backend(ok), settings);
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length));
    assert_eq!(status(&paster, &[target(1000).as_bytes()]), 200);
    assert_eq!(status(&paster, &[target(1100).as_bytes()]), 414);
    let fields = |count: usize, length: usize| {
        let field = format!("X-A: {}\r\n", "a".repeat(length));
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field.repeat(count))
    };
    assert_eq!(status(&paster, &[fields(150, 10).as_bytes()]), 200);
    assert_eq!(status(&paster, &[fields(250, 10).as_bytes()]), 431);
    assert_eq!(status(&paster, &[fields(1, 9000).as_bytes()]), 431);
}

#[test]
fn limits_that_gunicorn_and_waitress_have_by_other_names_are_kept() {
    let behind = |server: &str, settings: &str| {
        let ini = format!(
            "[server:main]\nuse = egg:{server}\nhost = 127.0.0.1\nport = 0\n\
             [app:main]\nuse = http://{}\n[isolate]\n{settings}\n",
            backend(ok)
        );
        Site::new().ini(&ini).listen_as_configured().serve()
    };
    let gunicorn =
        "gunicorn#main\nlimit_request_fields = 20\nlimit_request_line = 2000\nkeepalive = 1";
    let paster = behind(gunicorn, "");
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "A: b\r\n".repeat(count)
        )
    };
    assert_eq!(status(&paster, &[fields(19).as_bytes()]), 200);
    assert_eq!(status(&paster, &[fields(20).as_bytes()]), 431);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2100));
    assert_eq!(status(&paster, &[long.as_bytes()]), 414);
    let mut idle = paster.connect();
    assert_eq!(idle.get("/").expect("an answer").status, 200);
    let began = std::time::Instant::now();
    assert_eq!(idle.rest().expect("closed"), b"");
    assert!(
        began.elapsed() < std::time::Duration::from_secs(20),
        "not after 75 s"
    );
    // Our own setting goes before that of the server.
    let paster = behind(gunicorn, "max_fields = 30");
    assert_eq!(status(&paster, &[fields(25).as_bytes()]), 200);
    let paster = behind(
        "waitress#main\nmax_request_body_size = 1000\nmax_request_header_size = 9000",
        "",
    );
    let post =
        |length: usize| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(status(&paster, &[post(1001).as_bytes()]), 413);
    assert_eq!(
        status(&paster, &[post(1000).as_bytes(), &[b'x'; 1000]]),
        200
    );
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n",
        "a".repeat(9100)
    );
    assert_eq!(status(&paster, &[head.as_bytes()]), 431);
}

#[test]
fn connections_over_the_limit_wait_for_their_turn() {
    let paster = front(backend(ok), "max_connections = 2");
    let mut first = paster.connect();
    let mut second = paster.connect();
    assert_eq!(first.get("/").expect("an answer").status, 200);
    assert_eq!(second.get("/").expect("an answer").status, 200);
    paster.expect_log("as many client connections as there may be");
    let third = paster.get_in_background("/");
    assert_eq!(first.get("/").expect("an answer").status, 200);
    assert!(!third.is_finished());
    drop(first);
    let answer = third.join().expect("it ran").expect("an answer");
    assert_eq!(answer.status, 200);
}

#[test]
fn a_reload_changes_the_limits() {
    let mut paster = front(backend(ok), "max_target = 1K");
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2000));
    assert_eq!(status(&paster, &[long.as_bytes()]), 414);
    let text = paster
        .site()
        .text()
        .replace("max_target = 1K", "max_target = 4K");
    paster.edit(|site| site.ini(&text));
    paster.command(&["reload"]).succeeded();
    assert_eq!(status(&paster, &[long.as_bytes()]), 200);
}

#[test]
fn a_server_elsewhere_that_is_down_is_not_waited_for_again_and_again() {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let paster = front(address, "queue_timeout = 1s");
    paster.expect_log("the proxy cannot connect to a worker");
    let waited = paster.get("/");
    assert_eq!(waited.status, 503);
    assert!(waited.text().contains("became free in time"), "{waited:?}");
    for _ in 0..3 {
        let refused = paster.get("/");
        assert_eq!(refused.status, 503);
        assert!(refused.text().contains("cannot be reached"), "{refused:?}");
    }
    let listener = TcpListener::bind(address).expect("it was free");
    serve_on(listener, |stream| serve(stream, &ok));
    paster.wait_for("it is tried again", || paster.get("/").status == 200);
}

/// What is answered before the request has come as a whole, without a worker.
fn answers_early() -> Paster {
    let site = Site::new()
        .actor("home", "/home")
        .actor("shut", "/shut")
        .section("files", "/files", "egg:Paste#static")
        .option("files", "document_root = %(here)s")
        .policy("", "redirects = /old/* /new/*")
        .policy("shut", "maintenance = on");
    site.serve()
}

const EARLY: [(&str, u16); 4] = [
    ("/old/a", 302),
    ("/none", 404),
    ("/files/site.ini", 405),
    ("/shut/", 503),
];

#[test]
fn a_connection_goes_on_after_an_answer_that_came_before_the_request_had_ended() {
    let paster = answers_early();
    for (target, status) in EARLY {
        for (framing, halves) in [
            ("Content-Length: 10", [&b"12345"[..], b"67890"]),
            (
                "Transfer-Encoding: chunked",
                [b"5\r\n123", b"45\r\n0\r\n\r\n"],
            ),
            (
                "Transfer-Encoding: chunked",
                [b"5\r\n12345\r\n0\r\n\r\n", b""],
            ),
        ] {
            let mut connection = paster.connect();
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            for bytes in [head.as_bytes(), halves[0]] {
                connection.send(bytes).expect("it reads");
            }
            let early = connection.response_to("POST").expect("an answer");
            assert_eq!(early.status, status, "{target}");
            assert_eq!(early.header("connection"), None, "{target}");
            connection.send(halves[1]).expect("it reads on");
            let next = connection.get("/home/").expect("the connection goes on");
            assert_eq!(next.status, 200, "{target} {framing}");
        }
    }
}

#[test]
fn a_client_that_wants_no_more_sees_the_end_with_an_early_answer() {
    let paster = answers_early();
    for (target, status) in EARLY {
        for (version, field) in [("1.1", "Connection: close"), ("1.0", "X: none")] {
            let mut connection = paster.connect();
            let head = format!(
                "POST {target} HTTP/{version}\r\nHost: a\r\n{field}\r\nContent-Length: 10\r\n\r\n12345"
            );
            connection.send(head.as_bytes()).expect("it reads");
            let early = connection.response_to("POST").expect("an answer");
            assert_eq!(early.status, status, "{target}");
            assert_eq!(connection.rest().expect("the end"), b"", "{target}");
        }
    }
}

#[test]
fn an_early_answer_says_so_where_it_ends_the_connection() {
    let paster = answers_early();
    for (target, status) in EARLY {
        for fields in [
            "Content-Length: 10\r\nExpect: 100-continue",
            "Content-Length: 100000000",
        ] {
            let mut connection = paster.connect();
            let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
            connection.send(head.as_bytes()).expect("it reads");
            let early = connection.response_to("POST").expect("an answer");
            assert_eq!(early.status, status, "{target}");
            assert_eq!(
                early.header("connection"),
                Some("close"),
                "{target} {fields}"
            );
            assert_eq!(connection.rest().expect("the end"), b"", "{target}");
        }
    }
}

#[test]
fn the_early_answer_of_a_worker_that_closes_says_that_the_connection_ends() {
    for answer in [
        "HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig",
        "HTTP/1.0 413 No\r\nContent-Length: 3\r\n\r\nbig",
        "HTTP/1.1 413 No\r\n\r\nbig",
    ] {
        let refuses = |stream: &mut TcpStream| {
            let _ = stream.write_all(answer.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Both);
        };
        let paster = front(backend(refuses), "");
        for (framing, close) in [("Content-Length: 100", Some("close")), ("X: none", None)] {
            let mut connection = paster.connect();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            connection.send(head.as_bytes()).expect("it reads");
            let early = connection.response_to("POST").expect("an answer");
            let told = (early.status, early.header("connection"));
            assert_eq!(told, (413, close), "{answer:?}");
        }
    }
}

#[test]
fn a_head_that_cannot_be_read_is_refused_like_any_other() {
    let page = "<h1>No</h1>\n";
    let paster = Site::new()
        .actor("home", "/")
        .file("no.html", page)
        .policy("", "error_pages = 400 = no.html")
        .policy("", "response_headers = X-Site: yes")
        .policy("", "access_log = log")
        .policy("", "access_log_format = $request $status $body_bytes_sent")
        .serve();
    let heads = [
        "GET /a<b> HTTP/1.1\r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
    ];
    for (index, head) in heads.iter().enumerate() {
        let mut connection = paster.connect();
        // Behind another request, and before one that is read by nobody.
        let all =
            format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{head}GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.send(all.as_bytes()).expect("sent");
        assert_eq!(connection.response().expect("an answer").status, 200);
        let method = head.split(' ').next().expect("a word");
        let refusal = connection.response_to(method).expect("an answer");
        assert_eq!(refusal.status, 400, "{head}");
        assert_eq!(refusal.header("connection"), Some("close"), "{head}");
        assert_eq!(refusal.header("x-site"), Some("yes"), "{head}");
        let body = if method == "HEAD" { "" } else { page };
        assert_eq!(refusal.text(), body, "{head}");
        assert_eq!(connection.rest().expect("the end"), b"", "{head}");
        let line = head.split('\r').next().expect("a line");
        let sent = format!("{line} 400 {}\n", body.len());
        let log = paster.site().path("log");
        paster.wait_for("it is logged", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            text.matches(" 400 ").count() == index + 1 && text.contains(&sent)
        });
    }
    paster.wait_until("they are counted", |s| {
        s.without_app["requests"] == heads.len()
    });
}

#[test]
fn an_answer_that_breaks_off_never_looks_whole() {
    let breaks_off = |stream: &mut TcpStream| {
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    };
    let paster = front(backend(breaks_off), "");
    let mut client = TcpStream::connect(paster.address()).expect("it accepts");
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("the end");
    assert!(answer.ends_with("2\r\nok\r\n"), "no last chunk: {answer}");
    // Nothing but the end of the connection ends this one.
    let mut client = TcpStream::connect(paster.address()).expect("it accepts");
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("sent");
    let end = client.read_to_end(&mut Vec::new());
    let error = end.expect_err("no end in order").kind();
    assert_eq!(error, std::io::ErrorKind::ConnectionReset);
}
