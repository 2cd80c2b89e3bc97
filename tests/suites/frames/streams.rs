//! What may be said on which stream, and when (section 5.1), and heads in several frames (section 6.10).

use super::case::{Case, Due, Fields, GET, POST, Step, begins, get, passes, refused, with};
use crate::harness::cases::backend::Reply;
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, HEADERS, PING, PRIORITIZED,
    PRIORITY, PROTOCOL_ERROR, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE,
};

const PROTOCOL: &[Due] = &[Due::GoAway(PROTOCOL_ERROR)];
const CODE: &[u8] = b"\0\0\0\x08";

/// An answer that goes on.
const ENDLESS: Reply = Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok");

const REST: Fields = &[("x-rest", "1")];

pub(super) const CASES: &[Case] = &[
    passes(
        "stream-ids-with-gaps",
        "5.1.1",
        &[get(1), get(7), get(1001)],
    )
    .due(&[
        Due::Status(1, 200),
        Due::Status(7, 200),
        Due::Status(1001, 200),
    ])
    .requests(3),
    passes(
        "stream-id-with-the-reserved-bit",
        "4.1",
        &[get(0x8000_0001)],
    ),
    refused("stream-id-even", "5.1.1", &[get(2)], PROTOCOL),
    refused(
        "stream-id-smaller-than-before",
        "5.1.1",
        &[get(5), Step::Await(Due::Status(5, 200)), get(3)],
        PROTOCOL,
    )
    .requests(1),
    refused("head-on-stream-0", "6.2", &[get(0)], PROTOCOL),
    refused(
        "data-on-stream-0",
        "6.1",
        &[Step::Frame(DATA, 0, 0, b"abc")],
        PROTOCOL,
    ),
    refused(
        "reset-on-stream-0",
        "6.4",
        &[Step::Frame(RST_STREAM, 0, 0, CODE)],
        PROTOCOL,
    ),
    refused(
        "continuation-on-stream-0",
        "6.10",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Frame(CONTINUATION, END_HEADERS, 0, b""),
        ],
        PROTOCOL,
    ),
    refused(
        "data-on-an-idle-stream",
        "5.1",
        &[Step::Frame(DATA, END_STREAM, 1, b"abc")],
        PROTOCOL,
    ),
    refused(
        "data-on-an-idle-stream-of-the-server",
        "5.1",
        &[Step::Frame(DATA, END_STREAM, 2, b"abc")],
        PROTOCOL,
    ),
    refused(
        "reset-on-an-idle-stream",
        "5.1",
        &[Step::Frame(RST_STREAM, 0, 1, CODE)],
        PROTOCOL,
    ),
    refused(
        "window-update-on-an-idle-stream",
        "5.1",
        &[Step::Frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01")],
        PROTOCOL,
    ),
    refused(
        "continuation-of-nothing",
        "6.10",
        &[Step::Block(CONTINUATION, END_HEADERS, 1, GET)],
        PROTOCOL,
    ),
    refused(
        "continuation-of-a-whole-head",
        "6.10",
        &[
            begins(1, POST),
            Step::Block(CONTINUATION, END_HEADERS, 1, REST),
        ],
        PROTOCOL,
    ),
    passes(
        "data-on-a-half-closed-stream",
        "5.1",
        &[
            get(1),
            Step::Await(Due::Begins(1, 200)),
            Step::Frame(DATA, END_STREAM, 1, b"abc"),
        ],
    )
    .replied(ENDLESS)
    .due(&[Due::Reset(1, STREAM_CLOSED)])
    .known(PROTOCOL),
    passes(
        "head-on-a-half-closed-stream",
        "5.1",
        &[
            get(1),
            Step::Await(Due::Begins(1, 200)),
            Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, REST),
        ],
    )
    .replied(ENDLESS)
    .due(&[Due::Reset(1, STREAM_CLOSED)])
    .known(PROTOCOL),
    passes(
        "data-on-a-closed-stream",
        "5.1",
        &[
            get(1),
            Step::Await(Due::Status(1, 200)),
            Step::Frame(DATA, END_STREAM, 1, b"abc"),
        ],
    )
    .due(&[Due::GoAway(STREAM_CLOSED)])
    .known(&[Due::Reset(1, STREAM_CLOSED)]),
    passes(
        "head-on-a-closed-stream",
        "5.1",
        &[get(1), Step::Await(Due::Status(1, 200)), get(1)],
    )
    .due(&[Due::GoAway(STREAM_CLOSED)])
    .known(PROTOCOL),
    passes(
        "window-update-on-a-closed-stream",
        "5.1",
        &[
            get(1),
            Step::Await(Due::Status(1, 200)),
            Step::Frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"),
        ],
    ),
    passes(
        "reset-on-a-closed-stream",
        "5.1",
        &[
            get(1),
            Step::Await(Due::Status(1, 200)),
            Step::Frame(RST_STREAM, 0, 1, CODE),
            Step::Frame(RST_STREAM, 0, 1, CODE),
        ],
    ),
    passes(
        "priority-on-a-closed-stream",
        "5.1",
        &[
            get(1),
            Step::Await(Due::Status(1, 200)),
            Step::Frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
        ],
    ),
    passes(
        "reset-twice",
        "5.4.2",
        &[
            begins(1, POST),
            Step::Frame(RST_STREAM, 0, 1, CODE),
            Step::Frame(RST_STREAM, 0, 1, CODE),
            get(3),
        ],
    )
    .due(&[Due::Status(3, 200)]),
    passes(
        "data-behind-a-reset",
        "5.1",
        &[
            begins(1, POST),
            Step::Frame(RST_STREAM, 0, 1, CODE),
            Step::Frame(DATA, END_STREAM, 1, b"abc"),
            get(3),
        ],
    )
    .due(&[Due::Reset(1, STREAM_CLOSED), Due::Status(3, 200)]),
    passes(
        "head-behind-a-reset",
        "5.1",
        &[begins(1, POST), Step::Frame(RST_STREAM, 0, 1, CODE), get(1)],
    )
    .due(&[Due::GoAway(STREAM_CLOSED)])
    .requests(0)
    .known(PROTOCOL),
    passes(
        "reset-with-an-unknown-code",
        "7",
        &[
            begins(1, POST),
            Step::Frame(RST_STREAM, 0, 1, b"\xde\xad\xbe\xef"),
            get(3),
        ],
    )
    .due(&[Due::Status(3, 200)]),
    refused(
        "reset-of-an-answer-that-goes-on",
        "5.4.2",
        &[
            get(1),
            Step::Await(Due::Begins(1, 200)),
            Step::Frame(RST_STREAM, 0, 1, CODE),
        ],
        &[Due::Begins(1, 200)],
    )
    .replied(ENDLESS)
    .requests(1),
    refused(
        "stream-window-update-of-0",
        "6.9",
        &[
            begins(1, POST),
            Step::Frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"),
        ],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    )
    .known(PROTOCOL),
    refused(
        "stream-window-update-overflows",
        "6.9.1",
        &[
            begins(1, POST),
            Step::Frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"),
        ],
        &[Due::Reset(1, FLOW_CONTROL_ERROR)],
    ),
    refused(
        "head-depends-on-itself",
        "7540 5.3.1",
        &[Step::Coded(
            END_STREAM | PRIORITIZED,
            1,
            b"\0\0\0\x01\x10",
            GET,
            b"",
        )],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    ),
    refused(
        "priority-depends-on-itself",
        "7540 5.3.1",
        &[
            begins(1, POST),
            Step::Frame(PRIORITY, 0, 1, b"\0\0\0\x01\x10"),
        ],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    ),
    passes(
        "head-in-two-frames",
        "6.10",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Block(CONTINUATION, END_HEADERS, 1, REST),
        ],
    )
    .arrives(&["x-rest: 1\r\n"]),
    passes(
        "head-in-three-frames",
        "6.10",
        &[
            Step::Frame(HEADERS, END_STREAM, 1, b""),
            Step::Block(CONTINUATION, 0, 1, GET),
            Step::Block(CONTINUATION, END_HEADERS, 1, REST),
        ],
    )
    .arrives(&["x-rest: 1\r\n"]),
    passes(
        "head-cut-within-a-field",
        "4.3",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Frame(CONTINUATION, 0, 1, b"\0\x06x-r"),
            Step::Frame(CONTINUATION, 0, 1, b"est\x051"),
            Step::Frame(CONTINUATION, END_HEADERS, 1, b"2345"),
        ],
    )
    .arrives(&["x-rest: 12345\r\n"]),
    refused(
        "head-then-data",
        "4.3",
        &[
            Step::Block(HEADERS, 0, 1, POST),
            Step::Frame(DATA, END_STREAM, 1, b"abc"),
        ],
        PROTOCOL,
    ),
    refused(
        "head-then-ping",
        "4.3",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Frame(PING, 0, 0, b"12345678"),
        ],
        PROTOCOL,
    ),
    refused(
        "head-then-settings",
        "4.3",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Frame(SETTINGS, 0, 0, b""),
        ],
        PROTOCOL,
    ),
    refused(
        "head-then-reset",
        "4.3",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Frame(RST_STREAM, 0, 1, CODE),
        ],
        PROTOCOL,
    ),
    refused(
        "head-then-another-head",
        "4.3",
        &[Step::Block(HEADERS, END_STREAM, 1, GET), get(3)],
        PROTOCOL,
    ),
    refused(
        "head-then-continuation-of-another",
        "6.10",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Block(CONTINUATION, END_HEADERS, 3, REST),
        ],
        PROTOCOL,
    ),
    refused(
        "trailers-then-data",
        "4.3",
        &[
            begins(1, POST),
            Step::Block(HEADERS, END_STREAM, 1, REST),
            Step::Frame(DATA, END_STREAM, 1, b"abc"),
        ],
        PROTOCOL,
    ),
    refused(
        "trailers-that-end-nothing",
        "8.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, 0, 1, b"abc"),
            Step::Block(HEADERS, END_HEADERS, 1, REST),
        ],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    ),
    refused(
        "trailers-with-a-pseudo-field",
        "8.1",
        &[
            begins(1, with!("POST", ("trailer", "x-sum"))),
            Step::Frame(DATA, 0, 1, b"abc"),
            Step::Block(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[(":path", "/evil"), ("x-sum", "1")],
            ),
        ],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    )
    .never_arrives(&["evil"])
    .known(&[Due::Status(1, 200)])
    .requests(1),
    refused(
        "trailers-with-a-field-of-the-connection",
        "8.2.2",
        &[
            begins(1, POST),
            Step::Frame(DATA, 0, 1, b"abc"),
            Step::Block(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &[("connection", "close")],
            ),
        ],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    ),
    refused(
        "trailers-with-an-upper-case-name",
        "8.2.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, 0, 1, b"abc"),
            Step::Block(HEADERS, END_HEADERS | END_STREAM, 1, &[("X-Sum", "1")]),
        ],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    )
    .known(PROTOCOL),
    passes(
        "requests-beside-one-that-is-cancelled",
        "5.4.2",
        &[
            get(1),
            Step::Await(Due::Begins(1, 200)),
            get(3),
            Step::Frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
            Step::Await(Due::Begins(3, 200)),
            get(5),
        ],
    )
    .replied(ENDLESS)
    .due(&[Due::Begins(5, 200)])
    .requests(3),
];
