//! Which requests are kept from workers because they were in flight whenever one died. Pure: the clock is an argument.
//!
//! A request is a method and a path. It is *suspect* once it was in flight, without an answer, when a worker died; each
//! further death counts. Any answer to it acquits it: what is answered is not deadly, so a busy page that is in flight at
//! every death, whatever the cause, is never refused. At the limit it is *refused* for a pause, which doubles each time it
//! kills again. If several in flight reach the limit with the same death, nobody knows which of them it was, and one more
//! death is awaited.

use crate::reports::report::MAX_PATH;
use crate::router::message::{Suspect, WorkerId};
use crate::supervise::upgrade::moment;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Suspects of one app.
const MAX_SUSPECTS: usize = 64;
/// The longest pause, unless the first is longer.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A suspect that was not seen for so long is forgotten.
const MEMORY: Duration = Duration::from_secs(600);

/// The rule, from the settings of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlyPolicy {
    /// Deaths at which a request is refused; none: never.
    pub limit: Option<u32>,
    /// How long at first.
    pub pause: Duration,
}

/// What is known of the requests that were in flight at deaths of one app's workers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Deadly {
    suspects: Vec<Record>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    method: String,
    path: String,
    /// In a row, without an answer between them.
    deaths: u32,
    /// One death counts once, however many of its requests were the same.
    last_worker: WorkerId,
    #[serde(with = "moment")]
    last_death: Instant,
    /// The last time that it was refused.
    refused: Option<Pause>,
}

/// A time in which a request is refused.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Pause {
    length: Duration,
    #[serde(with = "moment")]
    until: Instant,
}

/// A request that is refused from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub method: String,
    pub path: String,
    pub deaths: u32,
    pub pause: Duration,
}

impl Record {
    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    fn is_refused(&self, now: Instant) -> bool {
        self.refused.is_some_and(|pause| now < pause.until)
    }

    fn forgotten_at(&self) -> Instant {
        let seen = self.refused.map_or(self.last_death, |pause| pause.until);
        seen.max(self.last_death) + MEMORY
    }
}

impl Deadly {
    /// `worker` died with these requests (method, path) unanswered. Returns those that are refused from now on.
    pub fn died<'a>(
        &mut self,
        worker: WorkerId,
        unanswered: impl Iterator<Item = (&'a str, &'a str)>,
        now: Instant,
        policy: &DeadlyPolicy,
    ) -> Vec<Refusal> {
        let Some(limit) = policy.limit else {
            return Vec::new();
        };
        self.suspects.retain(|record| now < record.forgotten_at());
        for (method, path) in unanswered {
            // A longer one was cut, so it is not known which it is.
            if path.len() <= MAX_PATH {
                self.count(method, path, worker, now);
            }
        }
        let reached = |record: &&mut Record| {
            record.last_worker == worker && record.deaths >= limit && !record.is_refused(now)
        };
        let undecided = self.suspects.iter_mut().filter(reached).count() > 1;
        self.suspects
            .iter_mut()
            .filter(reached)
            .filter(|record| !undecided || record.deaths > limit)
            .map(|record| record.refuse(now, policy.pause))
            .collect()
    }

    fn count(&mut self, method: &str, path: &str, worker: WorkerId, now: Instant) {
        if let Some(record) = self.suspects.iter_mut().find(|r| r.is(method, path)) {
            if record.last_worker != worker {
                record.deaths = record.deaths.saturating_add(1);
                record.last_worker = worker;
                record.last_death = now;
            }
            return;
        }
        if self.suspects.len() == MAX_SUSPECTS {
            // The least suspicious makes room; among equals the one seen longest ago.
            let least = (0..self.suspects.len()).min_by_key(|at| {
                let record = &self.suspects[*at];
                (record.is_refused(now), record.deaths, record.last_death)
            });
            if let Some(least) = least {
                self.suspects.remove(least);
            }
        }
        self.suspects.push(Record {
            method: method.to_owned(),
            path: path.to_owned(),
            deaths: 1,
            last_worker: worker,
            last_death: now,
            refused: None,
        });
    }

    /// A worker has answered this request: it is no suspect any more. True if what the proxy was told is wrong now: it
    /// was refused, or would have been tried with care.
    pub fn answered(&mut self, method: &str, path: &str) -> bool {
        let Some(at) = self.suspects.iter().position(|r| r.is(method, path)) else {
            return false;
        };
        self.suspects.remove(at).refused.is_some()
    }

    /// A new generation serves, or the rule has changed: nothing is held against anyone.
    pub fn forget(&mut self) {
        self.suspects.clear();
    }

    /// What the proxy has to know.
    pub fn suspects(&self, now: Instant) -> Vec<Suspect> {
        self.suspects
            .iter()
            .filter(|record| now < record.forgotten_at())
            .map(|record| Suspect {
                method: record.method.clone(),
                path: record.path.clone(),
                deaths: record.deaths,
                refused_ms: record.refused.map(|pause| {
                    let left = pause.until.saturating_duration_since(now).as_millis();
                    u64::try_from(left).unwrap_or(u64::MAX)
                }),
            })
            .collect()
    }

    /// Those that are refused now, each with the rest of its pause.
    pub fn refused(&self, now: Instant) -> impl Iterator<Item = Refusal> {
        self.suspects
            .iter()
            .filter(move |record| record.is_refused(now))
            .filter_map(move |record| {
                Some(Refusal {
                    method: record.method.clone(),
                    path: record.path.clone(),
                    deaths: record.deaths,
                    pause: record.refused?.until.saturating_duration_since(now),
                })
            })
    }
}

impl Record {
    fn refuse(&mut self, now: Instant, first: Duration) -> Refusal {
        let pause = match self.refused {
            None => first,
            Some(last) => last.length.saturating_mul(2).min(first.max(MAX_PAUSE)),
        };
        self.refused = Some(Pause {
            length: pause,
            until: now + pause,
        });
        Refusal {
            method: self.method.clone(),
            path: self.path.clone(),
            deaths: self.deaths,
            pause,
        }
    }
}

#[cfg(test)]
mod tests;
