//! Trailer fields (RFC 9110 section 6.5): they pass where they are announced, and never become header fields.

use super::case::{Case, passes};
use crate::harness::cases::backend::Reply;

const ASKED: &[u8] = b"GET /{id} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n";

pub(super) const CASES: &[Case] = &[
    passes("request-trailer", "6.5", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 12\r\n\r\n")
        .arrives(&["\r\n0\r\nx-sum: 12\r\n\r\n", "trailer: x-sum\r\n"]),
    passes("request-trailers-in-a-list", "6.6.2", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-One, X-Two\r\n\r\n3\r\nabc\r\n0\r\nX-One: 1\r\nX-Two: 2\r\n\r\n")
        .arrives(&["x-one: 1\r\n", "x-two: 2\r\n"]),
    // Whatever the proxy does with it, the message ends there.
    passes("request-trailer-unannounced", "6.5.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 12\r\n\r\n")
        .arrives(&["abc"]),
    passes("request-trailer-of-framing", "6.5.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Host, X-Sum\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 99\r\nHost: evil\r\nX-Sum: 1\r\n\r\n")
        .never_arrives(&["content-length: 99", "evil"])
        .or(&[&[400]]),
    passes("request-trailer-of-identity", "6.5.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For, X_A, Connection\r\n\r\n3\r\nabc\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX_A: evil\r\nConnection: close\r\n\r\n")
        .never_arrives(&["6.6.6.6", "evil", "\r\nconnection: close"]),
    passes("request-trailer-then-next", "9112 9.3.2", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2),
    passes("response-trailer", "6.5", ASKED)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n"))
        .says(&["trailer: x-sum\r\n", "\r\n0\r\nx-sum: 12\r\n\r\n"]),
    passes("response-trailer-not-asked-for", "6.5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\n\r\n")
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n"))
        .says(&["ok"]),
    passes("response-trailer-of-framing", "6.5.1", ASKED)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 99\r\n\r\n"))
        .never_says(&["content-length: 99"]),
    passes("response-trailers-and-next", "9112 9.3", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n")),
    passes("request-trailer-without-body", "6.5", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\nX-Sum: 12\r\n\r\n"),
];
