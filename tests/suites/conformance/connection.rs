//! Connections: how long they live, and which fields end with the hop (RFC 9110 section 7.6.1).

use super::case::{After, Case, GET, passes};
use crate::harness::cases::backend::Reply;

pub(super) const CASES: &[Case] = &[
    passes("keep-alive-is-usual", "9112 9.3", GET),
    passes("close-is-heard", "9112 9.6", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .then(After::Closed)
        .says(&["connection: close"])
        .never_arrives(&["connection: close"]),
    passes("close-in-a-list", "9112 9.6", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n").then(After::Closed),
    passes("close-in-a-second-line", "9112 9.6", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: foo\r\nConnection: close\r\n\r\n").then(After::Closed),
    passes("nothing-after-close", "9112 9.6", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n").then(After::Closed),
    passes("hop-by-hop-fields", "9110 7.6.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nTE: trailers\r\nX-End: 1\r\n\r\n")
        .arrives(&["x-end: 1"])
        .never_arrives(&["keep-alive:", "proxy-connection:"]),
    passes("nominated-fields", "9110 7.6.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-End: 1\r\n\r\n")
        .arrives(&["x-end: 1"])
        .never_arrives(&["x-hop"]),
    passes("nominated-in-two-lines", "9110 7.6.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: X-One\r\nConnection: x-two\r\nX-One: 1\r\nX-Two: 2\r\nX-End: 1\r\n\r\n")
        .arrives(&["x-end: 1"])
        .never_arrives(&["x-one", "x-two"]),
    passes("nominated-with-empty-elements", "9110 5.6.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: , ,X-Hop ,\r\nX-Hop: 1\r\n\r\n").never_arrives(&["x-hop"]),
    passes("end-to-end-not-nominated-away", "9110 7.6.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: host, cookie, authorization\r\nCookie: c=1\r\nAuthorization: x\r\n\r\n")
        .arrives(&["host: a", "cookie: c=1", "authorization: x"]),
    passes("proxy-field", "3875 4.1.18", b"GET /{id} HTTP/1.1\r\nHost: a\r\nProxy: evil\r\n\r\n").never_arrives(&["proxy: evil"]),
    passes("underscored-names", "3875 4.1.18", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent_Length: 9\r\nX_Forwarded_For: 6.6.6.6\r\nContent-Length: 3\r\n\r\nabc")
        .never_arrives(&["content_length", "6.6.6.6"]),
    passes("authorization-of-the-proxy", "9110 11.7.2", b"GET /{id} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic eA==\r\n\r\n").arrives(&["authorization: basic ea=="]),
    passes("cookies", "6265 5.4", b"GET /{id} HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n").arrives(&["a=1", "b=2"]),
    passes("te-does-not-pass", "9110 10.1.4", b"GET /{id} HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: gzip\r\n\r\n").never_arrives(&["te: gzip"]),
    passes("answer-hop-by-hop", "9110 7.6.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nProxy-Connection: y\r\nX-End: 1\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["x-end: 1"])
        .never_says(&["x-hop", "keep-alive: timeout=1", "proxy-connection"]),
    passes("answer-close-is-the-backends", "9112 9.6", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")),
    passes("answer-close-delimited", "9112 6.3", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\n\r\nuntil the end"))
        .says(&["until the end"]),
    passes("version-is-our-own", "9110 6.2", GET)
        .replied(Reply::Last(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["http/1.1 200"]),
];
