//! What is known of a request for as long as it is in flight, to be told if its worker does not finish it.

use super::upstream::Upstream;
use crate::router::message::InFlight;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use std::time::Instant;

/// One request, whatever worker it is sent to.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// As the client sent it.
    pub(super) target: PathAndQuery,
    pub(super) id: Option<HeaderValue>,
    pub(super) since: Instant,
}

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.target.path()
    }

    /// Without the query, which may hold what is nobody's business.
    pub(super) fn in_flight(&self, progress: Progress) -> InFlight {
        let age = self.since.elapsed().as_millis();
        InFlight {
            method: self.method.to_string(),
            path: self.path().to_owned(),
            id: self
                .id
                .as_ref()
                .map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
            age_ms: u64::try_from(age).unwrap_or(u64::MAX),
            answering: progress == Progress::Answering,
        }
    }

    /// The worker has left it without a complete answer.
    pub(super) fn lost_by(&self, upstream: &Upstream, progress: Progress) {
        upstream.lost(|| self.in_flight(progress));
    }
}

/// How far the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    Answering,
}
