//! Requests that were in flight when workers died: watched, or refused for a while (docs/proxy.md).

use super::outbox::Outbox;
use crate::router::message::{FromProxy, Suspect};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The suspects of one app in one table.
#[derive(Debug, Default)]
pub(super) struct Suspects(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    suspect: Suspect,
    /// Until when it is refused, if it ever was.
    refused_until: Option<Instant>,
    /// The supervisor has been told that it was answered.
    answered: AtomicBool,
}

/// How a request is to be treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// As any other.
    Usual,
    /// It may kill again: sent once, not repeated.
    Once,
    Refused {
        left: Duration,
        deaths: u32,
    },
}

impl Suspects {
    /// Pauses count from `now`, when the table came.
    pub(super) fn new(suspects: Vec<Suspect>, now: Instant) -> Self {
        let watched = suspects.into_iter().map(|suspect| Watched {
            refused_until: suspect
                .refused_ms
                .map(|left| now + Duration::from_millis(left)),
            suspect,
            answered: AtomicBool::new(false),
        });
        Self(watched.collect())
    }

    /// None in nearly all tables.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn treatment(&self, method: &str, path: &str, now: Instant) -> Treatment {
        let Some(watched) = self.find(method, path) else {
            return Treatment::Usual;
        };
        match watched.refused_until {
            None => Treatment::Usual,
            Some(until) if now < until => Treatment::Refused {
                left: until - now,
                deaths: watched.suspect.deaths,
            },
            Some(_) => Treatment::Once,
        }
    }

    /// A worker of `app` has answered; if it was a suspect, it is acquitted.
    pub(super) fn answered(&self, app: &str, method: &str, path: &str, outbox: &Outbox) {
        let Some(watched) = self.find(method, path) else {
            return;
        };
        if !watched.answered.swap(true, Ordering::Relaxed) {
            outbox.tell(FromProxy::Answered {
                app: app.to_owned(),
                method: method.to_owned(),
                path: path.to_owned(),
            });
        }
    }

    fn find(&self, method: &str, path: &str) -> Option<&Watched> {
        self.0
            .iter()
            .find(|watched| watched.suspect.method == method && watched.suspect.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::Event;
    use super::*;

    fn suspects(refused_ms: Option<u64>, now: Instant) -> Suspects {
        let suspect = Suspect {
            method: "GET".into(),
            path: "/boom".into(),
            deaths: 2,
            refused_ms,
        };
        Suspects::new(vec![suspect], now)
    }

    #[test]
    fn a_request_is_refused_then_sent_once() {
        let now = Instant::now();
        let suspects = suspects(Some(5000), now);
        let at = |seconds| suspects.treatment("GET", "/boom", now + Duration::from_secs(seconds));
        let left = Duration::from_secs(2);
        assert_eq!(at(3), Treatment::Refused { left, deaths: 2 });
        assert_eq!(at(5), Treatment::Once);
        assert_eq!(suspects.treatment("POST", "/boom", now), Treatment::Usual);
        assert_eq!(suspects.treatment("GET", "/boo", now), Treatment::Usual);
    }

    #[test]
    fn one_that_is_watched_is_treated_as_any_other() {
        let now = Instant::now();
        let treatment = suspects(None, now).treatment("GET", "/boom", now);
        assert_eq!(treatment, Treatment::Usual);
    }

    #[test]
    fn an_answer_is_told_once() {
        let (outbox, events) = Outbox::new();
        let suspects = suspects(None, Instant::now());
        for path in ["/boom", "/other", "/boom"] {
            suspects.answered("blog", "GET", path, &outbox);
        }
        let told: Vec<Event> = events.try_iter().collect();
        assert!(
            matches!(&told[..], [Event::Tell(FromProxy::Answered { path, .. })] if path == "/boom"),
            "{told:?}"
        );
    }
}
