//! HPACK (RFC 7541): what cannot be decoded ends the connection, since nobody knows what the next block would mean.

use super::case::{Case, Due, GET, Step, get, passes, refused};
use crate::harness::frames::{
    COMPRESSION_ERROR, CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS,
    PROTOCOL_ERROR,
};

/// h2 says so whatever is wrong.
const PROTOCOL: &[Due] = &[Due::GoAway(PROTOCOL_ERROR)];
const COMPRESSION: &[Due] = &[Due::GoAway(COMPRESSION_ERROR)];

/// A GET, with these bytes in front.
const fn before(bytes: &'static [u8]) -> Step {
    Step::Coded(END_STREAM, 1, bytes, GET, b"")
}

/// A GET, with these bytes behind.
const fn behind(bytes: &'static [u8]) -> Step {
    Step::Coded(END_STREAM, 1, b"", GET, bytes)
}

pub(super) const CASES: &[Case] = &[
    passes(
        "block-of-static-indices",
        "7541 6.1",
        &[Step::Coded(
            END_STREAM,
            1,
            b"\x82\x86\x41\x01a",
            &[(":path", "/{id}")],
            b"",
        )],
    )
    .arrives(&["host: a\r\n"]),
    passes(
        "block-with-huffman",
        "7541 5.2",
        &[Step::Coded(
            END_STREAM,
            1,
            b"\x82\x86\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
            &[(":path", "/{id}")],
            b"",
        )],
    )
    .arrives(&["host: www.example.com\r\n"]),
    passes(
        "block-that-teaches",
        "7541 6.2.1",
        &[
            behind(b"\x40\x03x-a\x0213"),
            Step::Await(Due::Status(1, 200)),
            Step::Coded(END_STREAM, 3, b"", GET, b"\xbe"),
        ],
    )
    .due(&[Due::Status(1, 200), Due::Status(3, 200)])
    .requests(2)
    .arrives(&["x-a: 13\r\n"]),
    passes(
        "block-that-is-never-indexed",
        "7541 6.2.3",
        &[behind(b"\x10\x03x-a\x0214")],
    )
    .arrives(&["x-a: 14\r\n"]),
    passes(
        "block-of-a-refused-request-teaches",
        "4.3",
        &[
            Step::Coded(
                END_STREAM,
                1,
                b"",
                GET,
                b"\x40\x03x-a\x0215\0\x0aconnection\x05close",
            ),
            Step::Await(Due::Reset(1, PROTOCOL_ERROR)),
            Step::Coded(END_STREAM, 3, b"", GET, b"\xbe"),
        ],
    )
    .due(&[Due::Status(3, 200)])
    .arrives(&["x-a: 15\r\n"]),
    passes(
        "block-of-an-unknown-stream-teaches",
        "4.3",
        &[
            Step::Large(1, "x-large", 100_000),
            Step::Coded(END_STREAM, 3, b"", GET, b"\x40\x03x-a\x0216"),
            Step::Coded(END_STREAM, 5, b"", GET, b"\xbe"),
        ],
    )
    .due(&[
        Due::Status(1, 431),
        Due::Status(3, 200),
        Due::Status(5, 200),
    ])
    .requests(2)
    .arrives(&["x-a: 16\r\n"]),
    passes("table-size-update-to-0", "7541 6.3", &[before(b"\x20")]),
    passes(
        "table-size-update-to-the-limit",
        "7541 6.3",
        &[before(b"\x3f\xe1\x1f")],
    ),
    passes(
        "table-size-update-twice",
        "7541 4.2",
        &[before(b"\x20\x3f\xe1\x1f")],
    ),
    refused(
        "table-size-update-beyond-the-limit",
        "7541 6.3",
        &[before(b"\x3f\xe2\x1f")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "table-size-update-far-beyond",
        "7541 6.3",
        &[before(b"\x3f\xff\xff\xff\x0f")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "table-size-update-behind-a-field",
        "7541 4.2",
        &[behind(b"\x20")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused("index-0", "7541 6.1", &[behind(b"\x80")], COMPRESSION).known(PROTOCOL),
    refused(
        "index-of-nothing",
        "7541 2.3.3",
        &[behind(b"\xbe")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "index-far-away",
        "7541 2.3.3",
        &[behind(b"\xff\xff\xff\x0f")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "name-index-of-nothing",
        "7541 2.3.3",
        &[behind(b"\x7e\x01a")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "index-behind-an-emptied-table",
        "7541 4.3",
        &[
            behind(b"\x40\x03x-a\x0217"),
            Step::Await(Due::Status(1, 200)),
            Step::Coded(END_STREAM, 3, b"\x20", GET, b"\xbe"),
        ],
        COMPRESSION,
    )
    .requests(1)
    .known(PROTOCOL),
    refused(
        "huffman-padding-of-zeros",
        "7541 5.2",
        &[behind(b"\0\x03x-a\x81\x18")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "huffman-padding-of-a-byte",
        "7541 5.2",
        &[behind(b"\0\x03x-a\x82\x1f\xff")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "huffman-end-of-string",
        "7541 5.2",
        &[behind(b"\0\x03x-a\x84\xff\xff\xff\xfc")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "integer-without-end",
        "7541 5.1",
        &[behind(
            b"\0\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        )],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "integer-of-zeros-without-end",
        "7541 5.1",
        &[behind(b"\0\x7f\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "name-longer-than-the-block",
        "7541 5.2",
        &[behind(b"\0\x20x-a")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "value-longer-than-the-block",
        "7541 5.2",
        &[behind(b"\0\x03x-a\x20abc")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "value-missing",
        "7541 5.2",
        &[behind(b"\0\x03x-a")],
        COMPRESSION,
    )
    .known(PROTOCOL),
    refused(
        "block-without-fields",
        "8.3.1",
        &[Step::Frame(HEADERS, END_HEADERS | END_STREAM, 1, b"")],
        &[Due::Reset(1, PROTOCOL_ERROR)],
    ),
    passes(
        "field-of-60000",
        "6.5.2",
        &[Step::Large(1, "x-large", 60_000)],
    )
    .arrives(&["x-large: xxx"]),
    refused(
        "field-of-70000",
        "10.5.1",
        &[Step::Large(1, "x-large", 70_000)],
        &[Due::Status(1, 431)],
    ),
    refused(
        "fields-of-1-kilobyte-without-end",
        "10.5.1",
        &[
            Step::Frame(HEADERS, END_STREAM, 1, b"\x82\x86\x84"),
            Step::Times(2000, &Step::Block(CONTINUATION, 0, 1, &[("x-a", KILOBYTE)])),
        ],
        &[Due::GoAway(ENHANCE_YOUR_CALM)],
    ),
    refused(
        "field-taught-once-and-used-without-end",
        "10.5.1",
        &[Step::Coded(END_STREAM, 1, b"", GET, BOMB)],
        &[Due::Status(1, 431)],
    ),
    passes(
        "small-continuations",
        "10.5.1",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Frame(CONTINUATION, 0, 1, b""),
            Step::Frame(CONTINUATION, 0, 1, b""),
            Step::Frame(CONTINUATION, END_HEADERS, 1, b""),
        ],
    ),
    refused(
        "empty-continuations-without-end",
        "10.5",
        &[
            Step::Block(HEADERS, END_STREAM, 1, GET),
            Step::Times(2000, &Step::Frame(CONTINUATION, 0, 1, b"")),
        ],
        &[Due::GoAway(ENHANCE_YOUR_CALM)],
    ),
    refused(
        "field-of-4-megabytes",
        "10.5.1",
        &[Step::Large(1, "x-large", 4_000_000)],
        &[Due::GoAway(ENHANCE_YOUR_CALM)],
    ),
    passes(
        "requests-behind-a-large-one",
        "10.5.1",
        &[Step::Large(1, "x-large", 70_000), get(3), get(5)],
    )
    .due(&[
        Due::Status(1, 431),
        Due::Status(3, 200),
        Due::Status(5, 200),
    ])
    .requests(2),
];

/// A field of 1000 bytes that is taught, and then said 150 times with one byte each.
const BOMB: &[u8] = &{
    let mut bytes = [0xbe; 8 + 1000 + 150];
    let start = *b"\x40\x03x-b\x7f\xe9\x06";
    let mut at = 0;
    while at < start.len() {
        bytes[at] = start[at];
        at += 1;
    }
    while at < 8 + 1000 {
        bytes[at] = b'b';
        at += 1;
    }
    bytes
};

macro_rules! ten {
    ($text:expr) => {
        concat!(
            $text, $text, $text, $text, $text, $text, $text, $text, $text, $text
        )
    };
}

const KILOBYTE: &str = ten!(ten!("0123456789"));
