//! Windows, streams in both directions, cancelling, how many at a time, timeouts and the end (sections 5.2, 5.1.2, 6.8, 6.9).

use super::script::{backend, sized, told};
use crate::harness::frames::{
    CANCEL, DATA, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, PREFACE, REFUSED_STREAM, Raw,
    asking, frame, head, settings,
};
use crate::harness::front::front;
use crate::harness::{DEADLINE, Paster};
use nix::sys::signal::Signal;
use std::io::Read;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const POST: [(&str, &str); 4] = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/upload"),
];

/// What the server promises to take at once: SETTINGS_MAX_CONCURRENT_STREAMS.
const STREAMS: u32 = 100;

fn body(client: &Raw, stream: u32) -> usize {
    client.seen.stream(stream).body.len()
}

/// Nothing more comes before the answer to a PING, which is behind all that could be sent before.
fn settle(client: &mut Raw, token: &[u8; 8]) {
    client.send(&frame(crate::harness::frames::PING, 0, 0, token));
    assert!(client.until(|seen| seen.pongs.contains(token)));
}

#[test]
fn a_closed_window_gets_the_head_and_each_byte_that_is_granted() {
    let paster = front(sized(), "");
    let mut client = Raw::open_with(paster.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    client.get(1, "/1000");
    assert!(client.until(|seen| seen.status(1) == Some(200)));
    settle(&mut client, b"nothing.");
    assert_eq!(body(&client, 1), 0);
    for granted in 1..=3 {
        client.grant(1, 1);
        assert!(client.until(|seen| seen.stream(1).body.len() == granted));
    }
    // Settings are for streams that are open, too.
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 500)]));
    assert!(client.until(|seen| seen.stream(1).body.len() >= 503));
    client.grant(1, 10_000);
    assert_eq!(client.answer(1).body.len(), 1000);
    // An answer without a body needs no window.
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 0)]));
    client.get(3, "/0");
    assert_eq!(client.answer(3).status, Some(200));
}

#[test]
fn a_window_can_be_below_nothing() {
    let paster = front(sized(), "");
    let mut client = Raw::open_with(paster.address(), &[(INITIAL_WINDOW_SIZE, 100)]);
    client.get(1, "/1000");
    assert!(client.until(|seen| seen.stream(1).body.len() == 100));
    // Now it is -60.
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 40)]));
    client.grant(1, 50);
    settle(&mut client, b"below...");
    assert_eq!(body(&client, 1), 100);
    client.grant(1, 15);
    assert!(client.until(|seen| seen.stream(1).body.len() == 105));
    client.grant(1, 10_000);
    assert_eq!(client.answer(1).body.len(), 1000);
}

#[test]
fn streams_share_the_window_of_the_connection() {
    let paster = front(sized(), "");
    let mut client = Raw::open(paster.address());
    client.get(1, "/50000");
    client.get(3, "/50000");
    assert!(
        client.until(|seen| seen.stream(1).body.len() + seen.stream(3).body.len() == 65_535),
        "{:?}",
        client.seen.frames
    );
    settle(&mut client, b"no more.");
    assert_eq!(body(&client, 1) + body(&client, 3), 65_535);
    // What needs no window goes on.
    client.get(5, "/0");
    assert_eq!(client.answer(5).status, Some(200));
    client.grant(0, 100_000);
    for stream in [1, 3] {
        assert_eq!(client.answer(stream).body.len(), 50_000);
    }
}

#[test]
fn a_stream_that_takes_nothing_stops_no_other() {
    let paster = front(sized(), "");
    let mut client = Raw::open(paster.address());
    client.grant(0, 50_000_000);
    client.get(1, "/1000000");
    assert!(client.until(|seen| seen.stream(1).body.len() == 65_535));
    client.get(3, "/1000000");
    client.grant(3, 2_000_000);
    assert_eq!(client.answer(3).body.len(), 1_000_000);
    assert_eq!(body(&client, 1), 65_535);
    client.grant(1, 2_000_000);
    assert_eq!(client.answer(1).body.len(), 1_000_000);
}

#[test]
fn what_a_backend_sends_bit_by_bit_arrives_bit_by_bit() {
    let (go, on) = mpsc::channel::<()>();
    let on = Mutex::new(on);
    let address = backend(move |asked| {
        asked.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let on = on.lock().expect("no panic under it");
        while on.recv().is_ok() {
            if !asked.say("3\r\nabc\r\n") {
                return false;
            }
        }
        asked.say("0\r\n\r\n")
    });
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    client.get(1, "/");
    assert!(client.until(|seen| seen.status(1) == Some(200)));
    for count in 1..=5 {
        go.send(()).expect("the backend is there");
        assert!(client.until(|seen| seen.stream(1).body.len() == 3 * count));
        assert!(!client.seen.is_over(1));
    }
    drop(go);
    assert!(client.answer(1).ended);
}

#[test]
fn who_resets_a_stream_ends_its_request_alone() {
    let (tell, by) = mpsc::channel();
    let address = backend(move |asked| {
        if asked.line.contains("/quick") {
            return asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let _ = tell.send("came");
        if asked.line.contains("/stream") {
            asked.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        }
        if asked.is_given_up() {
            let _ = tell.send("given up");
        }
        false
    });
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    for (stream, path) in [(1, "/silent"), (3, "/stream")] {
        client.get(stream, path);
        assert_eq!(told(&by, "the request"), "came");
        if path == "/stream" {
            assert!(client.until(|seen| seen.status(3) == Some(200)));
        }
        client.reset(stream, CANCEL);
        assert_eq!(told(&by, "its end"), "given up");
    }
    // In the middle of an upload.
    client.send(&head(5, 0, &POST));
    client.send(&frame(DATA, 0, 5, &[b'x'; 100]));
    assert_eq!(told(&by, "the upload"), "came");
    client.reset(5, CANCEL);
    client.get(7, "/quick");
    assert_eq!(client.answer(7).status, Some(200));
}

#[test]
fn an_upload_that_is_given_up_is_never_taken_for_whole() {
    let (tell, by) = mpsc::channel();
    let address = backend(move |asked| {
        let _ = tell.send(Vec::new());
        let mut came = Vec::new();
        let _ = asked.connection.read_to_end(&mut came);
        let _ = tell.send(came);
        false
    });
    let paster = front(address, "request_buffering = off");
    let mut client = Raw::open(paster.address());
    // By whatever code: what comes with it is no end.
    for (stream, code) in [(1, NO_ERROR), (3, CANCEL)] {
        client.send(&head(stream, 0, &POST));
        client.send(&frame(DATA, 0, stream, &[b'x'; 100]));
        assert_eq!(told(&by, "the upload"), b"");
        client.reset(stream, code);
        let came = told(&by, "its end");
        assert!(!came.ends_with(b"0\r\n\r\n"), "{}", came.escape_ascii());
    }
}

#[test]
fn an_upload_goes_as_fast_as_its_backend_reads() {
    let (go, on) = mpsc::channel::<()>();
    let on = Mutex::new(on);
    let (tell, by) = mpsc::channel();
    const ALL: usize = 8_000_000;
    let address = backend(move |asked| {
        let _ = tell.send(0);
        let _ = on.lock().expect("no panic under it").recv();
        let mut read = 0;
        let mut buffer = vec![0; 64 * 1024];
        while read < ALL {
            match asked.connection.read(&mut buffer) {
                Ok(count @ 1..) => read += count,
                _ => return false,
            }
        }
        let _ = tell.send(read);
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    let length = ALL.to_string();
    let mut fields = POST.to_vec();
    fields.push(("content-length", &length));
    client.send(&head(1, 0, &fields));
    // What a client may send ahead: the initial windows and what is granted beyond them.
    let allowed = |client: &Raw| {
        let grants = &client.seen.grants;
        let stream = client.seen.settings.iter().rev();
        let initial = stream
            .clone()
            .find(|setting| setting.0 == INITIAL_WINDOW_SIZE);
        let initial = initial.map_or(65_535, |setting| u64::from(setting.1));
        let of = |id: u32| grants.get(&id).copied().unwrap_or(0);
        usize::try_from((initial + of(1)).min(65_535 + of(0))).expect("it is small")
    };
    let mut sent = 0;
    let mut send = |client: &mut Raw| {
        let now = allowed(client)
            .saturating_sub(sent)
            .min(16_384)
            .min(ALL - sent);
        if now > 0 {
            let flags = if sent + now == ALL { END_STREAM } else { 0 };
            client.send(&frame(DATA, flags, 1, &vec![b'x'; now]));
            sent += now;
        }
        client.read();
        (now, sent)
    };
    while send(&mut client).0 > 0 {}
    assert_eq!(told(&by, "the head"), 0);
    // All that fits into the proxy and the sockets is there: it comes to a stop.
    let mut idle = 0;
    while idle < 20 {
        match send(&mut client) {
            (0, _) => idle += 1,
            (_, sent) => {
                assert!(
                    sent < ALL,
                    "the proxy has taken everything, and nobody reads"
                );
                idle = 0;
            }
        }
    }
    go.send(()).expect("the backend is there");
    while send(&mut client).1 < ALL {}
    assert_eq!(told(&by, "the whole body"), ALL);
    assert_eq!(client.answer(1).status, Some(200));
}

#[test]
fn streams_beyond_the_limit_are_refused_and_may_be_asked_again() {
    let (go, on) = mpsc::channel::<()>();
    let on = Arc::new(Mutex::new(on));
    let address = backend(move |asked| {
        let _ = on.lock().expect("no panic under it").recv();
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    assert!(client.seen.settings.contains(&(3, STREAMS)));
    let ids: Vec<u32> = (0..STREAMS).map(|at| 2 * at + 1).collect();
    for id in &ids {
        client.get(*id, "/");
    }
    let beyond = 2 * STREAMS + 1;
    client.get(beyond, "/");
    assert_eq!(client.answer(beyond).reset, Some(REFUSED_STREAM));
    go.send(()).expect("the backend is there");
    assert!(client.until(|seen| ids.iter().any(|id| seen.is_over(*id))));
    client.get(beyond + 2, "/");
    drop(go);
    assert_eq!(client.answer(beyond + 2).status, Some(200));
    for id in ids {
        assert_eq!(client.answer(id).status, Some(200));
    }
}

#[test]
fn a_reload_says_goodbye_twice_and_finishes_what_came_between() {
    let (go, on) = mpsc::channel::<()>();
    let on = Mutex::new(on);
    let (tell, by) = mpsc::channel();
    let address = backend(move |asked| {
        let _ = tell.send(());
        let _ = on.lock().expect("no panic under it").recv();
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let mut paster = front(address, "");
    let mut client = Raw::open(paster.address());
    // The answer to a PING is what the second GOAWAY waits for.
    client.is_polite = false;
    client.get(1, "/");
    told(&by, "the request");
    paster.edit(|site| {
        let text = std::fs::read_to_string(site.path("site.ini")).expect("it is ours");
        site.ini(&format!("{text}access_log = access.log\n"))
    });
    paster.command(&["reload"]).succeeded();
    assert!(
        client.until(|seen| !seen.goaways.is_empty()),
        "{:?}",
        client.seen
    );
    let (last, code, _) = client.seen.goaways[0].clone();
    assert_eq!((last, code), (0x7fff_ffff, NO_ERROR));
    // On its way when the server said so.
    client.get(3, "/");
    client.is_polite = true;
    let ping = frame(
        crate::harness::frames::PING,
        crate::harness::frames::ACK,
        0,
        &SHUTDOWN,
    );
    client.send(&ping);
    assert!(
        client.until(|seen| seen.goaways.len() == 2),
        "{:?}",
        client.seen
    );
    let (last, code, _) = client.seen.goaways[1].clone();
    assert_eq!((last, code), (3, NO_ERROR));
    drop(go);
    for stream in [1, 3] {
        let answer = client.answer(stream);
        assert_eq!((answer.status, answer.ended), (Some(200), true));
    }
    assert!(client.until(|seen| seen.closed));
}

#[test]
fn a_stop_says_goodbye_and_finishes_what_is_open() {
    let (go, on) = mpsc::channel::<()>();
    let on = Mutex::new(on);
    let (tell, by) = mpsc::channel();
    let address = backend(move |asked| {
        let _ = tell.send(());
        let _ = on.lock().expect("no panic under it").recv();
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let mut paster = front(address, "");
    let mut client = Raw::open(paster.address());
    let mut idle = Raw::open(paster.address());
    client.get(1, "/");
    told(&by, "the request");
    paster.signal(Signal::SIGTERM);
    for client in [&mut client, &mut idle] {
        assert!(client.until(|seen| !seen.goaways.is_empty()));
        assert_eq!(client.seen.goaway(), Some(NO_ERROR));
    }
    assert!(idle.until(|seen| seen.closed));
    drop(go);
    assert_eq!(client.answer(1).status, Some(200));
    assert!(client.until(|seen| seen.closed));
    paster.wait_for_end();
}

/// What h2 puts into the PING behind its first GOAWAY.
const SHUTDOWN: [u8; 8] = [0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// As when somebody looks through a map: many requests are of no use any more, one is.
#[test]
fn who_changes_its_mind_often_gets_what_it_waits_for() {
    let address = backend(|asked| {
        if asked.line.contains("/slow") {
            std::thread::sleep(Duration::from_secs(4));
            return asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        asked.is_given_up();
        false
    });
    let paster = front(address, "");
    let mut client = Raw::open(paster.address());
    client.get(1, "/slow");
    let mut stream = 3;
    while client.seen.goaways.is_empty() {
        assert!(stream < 1000, "it was not asked to go");
        client.get(stream, "/tile");
        // It has reached the server.
        settle(&mut client, &u64::from(stream).to_be_bytes());
        client.reset(stream, CANCEL);
        settle(&mut client, &u64::from(stream + 1).to_be_bytes());
        stream += 2;
    }
    assert_eq!(client.seen.goaway(), Some(NO_ERROR));
    assert_eq!(client.answer(1).status, Some(200));
    assert!(client.until(|seen| seen.closed));
}

#[test]
fn a_silent_beginning_is_ended() {
    let paster = front(sized(), "head_timeout = 1s\nkeep_alive_timeout = 1s");
    let half_a_head = [
        PREFACE,
        &settings(&[]),
        &frame(HEADERS, END_STREAM, 1, b"\x82\x86"),
    ]
    .concat();
    let beginnings: [&[u8]; 5] = [b"", &PREFACE[..10], &PREFACE[..20], PREFACE, &half_a_head];
    for beginning in beginnings {
        let mut client = Raw::connect(paster.address());
        client.be_patient(DEADLINE);
        client.send(beginning);
        assert!(
            client.until(|seen| seen.closed),
            "{}",
            beginning.escape_ascii()
        );
    }
    paster.wait_until("nothing is left", |s| s.proxy.connections == 0);
}

#[test]
fn an_idle_client_is_told_and_a_busy_one_is_not() {
    let address = backend(|asked| {
        let slowly = asked.line.contains("/slow");
        if slowly {
            std::thread::sleep(Duration::from_secs(4));
        }
        asked.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let paster = front(address, "keep_alive_timeout = 2s");
    let mut busy = Raw::open(paster.address());
    busy.get(1, "/slow");
    let mut idle = Raw::open(paster.address());
    idle.get(1, "/");
    assert_eq!(idle.answer(1).status, Some(200));
    assert!(idle.until(|seen| seen.closed));
    assert_eq!(idle.seen.goaway(), Some(NO_ERROR));
    assert_eq!(busy.answer(1).status, Some(200));
    assert!(busy.until(|seen| seen.closed));
    assert_eq!(busy.seen.goaway(), Some(NO_ERROR));
}

#[test]
fn a_body_that_does_not_come_ends_its_stream() {
    let paster = front(sized(), "body_timeout = 1s\nrequest_buffering = on");
    let mut client = Raw::open(paster.address());
    client.send(&head(1, 0, &POST));
    client.send(&frame(DATA, 0, 1, b"abc"));
    assert_eq!(client.answer(1).status, Some(408));
    client.get(3, "/5");
    assert_eq!(client.answer(3).status, Some(200));
}

#[test]
fn who_takes_nothing_holds_no_worker_and_harms_no_stream() {
    let (tell, by) = mpsc::channel();
    let address = backend(move |asked| {
        if asked.line.contains("/wait") {
            asked.is_given_up();
            return false;
        }
        let length = if asked.line.contains("/large") {
            50_000_000
        } else {
            0
        };
        asked.say(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
        ));
        if asked.say(&"x".repeat(length)) {
            return true;
        }
        let _ = tell.send(());
        false
    });
    let paster = front(address, "write_timeout = 1s");
    let mut client = Raw::open_with(paster.address(), &[(INITIAL_WINDOW_SIZE, 0)]);
    client.get(1, "/wait");
    client.get(3, "/large");
    client.get(5, "/large");
    for _ in 0..2 {
        told(&by, "it was given up");
    }
    // The connection is not: one of its streams has done nothing wrong.
    client.get(7, "/0");
    assert_eq!(client.answer(7).status, Some(200));
    client.reset(1, CANCEL);
    assert!(client.until(|seen| seen.closed));
    paster.wait_until("nothing is left", |s| s.proxy.connections == 0);
}

/// Over all of a transfer that takes longer than the timeout, the client takes something all the time: at most 800 KB a
/// second of all streams together.
fn take_slowly(paster: &Paster, streams: u32, length: usize) {
    let mut client = Raw::connect_with_small_buffer(paster.address());
    client.send(PREFACE);
    client.send(&settings(&[(INITIAL_WINDOW_SIZE, 1 << 20)]));
    client.grant(0, 1 << 30);
    let ids: Vec<u32> = (0..streams).map(|at| 2 * at + 1).collect();
    let path = format!("/{length}");
    for id in &ids {
        client.send(&head(*id, END_STREAM, &asking(&path)));
    }
    client.be_patient(2 * DEADLINE);
    client.pause = Duration::from_millis(20);
    assert!(
        client.until(|seen| ids.iter().all(|id| seen.is_over(*id))),
        "goaways {:?}, closed {}",
        client.seen.goaways,
        client.seen.closed
    );
    for id in ids {
        let answer = client.seen.stream(id);
        assert_eq!(
            (answer.body.len(), answer.reset),
            (length, None),
            "stream {id}"
        );
    }
}

#[test]
fn answers_that_are_on_their_way_keep_a_connection_from_being_idle() {
    let paster = front(sized(), "keep_alive_timeout = 2s");
    take_slowly(&paster, 90, 60_000);
}

#[test]
fn many_streams_on_a_slow_line_are_not_taken_for_stuck() {
    let paster = front(sized(), "write_timeout = 3s");
    take_slowly(&paster, 50, 200_000);
}
