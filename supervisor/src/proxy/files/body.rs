//! The body that a file is: read as fast as the client takes it, a chunk at a time.

use crate::proxy::body::{BodyError, ResponseBody};
use crate::proxy::direct;
use crate::proxy::disk::Outcome;
use crate::proxy::exchange::Finish;
use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Bytes that are read at a time.
const CHUNK: u64 = 64 * 1024;
/// A byte in so many is looked at to see whether the kernel has the rest in its cache.
const PROBE: usize = 64 * 1024;

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// What stands between parts of the file.
    Bytes(Bytes),
    /// Of the file.
    Span(Range<u64>),
}

impl Piece {
    pub(super) fn len(&self) -> u64 {
        match self {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Span(span) => span.end - span.start,
        }
    }
}

/// Pieces that are still to be sent. Memory does not grow with the file.
#[derive(Debug)]
pub(in crate::proxy) struct FileBody {
    file: Arc<File>,
    pieces: VecDeque<Piece>,
    left: u64,
    in_memory: bool,
    /// The kernel may send parts by itself.
    direct: bool,
    /// What the thread for files is about to deliver.
    reading: Option<Outcome<Bytes>>,
    finish: Finish,
}

impl FileBody {
    /// All of these pieces, as buffers.
    pub(super) fn new(file: File, pieces: Vec<Piece>, in_memory: bool, finish: Finish) -> Self {
        FileBody {
            file: Arc::new(file),
            left: pieces.iter().map(Piece::len).sum(),
            pieces: pieces.into(),
            in_memory,
            direct: false,
            reading: None,
            finish,
        }
    }

    /// The answer with these pieces. A small file that is in the cache is read at once, and its request is over.
    pub(super) fn start(
        file: File,
        pieces: Vec<Piece>,
        in_memory: bool,
        mut finish: Finish,
    ) -> ResponseBody {
        let left: u64 = pieces.iter().map(Piece::len).sum();
        if left == 0 {
            finish.complete(None);
            return ResponseBody::Empty;
        }
        if let [Piece::Span(span)] = pieces.as_slice()
            && left <= CHUNK
            && let Ok(all) = read_now(&file, span, in_memory)
            && all.len() as u64 == left
        {
            finish.sent(all.len());
            finish.complete(None);
            return ResponseBody::Whole(all);
        }
        let direct = finish.state.direct.is_taken();
        ResponseBody::File(Some(Box::new(FileBody {
            direct,
            ..FileBody::new(file, pieces, in_memory, finish)
        })))
    }

    pub(in crate::proxy) fn left(&self) -> u64 {
        self.left
    }

    /// So much goes to the client.
    pub(in crate::proxy) fn sent(&mut self, bytes: usize) {
        self.finish.sent(bytes);
    }

    /// The last piece was sent.
    pub(in crate::proxy) fn complete(self) {
        self.finish.complete(None);
    }

    /// More of it; there is some as long as [`FileBody::left`] is not 0.
    pub(in crate::proxy) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, BodyError>> {
        let data = match self.pieces.pop_front() {
            None => return Poll::Ready(Err(BodyError("there is no more of the file"))),
            Some(Piece::Bytes(bytes)) => bytes,
            Some(Piece::Span(span)) => match self.poll_span(&span, cx) {
                Poll::Pending => {
                    self.pieces.push_front(Piece::Span(span));
                    return Poll::Pending;
                }
                Poll::Ready(Ok(data)) if data.is_empty() => {
                    return Poll::Ready(Err(BodyError("the file has become shorter")));
                }
                Poll::Ready(Ok(data)) => {
                    let rest = span.start + data.len() as u64..span.end;
                    if !rest.is_empty() {
                        self.pieces.push_front(Piece::Span(rest));
                    }
                    data
                }
                Poll::Ready(Err(error)) => {
                    if self.finish.thread.disk.may_complain() {
                        let path = self.finish.asked.path();
                        tracing::error!(path, %error, "a file cannot be read");
                    }
                    return Poll::Ready(Err(BodyError("the file cannot be read")));
                }
            },
        };
        self.left -= data.len() as u64;
        Poll::Ready(Ok(data))
    }

    /// The beginning of what is left of a span, or what stands for it: now, if it is in the cache.
    fn poll_span(&mut self, span: &Range<u64>, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        if self.reading.is_none() {
            if self.direct && span.end - span.start > CHUNK {
                let part = span.start..span.end.min(span.start + direct::MOST);
                if self.in_memory || is_cached(&self.file, &part) {
                    let placeholder = self.finish.state.direct.wait(&self.file, part);
                    return Poll::Ready(Ok(placeholder));
                }
            }
            match read_now(&self.file, span, self.in_memory) {
                // Not in the cache, or this file system does not say what is.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    let (file, span) = (Arc::clone(&self.file), span.clone());
                    let job = self.finish.thread.disk.start(move || read(&file, &span));
                    self.reading = Some(match job {
                        Ok(job) => job,
                        Err(error) => return Poll::Ready(Err(error)),
                    });
                }
                read => return Poll::Ready(read.map_err(io::Error::from)),
            }
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Ready(Err(io::ErrorKind::Other.into()));
        };
        let read = Pin::new(reading).poll(cx);
        read.map(|outcome| {
            self.reading = None;
            outcome.unwrap_or_else(|_| Err(io::Error::other("the thread for files has ended")))
        })
    }
}

fn chunk(span: &Range<u64>) -> Vec<u8> {
    vec![0; (span.end - span.start).min(CHUNK) as usize]
}

/// What the kernel has in its cache (preadv2(2), RWF_NOWAIT).
fn read_now(file: &File, span: &Range<u64>, in_memory: bool) -> Result<Bytes, Errno> {
    // tmpfs knows no RWF_NOWAIT, and needs none.
    let flags = match in_memory {
        true => ReadWriteFlags::empty(),
        false => ReadWriteFlags::NOWAIT,
    };
    let mut buffer = chunk(span);
    let read = rustix::io::retry_on_intr(|| {
        rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut buffer)], span.start, flags)
    })?;
    buffer.truncate(read);
    Ok(Bytes::from(buffer))
}

/// Whether the kernel seems to have this part in its cache. It could tell of each page, but only to who may write the file (mincore(2)).
fn is_cached(file: &File, part: &Range<u64>) -> bool {
    let has = |at| {
        let mut byte = [0];
        let mut buffer = [IoSliceMut::new(&mut byte)];
        rustix::io::preadv2(file, &mut buffer, at, ReadWriteFlags::NOWAIT) == Ok(1)
    };
    part.clone().step_by(PROBE).all(has) && has(part.end - 1)
}

fn read(file: &File, span: &Range<u64>) -> io::Result<Bytes> {
    let mut buffer = chunk(span);
    let read = loop {
        match file.read_at(&mut buffer, span.start) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    buffer.truncate(read);
    Ok(Bytes::from(buffer))
}
