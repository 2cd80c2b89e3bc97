//! One case: what a client sends, what the backend answers, and what may come of it.

use super::backend::Script;

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

/// What the backend does with a request of the case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// 200 with the body `ok`.
    Usual,
    /// These bytes; the connection stays open.
    Bytes(&'static [u8]),
    /// These bytes, then it closes.
    Last(&'static [u8]),
    /// These bytes as soon as the head is there; then the body is read.
    Early(&'static [u8]),
    /// The same, and it closes without reading the body.
    EarlyLast(&'static [u8]),
}

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Closed,
    /// Another request on it is answered.
    Open,
    Either,
}

/// However many requests reach the backend.
pub(crate) const ANY: usize = usize::MAX;

#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub(super) name: &'static str,
    /// Sections, of RFC 9110 where no number is before them.
    pub(super) rfc: &'static str,
    /// Sent at once, where there are no steps.
    pub(super) send: &'static [u8],
    pub(super) steps: &'static [Step],
    pub(super) reply: Reply,
    /// Final statuses in order.
    pub(super) statuses: &'static [u16],
    /// Other outcomes that the RFC allows too; only other servers may have them.
    pub(super) fair: &'static [&'static [u16]],
    pub(super) after: After,
    /// Requests that reach the backend, or [`ANY`].
    pub(super) requests: usize,
    /// Parts of what reaches it, in lower case.
    pub(super) arrives: &'static [&'static str],
    pub(super) never_arrives: &'static [&'static str],
    /// Parts of what the client gets, in lower case.
    pub(super) says: &'static [&'static str],
    pub(super) never_says: &'static [&'static str],
    /// Which of the responses are to HEAD requests.
    pub(super) heads: &'static [usize],
}

/// A request that is answered with 200 by the backend, and leaves the connection open.
pub(super) const fn passes(name: &'static str, rfc: &'static str, send: &'static [u8]) -> Case {
    Case {
        name,
        rfc,
        send,
        steps: &[],
        reply: Reply::Usual,
        statuses: &[200],
        fair: &[],
        after: After::Open,
        requests: 1,
        arrives: &[],
        never_arrives: &[],
        says: &[],
        never_says: &[],
        heads: &[],
    }
}

/// A request that is answered with this status; the connection is closed, and the backend sees nothing.
pub(super) const fn refused(
    name: &'static str,
    rfc: &'static str,
    send: &'static [u8],
    status: u16,
) -> Case {
    Case {
        statuses: only(status),
        after: After::Closed,
        requests: 0,
        ..passes(name, rfc, send)
    }
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
    Case {
        reply,
        statuses: &[502],
        ..passes(name, rfc, GET)
    }
}

/// A plain request.
pub(super) const GET: &[u8] = b"GET /{id} HTTP/1.1\r\nHost: a\r\n\r\n";

impl Case {
    pub(super) const fn steps(self, steps: &'static [Step]) -> Self {
        Self { steps, ..self }
    }

    pub(super) const fn replied(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }

    pub(super) const fn answered(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }

    pub(super) const fn or(self, fair: &'static [&'static [u16]]) -> Self {
        Self { fair, ..self }
    }

    pub(super) const fn then(self, after: After) -> Self {
        Self { after, ..self }
    }

    pub(super) const fn requests(self, requests: usize) -> Self {
        Self { requests, ..self }
    }

    pub(super) const fn arrives(self, arrives: &'static [&'static str]) -> Self {
        Self { arrives, ..self }
    }

    pub(super) const fn never_arrives(self, never_arrives: &'static [&'static str]) -> Self {
        Self {
            never_arrives,
            ..self
        }
    }

    pub(super) const fn says(self, says: &'static [&'static str]) -> Self {
        Self { says, ..self }
    }

    pub(super) const fn never_says(self, never_says: &'static [&'static str]) -> Self {
        Self { never_says, ..self }
    }

    pub(super) const fn heads(self, heads: &'static [usize]) -> Self {
        Self { heads, ..self }
    }

    pub(super) const fn script(&self) -> Script {
        Script {
            name: self.name,
            reply: self.reply,
        }
    }
}
