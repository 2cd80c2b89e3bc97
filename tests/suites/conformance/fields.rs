//! The request line, lines and fields: what the grammar does not know is refused; what it does passes byte for byte.

use super::case::{Case, passes, refused};

pub(super) const CASES: &[Case] = &[
    refused("space-before-colon", "9112 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n", 400),
    refused("tab-before-colon", "9112 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A\t: 1\r\n\r\n", 400),
    refused("space-before-colon-of-length", "9112 5.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc", 400),
    refused("space-before-colon-of-coding", "9112 5.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    refused("folded", "9112 5.2", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("folded-by-tab", "9112 5.2", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\t2\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("folded-coding", "9112 5.2", b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("first-field-indented", "9112 2.2", b"GET /{id} HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    refused("bare-cr-in-value", "9112 2.2", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\r2\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("bare-cr-hides-a-field", "9112 2.2", b"POST /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\rTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", 400)
        .or(&[&[200]]),
    refused("bare-cr-ends-a-line", "9112 2.2", b"GET /{id} HTTP/1.1\rHost: a\r\n\r\n", 400),
    refused("bare-lf-ends-a-field", "9112 2.2", b"GET /{id} HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("bare-lf-ends-the-request-line", "9112 2.2", b"GET /{id} HTTP/1.1\nHost: a\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("bare-lf-ends-the-head", "9112 2.2", b"GET /{id} HTTP/1.1\r\nHost: a\r\n\n", 400)
        .or(&[&[200]]),
    refused("only-bare-lf", "9112 2.2", b"GET /{id} HTTP/1.1\nHost: a\n\n", 400)
        .or(&[&[200]]),
    refused("bare-lf-second-in-packet", "9112 2.2", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\nHost: a\r\n\r\n", 400)
        .answered(&[200, 400])
        .requests(1)
        .or(&[&[200, 200]]),
    refused("nul-in-value", "9110 5.5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\x002\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("nul-in-name", "9110 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-\x00A: 1\r\n\r\n", 400),
    refused("control-in-value", "9110 5.5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\x012\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("del-in-value", "9110 5.5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\x7f2\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("space-in-name", "9110 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n", 400),
    refused("empty-name", "9110 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400),
    refused("no-colon", "9112 5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", 400),
    refused("byte-over-127-in-name", "9110 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-\xe4: 1\r\n\r\n", 400),
    refused("separator-in-name", "9110 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX(A): 1\r\n\r\n", 400),
    passes("empty-value", "9110 5.5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A:\r\n\r\n").arrives(&["x-a:"]),
    passes("no-space-after-colon", "9112 5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A:1\r\n\r\n").arrives(&["x-a: 1\r\n"]),
    passes("space-around-value", "9112 5.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: \t 1 2 \t\r\n\r\n").arrives(&["x-a: 1 2\r\n"]),
    passes("quotes-and-commas", "9110 5.6.4", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: \"a, \\\"b\", c\r\n\r\n")
        .arrives(&["x-a: \"a, \\\"b\", c\r\n"]),
    passes("repeated-field", "9110 5.3", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\nX-A: 3\r\n\r\n")
        .arrives(&["x-a: 1\r\n", "x-a: 3\r\n", "x-b: 2\r\n"]),
    passes("token-characters", "9110 5.6.2", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX!#$%&'*+-.^`|~A: 1\r\n\r\n")
        .arrives(&["x!#$%&'*+-.^`|~a: 1\r\n"]),
    passes("empty-lines-before", "9112 2.2", b"\r\n\r\nGET /{id} HTTP/1.1\r\nHost: a\r\n\r\n"),
    passes("empty-line-between", "9112 2.2", b"POST /{id}1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2),
    refused("two-spaces-in-request-line", "9112 3", b"GET  /{id} HTTP/1.1\r\nHost: a\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("tab-in-request-line", "9112 3", b"GET\t/{id} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    refused("space-ends-request-line", "9112 3", b"GET /{id} HTTP/1.1 \r\nHost: a\r\n\r\n", 400)
        .or(&[&[200]]),
    refused("space-begins-request-line", "9112 3", b" GET /{id} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    refused("no-version", "9112 3", b"GET /{id}\r\nHost: a\r\n\r\n", 400)
        .or(&[&[400], &[]]),
    refused("version-in-small-letters", "9112 2.3", b"GET /{id} http/1.1\r\nHost: a\r\n\r\n", 400),
    refused("version-without-dot", "9112 2.3", b"GET /{id} HTTP/11\r\nHost: a\r\n\r\n", 400),
    refused("version-two-digits", "9112 2.3", b"GET /{id} HTTP/1.10\r\nHost: a\r\n\r\n", 400)
        .or(&[&[505]]),
    refused("version-2", "9110 15.6.6", b"GET /{id} HTTP/2.0\r\nHost: a\r\n\r\n", 505)
        .or(&[&[400]]),
    refused("version-3", "9110 15.6.6", b"GET /{id} HTTP/3.0\r\nHost: a\r\n\r\n", 505)
        .or(&[&[400]]),
    refused("version-0", "9110 15.6.6", b"GET /{id} HTTP/0.9\r\nHost: a\r\n\r\n", 505)
        .or(&[&[400]]),
    refused("method-with-separator", "9110 9.1", b"GE(T /{id} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    refused("no-method", "9112 3", b"/{id} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    refused("tls-on-a-plain-port", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03{id}\r\n\r\n", 400),
    refused("garbage", "9112 3", b"{id} nonsense\r\n\r\n", 400),
    passes("bytes-over-127-in-value", "9110 5.5", b"GET /{id} HTTP/1.1\r\nHost: a\r\nX-A: caf\xc3\xa9 \xff\r\nX-B: 1\r\n\r\n")
        .arrives(&["x-b: 1"]),
];
