//! What a case is, whatever it is played with.

use super::Protocol;
use super::backend::{Backend, Reply, Script, contains};

/// However many requests reach the backend.
pub(crate) const ANY: usize = usize::MAX;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case<P: 'static> {
    pub(crate) name: &'static str,
    /// Sections; which RFC is meant where no number is before them, the protocol says.
    pub(crate) rfc: &'static str,
    pub(crate) reply: Reply,
    /// Requests that reach the backend, or [`ANY`].
    pub(crate) requests: usize,
    /// Parts of what reaches it, in lower case.
    pub(crate) arrives: &'static [&'static str],
    pub(crate) never_arrives: &'static [&'static str],
    /// What the client does, and what is due for it.
    pub(crate) exchange: P,
}

impl<P: Copy> Case<P> {
    /// One of which nothing reaches the backend.
    pub(crate) const fn new(name: &'static str, rfc: &'static str, exchange: P) -> Self {
        Self {
            name,
            rfc,
            reply: Reply::Usual,
            requests: 0,
            arrives: &[],
            never_arrives: &[],
            exchange,
        }
    }

    pub(crate) const fn replied(self, reply: Reply) -> Self {
        Self { reply, ..self }
    }

    pub(crate) const fn requests(self, requests: usize) -> Self {
        Self { requests, ..self }
    }

    pub(crate) const fn arrives(self, arrives: &'static [&'static str]) -> Self {
        Self { arrives, ..self }
    }

    pub(crate) const fn never_arrives(self, never_arrives: &'static [&'static str]) -> Self {
        Self {
            never_arrives,
            ..self
        }
    }

    /// The same with another exchange.
    pub(crate) const fn with(self, exchange: P) -> Self {
        Self { exchange, ..self }
    }
}

impl<P: Protocol> Case<P> {
    pub(crate) fn script(&self) -> Script {
        Script {
            name: self.name,
            reply: self.reply,
        }
    }

    /// Whether other than the due number of requests has reached the backend.
    pub(crate) fn miscounted(&self, backend: &Backend) -> Option<String> {
        let count = backend.arrived(self.name).len();
        (self.requests != ANY && count != self.requests)
            .then(|| format!("{count} requests arrived, not {}", self.requests))
    }

    /// What should have reached the backend, or should not.
    pub(crate) fn misdelivered(&self, backend: &Backend) -> Vec<String> {
        let arrived = backend.arrived(self.name).concat().to_ascii_lowercase();
        let is_there = |part: &&&str| contains(&arrived, part.as_bytes());
        let missing = self.arrives.iter().filter(|part| !is_there(part));
        let unwanted = self.never_arrives.iter().filter(is_there);
        missing
            .map(|part| format!("{part:?} did not arrive"))
            .chain(unwanted.map(|part| format!("{part:?} arrived")))
            .collect()
    }
}
