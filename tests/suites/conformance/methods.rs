//! Methods, and responses that have no body whatever their fields say (RFC 9110 sections 9 and 15).

use super::case::{Case, GET, passes, refused};
use crate::harness::cases::backend::Reply;

const HEAD: &[u8] = b"HEAD /{id} HTTP/1.1\r\nHost: a\r\n\r\n";

pub(super) const CASES: &[Case] = &[
    passes("head-has-no-body", "9.3.2", HEAD)
        .heads(&[0])
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
        .says(&["content-length: 5\r\n"]),
    passes("head-chunked", "9112 6.1", HEAD)
        .heads(&[0])
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")),
    passes("head-404", "9.3.2", HEAD)
        .heads(&[0])
        .answered(&[404])
        .replied(Reply::Bytes(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n"))
        .says(&["content-length: 9\r\n"]),
    passes("head-and-body-all-the-same", "9112 6.3", HEAD)
        .heads(&[0])
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
        .never_says(&["hello"]),
    passes("head-then-get", "9112 9.3.2", b"HEAD /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .heads(&[0])
        .answered(&[200, 200])
        .requests(2),
    passes("no-content", "15.3.5", GET).answered(&[204])
        .replied(Reply::Bytes(b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"))
        .says(&["x-a: 1"])
        .never_says(&["content-length", "transfer-encoding"]),
    passes("no-content-with-length", "9110 8.6", GET).answered(&[204])
        .replied(Reply::Last(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"))
        .never_says(&["hello", "content-length: 5"]),
    passes("no-content-with-length-for-head", "9110 8.6", HEAD).answered(&[204]).heads(&[0])
        .replied(Reply::Bytes(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"))
        .never_says(&["content-length"]),
    passes("no-content-with-chunks", "9112 6.1", GET).answered(&[204])
        .replied(Reply::Last(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
        .never_says(&["transfer-encoding"]),
    passes("not-modified", "15.4.5", GET).answered(&[304])
        .replied(Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"))
        .says(&["etag: \"x\""]),
    passes("not-modified-with-length", "9112 6.3", GET).answered(&[304])
        .replied(Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n"))
        .says(&["etag: \"x\""]),
    passes("not-modified-then-more", "9112 6.3", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[304, 304])
        .requests(2)
        .replied(Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")),
    passes("reset-content", "15.3.6", GET).answered(&[205])
        .replied(Reply::Bytes(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n")),
    passes("put", "9.3.4", b"PUT /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").arrives(&["put /", "\r\n\r\nx"]),
    passes("delete", "9.3.5", b"DELETE /{id} HTTP/1.1\r\nHost: a\r\n\r\n").arrives(&["delete /"]),
    passes("patch", "5789 2", b"PATCH /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx").arrives(&["patch /"]),
    passes("unknown-method", "9.1", b"FROBNICATE /{id} HTTP/1.1\r\nHost: a\r\n\r\n").arrives(&["frobnicate /"]),
    passes("method-with-hyphen", "9.1", b"M-SEARCH /{id} HTTP/1.1\r\nHost: a\r\n\r\n").arrives(&["m-search /"]).or(&[&[400], &[405]]),
    passes("methods-have-a-case", "9.1", b"get /{id} HTTP/1.1\r\nHost: a\r\n\r\n").or(&[&[400], &[405], &[501]]),
    refused("trace", "9.3.8", b"TRACE /{id} HTTP/1.1\r\nHost: a\r\n\r\n", 405).or(&[&[200], &[400]]),
    passes("informational-passes", "15.2", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["http/1.1 103 early hints\r\n", "link: </s.css>; rel=preload\r\n"]),
    passes("informational-twice", "15.2", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-A: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["x-a: 1\r\n", "x-a: 2\r\n"]),
    passes("informational-processing", "2518 10.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["http/1.1 102 "]),
    passes("informational-without-its-hop", "7.6.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["x-a: 1\r\n"])
        .never_says(&["x-hop"]),
    passes("informational-without-a-length", "8.6", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 7\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["x-a: 1\r\n"])
        .never_says(&["content-length: 7"]),
    passes("informational-not-to-old-clients", "15.2", b"GET /{id} HTTP/1.0\r\nHost: a\r\n\r\n")
        .then(super::case::After::Closed)
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .never_says(&["x-a: 1"]),
    passes("continue-from-the-backend", "15.2.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
];
