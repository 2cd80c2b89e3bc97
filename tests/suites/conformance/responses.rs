//! What a backend answers: rules kept pass unchanged; broken ones are a 502 that costs the backend's connection only.

use super::case::{After, Case, GET, Step, bad_answer, passes};
use crate::harness::cases::backend::Reply;

const UPLOAD: &[Step] = &[
    Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"),
    Step::Fill(b'x', 100),
    Step::Await(b"\r\n\r\n"),
    Step::Fill(b'x', 1000),
];

pub(super) const CASES: &[Case] = &[
    passes("set-cookie-twice", "6265 3", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Expires=Wed, 09 Jun 2021 10:18:14 GMT\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["set-cookie: a=1; expires=wed, 09 jun 2021 10:18:14 gmt\r\n", "set-cookie: b=2\r\n"]),
    passes("www-authenticate-twice", "9110 11.6.1", GET)
        .answered(&[401])
        .replied(Reply::Bytes(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x, y\"\r\nWWW-Authenticate: Bearer\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["www-authenticate: basic realm=\"x, y\"\r\n", "www-authenticate: bearer\r\n"]),
    passes("reason-phrase", "9112 4", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 Fine by me\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["200 fine by me\r\n"]),
    passes("no-reason-phrase", "9112 4", GET).replied(Reply::Bytes(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")),
    passes("unknown-status", "9110 15", GET).answered(&[299]).replied(Reply::Bytes(b"HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok")),
    passes("answer-chunked", "9112 7.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        .says(&["transfer-encoding: chunked"]),
    passes("answer-chunk-extension", "9112 7.1.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n"))
        .says(&["ok"]),
    passes("answer-te-and-cl", "9112 6.3", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 99\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        .never_says(&["content-length: 99"])
        .or(&[&[502]]),
    passes("answer-length-list", "9110 8.6", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"))
        .says(&["content-length: 2\r\n"])
        .or(&[&[502]]),
    passes("answer-date", "9110 6.6.1", GET).says(&["date: "]).or(&[&[200]]),
    passes("answer-date-kept", "9110 6.6.1", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["date: sun, 06 nov 1994 08:49:37 gmt\r\n"])
        .or(&[&[200]]),
    passes("answer-large", "9112 6", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789abcdef0123456789abcdef")),
    passes("answer-early", "9112 9.3", b"").steps(UPLOAD)
        .answered(&[413])
        .then(After::Either)
        .replied(Reply::EarlyLast(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"))
        .says(&["big"]),
    bad_answer("answer-garbage", "9112 4", Reply::Last(b"garbage\r\n\r\n")),
    bad_answer("answer-nothing-of-http", "9112 4", Reply::Last(b"SSH-2.0-OpenSSH\r\n")),
    bad_answer("answer-status-of-two-digits", "9112 4", Reply::Last(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n")),
    bad_answer("answer-status-of-letters", "9112 4", Reply::Last(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n")),
    bad_answer("answer-bad-version", "9112 2.3", Reply::Last(b"HTTP/9.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    bad_answer("answer-lengths-differ", "9112 6.3", Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok")),
    bad_answer("answer-length-plus", "9112 6.3", Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok")),
    bad_answer("answer-length-word", "9112 6.3", Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok")),
    bad_answer("answer-coding-unknown", "9112 6.3", Reply::Last(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok")).or(&[&[200]]),
    bad_answer("answer-coding-list", "9112 6.1", Reply::Last(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")).or(&[&[200]]),
    bad_answer("answer-space-before-colon", "9112 5.1", Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok")).or(&[&[200]]),
    bad_answer("answer-folded", "9112 5.2", Reply::Last(b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok")).or(&[&[200]]),
    bad_answer("answer-nul", "9110 5.5", Reply::Last(b"HTTP/1.1 200 OK\r\nX-A: 1\x002\r\nContent-Length: 2\r\n\r\nok")).or(&[&[200]]),
    bad_answer("answer-bare-cr", "9112 2.2", Reply::Last(b"HTTP/1.1 200 OK\r\nX-A: 1\r2\r\nContent-Length: 2\r\n\r\nok")).or(&[&[200]]),
    bad_answer("answer-no-colon", "9112 5", Reply::Last(b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 2\r\n\r\nok")).or(&[&[200]]),
    bad_answer("answer-101-unasked", "9110 15.2.2", Reply::Last(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")),
    bad_answer("answer-head-cut", "9112 8", Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Le")),
    passes("answer-body-cut", "9112 8", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok"))
        .answered(&[])
        .then(After::Closed)
        .says(&["content-length: 10"]),
    passes("answer-chunks-cut", "9112 8", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"))
        .answered(&[])
        .then(After::Closed)
        .never_says(&["\r\n0\r\n"]),
    passes("answer-bad-chunk", "9112 7.1", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n"))
        .answered(&[])
        .then(After::Closed)
        .never_says(&["\r\n0\r\n"]),
    passes("answer-bad-chunk-first", "9112 7.1", GET)
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n"))
        .answered(&[])
        .then(After::Closed)
        .says(&["200 ok", "transfer-encoding: chunked"])
        .never_says(&["\r\n0\r\n"])
        .or(&[&[502]]),
    passes("answer-too-long", "9112 6.3", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"))
        .never_says(&["canary"]),
    passes("answer-too-long-and-next", "9112 6.3", b"GET /{id}1 HTTP/1.1\r\nHost: a\r\n\r\nGET /{id}2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .answered(&[200, 200])
        .requests(2)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary"))
        .never_says(&["canary"]),
    passes("bytes-over-127-in-answer", "9110 5.5", GET)
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nX-A: caf\xc3\xa9\r\nX-B: 1\r\nContent-Length: 2\r\n\r\nok"))
        .says(&["x-b: 1"]),
];
