//! One stream of an HTTP/2 connection: its deadlines, which are a connection's in HTTP/1, and the body that goes back on it.

use super::streams::Streams;
use crate::proxy::body::{BodyError, ResponseBody};
use crate::proxy::connection::{ConnectionState, Phase};
use crate::proxy::hop::tokens;
use crate::proxy::thread::Thread;
use crate::router::limits::ClientLimits;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What a thread looks after.
#[derive(Debug)]
pub(in crate::proxy) struct Watched {
    state: Arc<ConnectionState>,
    /// The answer; none before there is one, and after it was given up.
    body: RefCell<Option<ResponseBody>>,
    stuck: Cell<bool>,
    streams: Rc<Streams>,
}

impl Watched {
    /// Called a few times a second. An answer that the client does not take is given up, and its worker is free.
    pub(in crate::proxy) fn look(&self, now: u64, limits: &ClientLimits) {
        if self.streams.fill_the_line() {
            // It waits for the others; that the client takes something at all is the connection's to watch.
            self.state.write_waits();
        }
        self.state.look(now, limits);
        if self.state.closing() && !self.stuck.get() && self.body.borrow().is_some() {
            self.body.take();
            self.stuck.set(true);
            self.streams.is_stuck();
        }
    }
}

/// A stream, from its request to the end of its answer.
#[derive(Debug)]
pub(super) struct OpenStream {
    watched: Rc<Watched>,
    thread: Rc<Thread>,
    number: u64,
}

impl OpenStream {
    pub(super) fn new(thread: &Rc<Thread>, streams: &Rc<Streams>) -> Self {
        let state = thread.new_state();
        state.enter(Phase::Busy);
        let watched = Rc::new(Watched {
            state: Arc::new(state),
            body: RefCell::new(None),
            stuck: Cell::new(false),
            streams: Rc::clone(streams),
        });
        let number = thread.watch(Rc::clone(&watched));
        Self {
            watched,
            thread: Rc::clone(thread),
            number,
        }
    }

    pub(super) fn state(&self) -> &Arc<ConnectionState> {
        &self.watched.state
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.thread.unwatch(self.number);
        if self.watched.stuck.get() {
            self.watched.streams.was_stuck();
        }
    }
}

/// The body of an answer. hyper asks for more when the client has room for more, so a part that nobody follows up is one
/// that the client does not take.
#[derive(Debug)]
pub(super) struct StreamBody {
    open: Rc<OpenStream>,
    /// What the head has announced as trailers.
    announced: Option<HeaderValue>,
}

impl StreamBody {
    pub(super) fn new(
        body: ResponseBody,
        open: Rc<OpenStream>,
        announced: Option<HeaderValue>,
    ) -> Self {
        *open.watched.body.borrow_mut() = Some(body);
        Self { open, announced }
    }

    /// Others are dropped, as hyper drops them in HTTP/1.1: none, where the client takes none.
    fn keep_announced(&self, mut trailers: HeaderMap) -> HeaderMap {
        let is_announced = |name: &HeaderName| {
            let mut announced = self.announced.iter().flat_map(tokens);
            announced.any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
        };
        let names: Vec<HeaderName> = trailers.keys().cloned().collect();
        for name in names.iter().filter(|name| !is_announced(name)) {
            trailers.remove(name);
        }
        trailers
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let watched = &self.open.watched;
        watched.state.write_progress();
        let mut body = watched.body.borrow_mut();
        let Some(body) = body.as_mut() else {
            return Poll::Ready(Some(Err(BodyError("the client did not take its answer"))));
        };
        let frame = match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        watched.state.write_blocks();
        match frame.into_trailers() {
            Ok(trailers) => {
                let kept = self.keep_announced(trailers);
                Poll::Ready((!kept.is_empty()).then(|| Ok(Frame::trailers(kept))))
            }
            Err(data) => Poll::Ready(Some(Ok(data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        let body = self.open.watched.body.borrow();
        body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.open.watched.body.borrow();
        body.as_ref().map_or_else(SizeHint::new, Body::size_hint)
    }
}
