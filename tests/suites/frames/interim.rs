//! Interim answers: 103 and its like from a worker, at once and before the final one; 100 Continue from the proxy.

use super::abuse::{MEMORY, memory};
use super::script::{Asked, backend, told};
use crate::harness::curl::curl;
use crate::harness::frames::{CANCEL, DATA, END_STREAM, HEADERS, Raw, asking, frame, head};
use crate::harness::front::front;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend that says `first`, and the rest when it is told to.
fn in_two_parts(first: &'static str, rest: &'static str) -> (SocketAddr, Sender<()>) {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let address = backend(move |asked| {
        asked.say(first) && gone.lock().expect("no panic").recv().is_ok() && asked.say(rest)
    });
    (address, go)
}

fn post(expects: bool) -> Vec<(&'static str, &'static str)> {
    let mut fields = asking("/upload").to_vec();
    fields[0].1 = "POST";
    fields.push(("content-length", "5"));
    if expects {
        fields.push(("expect", "100-continue"));
    }
    fields
}

#[test]
fn hints_are_there_before_the_answer() {
    let (address, go) = in_two_parts(HINT, OK);
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    client.get(1, "/");
    assert!(client.until(|seen| seen.stream(1).interim == [103]));
    let stream = client.seen.stream(1);
    assert_eq!(stream.status, None);
    let link = (":status".to_owned(), "103".to_owned());
    assert_eq!(stream.interim_fields[0], link);
    assert_eq!(stream.interim_fields[1].1, "</a.css>; rel=preload");
    assert_eq!(stream.interim_fields.len(), 2);
    go.send(()).expect("the backend waits");
    let answer = client.answer(1);
    assert_eq!((answer.status, answer.interim), (Some(200), vec![103]));
    assert_eq!(client.seen.trouble, None);
}

#[test]
fn several_come_in_their_order_and_each_to_its_stream() {
    let paster = front(
        backend(|asked| {
            let path = asked.line.split(' ').nth(1).unwrap_or_default().to_owned();
            (0..5).all(|number| {
                asked.say(&format!(
                    "HTTP/1.1 {} Soon\r\nX-Number: {path} {number}\r\n\r\n",
                    102 + number
                ))
            }) && asked.say(OK)
        }),
        "",
    );
    let mut client = Raw::open(paster.address());
    let streams: Vec<u32> = (0..20).map(|number| 2 * number + 1).collect();
    for stream in &streams {
        client.get(*stream, &format!("/{stream}"));
    }
    for stream in streams {
        let answer = client.answer(stream);
        assert_eq!(answer.interim, [102, 103, 104, 105, 106]);
        let numbers: Vec<_> = answer
            .interim_fields
            .iter()
            .filter(|field| field.0 == "x-number")
            .map(|field| field.1.clone())
            .collect();
        let expected: Vec<_> = (0..5).map(|number| format!("/{stream} {number}")).collect();
        assert_eq!(numbers, expected);
        assert_eq!((answer.status, &*answer.body), (Some(200), &b"ok"[..]));
    }
    assert_eq!(client.seen.trouble, None);
}

#[test]
fn hints_pass_while_a_body_is_on_its_way() {
    let (address, go) = in_two_parts(HINT, OK);
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    client.send(&head(1, 0, &post(false)));
    assert!(client.until(|seen| seen.stream(1).interim == [103]));
    client.send(&frame(DATA, END_STREAM, 1, b"hello"));
    go.send(()).expect("the backend waits");
    assert_eq!(client.answer(1).status, Some(200));
}

#[test]
fn a_client_that_has_the_hints_may_leave() {
    let (left, leaves) = mpsc::channel();
    let left = Mutex::new(left);
    let paster = front(
        backend(move |asked: &mut Asked| {
            asked.say(HINT);
            let _ = left.lock().expect("no panic").send(asked.is_given_up());
            false
        }),
        "",
    );
    let mut client = Raw::open(paster.address());
    client.get(1, "/");
    assert!(client.until(|seen| seen.stream(1).interim == [103]));
    client.reset(1, CANCEL);
    assert!(told(&leaves, "the request is given up"));
}

#[test]
fn hints_without_end_cost_no_memory() {
    const HINTS: usize = 50_000;
    let (sent, all_sent) = mpsc::channel();
    let sent = Mutex::new(sent);
    let hint = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: </{}>\r\n\r\n",
        "x".repeat(2000)
    );
    let paster = front(
        backend(move |asked| {
            if asked.line.contains("/5") {
                return asked.say(OK);
            }
            let all = (0..HINTS).all(|_| asked.say(&hint)) && asked.say(OK);
            let _ = sent.lock().expect("no panic").send(all);
            all
        }),
        "",
    );
    let mut neighbour = Raw::open(paster.address());
    neighbour.get(1, "/5");
    assert_eq!(neighbour.answer(1).status, Some(200));
    let before = memory(&paster);
    let mut client = Raw::connect_with_small_buffer(paster.address());
    client.send(crate::harness::frames::PREFACE);
    client.send(&crate::harness::frames::settings(&[]));
    client.get(1, "/");
    // It reads nothing meanwhile.
    assert!(told(&all_sent, "all hints are sent"));
    neighbour.get(3, "/5");
    assert_eq!(neighbour.answer(3).status, Some(200));
    let answer = client.answer(1);
    assert_eq!((answer.status, &*answer.body), (Some(200), &b"ok"[..]));
    let hints = answer.interim.len();
    assert!((1..HINTS).contains(&hints), "{hints}");
    let after = memory(&paster);
    assert!(
        after < before + MEMORY,
        "{before} KiB before, {after} KiB after"
    );
}

/// An extended CONNECT (RFC 8441).
const CONNECT: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/"),
    ("sec-websocket-version", "13"),
];

#[test]
fn hints_come_before_a_tunnel_that_carries_both_ways_to_its_end() {
    let paster = front(
        backend(|asked| {
            let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                          Upgrade: websocket\r\n\r\nhi, ";
            let mut heard = [0; 5];
            let _ = asked.say(HINT)
                && asked.say(agreed)
                && asked.connection.read_exact(&mut heard).is_ok()
                && asked.say(&String::from_utf8_lossy(&heard));
            false
        }),
        "",
    );
    let mut client = Raw::open(paster.address());
    client.send(&head(1, 0, &CONNECT));
    assert!(client.until(|seen| seen.stream(1).body == b"hi, "));
    let stream = client.seen.stream(1);
    assert_eq!((stream.interim, stream.status), (vec![103], Some(200)));
    client.send(&frame(DATA, 0, 1, b"hello"));
    let answer = client.answer(1);
    assert_eq!(answer.body, b"hi, hello");
    assert!(answer.ended);
}

#[test]
fn a_tunnel_that_the_client_resets_is_closed() {
    let (left, leaves) = mpsc::channel();
    let left = Mutex::new(left);
    let paster = front(
        backend(move |asked| {
            asked.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi");
            let _ = left.lock().expect("no panic").send(asked.is_given_up());
            false
        }),
        "",
    );
    let mut client = Raw::open(paster.address());
    client.send(&head(1, 0, &CONNECT));
    assert!(client.until(|seen| seen.stream(1).body == b"hi"));
    client.reset(1, CANCEL);
    assert!(told(&leaves, "the worker's end is closed"));
}

#[test]
fn a_client_that_others_have_written_understands_them() {
    let paster = front(
        backend(|asked| {
            let mut body = [0; 5];
            asked.connection.read_exact(&mut body).is_ok() && asked.say(HINT) && asked.say(OK)
        }),
        "",
    );
    let url = format!("http://{}", paster.address());
    let options = ["--http2-prior-knowledge", "--data", "hello"];
    let expecting = ["--header", "Expect: 100-continue"];
    let answer = curl(&[&options[..], &expecting, &[&url]].concat()).succeeded();
    let lines = answer.head.lines().map(str::trim);
    let statuses: Vec<_> = lines.filter(|line| line.starts_with("HTTP/")).collect();
    assert_eq!(statuses, ["HTTP/2 100", "HTTP/2 103", "HTTP/2 200"]);
    assert_eq!(answer.body, "ok");
    // What hyper adds in HTTP/1.1; once, and to the final answer.
    assert_eq!(answer.head.matches("\ndate: ").count(), 1, "{answer:?}");
}

/// Reads five bytes, and tells them.
fn uploads() -> (SocketAddr, Receiver<Vec<u8>>) {
    let (tell, by) = mpsc::channel();
    let tell = Arc::new(Mutex::new(tell));
    let address = backend(move |asked| {
        let mut body = vec![0; 5];
        if asked.connection.read_exact(&mut body).is_err() {
            return false;
        }
        let _ = tell.lock().expect("no panic").send(body);
        asked.say(OK)
    });
    (address, by)
}

#[test]
fn a_client_that_waits_is_told_to_continue() {
    for buffering in ["off", "on"] {
        let (address, bodies) = uploads();
        let paster = front(address, &format!("request_buffering = {buffering}"));
        let mut client = Raw::open(paster.address());
        client.send(&head(1, 0, &post(true)));
        assert!(client.until(|seen| seen.stream(1).interim == [100]));
        client.send(&frame(DATA, 0, 1, b"he"));
        client.send(&frame(DATA, END_STREAM, 1, b"llo"));
        let answer = client.answer(1);
        assert_eq!((answer.status, answer.interim), (Some(200), vec![100]));
        assert_eq!(told(&bodies, "a body"), b"hello");
        // Who does not ask is not told.
        client.send(&head(3, 0, &post(false)));
        client.send(&frame(DATA, END_STREAM, 3, b"hello"));
        assert!(client.answer(3).interim.is_empty());
        assert_eq!(client.seen.trouble, None);
    }
}

#[test]
fn a_client_that_is_refused_is_not_told_to_continue() {
    let (address, _bodies) = uploads();
    let paster = front(address, "max_body = 3");
    let mut client = Raw::open(paster.address());
    client.send(&head(1, 0, &post(true)));
    let answer = client.answer(1);
    assert_eq!((answer.status, answer.interim), (Some(413), Vec::new()));
}

#[test]
fn a_refusal_of_head_is_nothing_but_a_head() {
    let (address, _bodies) = uploads();
    let paster = front(address, "max_target = 1024");
    let mut client = Raw::open(paster.address());
    let long = format!("/{}", "x".repeat(2000));
    let mut fields = asking(&long);
    client.send(&head(1, END_STREAM, &fields));
    let usual = client.answer(1);
    fields[0].1 = "HEAD";
    client.send(&head(3, END_STREAM, &fields));
    let answer = client.answer(3);
    assert_eq!((usual.status, answer.status), (Some(414), Some(414)));
    assert!(!usual.body.is_empty() && answer.body.is_empty());
    let length = |fields: &[(String, String)]| {
        let length = fields.iter().find(|field| field.0 == "content-length");
        length.map(|length| length.1.clone())
    };
    assert_eq!(length(&usual.fields), length(&answer.fields));
    let frames = client.seen.frames.iter().filter(|frame| frame.2 == 3);
    assert!(frames.map(|frame| frame.0).eq([HEADERS]));
}
