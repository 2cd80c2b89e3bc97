//! Where a request ends: what leaves room for two opinions is refused, and nothing of it is forwarded.

use super::case::{Case, passes, refused};
use crate::harness::cases::ANY;

pub(super) const CASES: &[Case] = &[
    refused("te-and-cl", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("cl-and-te", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("cl-te-smuggle", "9112 11.2", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /{id}canary HTTP/1.1\r\nHost: a\r\n\r\n", 400)
        .or(&[&[200]])
        .never_arrives(&["canary"]),
    refused("te-cl-smuggle", "9112 11.2", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n26\r\nGET /{id}canary HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[200]])
        .never_arrives(&["canary"]),
    refused("te-and-cl-second-in-packet", "9112 6.1", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /{id}2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400)
        .answered(&[200, 400])
        .requests(1)
        .never_arrives(&["post"])
        .or(&[&[200, 200]]),
    refused("te-and-cl-after-a-body", "9112 6.1", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcPOST /{id}2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400)
        .answered(&[200, 400])
        .requests(1)
        .never_arrives(&["transfer-encoding"])
        .or(&[&[200, 200]]),
    refused("te-and-cl-after-chunks", "9112 6.1", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nPUT /{id}2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)
        .answered(&[200, 400])
        .requests(1)
        .never_arrives(&["put "])
        .or(&[&[200, 200]]),
    refused("cl-twice-equal", "9112 6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400)
        .or(&[&[200]]),
    refused("cl-twice-different", "9112 6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    refused("cl-twice-second-in-packet", "9112 6.3", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /{id}2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400)
        .answered(&[200, 400])
        .requests(1)
        .or(&[&[200, 200]]),
    refused("cl-list-equal", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400)
        .or(&[&[200]]),
    refused("cl-list-different", "9112 6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 4\r\n\r\nabc", 400),
    refused("cl-plus", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
    refused("cl-minus", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400),
    refused("cl-hex", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400),
    refused("cl-empty", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc", 400),
    refused("cl-word", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: three\r\n\r\nabc", 400),
    refused("cl-decimal", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc", 400),
    refused("cl-space-within", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3 3\r\n\r\nabc", 400),
    refused("cl-overflow", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551619\r\n\r\nabc", 400)
        .or(&[&[413]]),
    refused("cl-quoted", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: \"3\"\r\n\r\nabc", 400),
    refused("te-list-ends-chunked", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501)
        .or(&[&[400], &[422]]),
    refused("te-two-lines", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501)
        .or(&[&[400], &[422]]),
    refused("te-chunked-twice", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501)
        .or(&[&[400]]),
    refused("te-not-last", "9112 6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[501], &[422]]),
    refused("te-identity", "9112 6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nabc", 400)
        .or(&[&[501], &[422]]),
    refused("te-unknown", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[501], &[422]]),
    refused("te-quoted", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[501], &[422]]),
    refused("te-empty", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[501]]),
    refused("te-parameter", "9112 7", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[501], &[422]]),
    refused("te-vertical-tab", "9112 6.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[501], &[422]]),
    passes("te-in-capitals", "9112 7", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .arrives(&["abc"]),
    passes("te-tab-around", "9110 5.6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .arrives(&["abc"]),
    passes("cl-spaces-around", "9110 5.6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length:  3\t\r\n\r\nabc")
        .arrives(&["\r\n\r\nabc"]),
    passes("cl-leading-zeros", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc")
        .arrives(&["content-length: 3\r\n", "\r\n\r\nabc"])
        .or(&[&[200], &[400]]),
    passes("cl-zero", "9110 8.6", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .arrives(&["content-length: 0\r\n"])
        .never_arrives(&["transfer-encoding"]),
    passes("no-length-no-body", "9112 6.3", b"POST /{id} HTTP/1.1\r\nHost: a\r\n\r\n")
        .never_arrives(&["transfer-encoding"]),
    passes("get-with-a-body", "9110 9.3.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .arrives(&["content-length: 3\r\n", "\r\n\r\nabc"]),
    passes("get-with-chunks", "9110 9.3.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .arrives(&["abc"]),
    refused("cut-short-body", "9112 8", b"", 400)
        .requests(ANY)
        .steps(&[
            super::case::Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"),
            super::case::Step::HalfClose,
        ])
        .or(&[&[], &[400], &[408]]),
];
