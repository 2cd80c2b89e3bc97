//! A worker as the proxy counts it: one atomic word holds how many requests it has and whether it may get more.
//!
//! A restart without errors hangs on one race: "read the table" against "the worker was withdrawn". Both facts are
//! in one word, so a lease is either counted or refused. A request that is refused reads the table again, and the
//! new one was stored before the old worker was marked; so it never needs to ask twice.

use super::outbox::Outbox;
use super::queue::AppQueue;
use crate::router::message::{FromProxy, InFlight, Worker, WorkerId, WorkerStats};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Set in the word of a worker that the table in force does not name.
const DRAINING: u64 = 1 << 63;

/// The word counts leases in flight below this, and in units of this the leases that were given, in all (modulo 2^39).
const GIVEN: u64 = 1 << 24;
const IN_FLIGHT: u64 = GIVEN - 1;

/// Requests that a worker leaves unanswered and that are told, per second: more than a report of its death has room for.
const LOSSES: u64 = 64;

/// A worker of some table, shared by all tables that name it and all threads.
///
/// What each request writes stands beside the reference count, which it writes, too: threads that take turns pass on one cache line.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Upstream {
    /// Requests in flight, how many were given, and [`DRAINING`].
    word: AtomicU64,
    /// Requests that it may have at the same time.
    limit: AtomicU64,
    /// Milliseconds on the process clock until which it gets nothing, because it just failed; 0: it is well.
    suspect_until: AtomicU64,
    pub(super) worker: Worker,
    pub(super) queue: Arc<AppQueue>,
    /// Milliseconds on the process clock since which no connection came about; 0: it has answered since.
    unreachable_since: AtomicU64,
    /// The second of the process clock in which a request was last lost, and how many in it: `second * LOSSES + count`.
    losses: AtomicU64,
    outbox: Outbox,
}

impl Upstream {
    pub(super) fn new(worker: Worker, queue: Arc<AppQueue>, outbox: Outbox) -> Self {
        let limit = AtomicU64::new(limit_of(&worker));
        Self {
            worker,
            queue,
            word: AtomicU64::new(0),
            limit,
            suspect_until: AtomicU64::new(0),
            unreachable_since: AtomicU64::new(0),
            losses: AtomicU64::new(0),
            outbox,
        }
    }

    pub(super) fn id(&self) -> WorkerId {
        self.worker.id
    }

    /// A later table may allow more or fewer requests; leases that are out stay.
    pub(super) fn set_limit(&self, worker: &Worker) {
        self.limit.store(limit_of(worker), Ordering::SeqCst);
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.word.load(Ordering::Relaxed) & IN_FLIGHT
    }

    pub(super) fn stats(&self) -> WorkerStats {
        let word = self.word.load(Ordering::Relaxed);
        WorkerStats {
            id: self.id(),
            in_flight: word & IN_FLIGHT,
            requests: (word & !DRAINING) / GIVEN,
            unreachable: self.unreachable_since.load(Ordering::Relaxed) != 0,
        }
    }

    /// Counted, or refused: the worker is full, withdrawn, or has just failed.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        if self.is_suspect() {
            return None;
        }
        let limit = self.limit.load(Ordering::SeqCst);
        self.word
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |word| {
                let free = word & DRAINING == 0 && word & IN_FLIGHT < limit;
                free.then(|| (word + 1 + GIVEN) & !DRAINING)
            })
            .ok()
            .map(|_| Lease(Arc::clone(self)))
    }

    /// No lease is given any more. `Drained` is told once: now if nothing is in flight, else by the last lease.
    pub(super) fn withdraw(&self) {
        let before = self.word.fetch_or(DRAINING, Ordering::SeqCst);
        if before & (IN_FLIGHT | DRAINING) == 0 {
            self.outbox.tell(FromProxy::Drained { worker: self.id() });
        }
    }

    /// It refused a connection or died: nothing new for `pause_ms`. By then the supervisor knows, and the table says
    /// whether the worker is still there. True when it was not suspect before.
    pub(super) fn suspect(&self, pause_ms: u64) -> bool {
        let now = super::clock::now_ms();
        self.suspect_until.swap(now + pause_ms, Ordering::SeqCst) <= now
    }

    /// It has answered: whatever the suspicion was, it lives.
    pub(super) fn trust(&self) {
        if self.suspect_until.load(Ordering::Relaxed) != 0 {
            self.suspect_until.store(0, Ordering::SeqCst);
            self.unreachable_since.store(0, Ordering::SeqCst);
        }
    }

    /// No connection came about.
    pub(super) fn was_unreachable(&self) {
        let now = super::clock::now_ms();
        let since = &self.unreachable_since;
        // Later ones say nothing new.
        let _ = since.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// It runs elsewhere, so nobody here starts it again, and could not be reached for `after_ms`; nor is it time for the next try.
    pub(super) fn is_down(&self, after_ms: u64) -> bool {
        let since = self.unreachable_since.load(Ordering::SeqCst);
        let down = since != 0 && super::clock::now_ms().saturating_sub(since) >= after_ms;
        down && self.worker.pid == 0 && self.is_suspect()
    }

    /// It has left a request without a complete answer: perhaps it has died. A server that closes every connection cannot
    /// keep the supervisor busy with this.
    pub(super) fn lost(&self, request: impl FnOnce() -> InFlight) {
        let this_second = super::clock::now_ms() / 1000 * LOSSES;
        let counted = self
            .losses
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |losses| {
                let next = losses.max(this_second) + 1;
                (next < this_second + LOSSES).then_some(next)
            });
        if counted.is_ok() {
            self.outbox.tell_if_room(FromProxy::Lost {
                worker: self.id(),
                request: request(),
            });
        }
    }

    fn is_suspect(&self) -> bool {
        let until = self.suspect_until.load(Ordering::SeqCst);
        until != 0 && super::clock::now_ms() < until
    }
}

fn limit_of(worker: &Worker) -> u64 {
    u64::try_from(worker.max_in_flight)
        .unwrap_or(u64::MAX)
        .clamp(1, IN_FLIGHT - 1)
}

/// One request's right to use one worker, counted until it is dropped: at the end of the response body, of the
/// tunnel, or when the client is gone.
#[derive(Debug)]
pub(super) struct Lease(Arc<Upstream>);

impl Lease {
    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let before = self.0.word.fetch_sub(1, Ordering::SeqCst);
        if before & (IN_FLIGHT | DRAINING) == DRAINING | 1 {
            self.0.outbox.tell(FromProxy::Drained {
                worker: self.0.id(),
            });
        }
        // Also for a withdrawn worker: the queue is the app's, and another worker may be free.
        self.0.queue.freed();
    }
}

#[cfg(test)]
mod tests {
    use super::super::outbox::Event;
    use super::*;
    use crate::router::message::WorkerAddress;
    use std::sync::mpsc::Receiver;

    fn upstream(max_in_flight: usize) -> (Arc<Upstream>, Receiver<Event>) {
        let (outbox, events) = Outbox::new();
        let worker = Worker {
            id: 7,
            slot: 0,
            generation: 1,
            pid: 1,
            address: WorkerAddress::Tcp("127.0.0.1:1".into()),
            max_in_flight,
        };
        let upstream = Upstream::new(worker, Arc::default(), outbox);
        (Arc::new(upstream), events)
    }

    fn drained(events: &Receiver<Event>) -> usize {
        events
            .try_iter()
            .filter(|event| matches!(event, Event::Tell(FromProxy::Drained { worker: 7 })))
            .count()
    }

    #[test]
    fn a_server_elsewhere_is_down_until_it_answers() {
        let (ours, _events) = upstream(1);
        let mut worker = ours.worker.clone();
        worker.pid = 0;
        let theirs = Upstream::new(worker, Arc::default(), ours.outbox.clone());
        for upstream in [&*ours, &theirs] {
            assert!(!upstream.is_down(0));
            upstream.was_unreachable();
            upstream.suspect(60_000);
        }
        assert!(theirs.is_down(0));
        assert!(!theirs.is_down(60_000), "not for long enough");
        assert!(!ours.is_down(0), "it is started again");
        theirs.trust();
        assert!(!theirs.is_down(0));
        theirs.was_unreachable();
        assert!(!theirs.is_down(0), "it may be tried");
    }

    #[test]
    fn a_worker_gets_no_more_than_its_limit() {
        let (upstream, _events) = upstream(2);
        let first = upstream.lease().unwrap();
        let _second = upstream.lease().unwrap();
        assert!(upstream.lease().is_none());
        drop(first);
        assert!(upstream.lease().is_some());
    }

    #[test]
    fn a_withdrawn_worker_refuses_and_its_last_lease_tells_that_it_is_drained() {
        let (upstream, events) = upstream(2);
        let (first, second) = (upstream.lease().unwrap(), upstream.lease().unwrap());
        upstream.withdraw();
        drop(first);
        assert!(upstream.lease().is_none());
        assert_eq!(drained(&events), 0);
        drop(second);
        assert_eq!(drained(&events), 1);
    }

    #[test]
    fn an_idle_worker_is_drained_at_once_and_once() {
        let (upstream, events) = upstream(1);
        upstream.withdraw();
        upstream.withdraw();
        assert_eq!(drained(&events), 1);
    }

    #[test]
    fn a_worker_that_failed_gets_nothing_until_it_answers() {
        let (upstream, _events) = upstream(1);
        assert!(upstream.suspect(60_000));
        assert!(!upstream.suspect(60_000));
        assert!(upstream.lease().is_none());
        upstream.trust();
        assert!(upstream.lease().is_some());
    }

    #[test]
    fn a_worker_that_loses_everything_is_not_told_of_for_ever() {
        let (upstream, events) = upstream(1);
        let request = || InFlight {
            method: "GET".into(),
            path: "/".into(),
            id: None,
            age_ms: 0,
            answering: false,
        };
        for _ in 0..10_000 {
            upstream.lost(request);
        }
        let told = events.try_iter().count() as u64;
        // Two seconds, should one begin just then.
        assert!((LOSSES - 1..=2 * LOSSES).contains(&told), "{told}");
    }

    #[test]
    fn leases_and_withdrawal_never_disagree() {
        for _ in 0..200 {
            let (upstream, events) = upstream(1000);
            let others: Vec<_> = (0..3)
                .map(|_| {
                    let upstream = Arc::clone(&upstream);
                    std::thread::spawn(move || while upstream.lease().is_some() {})
                })
                .collect();
            upstream.withdraw();
            others.into_iter().for_each(|other| other.join().unwrap());
            assert_eq!(drained(&events), 1);
        }
    }
}
