//! What the streams of one HTTP/2 connection have in common: how many are open, how many are stuck, and how often the client has
//! taken a request back.

use crate::proxy::connection::{ConnectionState, Phase};
use crate::proxy::limits;
use crate::proxy::request::Conversation;
use crate::proxy::rewrite::Client;
use crate::proxy::serve::Arrival;
use crate::proxy::thread::{OpenConnection, Thread};
use crate::router::message::ListenerInfo;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// What the streams of one connection have in common.
#[derive(Debug)]
pub(super) struct Streams {
    client: Rc<Client>,
    /// Of the connection.
    state: Arc<ConnectionState>,
    info: Rc<ListenerInfo>,
    thread: Rc<Thread>,
    open: Cell<usize>,
    /// Streams on which a request body is still to come.
    sending: Cell<u32>,
    /// Streams whose client takes nothing of what it has asked for; they hold no worker any more.
    stuck: Cell<usize>,
    /// Requests that the client has taken back, less those that it has waited for.
    cancelled: Cell<u32>,
}

impl Streams {
    pub(super) fn new(arrival: Arrival) -> (Rc<Self>, OpenConnection) {
        let Arrival {
            thread,
            info,
            open,
            peer,
            secured,
        } = arrival;
        let streams = Rc::new(Self {
            client: Rc::new(Client::new(peer, secured, &info)),
            state: Arc::clone(&open.state),
            info,
            thread,
            open: Cell::new(0),
            sending: Cell::new(0),
            stuck: Cell::new(0),
            cancelled: Cell::new(0),
        });
        (streams, open)
    }

    pub(super) fn thread(&self) -> &Rc<Thread> {
        &self.thread
    }

    /// For a request whose deadlines are kept by `state`.
    pub(super) fn conversation(&self, state: &Arc<ConnectionState>) -> Conversation {
        Conversation {
            client: Rc::clone(&self.client),
            state: Arc::clone(state),
            info: Rc::clone(&self.info),
            thread: Rc::clone(&self.thread),
        }
    }

    /// A stream begins, or a part of it that outlives the rest.
    pub(super) fn enter(self: &Rc<Self>) -> Running {
        self.open.set(self.open.get() + 1);
        if self.open.get() == 1 {
            self.state.enter(Phase::Busy);
        }
        Running(Rc::clone(self))
    }

    /// A request body begins.
    pub(super) fn receive(self: &Rc<Self>) -> Sending {
        self.change_sending(|sending| sending + 1);
        Sending(Rc::clone(self))
    }

    /// What the client may send ahead on all streams: so much that those whose requests wait for a worker, and are not read,
    /// cannot keep it from the others. Whoever waits may wait for them.
    pub(super) fn window(&self) -> u32 {
        limits::CONNECTION_WINDOW.max((self.sending.get() + 1) * limits::STREAM_WINDOW)
    }

    fn change_sending(&self, change: impl FnOnce(u32) -> u32) {
        let before = self.window();
        self.sending.set(change(self.sending.get()));
        if self.window() != before {
            self.state.wake();
        }
    }

    /// Whether the client's connection takes nothing more at the moment.
    pub(super) fn fill_the_line(&self) -> bool {
        self.state.is_write_blocked()
    }

    pub(super) fn is_stuck(&self) {
        self.stuck.set(self.stuck.get() + 1);
        self.close_if_all_are_stuck();
    }

    pub(super) fn was_stuck(&self) {
        self.stuck.set(self.stuck.get() - 1);
    }

    fn close_if_all_are_stuck(&self) {
        let stuck = self.stuck.get();
        if stuck > 0 && stuck >= self.open.get() {
            self.state.close();
        }
    }

    /// A client that asks and does not wait costs work and pays none (CVE-2023-44487). It is asked to go, as it may be
    /// somebody who looks through a map, and sent away if it goes on: until it has heard us it may still ask.
    fn was_cancelled(&self) {
        let cancelled = self.cancelled.get() + 1;
        self.cancelled.set(cancelled);
        if cancelled == limits::CANCELLED + 1 {
            tracing::debug!(peer = ?self.client.peer, "too many requests were taken back");
            self.state.finish();
        } else if cancelled > 2 * limits::CANCELLED {
            self.state.close();
        }
    }

    fn was_answered(&self) {
        self.cancelled.set(self.cancelled.get().saturating_sub(1));
    }
}

/// Counts for as long as it lives.
#[derive(Debug)]
pub(super) struct Running(Rc<Streams>);

impl Drop for Running {
    fn drop(&mut self) {
        let streams = &self.0;
        streams.open.set(streams.open.get() - 1);
        if streams.open.get() == 0 {
            streams.state.enter(Phase::Idle);
        } else {
            streams.close_if_all_are_stuck();
        }
    }
}

/// A request body that is still to come, for as long as it lives.
#[derive(Debug)]
pub(super) struct Sending(Rc<Streams>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.change_sending(|sending| sending - 1);
    }
}

/// A request that is being served. Dropped before it is done: the client has taken it back.
pub(super) struct Unanswered<'a>(Option<&'a Streams>);

impl<'a> Unanswered<'a> {
    pub(super) fn on(streams: &'a Streams) -> Self {
        Self(Some(streams))
    }

    pub(super) fn done(mut self) {
        if let Some(streams) = self.0.take() {
            streams.was_answered();
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(streams) = self.0 {
            streams.was_cancelled();
        }
    }
}
