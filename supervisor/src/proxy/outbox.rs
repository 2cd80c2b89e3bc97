//! What the request threads have to tell the supervisor, on its way to the control loop.

use crate::router::message::FromProxy;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Messages that may wait; beyond this, those that can be spared are dropped.
const SPARE_LIMIT: usize = 1024;

/// What the control loop waits for.
#[derive(Debug)]
pub(super) enum Event {
    /// A line from the supervisor.
    Line(Box<crate::router::message::ToProxy>),
    /// A message for the supervisor.
    Tell(FromProxy),
    /// A request thread has ended, after a drain.
    ThreadEnded,
}

/// The way from any thread to the control loop. Never blocks.
///
/// The channel is unbounded, but what goes through it is not: tables come one at a time, `Drained` once per
/// withdrawn worker, and everything that requests can cause is dropped beyond [`SPARE_LIMIT`] waiting messages.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    events: mpsc::Sender<Event>,
    waiting: Arc<AtomicUsize>,
}

impl Outbox {
    pub(super) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel();
        let waiting = Arc::default();
        (Self { events, waiting }, receiver)
    }

    /// For what happens a bounded number of times. An error would mean that the control loop is gone, and the
    /// process with it.
    pub(super) fn event(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// For what must arrive.
    pub(super) fn tell(&self, message: FromProxy) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.event(Event::Tell(message));
    }

    /// For what requests can cause at any rate.
    pub(super) fn tell_if_room(&self, message: FromProxy) {
        if self.waiting.load(Ordering::Relaxed) < SPARE_LIMIT {
            self.tell(message);
        }
    }

    /// The control loop has written a message.
    pub(super) fn told(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
