//! Frames at random: whatever comes, the proxy stays the same process, serves others, and its backend sees only requests that
//! somebody has made.

use super::script::backend;
use crate::harness::DEADLINE;
use crate::harness::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, PREFACE, Raw, asking, frame, settings,
};
use crate::harness::front::front;
use crate::harness::hpack;
use fastrand::Rng;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Clients in an ordinary run.
const CLIENTS: u64 = 150;

/// Frames of a client.
const FRAMES: usize = 60;

/// Whether somebody may have asked so: bodies and values, of which some look like requests, never become one.
fn is_honest(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1\r\n"] = words[..] else {
        return false;
    };
    !method.is_empty() && target.starts_with('/') && !target.contains("evil")
}

/// One that is nearly always right, in part, so that the next ones find something open.
fn made_up(rng: &mut Rng) -> Vec<u8> {
    let kind = rng.u8(0..=CONTINUATION + 1);
    let flags = match rng.u8(0..10) {
        0 => rng.u8(..),
        1..=2 => 0,
        3..=4 => END_STREAM,
        5..=6 => END_HEADERS,
        _ => END_HEADERS | END_STREAM,
    };
    let stream = match rng.u8(0..20) {
        0 => rng.u32(..),
        1..=3 => 0,
        4 => 2,
        _ => 2 * rng.u32(0..40) + 1,
    };
    let mut payload = match rng.u8(0..8) {
        0 => Vec::new(),
        1 => vec![0; rng.usize(0..300)],
        2 => (0..rng.usize(0..40)).map(|_| rng.u8(..)).collect(),
        3 => rng.u32(..).to_be_bytes().to_vec(),
        4 => b"\0\0\0\0\0\0\x10\0".to_vec(),
        5 => b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        _ => {
            let mut fields = asking("/made-up").to_vec();
            if rng.bool() {
                fields[0].1 = "POST";
            }
            if rng.u8(0..4) == 0 {
                let name = rng.choice(["x-a", "X-A", "connection", ":path", "content-length"]);
                let value = rng.choice(["", "1", " 1", "/evil", "1\r\nx-evil: 1"]);
                fields.extend(name.zip(value));
            }
            hpack::encode(&fields)
        }
    };
    if rng.u8(0..10) == 0 && !payload.is_empty() {
        let at = rng.usize(0..payload.len());
        payload[at] = rng.u8(..);
    }
    frame(kind, flags, stream, &payload)
}

fn play(seed: u64, address: std::net::SocketAddr) {
    let mut rng = Rng::with_seed(seed);
    let mut client = Raw::connect(address);
    client.send(PREFACE);
    client.send(&settings(&[]));
    for _ in 0..FRAMES {
        let mut bytes = made_up(&mut rng);
        if rng.u8(0..200) == 0 {
            bytes.truncate(rng.usize(0..bytes.len()));
        }
        if !client.send(&bytes) {
            break;
        }
        client.read_what_is_there();
        if client.seen.closed {
            break;
        }
    }
    assert!(
        client.seen.trouble.is_none(),
        "seed {seed}: {:?}",
        client.seen.trouble
    );
}

/// `PASTER_FUZZ_SECONDS` as in docs/testing.md.
#[test]
fn made_up_frames_harm_nobody() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&lines);
    let address = backend(move |asked| {
        let mut record = record.lock().expect("no panic under it");
        record.push(asked.line.clone());
        drop(record);
        // Its body, if it has one, makes the next line of this connection: one request for each.
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        false
    });
    let paster = front(address, "");
    let pid = paster.status().proxy.pid;
    let mut neighbour = Raw::open(paster.address());
    let seconds = std::env::var("PASTER_FUZZ_SECONDS").ok();
    let end = seconds
        .and_then(|text| text.parse().ok())
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut seed = 0;
    while end.map_or(seed < CLIENTS, |end| Instant::now() < end) {
        play(seed, paster.address());
        seed += 1;
        if seed % 50 == 0 {
            let stream = u32::try_from(2 * seed + 1).expect("not so many");
            neighbour.be_patient(DEADLINE);
            neighbour.get(stream, "/made-up");
            assert_eq!(neighbour.answer(stream).status, Some(200), "seed {seed}");
        }
    }
    assert_eq!(paster.status().proxy.pid, pid, "it is another proxy");
    let lines = lines.lock().expect("no panic under it");
    assert!(!lines.is_empty(), "nothing was a request");
    let others: Vec<_> = lines.iter().filter(|line| !is_honest(line)).collect();
    assert!(others.is_empty(), "{seed} clients: {others:?}");
}
