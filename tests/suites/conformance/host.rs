//! The Host field (RFC 9110 section 7.2, RFC 9112 section 3.2): exactly one, and a valid one.

use super::case::{Case, passes, refused};

pub(super) const CASES: &[Case] = &[
    refused(
        "host-missing",
        "9112 3.2",
        b"GET /{id} HTTP/1.1\r\nX-A: 1\r\n\r\n",
        400,
    ),
    refused(
        "host-twice",
        "9112 3.2",
        b"GET /{id} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        400,
    ),
    refused(
        "host-twice-equal",
        "9112 3.2",
        b"GET /{id} HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "host-with-space",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a b\r\n\r\n",
        400,
    ),
    refused(
        "host-with-path",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a/b\r\n\r\n",
        400,
    ),
    refused(
        "host-with-user",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: u@a\r\n\r\n",
        400,
    ),
    refused(
        "host-with-query",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a?b\r\n\r\n",
        400,
    ),
    refused(
        "host-list",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a:1, b\r\n\r\n",
        400,
    ),
    refused(
        "host-open-bracket",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: [::1\r\n\r\n",
        400,
    ),
    refused(
        "host-bare-ipv6",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: ::1\r\n\r\n",
        400,
    ),
    refused(
        "host-bad-port",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a:b\r\n\r\n",
        400,
    ),
    refused(
        "host-port-too-large",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a:65536\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    refused(
        "host-two-ports",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a:1:2\r\n\r\n",
        400,
    ),
    refused(
        "host-with-control",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a\x01b\r\n\r\n",
        400,
    ),
    refused(
        "host-with-backslash",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: a\\b\r\n\r\n",
        400,
    ),
    refused(
        "host-second-in-packet",
        "9112 3.2",
        b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\n\r\n",
        400,
    )
    .answered(&[200, 400])
    .requests(1),
    passes(
        "host-with-port",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: Example.org:8080\r\n\r\n",
    )
    .arrives(&["host: example.org:8080\r\n"]),
    passes(
        "host-ipv6",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    )
    .arrives(&["host: [::1]:80\r\n"]),
    passes(
        "host-empty",
        "9110 7.2",
        b"GET /{id} HTTP/1.1\r\nHost:\r\n\r\n",
    )
    .or(&[&[400]]),
    passes(
        "host-in-capitals",
        "9110 5.1",
        b"GET /{id} HTTP/1.1\r\nHOST: a\r\n\r\n",
    )
    .arrives(&["host: a\r\n"]),
    passes(
        "host-underscore",
        "3986 3.2.2",
        b"GET /{id} HTTP/1.1\r\nHost: a_b\r\n\r\n",
    )
    .arrives(&["host: a_b\r\n"]),
    passes(
        "host-last",
        "9110 5.3",
        b"GET /{id} HTTP/1.1\r\nX-A: 1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["host: a\r\n"]),
];
