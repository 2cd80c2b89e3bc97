//! Request targets (RFC 9112 section 3.2): four forms, and what passes does so byte for byte.

use super::case::{Case, passes, refused};

pub(super) const CASES: &[Case] = &[
    passes(
        "origin",
        "9112 3.2.1",
        b"GET /{id}/a?b=c&d HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["get /=origin=/a?b=c&d http/1.1\r\n"]),
    passes(
        "empty-query",
        "9112 3.2.1",
        b"GET /{id}? HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["get /=empty-query=? http/1.1\r\n"]),
    passes(
        "dots-and-slashes",
        "3986 6",
        b"GET /{id}/../b/./c//d HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["/../b/./c//d http/1.1\r\n"]),
    passes(
        "escapes",
        "3986 2.1",
        b"GET /{id}/%2f%2E%41%c3%a9?%20%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["/%2f%2e%41%c3%a9?%20%zz http/1.1\r\n"]),
    passes(
        "sub-delimiters",
        "3986 3.3",
        b"GET /{id}/;a=1,b!$&'()*+:@~ HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["/;a=1,b!$&'()*+:@~ http/1.1\r\n"]),
    passes(
        "question-marks-in-query",
        "3986 3.4",
        b"GET /{id}?a?b/c HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["?a?b/c http/1.1\r\n"]),
    passes(
        "absolute",
        "9112 3.2.2",
        b"GET http://b/{id}?x HTTP/1.1\r\nHost: b\r\n\r\n",
    )
    .arrives(&["/=absolute=?x http/1.1\r\n", "host: b\r\n"]),
    passes(
        "absolute-beats-host",
        "9112 3.2.2",
        b"GET http://b:81/{id} HTTP/1.1\r\nHost: c\r\n\r\n",
    )
    .arrives(&["host: b:81\r\n"])
    .never_arrives(&["host: c"])
    .or(&[&[400]]),
    passes(
        "absolute-without-path",
        "9112 3.2.1",
        b"GET http://b?{id} HTTP/1.1\r\nHost: b\r\n\r\n",
    )
    .arrives(&["get /?=absolute-without-path= http/1.1\r\n"]),
    passes(
        "absolute-in-capitals",
        "3986 6.2.2.1",
        b"GET HTTP://b/{id} HTTP/1.1\r\nHost: b\r\n\r\n",
    ),
    refused(
        "absolute-without-host",
        "9112 3.2",
        b"GET http://b/{id} HTTP/1.1\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    refused(
        "absolute-with-user",
        "9110 4.2.4",
        b"GET http://u:p@b/{id} HTTP/1.1\r\nHost: b\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    refused(
        "absolute-without-authority",
        "9110 4.2.1",
        b"GET http:///{id} HTTP/1.1\r\nHost: b\r\n\r\n",
        400,
    ),
    refused(
        "absolute-of-another-scheme",
        "9110 4.2",
        b"GET ftp://b/{id} HTTP/1.1\r\nHost: b\r\n\r\n",
        400,
    )
    .or(&[&[200], &[421]]),
    refused(
        "absolute-bad-port",
        "3986 3.2.3",
        b"GET http://b:x/{id} HTTP/1.1\r\nHost: b\r\n\r\n",
        400,
    ),
    refused(
        "no-slash",
        "9112 3.2.1",
        b"GET {id} HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "backslash",
        "9112 3.2.1",
        b"GET \\{id} HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "asterisk-not-options",
        "9112 3.2.4",
        b"GET * HTTP/1.1\r\nHost: a\r\nX: {id}\r\n\r\n",
        400,
    ),
    refused(
        "fragment",
        "9112 3.2",
        b"GET /{id}#x HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    refused(
        "control-in-target",
        "9112 3.2",
        b"GET /{id}\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "del-in-target",
        "9112 3.2",
        b"GET /{id}\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    refused(
        "nul-in-target",
        "9112 3.2",
        b"GET /{id}\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "space-in-target",
        "9112 3.2",
        b"GET /{id} b HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "bare-cr-in-target",
        "9112 2.2",
        b"GET /{id}\rb HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    ),
    refused(
        "encoded-nul",
        "3986 7.3",
        b"GET /{id}%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    refused(
        "encoded-newline",
        "3986 7.3",
        b"GET /{id}%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
    )
    .or(&[&[200]]),
    passes(
        "options-asterisk",
        "9110 9.3.7",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nX: {id}\r\n\r\n",
    )
    .requests(0)
    .says(&["allow: "])
    .or(&[&[200], &[400], &[405]]),
    passes(
        "options-with-path",
        "9110 9.3.7",
        b"OPTIONS /{id} HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .arrives(&["options /=options-with-path= "]),
    refused(
        "connect",
        "9110 9.3.6",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\nX: {id}\r\n\r\n",
        405,
    )
    .or(&[&[400], &[403]]),
    refused(
        "connect-with-path",
        "9110 9.3.6",
        b"CONNECT /{id} HTTP/1.1\r\nHost: a:80\r\n\r\n",
        405,
    )
    .or(&[&[400], &[403]]),
];
