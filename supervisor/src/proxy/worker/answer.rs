//! The body of an answer as it comes from a worker (RFC 9112 sections 6 and 7).

use super::connection::{CHUNK, WorkerConnection};
use super::head::Framing;
use super::tunnel::Tunnel;
use crate::proxy::chunk_scan::{ChunkScan, Piece};
use crate::proxy::limits;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::SizeHint;
use std::io;
use std::task::{Context, Poll, ready};

/// Trailers of an answer, at most.
const TRAILERS: usize = 100;

/// Of a body.
#[derive(Debug)]
pub(in crate::proxy) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// What is still to come of an answer, and the connection that it comes over.
#[derive(Debug)]
pub(in crate::proxy) struct AnswerBody {
    connection: WorkerConnection,
    rest: Rest,
    keep_alive: bool,
    /// What is read at a time: more when that was too little.
    room: usize,
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Box<Chunked>),
    Close,
    /// It has ended, and where was known only then.
    Nothing,
}

#[derive(Debug, Default)]
struct Chunked {
    scan: ChunkScan,
    trailers: BytesMut,
}

impl AnswerBody {
    pub(super) fn new(connection: WorkerConnection, framing: Framing, keep_alive: bool) -> Self {
        let rest = match framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Box::default()),
            Framing::Close => Rest::Close,
        };
        Self {
            connection,
            rest,
            keep_alive: keep_alive && framing != Framing::Close,
            room: CHUNK,
        }
    }

    /// Its connection can carry another request when it has ended as announced.
    pub(in crate::proxy) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// Nothing comes any more.
    pub(in crate::proxy) fn has_ended(&self) -> bool {
        matches!(self.rest, Rest::Length(0) | Rest::Nothing)
    }

    /// Bytes that are still to come, if that is known.
    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        match self.rest {
            Rest::Length(left) => SizeHint::with_exact(left),
            Rest::Nothing => SizeHint::with_exact(0),
            Rest::Chunked(_) | Rest::Close => SizeHint::new(),
        }
    }

    /// All of it, if its length was announced and it is here already.
    pub(in crate::proxy) fn take_whole(&mut self) -> Option<Bytes> {
        let Rest::Length(length) = self.rest else {
            return None;
        };
        let length = usize::try_from(length).ok()?;
        (self.connection.buffer.len() >= length).then(|| {
            self.rest = Rest::Nothing;
            self.connection.buffer.split_to(length).freeze()
        })
    }

    /// The next part; none at the end.
    ///
    /// # Errors
    /// The worker has broken off, or breaks the grammar: nothing more comes.
    pub(in crate::proxy) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Part>>> {
        loop {
            if self.has_ended() {
                return Poll::Ready(None);
            }
            if !self.connection.buffer.is_empty()
                && let Some(part) = self.take_part().transpose()
            {
                return Poll::Ready(Some(part));
            }
            if self.has_ended() {
                return Poll::Ready(None);
            }
            match ready!(self.connection.poll_more(cx, self.room())) {
                Ok(()) if self.connection.spare() == 0 => {
                    self.room = (2 * self.room).min(limits::BUFFER);
                }
                Ok(()) => {}
                Err(error)
                    if error.kind() == io::ErrorKind::UnexpectedEof
                        && matches!(self.rest, Rest::Close) =>
                {
                    self.rest = Rest::Nothing;
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// How much is worth reading.
    fn room(&self) -> usize {
        match self.rest {
            Rest::Length(left) => {
                usize::try_from(left).map_or(self.room, |left| left.min(self.room))
            }
            _ => self.room,
        }
    }

    /// What the buffer has; none if that is framing, or an end.
    fn take_part(&mut self) -> io::Result<Option<Part>> {
        let buffer = &mut self.connection.buffer;
        match &mut self.rest {
            Rest::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = buffer.split_to(most.min(buffer.len())).freeze();
                *left -= data.len() as u64;
                Ok(Some(Part::Data(data)))
            }
            Rest::Close => Ok(Some(Part::Data(buffer.split().freeze()))),
            Rest::Chunked(chunked) => {
                let part = chunked.take_part(buffer)?;
                if chunked.scan.is_done() {
                    self.rest = Rest::Nothing;
                }
                Ok(part)
            }
            Rest::Nothing => Ok(None),
        }
    }

    /// Its connection, which can carry another request if the answer has ended as announced and nothing else came.
    pub(in crate::proxy) fn into_connection(self) -> Option<WorkerConnection> {
        let is_clean = self.keep_alive && self.has_ended() && self.connection.buffer.is_empty();
        is_clean.then_some(self.connection)
    }

    /// It belongs to a 101: from here on it is no HTTP.
    pub(in crate::proxy) fn into_tunnel(self) -> Tunnel {
        self.connection.into_tunnel()
    }
}

impl Chunked {
    fn take_part(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Part>> {
        let malformed = |_| io::Error::other("the chunked coding of the answer is malformed");
        while !buffer.is_empty() && !self.scan.is_done() {
            match self.scan.next(buffer).map_err(malformed)? {
                Piece::Framing(length) => drop(buffer.split_to(length)),
                Piece::Data(length) => {
                    return Ok(Some(Part::Data(buffer.split_to(length).freeze())));
                }
                Piece::Trailers(length) => self.trailers.unsplit(buffer.split_to(length)),
            }
        }
        if !self.scan.is_done() || self.trailers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Part::Trailers(trailers(&self.trailers)?)))
    }
}

/// `bytes` are lines, without the empty one behind them.
fn trailers(bytes: &[u8]) -> io::Result<HeaderMap> {
    let malformed = || io::Error::other("the trailers of the answer are malformed");
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS];
    let lines = [bytes, b"\r\n"].concat();
    let parsed = httparse::parse_headers(&lines, &mut fields).map_err(|_| malformed())?;
    let httparse::Status::Complete((_, fields)) = parsed else {
        return Err(malformed());
    };
    let mut trailers = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(malformed());
        };
        trailers.append(name, value);
    }
    Ok(trailers)
}
