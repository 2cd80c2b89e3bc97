//! Clients that speak HTTP/1.0 (RFC 9112 section 9.3, RFC 1945).

use super::case::{After, Case, passes, refused};
use crate::harness::cases::backend::Reply;

const GET: &[u8] = b"GET /{id} HTTP/1.0\r\nHost: a\r\n\r\n";

pub(super) const CASES: &[Case] = &[
    passes("old-closes", "9112 9.3", GET).then(After::Closed).arrives(&["http/1.1\r\n"]),
    passes("old-without-host", "9112 3.2", b"GET /{id} HTTP/1.0\r\n\r\n").then(After::Closed),
    passes("old-keeps-alive-when-asked", "9112 9.3", b"GET /{id} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        .says(&["connection: keep-alive"]),
    passes("old-never-chunked", "9112 6.1", GET)
        .then(After::Closed)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
        .says(&["\r\n\r\nhello"])
        .never_says(&["transfer-encoding", "5\r\nhello"]),
    passes("old-unknown-length-closes", "9112 9.3", b"GET /{id} HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        .then(After::Closed)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
        .says(&["\r\n\r\nhello"])
        .never_says(&["keep-alive"]),
    refused("old-with-coding", "9112 6.1", b"POST /{id} HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 400)
        .or(&[&[501]]),
    passes("old-post", "1945 8.3", b"POST /{id} HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        .then(After::Closed)
        .arrives(&["\r\n\r\nabc"]),
    passes("old-head", "1945 8.2", b"HEAD /{id} HTTP/1.0\r\nHost: a\r\n\r\n").then(After::Closed).heads(&[0]),
    passes("old-two-hosts-of-it", "9112 3.2.2", b"GET http://b/{id} HTTP/1.0\r\n\r\n").then(After::Closed).arrives(&["host: b\r\n"]),
    passes("old-upgrade", "9110 7.8", b"GET /{id} HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .then(After::Closed)
        .never_arrives(&["upgrade: "]),
    passes("old-pipelined", "9112 9.3", b"GET /{id}1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nGET /{id}2 HTTP/1.0\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2)
        .then(After::Closed),
];
