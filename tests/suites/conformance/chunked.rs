//! The chunked coding (RFC 9112 section 7.1): whole bodies pass in whatever pieces, broken ones never look whole.

use super::case::{After, Case, Step, passes, refused};
use crate::harness::cases::ANY;

/// A request whose body breaks: it may have begun to arrive, but the backend never sees its end.
const fn broken(name: &'static str, rfc: &'static str, send: &'static [u8]) -> Case {
    refused(name, rfc, send, 400)
        .requests(ANY)
        .never_arrives(&["\r\n0\r\n\r\n", "canary"])
}

pub(super) const CASES: &[Case] = &[
    passes("chunks", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .arrives(&["abc", "de"]),
    passes("chunks-in-pieces", "9112 7.1", b"").steps(&[
        Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r"),
        Step::Send(b"\n"),
        Step::Send(b"3"),
        Step::Send(b"\r"),
        Step::Send(b"\nab"),
        Step::Send(b"c\r"),
        Step::Send(b"\n0\r\n"),
        Step::Send(b"\r\n"),
    ])
    .arrives(&["abc"]),
    passes("chunk-size-hex", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n")
        .arrives(&["0123456789"]),
    passes("chunk-size-leading-zeros", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n000\r\n\r\n")
        .arrives(&["abc"]),
    passes("chunk-extension", "9112 7.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n")
        .arrives(&["abc"])
        .never_arrives(&["a=b"]),
    passes("no-chunks", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    passes("chunks-and-next", "9112 9.3.2", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2),
    passes("data-that-looks-like-chunks", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n")
        .arrives(&["\r\n0\r\n\r\n"]),
    broken("chunk-size-word", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\nGET /{id}canary HTTP/1.1\r\nHost: a\r\n\r\n")
        .requests(0),
    broken("chunk-size-empty", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabc\r\n0\r\n\r\n"),
    broken("chunk-size-0x", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    broken("chunk-size-plus", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n"),
    broken("chunk-size-minus", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"),
    broken("chunk-size-overflow", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n")
        .or(&[&[400], &[413]]),
    broken("chunk-size-space-before", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n"),
    passes("chunk-size-space-after", "9112 7.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 ;x\r\nabc\r\n0 \r\n\r\n")
        .or(&[&[400]]),
    broken("chunk-line-lf", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
    broken("chunk-line-cr", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\rabc\r\n0\r\n\r\n"),
    broken("chunk-extension-lf", "9112 7.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n0\r\n\r\n"),
    broken("chunk-extension-cr", "9112 7.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\ry\r\nabc\r\n0\r\n\r\n"),
    broken("chunk-extension-nul", "9112 7.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\0y\r\nabc\r\n0\r\n\r\n"),
    broken("chunk-data-too-long", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n"),
    broken("chunk-data-lf", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"),
    broken("chunk-data-without-end", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n"),
    broken("last-chunk-lf", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\n\r\n"),
    broken("end-of-body-lf", "9112 7.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\nGET /{id}canary HTTP/1.1\r\nHost: a\r\n\r\n"),
    broken("chunks-cut-short", "9112 8", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
            Step::HalfClose,
        ])
        .or(&[&[]]),
    broken("chunks-without-end", "9112 8", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
            Step::HalfClose,
        ])
        .or(&[&[]]),
    broken("bad-chunks-second-in-packet", "9112 7.1", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /{id}2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /{id}canary HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 400])
        .requests(1),
    broken("bad-chunk-after-a-good-one", "9112 7.1", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
            Step::Send(b"zz\r\n"),
        ])
        .then(After::Closed),
];
