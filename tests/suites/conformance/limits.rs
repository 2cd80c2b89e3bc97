//! Sizes, with the statuses that they lead to (docs/proxy.md).

use super::case::{Case, Step, passes, refused};
use crate::harness::cases::backend::Reply;

const fn long(name: &'static str, rfc: &'static str, steps: &'static [Step], status: u16) -> Case {
    refused(name, rfc, b"", status).steps(steps)
}

pub(super) const CASES: &[Case] = &[
    passes("target-of-8000", "9112 3", b"").steps(&[
        Step::Send(b"GET /{id}"),
        Step::Fill(b'a', 7900),
        Step::Send(b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    ]),
    long("target-too-long", "9110 15.5.15", &[
        Step::Send(b"GET /{id}"),
        Step::Fill(b'a', 20_000),
        Step::Send(b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    ], 414).or(&[&[400]]),
    long("target-without-end", "9110 15.5.15", &[
        Step::Send(b"GET /{id}"),
        Step::Fill(b'a', 200_000),
    ], 414).or(&[&[400]]),
    long("method-without-end", "9112 3", &[
        Step::Send(b"{id}"),
        Step::Fill(b'A', 200_000),
    ], 400).or(&[&[414], &[501]]),
    long("field-too-large", "6585 5", &[
        Step::Send(b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: "),
        Step::Fill(b'a', 100_000),
        Step::Send(b"\r\n\r\n"),
    ], 431).or(&[&[400]]),
    long("field-without-end", "6585 5", &[
        Step::Send(b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: "),
        Step::Fill(b'a', 600_000),
    ], 431).or(&[&[400]]),
    refused("fields-too-many", "6585 5", MANY, 431).or(&[&[200], &[400]]),
    passes("field-of-7000", "9110 5.4", b"").steps(&[
        Step::Send(b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: "),
        Step::Fill(b'a', 7000),
        Step::Send(b"\r\n\r\n"),
    ]),
    long("field-too-large-second-in-packet", "6585 5", &[
        Step::Send(b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\nX-A: "),
        Step::Fill(b'a', 100_000),
        Step::Send(b"\r\n\r\n"),
    ], 431).answered(&[200, 431]).requests(1).or(&[&[200, 400]]),
    long("empty-lines-without-end", "9112 2.2", &[
        Step::Fill(b'\n', 200_000),
    ], 400).or(&[&[400], &[]]),
    passes("field-in-many-pieces", "9112 2.2", b"").steps(&[
        Step::Send(b"GET /{id} HTTP/1.1\r\nHo"),
        Step::Send(b"st: a\r\nX-A: "),
        Step::Fill(b'a', 3000),
        Step::Fill(b'b', 3000),
        Step::Send(b"\r\n\r\n"),
    ])
    .arrives(&["aabb"]),
    passes("upload-larger-than-buffers", "9112 6", b"").steps(&[
        Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n"),
        Step::Fill(b'x', 3_000_000),
    ]),
    passes("chunk-larger-than-buffers", "9112 7.1", b"").steps(&[
        Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n"),
        Step::Fill(b'x', 0x10_0000),
        Step::Send(b"\r\n0\r\n\r\n"),
    ]),
    refused("chunk-extension-without-end", "9112 7.1.1", b"", 400).steps(&[
        Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
        Step::Fill(b'x', 100_000),
    ]),
    passes("answer-fields-within-limits", "9110 5.4", super::case::GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nX-A: 0123456789012345678901234567890123456789\r\nContent-Length: 2\r\n\r\nok")),
];

macro_rules! eight {
    ($text:literal) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text)
    };
}

/// 128 fields.
const MANY: &[u8] = concat!(
    "GET /{id} HTTP/1.1\r\nHost: a\r\n",
    eight!("x:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\nx:1\r\n"),
    "\r\n"
)
.as_bytes();
