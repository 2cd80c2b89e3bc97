//! The output of one app: a ring for each stream, and where the lines go.

use super::frozen::{FrozenApp, FrozenStamp, FrozenWaiting, Thaw};
use super::ring::{Brought, Position, Receive, Ring, Stamp};
use super::sink::Feed;
use super::source::{Source, Stream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What is kept of an app's output, also when its workers change.
#[derive(Debug)]
pub(super) struct AppLog {
    name: String,
    inner: Mutex<Inner>,
}

/// For each stream, where it goes somewhere.
pub(super) type Feeds<F> = [Option<F>; 2];

#[derive(Debug, Default)]
struct Inner {
    rings: [Ring; 2],
    /// Where each stream goes; one feed for both where they go to the same place. Not held by us: a feed holds its log until
    /// everything is written.
    feeds: Feeds<Weak<Feed>>,
}

/// Lines in the order in which they were read, with who printed them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Lines of each stream that were to come before these, but are lost.
    pub(super) missed: [u64; 2],
    pub(super) pieces: Vec<Piece>,
    /// The text of all pieces: whole lines.
    pub(super) text: Vec<u8>,
}

/// Lines of one worker's stream that were read at one time.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) stream: Stream,
    pub(super) stamp: Stamp,
    /// Bytes of the text.
    pub(super) length: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.missed == [0, 0]
    }

    /// Empties it; its memory stays.
    pub(super) fn clear(&mut self) {
        self.missed = [0, 0];
        self.pieces.clear();
        self.text.clear();
    }

    /// For a daemon that was sent the first `sent` messages of it.
    pub(super) fn freeze(&self, app: &str, sent: usize) -> FrozenWaiting {
        let piece = |piece: &Piece| (piece.stream, FrozenStamp::from(&piece.stamp), piece.length);
        FrozenWaiting::Lines {
            app: app.to_owned(),
            missed: self.missed,
            pieces: self.pieces.iter().map(piece).collect(),
            text: self.text.clone(),
            sent,
        }
    }

    /// None where the parts do not fit each other.
    pub(super) fn thaw(
        missed: [u64; 2],
        pieces: Vec<(Stream, FrozenStamp, usize)>,
        text: Vec<u8>,
    ) -> Option<Batch> {
        let mut thaw = Thaw::default();
        let piece = |(stream, stamp, length)| Piece {
            stream,
            stamp: thaw.stamp(stamp),
            length,
        };
        let pieces: Vec<Piece> = pieces.into_iter().map(piece).collect();
        let length: usize = pieces.iter().map(|piece| piece.length).sum();
        (length == text.len()).then_some(Batch {
            missed,
            pieces,
            text,
        })
    }

    /// Each piece with its text.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&Piece, &[u8])> {
        let mut text = &self.text[..];
        self.pieces.iter().map(move |piece| {
            let (own, rest) = text.split_at(piece.length);
            text = rest;
            (piece, own)
        })
    }
}

struct Collector<'a> {
    batch: &'a mut Batch,
    stream: Stream,
}

impl Receive for Collector<'_> {
    fn receive(&mut self, stamp: &Stamp, text: [&[u8]; 2]) {
        self.batch.pieces.push(Piece {
            stream: self.stream,
            stamp: stamp.clone(),
            length: text[0].len() + text[1].len(),
        });
        self.batch.text.extend_from_slice(text[0]);
        self.batch.text.extend_from_slice(text[1]);
    }
}

/// Counts of one stream, since the app is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub lines: u64,
    pub bytes: u64,
    /// Lines that its log did not take in time.
    pub dropped: u64,
}

/// One line, for people.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) stamp: Stamp,
    pub(super) stream: Stream,
    pub(super) text: Vec<u8>,
}

impl AppLog {
    pub(super) fn new(name: &str) -> AppLog {
        AppLog {
            name: name.to_owned(),
            inner: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what `print` pushes onto the ring of this stream, and wakes whoever passes it on. True if the ring has become
    /// larger than it should stay.
    pub(super) fn push(&self, stream: Stream, print: impl FnOnce(&mut Ring)) -> bool {
        let (feed, is_large) = {
            let mut inner = self.lock();
            let ring = &mut inner.rings[stream.index()];
            print(ring);
            let is_large = ring.is_large();
            (inner.feeds[stream.index()].clone(), is_large)
        };
        if let Some(feed) = feed.and_then(|feed| feed.upgrade()) {
            feed.offer();
        }
        is_large
    }

    /// From now on each stream goes there; what waits for the old place goes to the new one.
    pub(super) fn set_feeds(&self, feeds: &Feeds<Arc<Feed>>) {
        {
            let mut inner = self.lock();
            for (ring, feed) in inner.rings.iter_mut().zip(feeds) {
                ring.set_sink(feed.is_some());
            }
            inner.feeds = feeds
                .each_ref()
                .map(|feed| feed.as_ref().map(Arc::downgrade));
        }
        feeds.iter().flatten().for_each(Feed::offer);
    }

    /// Takes about `limit` bytes of whole lines for `feed` into an empty batch; none, if they go somewhere else by now. True
    /// if there are more.
    pub(super) fn take(&self, feed: &Arc<Feed>, limit: usize, batch: &mut Batch) -> bool {
        let mut inner = self.lock();
        let Inner { rings, feeds } = &mut *inner;
        let mut from = [None, None];
        for stream in Stream::BOTH {
            let index = stream.index();
            let ring = &mut rings[index];
            if feeds[index]
                .as_ref()
                .is_some_and(|own| std::ptr::eq(own.as_ptr(), Arc::as_ptr(feed)))
                && let Some(mut taken) = ring.taken()
            {
                batch.missed[index] = ring.catch_up(&mut taken);
                from[index] = Some(taken);
            }
        }
        merge(rings, &mut from, limit, batch);
        let mut more = false;
        for (index, ring) in rings.iter_mut().enumerate() {
            if let Some(position) = from[index] {
                ring.take(position, batch.missed[index]);
                more |= ring.untaken() > 0;
            }
        }
        more
    }

    /// Lets a reader of a stream go on where there is something to read: how many lines it has missed, and the number of
    /// the read that comes next, if there is one.
    pub(super) fn head(&self, stream: Stream, position: &mut Position) -> (u64, Option<u64>) {
        let inner = self.lock();
        let ring = &inner.rings[stream.index()];
        (ring.catch_up(position), ring.next(*position))
    }

    /// Adds what comes next for a reader of a stream to `batch`: whole lines of one read, about `limit` bytes.
    pub(super) fn read(
        &self,
        stream: Stream,
        position: &mut Position,
        limit: usize,
        batch: &mut Batch,
    ) {
        let inner = self.lock();
        let ring = &inner.rings[stream.index()];
        batch.missed[stream.index()] += ring.catch_up(position);
        ring.read(position, limit, &mut Collector { batch, stream });
    }

    /// The reads that have brought the last `most` lines of each stream, newest first; and the ends of both.
    pub(super) fn recent(&self, most: u64) -> ([Vec<Brought>; 2], [Position; 2]) {
        let inner = self.lock();
        let [stdout, stderr] = &inner.rings;
        (
            [stdout.recent(most), stderr.recent(most)],
            [stdout.end(), stderr.end()],
        )
    }

    /// So many lines behind a position.
    pub(super) fn skip(&self, stream: Stream, position: Position, lines: u64) -> Position {
        self.lock().rings[stream.index()].skip(position, lines)
    }

    /// The last `most` lines, oldest first, of the workers that are wanted.
    pub(super) fn last(&self, most: usize, wanted: impl Fn(&Source) -> bool) -> Vec<Line> {
        let inner = self.lock();
        let mut lines = Vec::new();
        for stream in Stream::BOTH {
            let ring = &inner.rings[stream.index()];
            let of_stream = ring.last(most, &wanted).into_iter().rev();
            lines.extend(of_stream.map(|(stamp, text)| Line {
                stamp,
                stream,
                text,
            }));
        }
        lines.sort_by_key(|line| line.stamp.seq);
        lines.drain(..lines.len().saturating_sub(most));
        lines
    }

    /// Of stdout and stderr.
    pub(super) fn counts(&self) -> [Counts; 2] {
        let inner = self.lock();
        let [stdout, stderr] = &inner.rings;
        [stdout, stderr].map(|ring| Counts {
            lines: ring.end().line,
            bytes: ring.end().at,
            dropped: ring.missed(),
        })
    }

    /// Bytes of a stream that wait for its sink.
    pub(super) fn untaken(&self, stream: Stream) -> u64 {
        self.lock().rings[stream.index()].untaken()
    }

    /// Gives memory back that only a burst has needed; true if that has to be tried again later.
    pub(super) fn tidy(&self) -> bool {
        let mut inner = self.lock();
        inner.rings.iter_mut().fold(false, |again, ring| {
            ring.tidy();
            again | ring.is_large()
        })
    }

    pub(super) fn freeze(&self) -> FrozenApp {
        FrozenApp {
            name: self.name.clone(),
            rings: self.lock().rings.each_ref().map(Ring::freeze),
        }
    }

    pub(super) fn thaw(frozen: FrozenApp, thaw: &mut Thaw) -> AppLog {
        let rings = frozen.rings.map(|ring| Ring::thaw(ring, thaw));
        AppLog {
            name: frozen.name,
            inner: Mutex::new(Inner {
                rings,
                feeds: [None, None],
            }),
        }
    }
}

/// Reads from both rings in the order in which their lines came, where there is a position.
fn merge(rings: &[Ring; 2], from: &mut [Option<Position>; 2], limit: usize, batch: &mut Batch) {
    while batch.text.len() < limit {
        let next = |stream: Stream| {
            let seq = rings[stream.index()].next(from[stream.index()]?)?;
            Some((seq, stream))
        };
        let first = Stream::BOTH
            .into_iter()
            .filter_map(next)
            .min_by_key(|(seq, _)| *seq);
        let Some((_, stream)) = first else { return };
        let Some(position) = &mut from[stream.index()] else {
            return;
        };
        let room = limit - batch.text.len();
        rings[stream.index()].read(position, room, &mut Collector { batch, stream });
    }
}
