//! `paster logs`: the last lines of apps in the order in which they came, and those that come.
//!
//! A reader has positions of its own in the rings, and what it gets is made from them piece by piece. One that is too slow
//! for what an app prints misses lines and is told how many; nobody waits for it.

use super::Logs;
use super::app::{AppLog, Batch};
use super::format::{self, LogLine};
use super::ring::{Brought, Position};
use super::source::Stream;
use bytes::Bytes;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;

/// Bytes of JSON that a reader gets at a time, about.
const PIECE: usize = 256 * 1024;
/// Bytes of lines that are read from a ring at a time; as JSON they may be many times as long.
const STEP: usize = 4 * 1024;
/// Time between two pieces: a follower of a flood sees parts of it, and costs little.
const PACE: Duration = Duration::from_millis(20);

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// All, if none is named.
    pub apps: Vec<String>,
    /// Of what is kept, the last so many lines; all, if that is not said.
    pub last: Option<u64>,
    /// Only from this time on (RFC 3339, UTC, with milliseconds).
    pub since: Option<String>,
    /// Those to come, too.
    pub follow: bool,
}

/// What followers wait for.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Changes with each line.
    pub(super) count: u64,
    /// Nothing new will come.
    pub(super) ended: bool,
}

/// So many lines were lost here.
#[derive(Serialize)]
struct Missed {
    missed: u64,
}

impl Logs {
    /// Sends what is wanted, one JSON value on each line, until there is nothing more to come or nobody listens.
    pub async fn tail(self, wanted: Wanted, to: mpsc::Sender<Bytes>) {
        let follow = wanted.follow;
        let mut news = self.0.news.subscribe();
        let begin = move || Tail::begin(self, wanted);
        // Beside the loop, for it may be long.
        let Ok(tail) = tokio::task::spawn_blocking(begin).await else {
            return;
        };
        let kept = tail.now();
        let Some(mut tail) = tail.send(Some(kept), Duration::ZERO, &to).await else {
            return;
        };
        if !follow {
            return;
        }
        loop {
            let ended = news.borrow_and_update().ended;
            tail = match tail.send(None, PACE, &to).await {
                Some(tail) if !ended => tail,
                _ => return,
            };
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = to.closed() => return,
            }
        }
    }

    /// Followers end when they have seen what there is, or new ones may come again.
    pub fn end_followers(&self, ended: bool) {
        self.0.news.send_modify(|news| news.ended = ended);
    }
}

/// A reader.
struct Tail {
    logs: Logs,
    apps: Vec<String>,
    since: Option<String>,
    /// How far it has read, by name of the app.
    reached: HashMap<String, Reached>,
}

struct Reached {
    log: Arc<AppLog>,
    /// Of stdout and stderr.
    positions: [Position; 2],
}

impl Reached {
    /// Everything of it is new.
    fn nothing(log: Arc<AppLog>) -> Reached {
        let positions = Default::default();
        Reached { log, positions }
    }
}

impl Tail {
    /// Stands before the last lines that are wanted.
    fn begin(logs: Logs, wanted: Wanted) -> Tail {
        let mut tail = Tail {
            logs,
            apps: wanted.apps,
            since: wanted.since,
            reached: HashMap::new(),
        };
        let most = wanted.last.unwrap_or(u64::MAX);
        let mut reads: Vec<(String, Stream, Brought)> = Vec::new();
        for log in tail.logs() {
            let (recent, positions) = log.recent(most);
            for (stream, of_stream) in Stream::BOTH.into_iter().zip(recent) {
                let own = |brought| (log.name().to_owned(), stream, brought);
                reads.extend(of_stream.into_iter().map(own));
            }
            let name = log.name().to_owned();
            tail.reached.insert(name, Reached { log, positions });
        }
        reads.sort_by_key(|(_, _, brought)| std::cmp::Reverse(brought.seq));
        let mut left = most;
        for (name, stream, brought) in reads {
            if left == 0 {
                break;
            }
            if let Some(Reached { log, positions }) = tail.reached.get_mut(&name) {
                let surplus = brought.lines.saturating_sub(left);
                positions[stream.index()] = log.skip(stream, brought.start, surplus);
            }
            left = left.saturating_sub(brought.lines);
        }
        tail
    }

    /// The number of the read that comes next.
    fn now(&self) -> u64 {
        self.logs.0.seq.load(Ordering::Relaxed)
    }

    /// Sends what there is, of reads before `until`. None: nobody listens.
    async fn send(
        mut self,
        until: Option<u64>,
        pace: Duration,
        to: &mpsc::Sender<Bytes>,
    ) -> Option<Tail> {
        loop {
            let read = move || {
                let text = self.read(until);
                (self, text)
            };
            let (tail, text) = tokio::task::spawn_blocking(read).await.ok()?;
            self = tail;
            if text.is_empty() {
                return Some(self);
            }
            to.send(text).await.ok()?;
            tokio::time::sleep(pace).await;
        }
    }

    /// A piece of what is new, in order.
    fn read(&mut self, until: Option<u64>) -> Bytes {
        let logs = self.logs();
        let mut heads = BTreeMap::new();
        let (mut missed, mut text) = (0, Vec::new());
        for log in &logs {
            let known = self.reached.entry(log.name().to_owned());
            let known = known.or_insert_with(|| Reached::nothing(log.clone()));
            if !Arc::ptr_eq(&known.log, log) {
                // Another app has its name by now.
                *known = Reached::nothing(log.clone());
            }
            for stream in Stream::BOTH {
                let position = &mut known.positions[stream.index()];
                let (lost, next) = log.head(stream, position);
                missed += lost;
                heads.extend(next.map(|seq| ((seq, stream.index()), (log.name(), stream))));
            }
        }
        if missed > 0 {
            format::append_json(&mut text, &Missed { missed });
        }
        if self.reached.len() > logs.len() {
            // Not of apps that were removed.
            let there = |known: &Reached| logs.iter().any(|log| Arc::ptr_eq(log, &known.log));
            self.reached.retain(|_, known| there(known));
        }
        let mut batch = Batch::default();
        while text.len() < PIECE
            && let Some(((seq, _), (name, stream))) = heads.pop_first()
            && until.is_none_or(|until| seq < until)
            && let Some(Reached { log, positions }) = self.reached.get_mut(name)
        {
            let position = &mut positions[stream.index()];
            log.read(stream, position, STEP, &mut batch);
            append(
                &mut text,
                name,
                &batch,
                position.line,
                self.since.as_deref(),
            );
            batch.clear();
            let (lost, next) = log.head(stream, position);
            if lost > 0 {
                format::append_json(&mut text, &Missed { missed: lost });
            }
            heads.extend(next.map(|seq| ((seq, stream.index()), (name, stream))));
        }
        Bytes::from(text)
    }

    /// Those that are wanted and there are.
    fn logs(&self) -> Vec<Arc<AppLog>> {
        let state = self.logs.0.state();
        let wanted = |name: &String| self.apps.is_empty() || self.apps.contains(name);
        let apps = state.apps.iter().filter(|(name, _)| wanted(name));
        apps.map(|(_, app)| app.log.clone()).collect()
    }
}

/// Appends the lines of a batch, the last of which has the number `last`.
fn append(text: &mut Vec<u8>, app: &str, batch: &Batch, last: u64, since: Option<&str>) {
    let missed = batch.missed.iter().sum();
    if missed > 0 {
        format::append_json(text, &Missed { missed });
    }
    for (piece, lines) in batch.pieces() {
        let first = last + 1 - format::lines(lines).count() as u64;
        for (number, line) in (first..).zip(format::lines(lines)) {
            let mut line = LogLine::new(app, piece.stream, &piece.stamp, line);
            if since.is_none_or(|since| *line.time >= *since) {
                line.line = Some(number);
                format::append_json(text, &line);
            }
        }
    }
}
