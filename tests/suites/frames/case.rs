//! One case: the frames that a client sends, and what is due for them.

use crate::harness::cases;
use crate::harness::frames::{END_HEADERS, END_STREAM, HEADERS};

/// Names and values; `{id}` in a value becomes the mark by which the backend knows the case.
pub(super) type Fields = &'static [(&'static str, &'static str)];

/// A step of the client, behind preface and SETTINGS unless the case is [bare](Case::bare).
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// As they are.
    Bytes(&'static [u8]),
    /// Type, flags, stream, payload.
    Frame(u8, u8, u32, &'static [u8]),
    /// The same, with a payload of so many zeros.
    Zeros(u8, u8, u32, usize),
    /// HEADERS or CONTINUATION with exactly these flags.
    Block(u8, u8, u32, Fields),
    /// HEADERS with these flags beside END_HEADERS on a stream: bytes of HPACK, fields, more bytes.
    Coded(u8, u32, &'static [u8], Fields, &'static [u8]),
    /// A field of this name and of so many bytes, within a HEADERS frame (with CONTINUATION, where it has no room) that ends the stream.
    Large(u32, &'static str, usize),
    /// A step, so many times.
    Times(usize, &'static Step),
    /// Until this has come.
    Await(Due),
    /// Until the backend has got a request of this case.
    Arrival,
}

/// What is to come from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A whole answer on a stream.
    Status(u32, u16),
    /// The head of one.
    Begins(u32, u16),
    /// An interim answer.
    Interim(u32, u16),
    /// RST_STREAM with this code.
    Reset(u32, u32),
    /// GOAWAY with this code, and the end of the connection.
    GoAway(u32),
    /// The end of the connection, said or not.
    Closed,
    Pong(&'static [u8; 8]),
    /// So many acknowledgements of settings.
    Acks(usize),
}

/// What the client of a case does, and what is due. Sections are those of RFC 9113 where no number is before them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(super) is_bare: bool,
    pub(super) steps: &'static [Step],
    /// All of these; where none of them ends the connection, another request on it is answered.
    pub(super) due: &'static [Due],
    /// What we do instead, and say so in docs/proxy.md.
    pub(super) known: Option<&'static [Due]>,
    /// Fields of the answer on stream 1, or of its trailers.
    pub(super) says: Fields,
    pub(super) never_says: &'static [&'static str],
    /// No interim answer comes on stream 1.
    pub(super) never_interim: bool,
}

pub(super) type Case = cases::Case<Exchange>;

const fn case(
    name: &'static str,
    rfc: &'static str,
    steps: &'static [Step],
    due: &'static [Due],
) -> Case {
    let exchange = Exchange {
        is_bare: false,
        steps,
        due,
        known: None,
        says: &[],
        never_says: &[],
        never_interim: false,
    };
    Case::new(name, rfc, exchange)
}

/// The request on stream 1 is answered with 200 by the backend.
pub(super) const fn passes(name: &'static str, rfc: &'static str, steps: &'static [Step]) -> Case {
    case(name, rfc, steps, &[Due::Status(1, 200)]).requests(1)
}

/// What is due comes, and the backend sees nothing.
pub(super) const fn refused(
    name: &'static str,
    rfc: &'static str,
    steps: &'static [Step],
    due: &'static [Due],
) -> Case {
    case(name, rfc, steps, due)
}

/// A GET on a stream, complete.
pub(super) const fn get(stream: u32) -> Step {
    Step::Block(HEADERS, END_HEADERS | END_STREAM, stream, GET)
}

/// A whole request.
pub(super) const fn asks(stream: u32, fields: Fields) -> Step {
    Step::Block(HEADERS, END_HEADERS | END_STREAM, stream, fields)
}

/// The head of a request that has a body.
pub(super) const fn begins(stream: u32, fields: Fields) -> Step {
    Step::Block(HEADERS, END_HEADERS, stream, fields)
}

pub(super) const GET: Fields = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/{id}"),
];

pub(super) const POST: Fields = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "a.example"),
    (":path", "/{id}"),
];

/// The fields of a request, and more of them.
macro_rules! with {
    ($method:literal, $($field:expr),* $(,)?) => {
        &[
            (":method", $method),
            (":scheme", "http"),
            (":authority", "a.example"),
            (":path", "/{id}"),
            $($field),*
        ]
    };
}
pub(super) use with;

impl Case {
    /// The steps begin with nothing said.
    pub(super) const fn bare(self) -> Self {
        self.with(Exchange {
            is_bare: true,
            ..self.exchange
        })
    }

    pub(super) const fn due(self, due: &'static [Due]) -> Self {
        self.with(Exchange {
            due,
            ..self.exchange
        })
    }

    pub(super) const fn known(self, known: &'static [Due]) -> Self {
        self.with(Exchange {
            known: Some(known),
            ..self.exchange
        })
    }

    pub(super) const fn says(self, says: Fields) -> Self {
        self.with(Exchange {
            says,
            ..self.exchange
        })
    }

    pub(super) const fn never_says(self, never_says: &'static [&'static str]) -> Self {
        self.with(Exchange {
            never_says,
            ..self.exchange
        })
    }

    pub(super) const fn never_interim(self) -> Self {
        self.with(Exchange {
            never_interim: true,
            ..self.exchange
        })
    }
}
