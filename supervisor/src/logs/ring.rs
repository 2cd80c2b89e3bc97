//! The last lines of one stream of an app, in one buffer of bounded size.
//!
//! The ring is history and queue in one: what the sink has taken stays as history, up to [`HISTORY`]; what it has not
//! taken yet waits, up to [`MOST`]. Beyond that the oldest lines go, so that the last words of an app are always
//! there, and positions tell every reader how many lines it has missed.

use super::frozen::{FrozenRing, FrozenStamp, Thaw};
use super::source::Source;
use memchr::{memchr, memchr_iter, memrchr};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of lines that were taken already, kept for `paster logs` and reports.
pub(super) const HISTORY: usize = 128 * 1024;
/// Bytes that may wait for the sink.
pub(super) const MOST: usize = 4 * 1024 * 1024;

/// When and by whom lines were printed.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    /// Counts the reads of all streams of all apps: the order of lines across rings.
    pub(super) seq: u64,
    /// Microseconds since 1970.
    pub(super) time: u64,
    pub(super) source: Arc<Source>,
}

/// A place between two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Position {
    /// Bytes before it, since the ring is there.
    pub(super) at: u64,
    /// Lines before it.
    pub(super) line: u64,
}

/// What one read has brought: whole lines of one worker.
#[derive(Debug)]
struct Run {
    start: Position,
    stamp: Stamp,
}

/// A read, as far as its lines are still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Brought {
    pub(super) seq: u64,
    pub(super) start: Position,
    pub(super) lines: u64,
}

/// What a run costs beside its text.
const RUN: usize = size_of::<Run>();

/// The ring of one stream.
#[derive(Debug, Default)]
pub(super) struct Ring {
    text: VecDeque<u8>,
    runs: VecDeque<Run>,
    end: Position,
    /// What the sink has taken; none where there is no sink.
    taken: Option<Position>,
    /// Lines that the sink has missed and knows of.
    missed: u64,
}

/// Receives lines that are read: when and by whom they were printed, and their text, wherever it lies in the ring.
pub(super) trait Receive {
    fn receive(&mut self, stamp: &Stamp, text: [&[u8]; 2]);
}

impl Ring {
    /// Adds whole lines, given in parts. Oldest lines make room for them.
    pub(super) fn push(&mut self, stamp: &Stamp, parts: &[&[u8]]) {
        let incoming: usize = parts.iter().map(|part| part.len()).sum();
        self.make_room(incoming + RUN);
        let limit = if self.taken.is_some() { MOST } else { HISTORY };
        // Where even that is not enough, everything else has gone already, and of this only the last lines can stay.
        let mut surplus = (incoming + RUN).saturating_sub(limit);
        for part in parts {
            let mut kept = *part;
            if surplus > 0 {
                let (cut, more) = match first_end(part, surplus) {
                    Some(end) => (end, 0),
                    None => (part.len(), surplus.saturating_sub(part.len()).max(1)),
                };
                self.end.at += cut as u64;
                self.end.line += count(&part[..cut]);
                (surplus, kept) = (more, &part[cut..]);
            }
            self.append(stamp, kept);
        }
    }

    fn append(&mut self, stamp: &Stamp, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let last = self.runs.back();
        if last.is_none_or(|run| run.stamp.seq != stamp.seq) {
            self.runs.push_back(Run {
                start: self.end,
                stamp: stamp.clone(),
            });
        }
        self.text.extend(text);
        self.end.at += text.len() as u64;
        self.end.line += count(text);
    }

    /// Where the oldest line that is kept begins.
    pub(super) fn start(&self) -> Position {
        self.runs.front().map_or(self.end, |run| run.start)
    }

    /// Behind the newest line.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Whether lines are to be taken from now on, or all of them are history at once.
    pub(super) fn set_sink(&mut self, present: bool) {
        match (present, self.taken) {
            (true, None) => self.taken = Some(self.end),
            (false, Some(_)) => {
                self.missed = self.missed();
                self.taken = None;
                self.make_room(0);
            }
            _ => {}
        }
    }

    /// How far the sink has read; none where there is no sink.
    pub(super) fn taken(&self) -> Option<Position> {
        self.taken
    }

    /// Bytes that wait for the sink.
    pub(super) fn untaken(&self) -> u64 {
        let from = self.taken.unwrap_or(self.end).at.max(self.start().at);
        self.end.at - from
    }

    /// Lines that the sink did not get, so far.
    pub(super) fn missed(&self) -> u64 {
        let mut taken = self.taken.unwrap_or(self.end);
        self.missed + self.catch_up(&mut taken)
    }

    /// The sink has read on, to `position`, and knows of `missed` more lines that it did not get.
    pub(super) fn take(&mut self, position: Position, missed: u64) {
        if self.taken.is_some() {
            self.taken = Some(position);
        }
        self.missed += missed;
    }

    /// The number of the read that brought what follows `position`.
    pub(super) fn next(&self, position: Position) -> Option<u64> {
        Some(self.run_at(position)?.1.stamp.seq)
    }

    fn run_at(&self, position: Position) -> Option<(usize, &Run)> {
        if position.at >= self.end.at {
            return None;
        }
        let after = self.runs.partition_point(|run| run.start.at <= position.at);
        let index = after.saturating_sub(1);
        Some((index, self.runs.get(index)?))
    }

    /// Lets a reader go on where there is something to read; returns how many lines it has missed.
    pub(super) fn catch_up(&self, position: &mut Position) -> u64 {
        let start = self.start();
        if position.at >= start.at {
            return 0;
        }
        let missed = start.line - position.line;
        *position = start;
        missed
    }

    /// Hands out (a part of) the run at `position`, which must not be before [`Ring::start`]: whole lines, at most
    /// `limit` bytes unless the first line is longer. Returns how many bytes.
    pub(super) fn read(
        &self,
        position: &mut Position,
        limit: usize,
        receiver: &mut impl Receive,
    ) -> usize {
        let Some((index, run)) = self.run_at(*position) else {
            return 0;
        };
        let run_end = self.runs.get(index + 1).map_or(self.end, |next| next.start);
        let text = self.slices(*position, run_end);
        let length = text[0].len() + text[1].len();
        if length <= limit {
            receiver.receive(&run.stamp, text);
            *position = run_end;
            return length;
        }
        let text = whole_lines(text, limit);
        let length = text[0].len() + text[1].len();
        receiver.receive(&run.stamp, text);
        position.at += length as u64;
        position.line += count(text[0]) + count(text[1]);
        length
    }

    /// The last `most` lines of the workers that are `wanted`, newest first.
    pub(super) fn last(
        &self,
        most: usize,
        wanted: impl Fn(&Source) -> bool,
    ) -> Vec<(Stamp, Vec<u8>)> {
        let mut found = Vec::new();
        let mut end = self.end;
        for run in self.runs.iter().rev() {
            if wanted(&run.stamp.source) {
                let text = self.slices(run.start, end).concat();
                let mut lines = text.strip_suffix(b"\n").unwrap_or(&text);
                while found.len() < most {
                    let start = memrchr(b'\n', lines).map_or(0, |end| end + 1);
                    found.push((run.stamp.clone(), lines[start..].to_vec()));
                    if start == 0 {
                        break;
                    }
                    lines = &lines[..start - 1];
                }
            }
            if found.len() == most {
                break;
            }
            end = run.start;
        }
        found
    }

    /// The reads that have brought the last `most` lines, newest first.
    pub(super) fn recent(&self, most: u64) -> Vec<Brought> {
        let (mut found, mut lines, mut end) = (Vec::new(), 0, self.end);
        for run in self.runs.iter().rev() {
            if lines >= most {
                break;
            }
            found.push(Brought {
                seq: run.stamp.seq,
                start: run.start,
                lines: end.line - run.start.line,
            });
            lines += end.line - run.start.line;
            end = run.start;
        }
        found
    }

    /// So many lines behind a position; at most behind the read that brought what follows it.
    pub(super) fn skip(&self, position: Position, lines: u64) -> Position {
        let mut position = position;
        self.catch_up(&mut position);
        let Some((index, _)) = self.run_at(position) else {
            return position;
        };
        let end = self.runs.get(index + 1).map_or(self.end, |next| next.start);
        let [first, second] = self.slices(position, end);
        let ends =
            memchr_iter(b'\n', first).chain(memchr_iter(b'\n', second).map(|at| first.len() + at));
        let lines = lines.min(end.line - position.line);
        let count = usize::try_from(lines).unwrap_or(usize::MAX);
        match ends.take(count).last() {
            Some(last) => Position {
                at: position.at + last as u64 + 1,
                line: position.line + lines,
            },
            None => position,
        }
    }

    /// Gives memory back that only a burst has needed.
    pub(super) fn tidy(&mut self) {
        // What the sink has taken since the last line came is more than history.
        self.make_room(0);
        if self.text.len() <= HISTORY {
            self.text.shrink_to(HISTORY);
            self.runs.shrink_to(HISTORY / RUN);
        }
    }

    /// It has grown beyond what history needs.
    pub(super) fn is_large(&self) -> bool {
        self.text.capacity() + self.runs.capacity() * RUN > 4 * HISTORY
    }

    pub(super) fn freeze(&self) -> FrozenRing {
        let (first, second) = self.text.as_slices();
        FrozenRing {
            text: [first, second].concat(),
            runs: (self.runs.iter())
                .map(|run| (run.start, FrozenStamp::from(&run.stamp)))
                .collect(),
            end: self.end,
            taken: self.taken,
            missed: self.missed,
        }
    }

    /// The ring again; an empty one, where the parts do not fit each other.
    pub(super) fn thaw(frozen: FrozenRing, thaw: &mut Thaw) -> Ring {
        let start = frozen.runs.first().map_or(frozen.end, |(start, _)| *start);
        let length = frozen.end.at.checked_sub(start.at);
        let fits = length == Some(frozen.text.len() as u64)
            && frozen.end.line.checked_sub(start.line) == Some(count(&frozen.text))
            && frozen
                .runs
                .is_sorted_by_key(|(start, _)| (start.at, start.line))
            && frozen.taken.is_none_or(|taken| {
                taken.at <= frozen.end.at && (taken.at >= start.at || taken.line <= start.line)
            });
        if !fits {
            return Ring::default();
        }
        let runs = frozen.runs.into_iter().map(|(start, stamp)| Run {
            start,
            stamp: thaw.stamp(stamp),
        });
        Ring {
            runs: runs.collect(),
            text: frozen.text.into(),
            end: frozen.end,
            taken: frozen.taken,
            missed: frozen.missed,
        }
    }

    fn slices(&self, from: Position, to: Position) -> [&[u8]; 2] {
        let base = self.start().at;
        let index = |position: Position| usize::try_from(position.at - base).unwrap_or(usize::MAX);
        let (from, to) = (index(from), index(to));
        let (first, second) = self.text.as_slices();
        let split = first.len();
        [
            &first[from.min(split)..to.min(split)],
            &second[from.max(split) - split..to.max(split) - split],
        ]
    }

    fn make_room(&mut self, incoming: usize) {
        loop {
            let cost = self.text.len() + self.runs.len() * RUN + incoming;
            let (start, taken) = (self.start(), self.taken.unwrap_or(self.end));
            let history = taken.at.saturating_sub(start.at);
            if cost > HISTORY && history > 0 {
                let history = usize::try_from(history).unwrap_or(usize::MAX);
                self.evict((cost - HISTORY).min(history));
            } else if cost > MOST && start != self.end {
                self.evict(cost - MOST);
            } else {
                return;
            }
        }
    }

    /// Removes the oldest lines, at least `bytes` of them unless the oldest run is shorter.
    fn evict(&mut self, bytes: usize) {
        let run_end = self.runs.get(1).map_or(self.end, |next| next.start);
        let Some(run) = self.runs.front_mut() else {
            return;
        };
        let length = usize::try_from(run_end.at - run.start.at).unwrap_or(usize::MAX);
        if bytes < length {
            let (first, second) = self.text.as_slices();
            let cut = line_end(first, second, bytes);
            if cut < length {
                let counted = cut.min(first.len());
                run.start.at += cut as u64;
                run.start.line += count(&first[..counted]) + count(&second[..cut - counted]);
                self.text.drain(..cut);
                return;
            }
        }
        self.runs.pop_front();
        self.text.drain(..length);
    }
}

/// Lines in `text`.
fn count(text: &[u8]) -> u64 {
    memchr_iter(b'\n', text).count() as u64
}

/// The end of the first line of `text` that ends at or after `bytes`.
fn first_end(text: &[u8], bytes: usize) -> Option<usize> {
    let from = bytes.max(1) - 1;
    let ahead = memchr(b'\n', text.get(from..)?)?;
    Some(from + ahead + 1)
}

/// The same over two slices, the last of which ends with a line.
fn line_end(first: &[u8], second: &[u8], bytes: usize) -> usize {
    if let Some(end) = first_end(first, bytes) {
        return end;
    }
    let end = first_end(second, bytes.saturating_sub(first.len()));
    first.len() + end.unwrap_or(second.len())
}

/// The first lines of `text`, of `limit` bytes together; or the first line, if that alone is longer.
fn whole_lines(text: [&[u8]; 2], limit: usize) -> [&[u8]; 2] {
    let [first, second] = text;
    if limit > first.len()
        && let Some(last) = memrchr(b'\n', &second[..limit - first.len()])
    {
        return [first, &second[..=last]];
    }
    if let Some(last) = memrchr(b'\n', &first[..limit.min(first.len())]) {
        return [&first[..=last], &[]];
    }
    let end = line_end(first, second, 1);
    let split = end.min(first.len());
    [&first[..split], &second[..end - split]]
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
