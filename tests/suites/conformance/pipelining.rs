//! Several requests at once (RFC 9112 section 9.3.2): answered in order, each judged alone.

use super::case::{After, Case, Step, passes};
use crate::harness::cases::backend::Reply;

pub(super) const CASES: &[Case] = &[
    passes("three-at-once", "9112 9.3.2", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200, 200])
        .requests(3),
    passes("bodies-between", "9112 9.3.2", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /{id}2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ndefGET /{id}3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200, 200])
        .requests(3)
        .arrives(&["\r\n\r\nabc", "\r\n\r\ndef"]),
    passes("body-that-looks-like-a-request", "9112 6", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\nGET /0123456 HTTP/1.1\r\nHost: a\r\nTE: x\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2),
    passes("cut-in-the-second-head", "9112 9.3.2", b"")
        .steps(&[
            Step::Send(b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HT"),
            Step::Await(b"\r\n\r\nok"),
            Step::Send(b"TP/1.1\r\nHost: a\r\n\r\n"),
        ])
        .answered(&[200, 200])
        .requests(2),
    passes("cut-between-cr-and-lf", "9112 2.2", b"")
        .steps(&[
            Step::Send(b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r"),
            Step::Send(b"\nGET /{id}2 HTTP/1.1\r"),
            Step::Send(b"\nHost: a\r\n\r\n"),
        ])
        .answered(&[200, 200])
        .requests(2),
    passes("bad-request-in-the-middle", "9112 9.3.2", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a b\r\n\r\nGET /{id}3 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 400])
        .then(After::Closed)
        .never_arrives(&["=3 http", "=2 http"]),
    passes("garbage-at-the-end", "9112 9.3.2", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\n\x00\x01garbage\r\n\r\n")
        .answered(&[200, 400])
        .then(After::Closed),
    passes("long-response-first", "9112 9.3.2", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"))
        .answered(&[200, 200])
        .requests(2),
    passes("bad-head-while-an-upload-is-answered-early", "9112 9.3.2", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc"),
            Step::Arrival,
            Step::Await(b"early"),
            Step::Send(b"def"),
        ])
        .then(After::Either)
        .replied(Reply::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")),
];
