//! `Expect: 100-continue` (RFC 9110 section 10.1.1).

use super::case::{After, Case, Step, passes};

const HEAD: Step = Step::Send(
    b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
);

pub(super) const CASES: &[Case] = &[
    passes("expect-continue", "10.1.1", b"")
        .steps(&[HEAD, Step::Await(b"100 Continue\r\n\r\n"), Step::Send(b"abc")])
        .arrives(&["\r\n\r\nabc"]),
    passes("expect-without-waiting", "10.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
        .arrives(&["\r\n\r\nabc"]),
    passes("expect-in-capitals", "10.1.1", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-CONTINUE\r\n\r\n"),
            Step::Await(b"100 Continue\r\n\r\n"),
            Step::Send(b"abc"),
        ])
        .arrives(&["\r\n\r\nabc"]),
    passes("expect-chunked", "10.1.1", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
            Step::Await(b"100 Continue\r\n\r\n"),
            Step::Send(b"3\r\nabc\r\n0\r\n\r\n"),
        ])
        .arrives(&["abc"]),
    passes("expect-no-body", "10.1.1", b"GET /{id} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"),
    passes("expect-from-an-old-client", "10.1.1", b"POST /{id} HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc")
        .then(After::Closed)
        .never_says(&["100 continue"]),
    passes("expect-something-else", "10.1.1", b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: miracle\r\n\r\nabc")
        .or(&[&[417]]),
    passes("no-continue-unasked", "15.2.1", b"")
        .steps(&[
            Step::Send(b"POST /{id} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"),
            Step::Send(b"abc"),
        ])
        .never_says(&["100 continue"]),
    // A refusal needs no body, so none is asked for.
    passes("expect-and-refused", "10.1.1", b"POST /{id} HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        .answered(&[400])
        .requests(0)
        .then(After::Closed)
        .never_says(&["100 continue"]),
];
