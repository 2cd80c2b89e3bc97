//! Bodies pass as they come, both ways, in little memory.

use crate::backend::Backend;
use crate::client::Client;
use crate::front::{Front, app, eventually, site, worker};
use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SIZE: usize = 50 << 20;
/// What a debug build may use at most, however large the bodies are.
const MEMORY: u64 = 40 << 20;

#[test]
fn a_large_download_needs_little_memory_even_when_the_client_stalls() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        peer.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes())
            .unwrap();
        for _ in 0..SIZE / 65536 {
            if peer.write(&[7; 65536]).is_err() {
                return;
            }
        }
        peer.wait_closed();
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut stalled = Client::new(&front);
    stalled.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut client = Client::new(&front);
    let answer = client.get("/");
    assert_eq!(answer.body.len(), SIZE);
    assert!(front.peak_memory() < MEMORY, "{}", front.peak_memory());
}

#[test]
fn a_large_upload_needs_little_memory() {
    let backend = Backend::answering(|request| request.body.len().to_string());
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    assert_eq!(client.post("/", &vec![7; SIZE]).text(), SIZE.to_string());
    assert!(front.peak_memory() < MEMORY, "{}", front.peak_memory());
}

#[test]
fn the_first_event_passes_at_once() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            .unwrap();
        peer.wait_closed();
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    let (mut size, mut line) = (String::new(), String::new());
    client.reader.read_line(&mut size).unwrap();
    client.reader.read_line(&mut line).unwrap();
    assert_eq!(line, "data: 1\n");
}

#[test]
fn an_upload_passes_while_it_comes() {
    let backend = Backend::new(|mut peer| {
        peer.head();
        let first = peer.chunk().unwrap();
        peer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        peer.write(format!("{:x}\r\n", first.len()).as_bytes())
            .unwrap();
        peer.write(&[&first[..], b"\r\n"].concat()).unwrap();
        while peer.chunk().is_some() {}
        peer.write(b"0\r\n\r\n").unwrap();
    });
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    let mut echoed = [0; 10];
    client.reader.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"5\r\nfirst\r\n");
    client.write("0\r\n\r\n");
    let mut end = [0; 5];
    client.reader.read_exact(&mut end).unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
}

const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n";

fn websocket() -> Backend {
    Backend::new(|mut peer| {
        let head = peer.head().unwrap().to_lowercase();
        assert!(
            head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
            "{head}"
        );
        // A greeting in the same packet.
        peer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\nhello").unwrap();
        let mut buffer = [0; 1024];
        while let Ok(n @ 1..) = peer.reader.read(&mut buffer) {
            peer.reader.get_mut().write_all(&buffer[..n]).unwrap();
        }
    })
}

#[test]
fn a_websocket_becomes_a_tunnel() {
    let backend = websocket();
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write(HANDSHAKE);
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(
        head.to_lowercase().contains("sec-websocket-accept: y"),
        "{head}"
    );
    let mut greeting = [0; 5];
    client.reader.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello");
    client.write("ping");
    let mut echoed = [0; 4];
    client.reader.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"ping");
}

#[test]
fn only_websocket_is_upgraded() {
    let backend = Backend::echo();
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: h2c",
        "Upgrade: websocket",
        "Connection: upgrade\r\nUpgrade: h2c, websocket",
    ] {
        let mut client = Client::new(&front);
        client.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n\r\n"));
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 200, "{upgrade:?}");
        assert!(!answer.text().contains("upgrade"), "{}", answer.text());
    }
}

#[test]
fn a_refused_upgrade_is_a_plain_answer() {
    let backend = Backend::answering(|_| "no".into());
    let front = Front::start(site(app(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write(HANDSHAKE);
    assert_eq!(client.answer().unwrap().text(), "no");
    assert_eq!(client.get("/").text(), "no");
}

#[test]
fn a_client_that_does_not_let_go_of_an_ended_websocket_holds_no_place() {
    let backend = Backend::new(|mut peer| {
        if !peer.head().unwrap().contains("upgrade") {
            return drop(peer.answer("ok"));
        }
        let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nbye";
        peer.write(agreed.as_bytes()).unwrap();
    });
    let mut one = worker(1, backend.path());
    one.max_in_flight = 1;
    let front = Front::start(site(app(vec![one])));
    let mut client = Client::new(&front);
    client.write(HANDSHAKE);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101"));
    let mut last = Vec::new();
    client.reader.read_to_end(&mut last).unwrap();
    assert_eq!(last, b"bye");
    assert_eq!(Client::new(&front).get("/").status, 200);
}

#[test]
fn a_websocket_whose_client_does_not_read_ends() {
    let gone = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&gone);
    let backend = Backend::new(move |mut peer| {
        peer.head();
        let agreed =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        peer.write(agreed.as_bytes()).unwrap();
        while peer.write(&[b'x'; 65536]).is_ok() {}
        ended.store(true, Ordering::SeqCst);
    });
    let mut table = site(app(vec![worker(1, backend.path())]));
    table.limits.write_timeout_ms = 300;
    let front = Front::start(table);
    let mut client = Client::new(&front);
    client.write(HANDSHAKE);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101"));
    // It says something now and then, all the same.
    eventually("the worker is let go", || {
        let _ = client.reader.get_mut().write_all(b"x");
        gone.load(Ordering::SeqCst)
    });
}
