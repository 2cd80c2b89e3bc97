//! The preface, SETTINGS, PING, GOAWAY, windows of the connection, and what a server does not know (sections 3 to 6).

use super::case::{Case, Due, POST, Step, begins, get, passes, refused};
use crate::harness::frames::{
    ACK, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, PING,
    PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, SETTINGS, WINDOW_UPDATE,
};

/// A setting and its value.
const fn set(setting: &'static [u8; 6]) -> Step {
    Step::Frame(SETTINGS, 0, 0, setting)
}

const EMPTY: Step = Step::Frame(SETTINGS, 0, 0, b"");
/// What no RFC knows.
const UNKNOWN: u8 = 0xbe;
const MOST: &[u8] = b"\x7f\xff\xff\xff";

const PROTOCOL: &[Due] = &[Due::GoAway(PROTOCOL_ERROR)];

pub(super) const CASES: &[Case] = &[
    passes("preface-and-settings", "3.4", &[Step::Bytes(PREFACE), EMPTY, get(1)]).bare(),
    passes("preface-in-pieces", "3.4", &[
        Step::Bytes(b"PRI * HTTP/2.0\r\n"),
        Step::Bytes(b"\r\nSM\r"),
        Step::Bytes(b"\n\r\n\0\0\0\x04"),
        Step::Bytes(b"\0\0\0\0\0"),
        get(1),
    ])
    .bare(),
    refused("preface-with-another-end", "3.4", &[Step::Bytes(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), EMPTY, get(1)], &[Due::Closed])
        .bare(),
    refused("preface-of-another-version", "3.4", &[Step::Bytes(b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n"), EMPTY, get(1)], &[Due::Closed])
        .bare(),
    refused("preface-twice", "3.4", &[Step::Bytes(PREFACE), get(1)], &[Due::Closed]),
    refused("preface-then-ping", "3.4", &[Step::Bytes(PREFACE), Step::Frame(PING, 0, 0, b"12345678"), EMPTY], PROTOCOL).bare()
    .known(&[Due::Acks(1)]),
    refused("preface-then-request", "3.4", &[Step::Bytes(PREFACE), get(1), EMPTY], PROTOCOL).bare()
    .known(&[Due::Status(1, 200)])
    .requests(1),
    refused("preface-then-acknowledgement", "3.4", &[Step::Bytes(PREFACE), Step::Frame(SETTINGS, ACK, 0, b""), EMPTY], PROTOCOL).bare(),
    passes("settings-empty", "6.5", &[EMPTY, get(1)]).due(&[Due::Status(1, 200), Due::Acks(2)]),
    passes("settings-unknown", "6.5.2", &[set(b"\xff\xff\0\0\0\x01"), get(1)]).due(&[Due::Status(1, 200), Due::Acks(2)]),
    passes("settings-twice-in-a-frame", "6.5.3", &[Step::Frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0\0\x04\0\x01\0\0"), get(1)]),
    passes("settings-of-all-that-is-known", "6.5.2", &[
        Step::Frame(SETTINGS, 0, 0, b"\0\x01\0\0\0\0\0\x02\0\0\0\0\0\x03\0\0\0\x0a\0\x04\0\x01\0\0\0\x05\0\x01\0\0\0\x06\0\x01\0\0\0\x08\0\0\0\0\0\x09\0\0\0\x01"),
        get(1),
    ]),
    passes("settings-forbid-priorities", "9218 2.1", &[set(b"\0\x09\0\0\0\x01"), get(1)]),
    passes("settings-allow-push", "6.5.2", &[set(b"\0\x02\0\0\0\x01"), get(1)]),
    refused("settings-push-2", "6.5.2", &[set(b"\0\x02\0\0\0\x02")], PROTOCOL),
    refused("settings-window-too-large", "6.5.2", &[set(b"\0\x04\x80\0\0\0")], &[Due::GoAway(FLOW_CONTROL_ERROR)])
    .known(PROTOCOL),
    refused("settings-frame-size-too-small", "6.5.2", &[set(b"\0\x05\0\0\x3f\xff")], PROTOCOL),
    refused("settings-frame-size-too-large", "6.5.2", &[set(b"\0\x05\x01\0\0\0")], PROTOCOL),
    passes("settings-frame-size-largest", "6.5.2", &[set(b"\0\x05\0\xff\xff\xff"), get(1)]),
    refused("settings-on-a-stream", "6.5", &[Step::Frame(SETTINGS, 0, 1, b"")], PROTOCOL),
    refused("settings-acknowledged-with-payload", "6.5", &[Step::Frame(SETTINGS, ACK, 0, b"\0\x03\0\0\0\x01")], &[Due::GoAway(FRAME_SIZE_ERROR)])
    .known(PROTOCOL),
    refused("settings-not-of-six-bytes", "6.5", &[Step::Frame(SETTINGS, 0, 0, b"\0\x03\0\0\0")], &[Due::GoAway(FRAME_SIZE_ERROR)])
    .known(PROTOCOL),
    passes("settings-with-other-flags", "4.1", &[Step::Frame(SETTINGS, 0xfe, 0, b""), get(1)]).due(&[Due::Status(1, 200), Due::Acks(2)]),
    passes("ping", "6.7", &[Step::Frame(PING, 0, 0, b"12345678"), get(1)]).due(&[Due::Pong(b"12345678"), Due::Status(1, 200)]),
    passes("ping-answer-to-nothing", "6.7", &[Step::Frame(PING, ACK, 0, b"12345678"), get(1)]),
    passes("ping-with-other-flags", "4.1", &[Step::Frame(PING, 0xfe, 0, b"abcdefgh"), get(1)]).due(&[Due::Pong(b"abcdefgh"), Due::Status(1, 200)]),
    refused("ping-on-a-stream", "6.7", &[Step::Frame(PING, 0, 1, b"12345678")], PROTOCOL),
    passes("goaway-from-the-client", "6.8", &[get(1), Step::Frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0")])
        .due(&[Due::Status(1, 200), Due::Closed]),
    passes("goaway-with-an-error-and-debug-data", "6.8", &[get(1), Step::Await(Due::Status(1, 200)), Step::Frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x02sorry")])
        .due(&[Due::Status(1, 200), Due::Closed]),
    refused("goaway-on-a-stream", "6.8", &[Step::Frame(GOAWAY, 0, 1, b"\0\0\0\0\0\0\0\0")], PROTOCOL),
    refused("push-promise-from-the-client", "8.4", &[begins(1, POST), Step::Frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82\x86\x84")], PROTOCOL),
    refused("push-promise-on-stream-0", "6.6", &[Step::Frame(PUSH_PROMISE, END_HEADERS, 0, b"\0\0\0\x02\x82\x86\x84")], PROTOCOL),
    passes("unknown-frame", "5.5", &[Step::Frame(UNKNOWN, 0xff, 0, b"anything"), get(1), Step::Frame(UNKNOWN, 0, 1, b"anything")]),
    passes("unknown-frame-on-an-idle-stream", "5.5", &[Step::Frame(UNKNOWN, 0, 77, b"anything"), get(1)]),
    refused("unknown-frame-within-a-head", "5.5", &[Step::Frame(HEADERS, END_STREAM, 1, b"\x82"), Step::Frame(UNKNOWN, 0, 0, b"")], PROTOCOL),
    passes("priority-update", "9218 7.1", &[Step::Frame(0x10, 0, 0, b"\0\0\0\x01u=1"), get(1)]),
    passes("alternative-services-from-the-client", "7838 4", &[Step::Frame(0x0a, 0, 0, b"\0\0"), get(1)]),
    refused("window-update-of-0", "6.9", &[Step::Frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")], PROTOCOL),
    passes("window-update-with-the-reserved-bit", "6.9", &[Step::Frame(WINDOW_UPDATE, 0, 0, b"\x80\0\0\x01"), get(1)]),
    refused("window-update-overflows", "6.9.1", &[Step::Frame(WINDOW_UPDATE, 0, 0, MOST)], &[Due::GoAway(FLOW_CONTROL_ERROR)]),
    refused("windows-of-streams-overflow-by-settings", "6.9.2", &[
        begins(1, POST),
        Step::Frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\0\0"),
        set(b"\0\x04\0\x01\xff\xff"),
    ], &[Due::GoAway(FLOW_CONTROL_ERROR)]),
    refused("priority-on-stream-0", "6.3", &[Step::Frame(PRIORITY, 0, 0, b"\0\0\0\x01\x10")], PROTOCOL),
    passes("priority-on-an-idle-stream", "5.1", &[Step::Frame(PRIORITY, 0, 99, b"\0\0\0\x01\x10"), get(1)]),
];
