//! What makes a request malformed (section 8), and what arrives of those that are not.

use super::case::Step;
use super::case::{Case, Due, Fields, asks, begins, passes, refused, with};
use crate::harness::frames::{DATA, END_STREAM, PROTOCOL_ERROR};

const RESET: &[Due] = &[Due::Reset(1, PROTOCOL_ERROR)];
/// h2 ends the connection for a name, a value or a method that can be none.
const GOAWAY: &[Due] = &[Due::GoAway(PROTOCOL_ERROR)];
const BAD: &[Due] = &[Due::Status(1, 400)];

/// Malformed: a stream error.
const fn malformed(name: &'static str, rfc: &'static str, steps: &'static [Step]) -> Case {
    refused(name, rfc, steps, RESET)
}

/// Malformed: answered with 400, which section 8.1.1 allows.
const fn bad(name: &'static str, rfc: &'static str, steps: &'static [Step]) -> Case {
    refused(name, rfc, steps, BAD)
}

const NO_METHOD: Fields = &[(":scheme", "http"), (":authority", "a"), (":path", "/{id}")];
const NO_SCHEME: Fields = &[(":method", "GET"), (":authority", "a"), (":path", "/{id}")];
const NO_PATH: Fields = &[(":method", "GET"), (":scheme", "http"), (":authority", "a")];

/// A GET for this path.
macro_rules! path {
    ($path:literal) => {
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", $path),
            ],
        )]
    };
}

/// A GET at this authority.
macro_rules! authority {
    ($authority:literal $(, $field:expr)*) => {
        &[asks(1, &[(":method", "GET"), (":scheme", "http"), (":authority", $authority), (":path", "/{id}"), $($field),*])]
    };
}

/// A GET with this field.
macro_rules! field {
    ($name:literal, $value:literal) => {
        &[asks(1, with!("GET", ($name, $value)))]
    };
}

pub(super) const CASES: &[Case] = &[
    passes(
        "fields-plain",
        "8.3",
        &[asks(
            1,
            with!("GET", ("x-a", "1"), ("x-b", ""), ("x-a", "2")),
        )],
    )
    .arrives(&[
        "get /=fields-plain= http/1.1\r\n",
        "host: a.example\r\n",
        "x-a: 1\r\n",
        "x-a: 2\r\n",
        "x-b: \r\n",
    ])
    .never_arrives(&[":authority", ":method"]),
    malformed("name-in-upper-case", "8.2.1", field!("X-A", "1")).known(GOAWAY),
    malformed("name-empty", "8.2.1", field!("", "1")).known(GOAWAY),
    malformed("name-with-a-space", "8.2.1", field!("x a", "1")).known(GOAWAY),
    malformed("name-with-a-space-behind", "8.2.1", field!("x-a ", "1")).known(GOAWAY),
    malformed("name-with-a-colon", "8.2.1", field!("x:a", "1")).known(GOAWAY),
    malformed("name-with-a-null", "8.2.1", field!("x\0a", "1")).known(GOAWAY),
    malformed(
        "name-with-a-line-end",
        "8.2.1",
        field!("x-a: 1\r\nx-evil", "1"),
    )
    .known(GOAWAY),
    malformed("name-beyond-ascii", "8.2.1", field!("x-ä", "1")).known(GOAWAY),
    malformed("name-with-a-delete", "8.2.1", field!("x\x7fa", "1")).known(GOAWAY),
    malformed("value-with-a-null", "8.2.1", field!("x-a", "1\x002")).known(GOAWAY),
    malformed(
        "value-with-a-line-feed",
        "8.2.1",
        field!("x-a", "1\nx-evil: 2"),
    )
    .known(GOAWAY),
    malformed(
        "value-with-a-carriage-return",
        "8.2.1",
        field!("x-a", "1\rx-evil: 2"),
    )
    .known(GOAWAY),
    malformed(
        "value-with-a-line-end",
        "8.2.1",
        field!("x-a", "1\r\nx-evil: 2\r\n\r\nGET /evil HTTP/1.1\r\n"),
    )
    .known(GOAWAY),
    bad("value-with-a-space-before", "8.2.1", field!("x-a", " 1")),
    bad("value-with-a-space-behind", "8.2.1", field!("x-a", "1 ")),
    bad("value-with-a-tab-before", "8.2.1", field!("x-a", "\t1")),
    bad("value-with-a-tab-behind", "8.2.1", field!("x-a", "1\t")),
    bad("value-of-a-space", "8.2.1", field!("x-a", " ")),
    passes("value-with-spaces-within", "8.2.1", field!("x-a", "1 \t2"))
        .arrives(&["x-a: 1 \t2\r\n"]),
    passes("value-beyond-ascii", "8.2.1", field!("x-a", "ä")).arrives(&["x-a: ä\r\n"]),
    malformed("connection-close", "8.2.2", field!("connection", "close")),
    malformed(
        "connection-names-a-field",
        "8.2.2",
        field!("connection", "x-a"),
    ),
    malformed("keep-alive", "8.2.2", field!("keep-alive", "timeout=5")),
    malformed(
        "proxy-connection",
        "8.2.2",
        field!("proxy-connection", "keep-alive"),
    ),
    malformed(
        "transfer-encoding-chunked",
        "8.2.2",
        &[
            begins(1, with!("POST", ("transfer-encoding", "chunked"))),
            Step::Frame(DATA, END_STREAM, 1, b"0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"),
        ],
    ),
    malformed(
        "transfer-encoding-identity",
        "8.2.2",
        field!("transfer-encoding", "identity"),
    ),
    malformed("upgrade", "8.2.2", field!("upgrade", "h2c")),
    malformed(
        "upgrade-to-websocket",
        "8.2.2",
        &[asks(
            1,
            with!("GET", ("connection", "upgrade"), ("upgrade", "websocket")),
        )],
    ),
    malformed("te-gzip", "8.2.2", field!("te", "gzip")),
    malformed(
        "te-trailers-and-gzip",
        "8.2.2",
        field!("te", "trailers, gzip"),
    ),
    passes("te-trailers", "8.2.2", field!("te", "trailers")),
    passes(
        "http2-settings",
        "3.1",
        field!("http2-settings", "AAMAAABk"),
    ),
    malformed("method-missing", "8.3.1", &[asks(1, NO_METHOD)]),
    malformed("scheme-missing", "8.3.1", &[asks(1, NO_SCHEME)]),
    malformed("path-missing", "8.3.1", &[asks(1, NO_PATH)]),
    malformed(
        "method-twice",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed(
        "scheme-twice",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed(
        "path-twice",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
                (":path", "/evil"),
            ],
        )],
    ),
    malformed(
        "authority-twice",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed(
        "pseudo-field-unknown",
        "8.3",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
                (":evil", "1"),
            ],
        )],
    )
    .known(GOAWAY),
    malformed(
        "pseudo-field-in-upper-case",
        "8.3",
        &[asks(
            1,
            &[
                (":METHOD", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    )
    .known(GOAWAY),
    malformed(
        "pseudo-field-of-an-answer",
        "8.3",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
                (":status", "200"),
            ],
        )],
    ),
    malformed(
        "pseudo-field-behind-a-field",
        "8.3",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                ("x-a", "1"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed(
        "pseudo-field-authority-behind-a-field",
        "8.3",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/{id}"),
                ("x-a", "1"),
                (":authority", "a"),
            ],
        )],
    ),
    malformed(
        "method-empty",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", ""),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    )
    .known(GOAWAY),
    malformed(
        "method-with-a-space",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET /evil"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    )
    .known(GOAWAY),
    malformed(
        "method-with-a-line-end",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET / HTTP/1.1\r\nX: "),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    )
    .known(GOAWAY),
    passes(
        "method-of-ones-own",
        "9110 9.1",
        &[asks(1, with!("PURGE",))],
    )
    .arrives(&["purge /=method-of-ones-own= "]),
    refused(
        "method-trace",
        "9110 9.3.8",
        &[asks(1, with!("TRACE",))],
        &[Due::Status(1, 405)],
    ),
    malformed(
        "scheme-empty",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", ""),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    )
    .known(&[Due::Status(1, 200)])
    .requests(1),
    malformed(
        "scheme-with-a-space",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "ht tp"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed(
        "scheme-with-a-line-end",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http\r\n"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    ),
    passes(
        "scheme-of-tls-without-tls",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "https"),
                (":authority", "a"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed("path-empty", "8.3.1", path!("")),
    malformed("path-without-a-slash", "8.3.1", path!("{id}")),
    malformed("path-with-a-space", "8.3.1", path!("/{id} HTTP/1.1")),
    malformed(
        "path-with-a-line-end",
        "8.3.1",
        path!("/{id} HTTP/1.1\r\nX-Evil: 1\r\n\r\n"),
    ),
    malformed("path-with-a-null", "8.3.1", path!("/{id}\0")),
    malformed("path-with-a-tab", "8.3.1", path!("/{id}\t")),
    bad("path-with-a-null-in-percents", "8.3.1", path!("/{id}%00")),
    bad(
        "path-with-a-line-feed-in-percents",
        "8.3.1",
        path!("/{id}%0a"),
    ),
    malformed("path-with-a-fragment", "8.3.1", path!("/{id}#part"))
        .known(&[Due::Status(1, 200)])
        .requests(1)
        .never_arrives(&["part"]),
    malformed("path-of-a-url", "8.3.1", path!("http://evil.example/{id}")),
    bad("path-of-a-star", "8.3.1", path!("*")),
    passes("path-of-two-slashes", "8.3.1", path!("//evil.example/{id}"))
        .arrives(&["get //evil.example/="]),
    passes("path-with-a-query", "8.3.1", path!("/{id}?a=b?c&d=%20"))
        .arrives(&["?a=b?c&d=%20 http/1.1\r\n"]),
    refused(
        "path-of-a-star-for-options",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "OPTIONS"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "*"),
            ],
        )],
        &[Due::Status(1, 200)],
    ),
    passes(
        "host-alone",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/{id}"),
                ("host", "b.example"),
            ],
        )],
    )
    .arrives(&["host: b.example\r\n"]),
    bad(
        "host-and-authority-missing",
        "8.3.1",
        &[asks(
            1,
            &[(":method", "GET"), (":scheme", "http"), (":path", "/{id}")],
        )],
    ),
    passes(
        "host-as-the-authority",
        "8.3.1",
        authority!("a.example", ("host", "A.example")),
    )
    .arrives(&["host: a.example\r\n"]),
    bad(
        "host-unlike-the-authority",
        "8.3.1",
        authority!("a.example", ("host", "b.example")),
    ),
    bad(
        "host-twice",
        "8.3.1",
        &[asks(
            1,
            &[
                (":method", "GET"),
                (":scheme", "http"),
                (":path", "/{id}"),
                ("host", "b"),
                ("host", "c"),
            ],
        )],
    ),
    bad(
        "host-like-and-unlike-the-authority",
        "8.3.1",
        authority!("a.example", ("host", "a.example"), ("host", "b.example")),
    ),
    malformed("authority-empty", "8.3.1", authority!("")),
    bad(
        "authority-with-a-user",
        "8.3.1",
        authority!("user@a.example"),
    ),
    bad(
        "authority-with-a-bad-port",
        "8.3.1",
        authority!("a.example:port"),
    ),
    malformed("authority-with-a-slash", "8.3.1", authority!("a.example/x")),
    malformed("authority-with-a-space", "8.3.1", authority!("a example")),
    malformed(
        "authority-with-a-line-end",
        "8.3.1",
        authority!("a\r\nX-Evil: 1"),
    ),
    passes(
        "authority-with-a-port",
        "8.3.1",
        authority!("a.example:8080"),
    )
    .arrives(&["host: a.example:8080\r\n"]),
    passes("authority-of-ipv6", "8.3.1", authority!("[::1]:8080"))
        .arrives(&["host: [::1]:8080\r\n"]),
    passes(
        "cookie-crumbs",
        "8.2.3",
        &[asks(
            1,
            with!(
                "GET",
                ("cookie", "a=1"),
                ("x-a", "1"),
                ("cookie", "b=2"),
                ("cookie", "c=3; d=4")
            ),
        )],
    )
    .arrives(&["cookie: a=1; b=2; c=3; d=4\r\n"]),
    passes(
        "fields-that-clients-may-not-set",
        "9110 7.6",
        &[asks(
            1,
            with!(
                "GET",
                ("x-forwarded-for", "6.6.6.6"),
                ("x_a", "evil"),
                ("proxy", "evil"),
                ("paster-environ", "evil")
            ),
        )],
    )
    .never_arrives(&["6.6.6.6", "evil"]),
    passes(
        "priority-of-a-request",
        "9218 5",
        field!("priority", "u=1, i"),
    )
    .arrives(&["priority: u=1, i\r\n"]),
    malformed(
        "connect-with-a-path",
        "8.5",
        &[asks(
            1,
            &[
                (":method", "CONNECT"),
                (":authority", "a:1"),
                (":path", "/{id}"),
            ],
        )],
    ),
    malformed(
        "connect-with-a-scheme",
        "8.5",
        &[asks(
            1,
            &[
                (":method", "CONNECT"),
                (":scheme", "http"),
                (":authority", "a:1"),
            ],
        )],
    ),
    refused(
        "connect",
        "8.5",
        &[asks(1, &[(":method", "CONNECT"), (":authority", "a:1")])],
        &[Due::Status(1, 405)],
    ),
    refused(
        "connect-without-an-authority",
        "8.5",
        &[asks(1, &[(":method", "CONNECT")])],
        &[Due::Status(1, 405)],
    ),
    refused(
        "connect-with-a-length",
        "8.5",
        &[asks(
            1,
            &[
                (":method", "CONNECT"),
                (":authority", "a:1"),
                ("content-length", "0"),
            ],
        )],
        &[Due::Status(1, 405)],
    ),
    refused(
        "connect-with-a-body",
        "8.5",
        &[
            begins(
                1,
                &[
                    (":method", "CONNECT"),
                    (":authority", "a:1"),
                    ("content-length", "5"),
                ],
            ),
            Step::Frame(DATA, END_STREAM, 1, b"abcde"),
        ],
        &[Due::Status(1, 405)],
    ),
    refused(
        "connect-to-a-protocol-with-a-length",
        "8.5",
        &[begins(
            1,
            with!(
                "CONNECT",
                (":protocol", "websocket"),
                ("content-length", "5")
            ),
        )],
        &[Due::Status(1, 400)],
    ),
    refused(
        "connect-to-another-protocol",
        "8441 4",
        &[asks(1, with!("CONNECT", (":protocol", "connect-udp")))],
        &[Due::Status(1, 501)],
    ),
    malformed(
        "connect-to-a-protocol-without-a-path",
        "8441 4",
        &[asks(
            1,
            &[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":authority", "a"),
            ],
        )],
    ),
    malformed(
        "connect-to-a-protocol-without-a-scheme",
        "8441 4",
        &[asks(
            1,
            &[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                (":path", "/{id}"),
                (":authority", "a"),
            ],
        )],
    ),
    malformed(
        "protocol-of-another-method",
        "8441 4",
        &[asks(1, with!("GET", (":protocol", "websocket")))],
    ),
    malformed(
        "protocol-twice",
        "8441 4",
        &[asks(
            1,
            with!(
                "CONNECT",
                (":protocol", "websocket"),
                (":protocol", "websocket")
            ),
        )],
    ),
    refused(
        "connect-to-a-worker-that-refuses",
        "8441 5",
        &[begins(
            1,
            with!(
                "CONNECT",
                (":protocol", "websocket"),
                ("sec-websocket-version", "13")
            ),
        )],
        &[Due::Status(1, 502)],
    )
    .requests(1)
    .arrives(&[
        "get /=",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "sec-websocket-key: ",
    ]),
];
