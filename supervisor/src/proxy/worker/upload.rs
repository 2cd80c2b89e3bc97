//! A request on its way out: its head, and its body as it comes from the client.

use super::head::write_fields;
use super::socket::WorkerSocket;
use crate::proxy::body::{BodyError, RequestBody};
use crate::proxy::hop::tokens;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame};
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A body up to this goes into the same write as its head.
const SMALL: usize = 8 * 1024;

/// What is written of a request, and what is still to come.
#[derive(Debug)]
pub(super) struct Upload {
    /// Of `out`, `data` and `tail`, in this order, so many bytes are written.
    written: usize,
    out: Vec<u8>,
    data: Bytes,
    tail: &'static [u8],
    body: Option<RequestBody>,
    /// Some of it may be gone.
    begun: bool,
    coding: Coding,
}

#[derive(Debug)]
enum Coding {
    Plain,
    /// With the names of the trailers that were announced.
    Chunked(Vec<HeaderName>),
}

impl Upload {
    /// `out` has the head; `headers` are its fields.
    pub(super) fn new(mut out: Vec<u8>, headers: &HeaderMap, body: RequestBody) -> Self {
        let mut left = Some(body);
        if let Some(RequestBody::Whole(all)) = &left
            && all.len() <= SMALL
        {
            out.extend_from_slice(all);
            left = None;
        }
        left = left.filter(|body| !body.is_end_stream());
        let is_coded = left.is_some()
            && !headers.contains_key(CONTENT_LENGTH)
            && headers.contains_key(TRANSFER_ENCODING);
        let coding = match is_coded {
            true => Coding::Chunked(announced(headers)),
            false => Coding::Plain,
        };
        Self {
            written: 0,
            out,
            data: Bytes::new(),
            tail: b"",
            body: left,
            begun: false,
            coding,
        }
    }

    /// Goes on until all is written, or dropped because nobody takes it.
    ///
    /// # Errors
    /// The body does not come to its end.
    pub(super) fn poll(
        &mut self,
        socket: &WorkerSocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), BodyError>> {
        loop {
            ready!(self.poll_pieces(socket, cx));
            let Some(body) = &mut self.body else {
                return Poll::Ready(Ok(()));
            };
            if !self.begun && socket.is_deaf() {
                // Nobody takes as much as the head: the body may be for somebody else.
                return Poll::Ready(Ok(()));
            }
            self.begun = true;
            let next = ready!(Pin::new(&mut *body).poll_frame(cx)).transpose()?;
            let ended = next.is_none() || body.is_end_stream();
            self.load(next);
            if ended {
                self.body = None;
            }
        }
    }

    /// Writes what is loaded.
    fn poll_pieces(&mut self, socket: &WorkerSocket, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut skip = self.written;
            let pieces = [&self.out[..], &self.data[..], self.tail].map(|piece| {
                let skipped = skip.min(piece.len());
                skip -= skipped;
                IoSlice::new(&piece[skipped..])
            });
            if pieces.iter().all(|piece| piece.is_empty()) {
                return Poll::Ready(());
            }
            let begin = pieces.iter().take_while(|piece| piece.is_empty()).count();
            let end = 3 - pieces
                .iter()
                .rev()
                .take_while(|piece| piece.is_empty())
                .count();
            self.written += ready!(socket.poll_write(cx, &pieces[begin..end]));
        }
    }

    /// What is loaded is written: loads the next frame of the body, or its end.
    fn load(&mut self, next: Option<Frame<Bytes>>) {
        self.written = 0;
        self.out.clear();
        self.data = Bytes::new();
        self.tail = b"";
        let is_last = match (&next, &self.body) {
            (None, _) => true,
            (Some(frame), Some(body)) => frame.is_trailers() || body.is_end_stream(),
            (Some(_), None) => false,
        };
        let mut trailers = HeaderMap::new();
        match next.map(Frame::into_data) {
            Some(Ok(data)) => self.data = data,
            Some(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
            None => {}
        }
        let Coding::Chunked(announced) = &self.coding else {
            return;
        };
        if !self.data.is_empty() {
            self.out
                .extend_from_slice(format!("{:x}\r\n", self.data.len()).as_bytes());
            self.tail = b"\r\n";
        }
        if !is_last {
            return;
        }
        if !self.data.is_empty() {
            self.tail = b"\r\n0\r\n\r\n";
            return;
        }
        self.out.extend_from_slice(b"0\r\n");
        let mut passed = HeaderMap::new();
        for name in announced {
            for value in trailers.get_all(name) {
                passed.append(name, value.clone());
            }
        }
        write_fields(&mut self.out, &passed);
        self.out.extend_from_slice(b"\r\n");
    }

    /// The body, to be sent by somebody else. None: some of it may be gone.
    pub(super) fn take_body(&mut self) -> Option<RequestBody> {
        match self.begun {
            true => None,
            false => self.body.take(),
        }
    }

    /// For the next request.
    pub(super) fn into_buffer(mut self) -> Vec<u8> {
        self.out.clear();
        self.out
    }
}

/// Trailers are sent as far as they were announced (RFC 9110 section 6.6.2).
fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(TRAILER)
        .iter()
        .flat_map(tokens)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect()
}
