//! Made-up bytes on the way of a request: through the gate, hyper, the checks and the rewriting. Whatever a client sends, no
//! worker gets a request with two opinions about its end, or a field that ends at the hop.

use super::forwarded::Trust;
use super::framing::{self, Announced};
use super::gate::play;
use super::hop::{Peer, has_connection_option};
use super::rewrite::{Client, clean, hand_over};
use super::seen::Seen;
use super::target::{self, Target};
use super::told::Told;
use crate::fuzz::fuzz;
use crate::router::limits::ClientLimits;
use crate::router::message::{Greeting, Handover, ListenerInfo};
use crate::router::urlmap::{Matched, path_info};
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A request as hyper gives it to a service; the body is none if it was malformed.
#[derive(Debug)]
struct Heard {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
    body: Option<Bytes>,
}

/// What a hyper without a gate makes of `bytes`, after which the client closes.
fn hear(bytes: &[u8]) -> Vec<Heard> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let heard = Rc::new(RefCell::new(Vec::new()));
    let record = Rc::clone(&heard);
    let service = service_fn(move |request: Request<Incoming>| {
        let record = Rc::clone(&record);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes());
            record.borrow_mut().push(Heard {
                method: head.method,
                uri: head.uri,
                version: head.version,
                headers: head.headers,
                body,
            });
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        // Fits into the pipe, so nobody waits for anybody.
        client.write_all(bytes).await.expect("the pipe is open");
        client.shutdown().await.expect("the pipe is open");
        let mut builder = Builder::new();
        let connection = builder
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        // Malformed requests are errors, and that is fine.
        let _ = connection.await;
        let mut answers = Vec::new();
        let _ = client.read_to_end(&mut answers).await;
    });
    Rc::into_inner(heard)
        .map(RefCell::into_inner)
        .unwrap_or_default()
}

/// Lines and parts of them that a request may be made of, in good order or not.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b HTTP/1.1\r\n",
        "HEAD /x HTTP/1.0\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "PUT http://h:1/p HTTP/1.1\r\n",
        "CONNECT a:1 HTTP/1.1\r\n",
        "GET /%66//../x#f HTTP/1.1\r\n",
        "Host: a\r\n",
        "Host: a\r\n",
        "Host: b:80\r\n",
        "Host:\r\n",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        ",",
        "\0",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 5\r\n",
        "content-length:+1\r\n",
        "Content-Length: ",
        "Content-Length",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: CHUNKED \r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding:",
        "chunked",
        "identity",
        "Connection: close\r\n",
        "Connection: x-a, host, te\r\n",
        "Connection: keep-alive, Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "X-A: 1\r\n",
        "X_A: 1\r\n",
        "TE: trailers\r\n",
        "Trailer: X-A\r\n",
        "Expect: 100-continue\r\n",
        "X-Forwarded-For: 6.6.6.6\r\n",
        "Paster-Environ: x\r\n",
        "Proxy: x\r\n",
        "Cookie: a\r\n",
        "Keep-Alive: 1\r\n",
        " folded\r\n",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "0\r\nX-A: 1\r\n\r\n",
        "5;e=\"1\"\r\nhello\r\n",
        "3\nabc\n",
        "0\r\n",
        "ffffffffffffffff1\r\n",
        "abc",
        "hello",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ])
    .prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![9 => known, 1 => prop::collection::vec(any::<u8>(), 1..6)]
}

fn connection() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(part(), 1..14).prop_map(|parts| parts.concat())
}

/// What a worker would be sent, or none where the request is refused.
fn rewritten(heard: &Heard) -> Option<HeaderMap> {
    let mut headers = heard.headers.clone();
    let seen = Seen::of(&headers);
    framing::check(&headers, seen).ok()?;
    let target = target::check(
        &heard.method,
        &heard.uri,
        heard.version,
        &mut headers,
        ClientLimits::default().max_target,
    )
    .ok()?;
    let Target::Path(target) = target else {
        return None;
    };
    let path = path_info(target.as_str().as_bytes()).ok()?;
    let announced = Announced::by(seen);
    let listener = ListenerInfo {
        address: "127.0.0.1:1".into(),
        scheme: "http".into(),
        server_name: "localhost".into(),
        server_port: 1,
        greeting: Greeting::default(),
    };
    let client = Client::new(None, None, &listener);
    let said = clean(
        &mut headers,
        seen,
        Peer::Untrusted,
        &Trust::default(),
        &client,
    );
    let length = heard.body.as_ref().map(|body| body.len() as u64);
    framing::write(&mut headers, length, announced);
    let matched = Matched {
        app: "app",
        script_name: Cow::Borrowed(b""),
        path_info: path,
        consumed: 0,
    };
    let mut told = Told::default();
    hand_over(
        &mut told,
        Handover::Strip,
        &matched,
        &target,
        headers.get(HOST),
        &client,
        &said,
    );
    let lines = [told.as_bytes(), b"\r\n"].concat();
    let mut fields = [httparse::EMPTY_HEADER; 20];
    let parsed = httparse::parse_headers(&lines, &mut fields).expect("ours are well-formed");
    for field in parsed.unwrap().1 {
        let name = HeaderName::from_bytes(field.name.as_bytes()).expect("a name");
        let value = HeaderValue::from_bytes(field.value).expect("a value");
        headers.append(name, value);
    }
    Some(headers)
}

#[test]
fn every_request_behind_the_gate_has_one_meaning() {
    fuzz(&(connection(), 1_usize..200), |(bytes, cut)| {
        let passed = play(&bytes, bytes.len(), 8192);
        prop_assert_eq!(
            &passed,
            &play(&bytes, cut, 8192),
            "cut into pieces of {}",
            cut
        );
        for message in passed.iter().filter(|message| !message.is_empty()) {
            let heard = hear(message);
            prop_assert!(
                heard.len() <= 1,
                "two requests in one: {:?}",
                message.escape_ascii()
            );
            let Some(request) = heard.first() else {
                continue;
            };
            if request.body.is_some() {
                // What the gate takes for the end is the end for hyper too.
                let two =
                    hear(&[message, &b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat());
                let closes = request.version == Version::HTTP_10
                    || request.method == Method::CONNECT
                    || has_connection_option(&request.headers, b"close");
                let canary = two.get(1).is_some_and(|second| second.uri == "/canary");
                prop_assert!(closes || canary, "{:?}", message.escape_ascii());
            }
            if let Some(headers) = rewritten(request) {
                let count = |name: &str| headers.get_all(name).iter().count();
                prop_assert!(count("content-length") + count("transfer-encoding") <= 1);
                prop_assert!(count("host") <= 1);
                let gone = [
                    "connection",
                    "keep-alive",
                    "te",
                    "trailer",
                    "upgrade",
                    "expect",
                    "proxy",
                    "paster-environ",
                ];
                for name in gone {
                    prop_assert_eq!(count(name), 0, "{}", name);
                }
                prop_assert!(headers.keys().all(|name| !name.as_str().contains('_')));
                prop_assert!(
                    headers
                        .get_all("x-forwarded-for")
                        .iter()
                        .all(|value| value != "6.6.6.6")
                );
            }
        }
        Ok(())
    });
}
