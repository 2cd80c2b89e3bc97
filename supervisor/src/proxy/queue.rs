//! Where requests wait for a worker: one queue per app, first come first served, in front of all its workers.
//!
//! A free place is *handed* to the request that has waited longest, so nobody overtakes. The lock is per app and
//! held for a few instructions; requests that find a free worker and an empty queue touch only atomics.
//!
//! No wake-up is lost: a request counts itself as waiting before it looks for a free place a second time, and a
//! lease frees its place before it looks whether anybody waits (both sequentially consistent). So at least one of
//! the two sees the other.

use super::snapshot::App;
use super::traffic::AppTraffic;
use super::upstream::Lease;
use crate::router::message::Serving;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What outlives the tables of one app: its waiting requests and its counters.
#[derive(Debug, Default)]
pub(super) struct AppQueue {
    waiting: AtomicUsize,
    /// Since the start of the proxy.
    pub(super) traffic: AppTraffic,
    /// Round robin among equals: where the next search begins.
    turn: AtomicUsize,
    /// The supervisor has been told that this app is wanted, in the table in force.
    wanted: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The app in the table in force; none when it is no longer there.
    current: Option<Arc<App>>,
    waiters: VecDeque<Waiter>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    /// Milliseconds on the process clock.
    since: u64,
    answer: oneshot::Sender<Grant>,
}

/// What a waiting request gets.
#[derive(Debug)]
pub(super) enum Grant {
    Lease(Lease),
    /// The table has changed in a way that ends the wait: look at it again.
    Changed,
}

/// Why a request cannot wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    /// The caller's table is not the one in force.
    Stale,
}

impl AppQueue {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    /// How long the first of those who wait has waited.
    pub(super) fn waited_ms(&self) -> u64 {
        if self.waiting() == 0 {
            return 0;
        }
        let first = self.lock().waiters.front().map(|waiter| waiter.since);
        first.map_or(0, |since| super::clock::now_ms().saturating_sub(since))
    }

    pub(super) fn next_turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// True once per table.
    pub(super) fn first_to_want(&self) -> bool {
        !self.wanted.swap(true, Ordering::SeqCst)
    }

    /// A new table is in force. The old workers are withdrawn after this, so whoever is refused by them finds the
    /// new ones here.
    pub(super) fn replace(&self, app: Option<Arc<App>>) {
        self.wanted.store(false, Ordering::SeqCst);
        let mut inner = self.lock();
        let may_wait = app
            .as_ref()
            .is_some_and(|app| matches!(app.spec.serving, Serving::Up | Serving::Idle));
        let idle = app
            .as_ref()
            .is_some_and(|app| app.spec.serving == Serving::Idle);
        inner.current = app;
        if !may_wait || (idle && !inner.waiters.is_empty()) {
            // Looking again answers 503, finds another app, or asks for the worker once more.
            for waiter in std::mem::take(&mut inner.waiters) {
                let _ = waiter.answer.send(Grant::Changed);
            }
            self.waiting.store(0, Ordering::SeqCst);
            return;
        }
        self.pump(inner);
    }

    /// Joins the queue, or finds a free worker while doing so.
    pub(super) fn enter(self: &Arc<Self>, app: &Arc<App>) -> Result<Ticket, Refused> {
        let mut inner = self.lock();
        match &inner.current {
            Some(current) if Arc::ptr_eq(current, app) => {}
            _ => return Err(Refused::Stale),
        }
        if inner.waiters.len() >= app.spec.queue {
            return Err(Refused::Full);
        }
        let (answer, receiver) = oneshot::channel();
        let ticket = inner.next_ticket;
        inner.next_ticket += 1;
        let since = super::clock::now_ms();
        inner.waiters.push_back(Waiter {
            ticket,
            since,
            answer,
        });
        self.waiting.store(inner.waiters.len(), Ordering::SeqCst);
        self.pump(inner);
        Ok(Ticket {
            queue: Arc::clone(self),
            ticket,
            receiver,
        })
    }

    /// A place may have become free.
    pub(super) fn freed(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.pump(self.lock());
        }
    }

    /// Hands free places to those who have waited longest.
    fn pump(&self, mut inner: MutexGuard<'_, Inner>) {
        let mut left_over = None;
        while !inner.waiters.is_empty() {
            let Some(app) = inner.current.clone() else {
                break;
            };
            let Some(lease) = left_over.take().or_else(|| app.pick()) else {
                break;
            };
            let Some(waiter) = inner.waiters.pop_front() else {
                left_over = Some(lease);
                break;
            };
            if let Err(Grant::Lease(lease)) = waiter.answer.send(Grant::Lease(lease)) {
                // This client is gone; the place is for the next one.
                left_over = Some(lease);
            }
        }
        self.waiting.store(inner.waiters.len(), Ordering::SeqCst);
        drop(inner);
        // A lease that nobody took ends here, outside the lock that its end may take.
        drop(left_over);
    }

    fn leave(&self, ticket: u64) {
        let mut inner = self.lock();
        if let Ok(at) = inner.waiters.binary_search_by_key(&ticket, |w| w.ticket) {
            inner.waiters.remove(at);
            self.waiting.store(inner.waiters.len(), Ordering::SeqCst);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing here panics while it holds the lock; if it did, the queue would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given up when dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    queue: Arc<AppQueue>,
    ticket: u64,
    receiver: oneshot::Receiver<Grant>,
}

impl Ticket {
    /// Cancel safe.
    pub(super) async fn granted(&mut self) -> Grant {
        // The sender is only dropped after an answer, or with the queue itself.
        (&mut self.receiver).await.unwrap_or(Grant::Changed)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.queue.waiting() > 0 {
            self.queue.leave(self.ticket);
        }
        // A lease that was granted but not seen goes with the receiver, after this, outside the lock.
    }
}
