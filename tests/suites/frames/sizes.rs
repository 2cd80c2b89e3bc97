//! Sizes of frames and their padding (sections 4.2 and 6).

use super::case::{Case, Due, GET, POST, Step, begins, get, passes, refused};
use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, GOAWAY, HEADERS, PADDED, PING,
    PRIORITIZED, PRIORITY, PROTOCOL_ERROR, RST_STREAM, WINDOW_UPDATE,
};

const SIZE: &[Due] = &[Due::GoAway(FRAME_SIZE_ERROR)];
const PROTOCOL: &[Due] = &[Due::GoAway(PROTOCOL_ERROR)];

pub(super) const CASES: &[Case] = &[
    refused("ping-of-7", "6.7", &[Step::Zeros(PING, 0, 0, 7)], SIZE).known(PROTOCOL),
    refused("ping-of-9", "6.7", &[Step::Zeros(PING, 0, 0, 9)], SIZE).known(PROTOCOL),
    refused("ping-of-0", "6.7", &[Step::Zeros(PING, 0, 0, 0)], SIZE).known(PROTOCOL),
    refused(
        "reset-of-3",
        "6.4",
        &[begins(1, POST), Step::Zeros(RST_STREAM, 0, 1, 3)],
        SIZE,
    )
    .known(PROTOCOL),
    refused(
        "reset-of-5",
        "6.4",
        &[begins(1, POST), Step::Zeros(RST_STREAM, 0, 1, 5)],
        SIZE,
    )
    .known(PROTOCOL),
    refused(
        "window-update-of-3-bytes",
        "6.9",
        &[Step::Zeros(WINDOW_UPDATE, 0, 0, 3)],
        SIZE,
    )
    .known(PROTOCOL),
    refused(
        "window-update-of-5-bytes",
        "6.9",
        &[Step::Zeros(WINDOW_UPDATE, 0, 0, 5)],
        SIZE,
    )
    .known(PROTOCOL),
    refused("goaway-of-7", "4.2", &[Step::Zeros(GOAWAY, 0, 0, 7)], SIZE).known(PROTOCOL),
    refused(
        "priority-of-4",
        "6.3",
        &[begins(1, POST), Step::Zeros(PRIORITY, 0, 1, 4)],
        &[Due::Reset(1, FRAME_SIZE_ERROR)],
    )
    .known(PROTOCOL),
    refused(
        "priority-of-6",
        "6.3",
        &[begins(1, POST), Step::Zeros(PRIORITY, 0, 1, 6)],
        &[Due::Reset(1, FRAME_SIZE_ERROR)],
    )
    .known(PROTOCOL),
    refused(
        "data-over-the-limit",
        "4.2",
        &[begins(1, POST), Step::Zeros(DATA, END_STREAM, 1, 16_385)],
        SIZE,
    ),
    refused(
        "head-over-the-limit",
        "4.2",
        &[Step::Zeros(HEADERS, END_HEADERS, 1, 16_385)],
        SIZE,
    ),
    refused(
        "continuation-over-the-limit",
        "4.2",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Zeros(CONTINUATION, END_HEADERS, 1, 16_385),
        ],
        SIZE,
    ),
    refused(
        "unknown-frame-over-the-limit",
        "4.2",
        &[Step::Zeros(0xbe, 0, 0, 16_385)],
        SIZE,
    ),
    refused(
        "frame-of-16-megabytes",
        "4.2",
        &[Step::Bytes(b"\xff\xff\xff\0\0\0\0\0\x01")],
        SIZE,
    ),
    passes(
        "data-of-the-limit",
        "4.2",
        &[begins(1, POST), Step::Zeros(DATA, END_STREAM, 1, 16_384)],
    ),
    passes(
        "unknown-frame-of-the-limit",
        "4.2",
        &[Step::Zeros(0xbe, 0, 0, 16_384), get(1)],
    ),
    passes(
        "data-padded",
        "6.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, END_STREAM | PADDED, 1, b"\x04abc\0\0\0\0"),
        ],
    )
    .arrives(&["abc"]),
    passes(
        "data-of-padding-alone",
        "6.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, PADDED, 1, b"\x04\0\0\0\0"),
            Step::Frame(DATA, END_STREAM, 1, b"abc"),
        ],
    )
    .arrives(&["abc"]),
    passes(
        "data-padded-by-255",
        "6.1",
        &[
            begins(1, POST),
            Step::Zeros(DATA, PADDED, 1, 1),
            Step::Frame(DATA, END_STREAM | PADDED, 1, PADDING),
        ],
    )
    .arrives(&["abc"]),
    refused(
        "data-padding-too-long",
        "6.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, END_STREAM | PADDED, 1, b"\x04abc"),
        ],
        PROTOCOL,
    ),
    refused(
        "data-padding-of-all",
        "6.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, END_STREAM | PADDED, 1, b"\x01"),
        ],
        PROTOCOL,
    ),
    refused(
        "data-padded-without-length",
        "6.1",
        &[
            begins(1, POST),
            Step::Frame(DATA, END_STREAM | PADDED, 1, b""),
        ],
        SIZE,
    )
    .known(PROTOCOL),
    refused(
        "head-padding-too-long",
        "6.2",
        &[Step::Frame(
            HEADERS,
            END_HEADERS | END_STREAM | PADDED,
            1,
            b"\x08\x82\x86\x84",
        )],
        PROTOCOL,
    ),
    refused(
        "head-padded-without-length",
        "6.2",
        &[Step::Frame(
            HEADERS,
            END_HEADERS | END_STREAM | PADDED,
            1,
            b"",
        )],
        SIZE,
    )
    .known(PROTOCOL),
    passes(
        "head-padded",
        "6.2",
        &[Step::Coded(END_STREAM | PADDED, 1, b"\x03", GET, b"\0\0\0")],
    ),
    passes(
        "head-with-a-priority",
        "6.2",
        &[Step::Coded(
            END_STREAM | PRIORITIZED,
            1,
            b"\0\0\0\0\xff",
            GET,
            b"",
        )],
    ),
    passes(
        "head-padded-with-a-priority",
        "6.2",
        &[Step::Coded(
            END_STREAM | PADDED | PRIORITIZED,
            1,
            b"\x02\x80\0\0\x05\x10",
            GET,
            b"\0\0",
        )],
    ),
    refused(
        "head-too-short-for-its-priority",
        "6.2",
        &[Step::Frame(
            HEADERS,
            END_HEADERS | END_STREAM | PRIORITIZED,
            1,
            b"\0\0\0\0",
        )],
        SIZE,
    )
    .known(PROTOCOL),
];

/// A length of 255, `abc` and as many zeros.
const PADDING: &[u8] = &{
    let mut bytes = [0; 259];
    bytes[0] = 255;
    bytes[1] = b'a';
    bytes[2] = b'b';
    bytes[3] = b'c';
    bytes
};
