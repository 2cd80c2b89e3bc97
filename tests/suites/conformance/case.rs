//! One case: what a client sends, what the backend answers, and what may come of it.

use crate::harness::cases;
use crate::harness::cases::backend::Reply;

/// A step of the client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// Bytes; `{id}` becomes the mark by which the backend knows the case.
    Send(&'static [u8]),
    /// This byte, so many times.
    Fill(u8, usize),
    /// Until these bytes have come from the server.
    Await(&'static [u8]),
    /// Until the backend has got a request of this case.
    Arrival,
    /// The client closes its sending half.
    HalfClose,
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Closed,
    /// Another request on it is answered.
    Open,
    Either,
}

/// What the client of a case does, and what may come of it. Sections are those of RFC 9110 where no number is before them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    /// Sent at once, where there are no steps.
    pub(super) send: &'static [u8],
    pub(super) steps: &'static [Step],
    /// Final statuses in order.
    pub(super) statuses: &'static [u16],
    /// Other outcomes that the RFC allows too; only other servers may have them.
    pub(super) fair: &'static [&'static [u16]],
    pub(super) after: After,
    /// Parts of what the client gets, in lower case.
    pub(super) says: &'static [&'static str],
    pub(super) never_says: &'static [&'static str],
    /// Which of the responses are to HEAD requests.
    pub(super) heads: &'static [usize],
}

pub(super) type Case = cases::Case<Exchange>;

/// A request that is answered with 200 by the backend, and leaves the connection open.
pub(super) const fn passes(name: &'static str, rfc: &'static str, send: &'static [u8]) -> Case {
    let exchange = Exchange {
        send,
        steps: &[],
        statuses: &[200],
        fair: &[],
        after: After::Open,
        says: &[],
        never_says: &[],
        heads: &[],
    };
    Case::new(name, rfc, exchange).requests(1)
}

/// A request that is answered with this status; the connection is closed, and the backend sees nothing.
pub(super) const fn refused(
    name: &'static str,
    rfc: &'static str,
    send: &'static [u8],
    status: u16,
) -> Case {
    passes(name, rfc, send)
        .answered(only(status))
        .then(After::Closed)
        .requests(0)
}

const fn only(status: u16) -> &'static [u16] {
    match status {
        400 => &[400],
        405 => &[405],
        413 => &[413],
        414 => &[414],
        431 => &[431],
        501 => &[501],
        _ => &[505],
    }
}

/// A request whose answer is not passed on as it is: 502, and the client's connection goes on.
pub(super) const fn bad_answer(name: &'static str, rfc: &'static str, reply: Reply) -> Case {
    passes(name, rfc, GET).replied(reply).answered(&[502])
}

/// A plain request.
pub(super) const GET: &[u8] = b"GET /{id} HTTP/1.1\r\nHost: a\r\n\r\n";

impl Case {
    pub(super) const fn steps(self, steps: &'static [Step]) -> Self {
        self.with(Exchange {
            steps,
            ..self.exchange
        })
    }

    pub(super) const fn answered(self, statuses: &'static [u16]) -> Self {
        self.with(Exchange {
            statuses,
            ..self.exchange
        })
    }

    pub(super) const fn or(self, fair: &'static [&'static [u16]]) -> Self {
        self.with(Exchange {
            fair,
            ..self.exchange
        })
    }

    pub(super) const fn then(self, after: After) -> Self {
        self.with(Exchange {
            after,
            ..self.exchange
        })
    }

    pub(super) const fn says(self, says: &'static [&'static str]) -> Self {
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

    pub(super) const fn heads(self, heads: &'static [usize]) -> Self {
        self.with(Exchange {
            heads,
            ..self.exchange
        })
    }
}
