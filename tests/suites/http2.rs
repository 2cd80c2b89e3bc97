//! HTTP/2: the same answers, on streams; and clients that mean no good.

use crate::harness::certificates::Authority;
use crate::harness::curl::curl;
use crate::harness::h2::{Connection, body, get, run};
use crate::harness::{DEADLINE, Paster, Site, poll};
use crate::tls;
use bytes::Bytes;
use http::{Method, Request};
use serde_json::Value;
use std::fs;
use std::time::Duration;

fn told(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {body:?}"))
}

fn plain() -> Paster {
    tls::site("", "").serve()
}

fn in_flight(paster: &Paster, app: &str) -> u64 {
    let status = paster.status();
    status
        .app(app)
        .workers
        .iter()
        .map(|worker| worker.in_flight)
        .sum()
}

#[test]
fn a_tls_client_that_can_speaks_it() {
    let authority = Authority::new();
    let more = "[isolate]\naccess_log = access.log\naccess_log_format = json\n";
    let paster = tls::certified_site(&authority, &["a.example"], "", more).serve();
    let port = paster.address().port();
    let ask = |options: &[&str]| {
        let options = [&["--http2"], options].concat();
        tls::get(&paster, "a.example", "/x%20y?z", &options).succeeded()
    };
    let answer = ask(&["--data", "abc"]);
    assert_eq!(answer.status_line(), "HTTP/2 200");
    let app = told(answer.body.as_bytes());
    let expected = [
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/x y"),
        ("QUERY_STRING", "z"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("wsgi.url_scheme", "https"),
        ("CONTENT_LENGTH", "3"),
    ];
    for (key, value) in expected {
        assert_eq!(app[key], value, "{key}");
    }
    assert_eq!(app["headers"]["HTTP_HOST"], format!("a.example:{port}"));
    assert_eq!(app["body"], 3);
    assert_eq!(ask(&["--head"]).status_line(), "HTTP/2 200");
    let log = paster.site().path("access.log");
    let line = poll(DEADLINE, || {
        let text = fs::read_to_string(&log).ok()?;
        text.lines().next().map(str::to_owned)
    });
    let line = told(line.expect("the request is logged").as_bytes());
    assert_eq!(line["version"], "HTTP/2.0");
    assert_eq!(line["target"], "/x%20y?z");
}

#[test]
fn bodies_pass_both_ways_and_prior_knowledge_is_enough() {
    let paster = plain();
    let url = format!("http://{}", paster.address());
    let big = paster.site().path("big");
    fs::write(&big, vec![b'x'; 3_000_000]).expect("a file in the site");
    let upload = format!("@{}", big.display());
    let options = ["--http2-prior-knowledge", "--data-binary", &upload];
    let answer = curl(&[&options[..], &[&url]].concat()).succeeded();
    assert_eq!(answer.status_line(), "HTTP/2 200");
    assert_eq!(told(answer.body.as_bytes())["body"], 3_000_000);
    let stream = format!("{url}/stream?100");
    let answer = curl(&["--http2-prior-knowledge", &stream]).succeeded();
    assert_eq!(answer.body.len(), 5_000_000);
    // The same port speaks HTTP/1.1.
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn a_body_of_unknown_length_arrives_whole() {
    let paster = plain();
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests.ready().await.expect("room");
        let request = Request::post("https://a.example/").body(()).expect("valid");
        let (response, mut upload) = requests.send_request(request, false).expect("sent");
        for _ in 0..5 {
            upload
                .send_data(Bytes::from_static(&[b'x'; 100]), false)
                .expect("sent");
            tokio::task::yield_now().await;
        }
        upload.send_data(Bytes::new(), true).expect("sent");
        let answer = body(response.await.expect("an answer"))
            .await
            .expect("whole");
        assert_eq!(told(&answer)["body"], 500);
    });
}

#[test]
fn uploads_that_wait_for_a_worker_do_not_hold_up_the_one_that_has_it() {
    const EACH: usize = 1_000_000;
    let policy = "[isolate:environ]\nthreads = 1\nrequest_buffering = off\nqueue_timeout = 5s";
    let paster = tls::site("", policy).serve();
    run(async {
        let connection = Connection::open(paster.address()).await;
        let upload = || {
            let requests = connection.requests.clone();
            async move {
                let mut requests = requests.ready().await.expect("room");
                let request = Request::post("https://a.example/").body(()).expect("valid");
                let (response, mut stream) = requests.send_request(request, false).expect("sent");
                let mut left = EACH;
                while left > 0 {
                    stream.reserve_capacity(left.min(16_000));
                    let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
                    let room = room.expect("it is open").expect("no reset");
                    left -= room;
                    let data = Bytes::from(vec![b'x'; room]);
                    stream.send_data(data, left == 0).expect("sent");
                }
                let answer = response.await.expect("an answer");
                let answer = body(answer).await.expect("whole");
                assert_eq!(told(&answer)["body"], EACH);
            }
        };
        // What all of them may send ahead is more than there is room for.
        let all: Vec<_> = (0..12).map(|_| tokio::spawn(upload())).collect();
        for one in all {
            one.await.expect("it was answered");
        }
    });
}

#[test]
fn crumbs_of_cookies_are_joined_and_hosts_must_agree() {
    let paster = plain();
    run(async {
        let mut connection = Connection::open(paster.address()).await;
        let mut request = get("/");
        for crumb in ["a=1", "b=2", "c=3"] {
            request
                .headers_mut()
                .append("cookie", crumb.parse().expect("valid"));
        }
        let answer = connection.ask(request).await.expect("an answer");
        let app = told(&body(answer).await.expect("whole"));
        assert_eq!(app["headers"]["HTTP_COOKIE"], "a=1; b=2; c=3");
        assert_eq!(app["headers"]["HTTP_HOST"], "a.example");
        let mut request = get("/");
        request
            .headers_mut()
            .insert("host", "b.example".parse().expect("valid"));
        let refused = connection.ask(request).await.expect("an answer");
        assert_eq!(refused.status(), 400);
        // Which ends nothing but the stream.
        assert_eq!(
            connection.ask(get("/")).await.expect("an answer").status(),
            200
        );
    });
}

#[test]
fn what_is_too_large_is_refused_on_its_stream() {
    let paster = plain();
    run(async {
        let mut connection = Connection::open(paster.address()).await;
        let mut many = get("/");
        for number in 0..200 {
            let name = format!("x-{number}")
                .parse::<http::HeaderName>()
                .expect("valid");
            many.headers_mut().insert(name, "1".parse().expect("valid"));
        }
        assert_eq!(connection.ask(many).await.expect("an answer").status(), 431);
        let mut large = get("/");
        let value = "x".repeat(15_000);
        for number in 0..5 {
            let name = format!("x-{number}")
                .parse::<http::HeaderName>()
                .expect("valid");
            large
                .headers_mut()
                .insert(name, value.parse().expect("valid"));
        }
        assert_eq!(
            connection.ask(large).await.expect("an answer").status(),
            431
        );
        let long = get(&format!("/{}", "x".repeat(20_000)));
        assert_eq!(connection.ask(long).await.expect("an answer").status(), 414);
        let connect = Request::connect("a.example:1").body(()).expect("valid");
        assert_eq!(
            connection.ask(connect).await.expect("an answer").status(),
            405
        );
        assert_eq!(
            connection.ask(get("/")).await.expect("an answer").status(),
            200
        );
    });
}

#[test]
fn a_hundred_requests_at_once_share_a_connection() {
    let paster = plain();
    run(async {
        let connection = Connection::open(paster.address()).await;
        let ask = |number: usize| {
            let requests = connection.requests.clone();
            async move {
                let request = get(&format!("/stream?{}", number % 5));
                let mut requests = requests.ready().await.expect("room");
                let (response, _) = requests.send_request(request, true).expect("sent");
                let answer = response.await.expect("an answer");
                let length = body(answer).await.expect("whole").len();
                assert_eq!(length, 50_000 * (number % 5));
            }
        };
        let all: Vec<_> = (0..300).map(|number| tokio::spawn(ask(number))).collect();
        for one in all {
            one.await.expect("no answer was wrong");
        }
    });
    paster.wait_until("all are done", |s| {
        s.app("environ").workers[0].in_flight == 0
    });
}

fn sleepers() -> Paster {
    let policy = "threads = 2";
    Site::new().actor("app", "/").policy("app", policy).serve()
}

/// Waits while the client's connection goes on.
async fn until(paster: &Paster, what: &str, condition: impl Fn(&Paster) -> bool) {
    let end = tokio::time::Instant::now() + 2 * DEADLINE;
    while !condition(paster) {
        assert!(tokio::time::Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_request_that_is_taken_back_frees_its_place() {
    let paster = sleepers();
    // It sleeps on.
    paster.allow_log("worker ignored SIGTERM");
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests.ready().await.expect("room");
        let (response, mut stream) = requests
            .send_request(get("/slow?s=60"), true)
            .expect("sent");
        until(&paster, "it is in flight", |p| in_flight(p, "app") == 1).await;
        stream.send_reset(h2::Reason::CANCEL);
        assert!(response.await.is_err());
        until(&paster, "it is not any more", |p| in_flight(p, "app") == 0).await;
    });
}

#[test]
fn who_asks_and_takes_back_again_and_again_is_sent_away() {
    let paster = plain();
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests;
        for _ in 0..2000 {
            let Ok(ready) = requests.ready().await else {
                break;
            };
            requests = ready;
            let Ok((_, mut stream)) = requests.send_request(get("/stream?9"), true) else {
                break;
            };
            // So that it is seen before it is taken back.
            tokio::task::yield_now().await;
            stream.send_reset(h2::Reason::CANCEL);
            tokio::task::yield_now().await;
        }
        let end = connection.ended.await.expect("our own task");
        assert!(end.is_err(), "{end:?}");
    });
    assert_eq!(paster.get("/").status, 200);
    paster.wait_until("nothing is left", |s| s.proxy.connections == 0);
}

#[test]
fn requests_that_were_begun_and_taken_back_count_too() {
    let paster = sleepers();
    paster.allow_log("worker ignored SIGTERM");
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests;
        while let Ok(ready) = requests.ready().await {
            requests = ready;
            let mut streams = Vec::new();
            for _ in 0..60 {
                let Ok(ready) = requests.clone().ready().await else {
                    break;
                };
                requests = ready;
                streams.extend(requests.send_request(get("/slow?s=60"), true));
            }
            until(&paster, "they wait", |p| {
                let status = p.status();
                status.proxy.connections == 0 || status.app("app").queued >= 50
            })
            .await;
            for (_, stream) in &mut streams {
                stream.send_reset(h2::Reason::CANCEL);
            }
            until(&paster, "they do not any more", |p| {
                p.status().app("app").queued == 0
            })
            .await;
        }
    });
    paster.wait_until("nothing is left", |s| s.proxy.connections == 0);
}

#[test]
fn an_answer_that_nobody_takes_holds_no_worker() {
    let paster = plain();
    run(async {
        let mut connection = Connection::open(paster.address()).await;
        // It takes the head, and nothing of five million bytes.
        let response = connection.ask(get("/stream?100")).await.expect("a head");
        until(&paster, "it is in flight", |p| in_flight(p, "environ") == 1).await;
        until(&paster, "it was given up", |p| in_flight(p, "environ") == 0).await;
        until(&paster, "and so was the connection", |p| {
            p.status().proxy.connections == 0
        })
        .await;
        assert!(body(response).await.is_err());
    });
}

#[test]
fn a_proxy_that_is_replaced_says_goodbye_and_finishes_what_it_has() {
    let mut paster = sleepers();
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests.ready().await.expect("room");
        let (response, _) = requests.send_request(get("/slow?s=2"), true).expect("sent");
        until(&paster, "it is in flight", |p| in_flight(p, "app") == 1).await;
        paster.edit(|site| site.policy("", "access_log = access.log"));
        paster.command(&["reload"]).succeeded();
        let answer = response.await.expect("an answer");
        assert_eq!(answer.status(), 200);
        body(answer).await.expect("whole");
        let end = connection.ended.await.expect("our own task");
        end.expect("the server has closed with GOAWAY and no error");
        assert!(
            requests.ready().await.is_err(),
            "no more requests are taken"
        );
    });
}

/// A worker that reads a chunked request with a trailer `X-Sum`, and answers with a trailer that repeats it.
const TRAILERS: &str = r#"
import socket

listener = socket.socket(fileno=3)
while True:
    connection, _ = listener.accept()
    request = b""
    while not (b"\r\n0\r\n" in request and request.endswith(b"\r\n\r\n")):
        piece = connection.recv(65536)
        if not piece:
            break
        request += piece
    else:
        lines = request.lower().split(b"\r\n")
        told = [line.partition(b": ")[2] for line in lines if line.startswith(b"x-sum: ")]
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Back\r\n\r\n"
            b"2\r\nok\r\n0\r\nX-Back: %s\r\n\r\n" % b"".join(told)
        )
    connection.close()
"#;

#[test]
fn trailers_pass_both_ways() {
    let paster = Site::new()
        .file("trailers.py", TRAILERS)
        .exec("app", "/", "python3 {here}/trailers.py")
        .serve();
    paster.allow_log("worker ignored SIGTERM");
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests.ready().await.expect("room");
        let request = Request::post("https://a.example/")
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(())
            .expect("valid");
        let (response, mut upload) = requests.send_request(request, false).expect("sent");
        upload
            .send_data(Bytes::from_static(b"abc"), false)
            .expect("sent");
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "12".parse().expect("valid"));
        upload.send_trailers(trailers).expect("sent");
        let mut down = response.await.expect("an answer").into_body();
        while let Some(data) = down.data().await {
            assert_eq!(data.expect("data"), "ok");
        }
        let trailers = down.trailers().await.expect("the end").expect("trailers");
        assert_eq!(trailers["x-back"], "12");
    });
}

/// A text frame as a client sends it (RFC 6455 section 5).
fn masked(text: &str) -> Bytes {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).expect("short")];
    frame.extend(mask);
    frame.extend(
        text.bytes()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    Bytes::from(frame)
}

#[test]
fn a_websocket_is_a_stream() {
    let paster = crate::fixtures::site(
        "[composite:main]\nuse = egg:Paste#urlmap\n/ws = echo\n\n[app:echo]\nuse = exec:{python} {here}/echo.py {port}\n",
    )
    .file("echo.py", crate::proxy::ECHO)
    .serve();
    run(async {
        let connection = Connection::open(paster.address()).await;
        let mut requests = connection.requests.ready().await.expect("room");
        let connect = |path: &str| {
            Request::builder()
                .method(Method::CONNECT)
                .uri(format!("https://a.example{path}"))
                .header("sec-websocket-version", "13")
                .extension(h2::ext::Protocol::from_static("websocket"))
                .body(())
                .expect("valid")
        };
        let (response, mut up) = requests
            .send_request(connect("/ws/room"), false)
            .expect("sent");
        let response = response.await.expect("an answer");
        assert_eq!(response.status(), 200);
        let forbidden = ["connection", "upgrade", "sec-websocket-accept"];
        assert!(
            !forbidden
                .iter()
                .any(|name| response.headers().contains_key(*name))
        );
        let mut down = response.into_body();
        let mut read = Vec::new();
        let mut next = async |part: &str| {
            while !String::from_utf8_lossy(&read).contains(part) {
                let data = down.data().await.expect("more").expect("data");
                down.flow_control()
                    .release_capacity(data.len())
                    .expect("ours");
                read.extend_from_slice(&data);
            }
        };
        next("at /room").await;
        up.send_data(masked("hello"), false).expect("sent");
        next("hello").await;
        // Other requests go beside it.
        let (missing, _) = requests.send_request(get("/nowhere"), true).expect("sent");
        assert_eq!(missing.await.expect("an answer").status(), 404);
        let (none, _up) = requests
            .send_request(connect("/nowhere"), false)
            .expect("sent");
        assert_eq!(none.await.expect("an answer").status(), 404);
        up.send_data(masked("still here"), false).expect("sent");
        next("still here").await;
    });
    paster.wait_until("nothing is left", |s| {
        s.proxy.connections == 0 && s.app("echo").workers[0].in_flight == 0
    });
}
