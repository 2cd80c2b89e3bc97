//! `paster logs`: the last lines of apps in the order in which they came, and those that come.
//!
//! A reader has positions of its own in the rings. One that is too slow for what an app prints misses lines and is told
//! how many; nobody waits for it.

use super::Logs;
use super::app::{AppLog, Batch};
use super::format::{self, LogLine};
use super::ring::Position;
use bytes::Bytes;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Bytes of an app that a follower gets at a time.
const PIECE: usize = 64 * 1024;
/// Time between two pieces: a follower of a flood sees parts of it, and costs little.
const PACE: Duration = Duration::from_millis(20);

/// What somebody wants to see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// All, if none is named.
    pub apps: Vec<String>,
    /// Of what is kept, the last so many lines.
    pub last: usize,
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
        let Ok((tail, kept)) = tokio::task::spawn_blocking(begin).await else {
            return;
        };
        if to.send(kept).await.is_ok() && follow {
            tokio::select! {
                () = tail.follow(&mut news, &to) => {}
                () = to.closed() => {}
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
    /// How far it has read, by name of the app.
    reached: HashMap<String, (Arc<AppLog>, [Position; 2])>,
}

impl Tail {
    /// Reads what is kept; what comes later follows without gap or repetition.
    fn begin(logs: Logs, wanted: Wanted) -> (Tail, Bytes) {
        let mut tail = Tail {
            logs,
            apps: wanted.apps,
            reached: HashMap::new(),
        };
        let mut lines = Vec::new();
        for log in tail.logs() {
            let (last, end) = log.last(wanted.last, |_| true);
            let name = log.name().to_owned();
            lines.extend(last.into_iter().map(|line| (name.clone(), line)));
            tail.reached.insert(name, (log, end));
        }
        lines.sort_by_key(|(_, line)| line.stamp.seq);
        lines.drain(..lines.len().saturating_sub(wanted.last));
        let mut text = Vec::new();
        for (app, line) in &lines {
            let line = LogLine::new(app, line.stream, &line.stamp, &line.text);
            if wanted
                .since
                .as_ref()
                .is_none_or(|since| *line.time >= **since)
            {
                format::append_json(&mut text, &line);
            }
        }
        (tail, Bytes::from(text))
    }

    async fn follow(self, news: &mut watch::Receiver<News>, to: &mpsc::Sender<Bytes>) {
        let mut tail = self;
        loop {
            let ended = news.borrow_and_update().ended;
            loop {
                let read = tokio::task::spawn_blocking(|| tail.read()).await;
                let Ok((same, text)) = read else { return };
                tail = same;
                if text.is_empty() {
                    break;
                }
                if to.send(text).await.is_err() {
                    return;
                }
                tokio::time::sleep(PACE).await;
            }
            if ended || news.changed().await.is_err() {
                return;
            }
        }
    }

    /// A piece of what is new, in order.
    fn read(mut self) -> (Tail, Bytes) {
        let mut batches: Vec<(String, Batch)> = Vec::new();
        let mut missed = 0;
        for log in self.logs() {
            let name = log.name().to_owned();
            let reached = self.reached.entry(name.clone());
            let (known, position) = reached.or_insert_with(|| (log.clone(), Default::default()));
            if !Arc::ptr_eq(known, &log) {
                // Another app has its name by now.
                (*known, *position) = (log.clone(), Default::default());
            }
            let batch = log.read(position, PIECE);
            missed += batch.missed.iter().sum::<u64>();
            batches.push((name, batch));
        }
        let mut pieces = Vec::new();
        for (app, batch) in &batches {
            pieces.extend(batch.pieces().map(|(piece, text)| (app, piece, text)));
        }
        pieces.sort_by_key(|(_, piece, _)| piece.stamp.seq);
        let mut text = Vec::new();
        if missed > 0 {
            format::append_json(&mut text, &Missed { missed });
        }
        for (app, piece, lines) in pieces {
            for line in format::lines(lines) {
                let line = LogLine::new(app, piece.stream, &piece.stamp, line);
                format::append_json(&mut text, &line);
            }
        }
        (self, Bytes::from(text))
    }

    /// Those that are wanted and there are.
    fn logs(&self) -> Vec<Arc<AppLog>> {
        let state = self.logs.0.state();
        let wanted = |name: &String| self.apps.is_empty() || self.apps.contains(name);
        let apps = state.apps.iter().filter(|(name, _)| wanted(name));
        apps.map(|(_, app)| app.log.clone()).collect()
    }
}
