//! Clients that mean no good: each is sent away in the end, costs no more memory than some requests do, and a client beside
//! it is served as before.

use super::script::{Asked, backend, sized};
use crate::harness::Paster;
use crate::harness::frames::{
    CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, INITIAL_WINDOW_SIZE, PING, PRIORITY, RST_STREAM,
    Raw, SETTINGS, WINDOW_UPDATE, asking, frame, head, settings,
};
use crate::harness::front::front;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory that a whole attack may cost, in KiB: far below what all of its bytes are.
pub(super) const MEMORY: u64 = 64 * 1024;

/// A client that asks before, while and after another one does what `attack` does.
fn beside(paster: &Paster, attack: impl FnOnce(&mut Raw) + Send) {
    let mut neighbour = Raw::open(paster.address());
    neighbour.get(1, "/5");
    assert_eq!(neighbour.answer(1).status, Some(200));
    let before = memory(paster);
    let mut attacker = Raw::open(paster.address());
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            attack(&mut attacker);
            assert!(
                attacker.until(|seen| seen.closed),
                "it was not sent away: {:?}, {} frames",
                attacker.seen.goaways,
                attacker.seen.frames.len()
            );
        });
        let mut stream = 3;
        while !attack.is_finished() {
            neighbour.get(stream, "/5");
            assert_eq!(neighbour.answer(stream).status, Some(200));
            stream += 2;
            neighbour.be_patient(crate::harness::DEADLINE);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        if let Err(panic) = attack.join() {
            std::panic::resume_unwind(panic);
        }
        neighbour.get(stream, "/5");
        assert_eq!(neighbour.answer(stream).status, Some(200));
    });
    let after = memory(paster);
    assert!(
        after < before + MEMORY,
        "{before} KiB before, {after} KiB after"
    );
}

/// The most that the proxy ever had, in KiB.
pub(super) fn memory(paster: &Paster) -> u64 {
    let pid = paster.status().proxy.pid.expect("there is a proxy");
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the proxy is there");
    let line = text.lines().find(|line| line.starts_with("VmHWM:"));
    let words = line.and_then(|line| line.split_whitespace().nth(1));
    words.and_then(|kib| kib.parse().ok()).expect("proc(5)")
}

/// Sends until the server takes no more, or `times` is reached.
fn flood(client: &mut Raw, times: usize, bytes: &[u8]) {
    for _ in 0..times {
        if !client.send(bytes) || client.seen.closed {
            return;
        }
        client.read_what_is_there();
    }
}

/// How many requests reach a backend that answers nothing but `/5`.
fn counted() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let address = backend(move |asked: &mut Asked| {
        if asked.line.contains("/5") {
            return asked.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
        counter.fetch_add(1, Ordering::Relaxed);
        asked.is_given_up();
        false
    });
    (address, count)
}

/// CVE-2023-44487. No more requests reach the backend than the limits of docs/proxy.md let through.
#[test]
fn requests_that_are_taken_back_at_once() {
    let (address, count) = counted();
    let paster = front(address, "");
    beside(&paster, |client| {
        for at in 0..100_000_u32 {
            let stream = 2 * at + 1;
            let mut both = head(stream, END_STREAM, &asking("/wait"));
            both.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
            if !client.send(&both) {
                break;
            }
        }
    });
    let count = count.load(Ordering::Relaxed);
    assert!(count <= 400, "{count} requests");
}

/// CVE-2025-8671: frames for which the server has to reset the stream itself.
#[test]
fn requests_that_the_server_is_made_to_reset() {
    let (address, count) = counted();
    let paster = front(address, "");
    beside(&paster, |client| {
        for at in 0..100_000_u32 {
            let stream = 2 * at + 1;
            let mut both = head(stream, END_STREAM, &asking("/wait"));
            both.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
            if !client.send(&both) {
                break;
            }
        }
    });
    let count = count.load(Ordering::Relaxed);
    assert!(count <= 400, "{count} requests");
}

#[test]
fn malformed_requests_without_end() {
    let (address, count) = counted();
    let paster = front(address, "");
    beside(&paster, |client| {
        let mut fields = asking("/wait").to_vec();
        fields.push(("connection", "close"));
        for at in 0..100_000_u32 {
            if !client.send(&head(2 * at + 1, END_STREAM, &fields)) {
                break;
            }
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 0);
}

#[test]
fn streams_beyond_the_limit_without_end() {
    let (address, count) = counted();
    let paster = front(address, "");
    beside(&paster, |client| {
        for at in 0..100_000_u32 {
            if !client.send(&head(2 * at + 1, END_STREAM, &asking("/wait"))) {
                break;
            }
        }
    });
    let count = count.load(Ordering::Relaxed);
    assert!(count <= 400, "{count} requests");
}

/// CVE-2019-9512, -9515 and others: frames that cost the server something and the client nothing.
#[test]
fn frames_that_carry_nothing_without_end() {
    let paster = front(sized(), "");
    let frames = [
        settings(&[]),
        settings(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 10_000)]),
        frame(SETTINGS, 0, 0, b"\xff\xff\0\0\0\x01"),
        frame(PING, 0, 0, b"12345678"),
        frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
        frame(0xbe, 0, 0, b""),
    ];
    for bytes in frames {
        beside(&paster, |client| flood(client, 10_000, &bytes.repeat(100)));
    }
}

/// CVE-2019-9518.
#[test]
fn empty_pieces_of_a_body_without_end() {
    let paster = front(sized(), "");
    beside(&paster, |client| {
        client.send(&head(1, 0, &asking("/wait")));
        flood(client, 10_000, &frame(DATA, 0, 1, b"").repeat(100));
        client.until(|seen| seen.closed);
        assert_eq!(client.seen.goaway(), Some(ENHANCE_YOUR_CALM));
    });
}

/// CVE-2019-9511: windows that are opened byte by byte.
#[test]
fn an_answer_that_is_taken_byte_by_byte() {
    let paster = front(sized(), "");
    beside(&paster, |client| {
        client.send(&settings(&[(INITIAL_WINDOW_SIZE, 0)]));
        client.get(1, "/10000000");
        let byte = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
        flood(client, 10_000, &byte.repeat(100));
    });
}

/// CVE-2019-9517: all that can be asked for at once, and nothing is read.
#[test]
fn answers_that_nobody_takes() {
    let paster = front(sized(), "write_timeout = 1s");
    beside(&paster, |client| {
        client.send(&settings(&[(INITIAL_WINDOW_SIZE, 0)]));
        for at in 0..100 {
            client.get(2 * at + 1, "/10000000");
        }
    });
    // And with open windows, but a closed socket buffer.
    let paster = front(sized(), "write_timeout = 1s");
    beside(&paster, |client| {
        paster.wait_until("both are counted", |s| s.proxy.connections == 2);
        client.send(&settings(&[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]));
        client.grant(0, 0x7fff_0000);
        for at in 0..100 {
            client.get(2 * at + 1, "/10000000");
        }
        paster.wait_until("it was sent away", |s| s.proxy.connections == 1);
    });
}
