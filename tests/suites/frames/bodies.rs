//! Bodies, their lengths and trailers, and answers (sections 8.1 and 8.1.1).

use super::case::{Case, Due, POST, Step, asks, begins, get, passes, refused, with};
use crate::harness::cases::ANY;
use crate::harness::cases::backend::Reply;
use crate::harness::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR,
};

const RESET: &[Due] = &[Due::Reset(1, PROTOCOL_ERROR)];
const BAD_GATEWAY: &[Due] = &[Due::Status(1, 502)];

const ASK: &[Step] = &[get(1)];

/// DATA on stream 1.
const fn data(bytes: &'static [u8]) -> Step {
    Step::Frame(DATA, 0, 1, bytes)
}

/// DATA that ends it.
const fn last(bytes: &'static [u8]) -> Step {
    Step::Frame(DATA, END_STREAM, 1, bytes)
}

/// A GET that the backend answers with these bytes.
const fn answer(name: &'static str, rfc: &'static str, bytes: &'static [u8]) -> Case {
    passes(name, rfc, ASK).replied(Reply::Bytes(bytes))
}

pub(super) const CASES: &[Case] = &[
    passes("body-without-a-length", "8.1", &[begins(1, POST), data(b"abc"), last(b"xyz")])
        .arrives(&["abc", "xyz"]),
    passes("body-that-is-waited-for", "8.1", &[begins(1, POST), Step::Arrival, data(b"abc"), last(b"de")])
        .replied(Reply::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .arrives(&["transfer-encoding: chunked\r\n"]),
    passes("body-with-a-length", "8.1.1", &[begins(1, with!("POST", ("content-length", "5"))), data(b"abc"), last(b"de")])
        .arrives(&["content-length: 5\r\n", "\r\n\r\nabcde"])
        .never_arrives(&["chunked"]),
    passes("body-that-ends-with-an-empty-frame", "6.1", &[begins(1, with!("POST", ("content-length", "3"))), data(b"abc"), last(b"")])
        .arrives(&["\r\n\r\nabc"]),
    passes("body-that-is-empty", "8.1", &[begins(1, POST), last(b"")]),
    passes("body-of-a-get", "8.1", &[begins(1, with!("GET",)), last(b"abc")]).arrives(&["abc"]),
    passes("body-in-empty-frames-too", "6.1", &[begins(1, POST), data(b""), data(b"abc"), data(b""), last(b"")]).arrives(&["abc"]),
    passes("length-of-0", "8.1.1", &[asks(1, with!("POST", ("content-length", "0")))]).arrives(&["content-length: 0\r\n"]),
    refused("length-without-a-body", "8.1.1", &[asks(1, with!("POST", ("content-length", "5")))], RESET),
    refused("length-larger-than-the-body", "8.1.1", &[begins(1, with!("POST", ("content-length", "5"))), data(b"abc"), last(b"")], RESET)
        .never_arrives(&["\r\n\r\nabc\r\n"]),
    refused("length-smaller-than-the-body", "8.1.1", &[begins(1, with!("POST", ("content-length", "3"))), last(b"abcGET /evil HTTP/1.1\r\n\r\n")], RESET)
        .never_arrives(&["evil"]),
    refused("length-smaller-than-the-body-in-pieces", "8.1.1", &[begins(1, with!("POST", ("content-length", "3"))), data(b"abc"), data(b"GET /evil HTTP/1.1\r\n\r\n")], RESET)
        .never_arrives(&["evil"]),
    refused("length-larger-than-the-body-before-trailers", "8.1.1", &[
        begins(1, with!("POST", ("content-length", "5"))),
        data(b"abc"),
        Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("x-sum", "1")]),
    ], RESET),
    refused("length-of-letters", "8.1.1", &[begins(1, with!("POST", ("content-length", "abc"))), last(b"abc")], RESET),
    refused("length-below-0", "8.1.1", &[begins(1, with!("POST", ("content-length", "-3"))), last(b"abc")], RESET),
    refused("length-with-a-plus", "8.1.1", &[begins(1, with!("POST", ("content-length", "+3"))), last(b"abc")], RESET),
    refused("length-that-is-empty", "8.1.1", &[begins(1, with!("POST", ("content-length", ""))), last(b"abc")], RESET),
    refused("length-beyond-all-numbers", "8.1.1", &[begins(1, with!("POST", ("content-length", "99999999999999999999999"))), last(b"abc")], RESET),
    refused("length-as-a-list", "8.1.1", &[begins(1, with!("POST", ("content-length", "3, 3"))), last(b"abc")], RESET),
    refused("length-twice", "8.1.1", &[begins(1, with!("POST", ("content-length", "3"), ("content-length", "3"))), last(b"abc")], &[Due::Status(1, 400)]),
    refused("length-twice-and-unlike", "8.1.1", &[begins(1, with!("POST", ("content-length", "3"), ("content-length", "4"))), last(b"abc")], RESET),
    refused("body-too-large-by-its-length", "9110 15.5.14", &[begins(1, with!("POST", ("content-length", "2000000")))], &[Due::Status(1, 413), Due::Reset(1, NO_ERROR)]),
    refused("body-too-large", "9110 15.5.14", &[begins(1, POST), Step::Times(13, &Step::Zeros(DATA, 0, 1, 16_384))], &[Due::Status(1, 413), Due::Reset(1, NO_ERROR)])
        .requests(ANY),
    passes("trailers-announced", "8.1", &[
        begins(1, with!("POST", ("trailer", "x-sum"))),
        data(b"abc"),
        Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("x-sum", "12")]),
    ])
    .arrives(&["trailer: x-sum\r\n", "\r\n0\r\nx-sum: 12\r\n\r\n"]),
    passes("trailers-not-announced", "9110 6.5.1", &[begins(1, POST), data(b"abc"), Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("x-sum", "12")])])
        .arrives(&["abc"])
        .never_arrives(&["\r\n0\r\nx-sum"]),
    passes("trailers-of-framing", "9110 6.5.1", &[
        begins(1, with!("POST", ("trailer", "content-length, host, x-forwarded-for"))),
        data(b"abc"),
        Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("content-length", "99"), ("host", "evil"), ("x-forwarded-for", "6.6.6.6")]),
    ])
    .never_arrives(&["content-length: 99", "evil", "6.6.6.6"]),
    passes("trailers-with-a-space-behind", "8.2.1", &[
        begins(1, with!("POST", ("trailer", "x-sum"))),
        data(b"abc"),
        Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("x-sum", "12 ")]),
    ])
    .due(RESET)
    .known(&[Due::Status(1, 200)]),
    passes("trailers-without-a-body", "8.1", &[begins(1, with!("POST", ("trailer", "x-sum"))), Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("x-sum", "12")])]),
    passes("trailers-of-an-answer", "8.1", &[asks(1, with!("GET", ("te", "trailers")))])
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n"))
        .says(&[("x-sum", "12"), ("trailer", "x-sum")]),
    passes("trailers-of-an-answer-not-asked-for", "9110 6.5.1", &[get(1)])
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n"))
        .never_says(&["x-sum"]),
    passes("trailers-of-an-answer-not-announced", "9110 6.5.1", &[asks(1, with!("GET", ("te", "trailers")))])
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 12\r\n\r\n"))
        .never_says(&["x-sum"]),
    passes("trailers-of-an-answer-of-framing", "9110 6.5.1", &[asks(1, with!("GET", ("te", "trailers")))])
        .replied(Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length, Connection\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 99\r\nConnection: close\r\n\r\n"))
        .never_says(&["content-length", "connection"]),
    passes("continue-expected", "9110 10.1.1", &[
        begins(1, with!("POST", ("expect", "100-continue"), ("content-length", "3"))),
        Step::Await(Due::Interim(1, 100)),
        last(b"abc"),
    ])
    .arrives(&["abc"])
    .never_arrives(&["expect: "]),
    passes("continue-expected-in-capitals", "9110 10.1.1", &[
        begins(1, with!("POST", ("expect", "100-CONTINUE"))),
        Step::Await(Due::Interim(1, 100)),
        last(b"abc"),
    ])
    .arrives(&["abc"]),
    passes("continue-expected-and-not-waited-for", "9110 10.1.1", &[
        begins(1, with!("POST", ("expect", "100-continue"), ("content-length", "3"))),
        last(b"abc"),
    ])
    .arrives(&["abc"]),
    passes("continue-expected-without-a-body", "9110 10.1.1", &[asks(1, with!("POST", ("expect", "100-continue")))]),
    // A refusal needs no body, so none is asked for.
    refused("continue-expected-and-refused", "9110 10.1.1", &[
        begins(1, with!("POST", ("expect", "100-continue"), ("content-length", "2000000"))),
    ], &[Due::Status(1, 413), Due::Reset(1, NO_ERROR)])
        .never_interim(),
    passes("continue-of-a-worker", "9110 15.2.1", &[get(1)])
        .replied(Reply::Bytes(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .never_interim(),
    passes("early-hints", "8.1", &[get(1)])
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .due(&[Due::Interim(1, 103), Due::Status(1, 200)])
        .never_says(&["link"]),
    passes("interim-answers-of-all-kinds", "9110 15.2", &[get(1)])
        .replied(Reply::Bytes(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\nHTTP/1.1 199 Soon\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .due(&[Due::Interim(1, 102), Due::Interim(1, 103), Due::Interim(1, 199), Due::Status(1, 200)]),
    passes("early-hints-to-head", "8.1", &[asks(1, with!("HEAD",))])
        .replied(Reply::Bytes(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
        .due(&[Due::Interim(1, 103), Due::Status(1, 200)])
        .says(&[("content-length", "2")]),
    passes("early-hints-before-the-body", "8.1", &[begins(1, POST), data(b"abc"), Step::Await(Due::Interim(1, 103)), last(b"de")])
        .replied(Reply::Early(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        .due(&[Due::Interim(1, 103), Due::Status(1, 200)]),
    passes("early-hints-and-no-answer", "9110 15.6.3", &[get(1)])
        .replied(Reply::Last(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"))
        .due(&[Due::Interim(1, 103), Due::Status(1, 502)])
        .requests(ANY),
    answer("answer-with-fields-of-the-connection", "8.2.2", b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nContent-Length: 2\r\n\r\nok")
        .never_says(&["connection", "keep-alive", "x-hop", "proxy-connection", "upgrade", "transfer-encoding"])
        .says(&[("content-length", "2")]),
    answer("answer-with-upper-case-names", "8.2", b"HTTP/1.1 200 OK\r\nX-MiXeD: AbC\r\nContent-Length: 2\r\n\r\nok").says(&[("x-mixed", "AbC")]),
    answer("answer-that-is-chunked", "8.2.2", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").never_says(&["transfer-encoding"]),
    answer("answer-with-two-cookies", "8.2.3", b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok").says(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]),
    answer("answer-204", "8.1", b"HTTP/1.1 204 No Content\r\n\r\n").due(&[Due::Status(1, 204)]),
    answer("answer-304", "8.1.1", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n")
        .due(&[Due::Status(1, 304)])
        .says(&[("etag", "\"a\"")]),
    refused("refusal-of-a-head", "9110 9.3.2", &[asks(1, &[
        (":method", "HEAD"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/%00{id}"),
    ])], &[Due::Status(1, 400)]),
    passes("answer-to-head", "8.1.1", &[asks(1, with!("HEAD",))]).says(&[("content-length", "2")]),
    passes("answer-of-http-1-0", "8.1", &[get(1)]).replied(Reply::Last(b"HTTP/1.0 200 OK\r\n\r\nok")),
    passes("answer-that-is-cut-short", "8.1.1", &[get(1)])
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"))
        .due(&[Due::Begins(1, 200), Due::Reset(1, INTERNAL_ERROR)]),
    passes("answer-of-chunks-that-is-cut-short", "8.1", &[get(1)])
        .replied(Reply::Last(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok"))
        .due(&[Due::Begins(1, 200), Due::Reset(1, INTERNAL_ERROR)]),
    answer("answer-that-is-no-http", "9110 15.6.3", b"hello\r\n\r\n").due(BAD_GATEWAY),
    answer("answer-101-unasked", "8.6", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").due(BAD_GATEWAY),
    passes("answer-before-the-body", "8.1", &[begins(1, POST), data(b"abc"), Step::Await(Due::Status(1, 200)), last(b"de")])
        .replied(Reply::Early(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    passes("answer-with-an-error-before-the-body", "8.1", &[begins(1, POST), data(b"abc")])
        .replied(Reply::EarlyLast(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"))
        .due(&[Due::Status(1, 401), Due::Reset(1, NO_ERROR)]),
    passes("answers-out-of-order", "5", &[begins(1, POST), get(3), Step::Await(Due::Status(3, 200)), last(b"abc")])
        .due(&[Due::Status(1, 200), Due::Status(3, 200)])
        .requests(2),
];
