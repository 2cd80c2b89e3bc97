//! The deadlines of one stream, which are a connection's in HTTP/1.

use super::streams::Streams;
use crate::proxy::body::{BodyError, ResponseBody};
use crate::proxy::connection::{ConnectionState, Phase};
use crate::proxy::interim::Form;
use crate::proxy::thread::Thread;
use crate::router::limits::ClientLimits;
use bytes::Bytes;
use http_body::{Body, Frame};
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
        self.state.look_at_stream(now, limits);
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
        state.interim.will_be_taken(Form::Heads);
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

    /// Whether the client's connection takes nothing more at the moment.
    pub(super) fn fills_the_line(&self) -> bool {
        self.watched.streams.fill_the_line()
    }

    /// This is the body of the answer.
    pub(super) fn answers(&self, body: ResponseBody) {
        *self.watched.body.borrow_mut() = Some(body);
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let body = self.watched.body.borrow();
        body.as_ref().is_some_and(Body::is_end_stream)
    }

    /// More of the answer, for which the client has room: so a part that nobody follows up is one that the client does not take.
    pub(super) fn poll_frame(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Watched { state, body, .. } = &*self.watched;
        state.write_progress();
        let mut body = body.borrow_mut();
        let Some(body) = body.as_mut() else {
            return Poll::Ready(Some(Err(BodyError("the client did not take its answer"))));
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(_)) = frame {
            state.write_blocks();
        }
        Poll::Ready(frame)
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
