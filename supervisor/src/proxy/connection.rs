//! What is known of one client connection while it is served: its phase, who waits for whom, and its deadlines.
//!
//! Deadlines are not timers: each thread looks over its connections a few times a second ([`ConnectionState::due`]),
//! so a request costs a few relaxed stores instead of timer operations. All fields are written by one thread; they
//! are atomics because hyper wants an upgradable connection to be `Send`.

use super::direct::Direct;
use super::error::ProxyError;
use super::gate::Progress;
use super::interim::Interim;
use super::limits;
use crate::router::limits::ClientLimits;
use http::{HeaderMap, StatusCode};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

/// Where a connection is between two requests and within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Accepted, nothing was read yet.
    Fresh,
    /// Between two requests.
    Idle,
    /// The first bytes of a head were read.
    Head,
    /// A request is being served.
    Busy,
    /// We have said all that we will say and read on for a moment, so that our answer is not lost to a reset.
    Lingering,
}

impl Phase {
    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Fresh,
            1 => Self::Idle,
            2 => Self::Head,
            3 => Self::Busy,
            _ => Self::Lingering,
        }
    }
}

/// A head that was refused before it became a request.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: ProxyError,
    /// As far as it is known, and where it is logged.
    pub(super) line: Vec<u8>,
}

/// What a connection needs from its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Nothing happens: give back what only a conversation needs.
    Rest,
    /// A deadline has passed: close, nobody is owed an answer.
    Close,
    /// The head of a request has begun and takes too long.
    RefuseHead,
    /// See whether the client has gone (the descriptor says so even while nobody reads it).
    CheckPeer,
}

/// Milliseconds in which a head that is late is refused; a connection that does not get there is closed.
const REFUSAL_MS: u64 = 1000;

/// Shared by the connection's task, its I/O and its requests.
#[derive(Debug)]
pub(super) struct ConnectionState {
    clock: Arc<Clock>,
    phase: AtomicU8,
    /// Since when, on the thread's clock.
    since: AtomicU64,
    /// Since when a write makes no progress; 0: it does, or there is none.
    write_blocked: AtomicU64,
    /// Since when we wait for more of a request body; 0: we do not.
    body_wanted: AtomicU64,
    body_is_late: AtomicBool,
    /// More of a request body is to come, or was given up: hyper is not done with the request, answered or not.
    body_is_open: AtomicBool,
    check_peer: AtomicBool,
    /// Only the end of the connection ends the body of the answer.
    ends_body: AtomicBool,
    is_cut: AtomicBool,
    closing: AtomicBool,
    /// Requests that were answered.
    answered: AtomicU32,
    /// The next request is here already.
    wants_next: AtomicBool,
    tunnel: AtomicBool,
    head_is_late: AtomicBool,
    is_refused: AtomicBool,
    refusal: Mutex<Option<Refusal>>,
    last_line: Mutex<Vec<u8>>,
    pub(super) interim: Interim,
    pub(super) direct: Direct,
    linger: AtomicBool,
    finish: AtomicBool,
    /// Buffers are held for what is said: true between two rests.
    at_work: AtomicBool,
    may_rest: AtomicBool,
    leaving: AtomicBool,
    /// HTTP/2: there is a way to say that no more requests are taken.
    multiplexes: AtomicBool,
    waker: OnceLock<Waker>,
    body_reader: Mutex<Option<Waker>>,
}

/// Milliseconds as of the last look around, for all connections of a thread. Never 0.
#[derive(Debug)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(super::clock::now_ms()))
    }

    pub(super) fn tick(&self) -> u64 {
        let now = super::clock::now_ms();
        self.0.store(now, Relaxed);
        now
    }

    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl ConnectionState {
    pub(super) fn new(clock: Arc<Clock>) -> Self {
        let since = AtomicU64::new(clock.now());
        Self {
            clock,
            phase: AtomicU8::new(Phase::Fresh as u8),
            since,
            write_blocked: AtomicU64::new(0),
            body_wanted: AtomicU64::new(0),
            body_is_late: AtomicBool::new(false),
            body_is_open: AtomicBool::new(false),
            check_peer: AtomicBool::new(false),
            ends_body: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            answered: AtomicU32::new(0),
            wants_next: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
            head_is_late: AtomicBool::new(false),
            is_refused: AtomicBool::new(false),
            refusal: Mutex::new(None),
            last_line: Mutex::new(Vec::new()),
            interim: Interim::default(),
            direct: Direct::default(),
            linger: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            at_work: AtomicBool::new(false),
            may_rest: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            multiplexes: AtomicBool::new(false),
            waker: OnceLock::new(),
            body_reader: Mutex::new(None),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::from_number(self.phase.load(Relaxed))
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since.store(self.clock.now(), Relaxed);
    }

    /// Bytes came from the client.
    pub(super) fn was_read(&self) {
        if matches!(self.phase(), Phase::Fresh | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// A request was answered, or will not be: the next one may come.
    pub(super) fn request_ended(&self) {
        self.answered
            .store(self.answered.load(Relaxed).wrapping_add(1), Relaxed);
        self.enter(Phase::Idle);
        if self.wants_next.load(Relaxed) {
            self.wants_next.store(false, Relaxed);
            self.wake();
        }
    }

    /// hyper does not ask again by itself for what was kept from it: it is to be woken when it may have it.
    pub(super) fn wants_next(&self) {
        self.wants_next.store(true, Relaxed);
    }

    /// From here on this is no HTTP.
    pub(super) fn becomes_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    pub(super) fn progress(&self) -> Progress {
        if self.tunnel.load(Relaxed) {
            Progress::Tunnel
        } else {
            Progress::Answered(self.answered.load(Relaxed))
        }
    }

    /// The next request stands in for a head that was refused.
    pub(super) fn refuse(&self, error: ProxyError, line: &[u8]) {
        let line = line.to_vec();
        let refusal = Some(Refusal { error, line });
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
        self.is_refused.store(true, Relaxed);
        self.set_linger();
    }

    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        if !self.is_refused.load(Relaxed) {
            return None;
        }
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.take()
    }

    /// A worker has sent an interim answer.
    pub(super) fn inform(&self, status: StatusCode, headers: &HeaderMap) {
        if self.interim.keep(status, headers) {
            self.wake();
        }
    }

    /// The body of the request is wanted, and its client waits to be told so.
    pub(super) fn ask_to_continue(&self) {
        if self.interim.ask_to_continue() {
            self.wake();
        }
    }

    /// Waits until interim answers are on their way, so that the final one does not overtake them.
    pub(super) async fn interim_written(&self) {
        // Whoever takes them off wakes the connection, and with it its service.
        std::future::poll_fn(|_| match self.interim.waits() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// The connection ends: this was its last request line, where they are logged.
    pub(super) fn set_last_line(&self, line: &[u8]) {
        if !line.is_empty() {
            let mut last = self
                .last_line
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            last.clear();
            last.extend_from_slice(line);
        }
    }

    pub(super) fn take_last_line(&self) -> Vec<u8> {
        let mut last = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut last)
    }

    pub(super) fn take_head_is_late(&self) -> bool {
        self.head_is_late.swap(false, Relaxed)
    }

    /// Milliseconds on the clock of the thread.
    pub(super) fn now(&self) -> u64 {
        self.clock.now()
    }

    /// A write has ended so, or waits.
    pub(super) fn note_write(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Pending => self.write_blocks(),
            Poll::Ready(_) => self.write_progress(),
        }
    }

    pub(super) fn write_progress(&self) {
        if self.write_blocked.load(Relaxed) != 0 {
            self.write_blocked.store(0, Relaxed);
        }
    }

    pub(super) fn write_blocks(&self) {
        if self.write_blocked.load(Relaxed) == 0 {
            self.write_blocked.store(self.clock.now(), Relaxed);
        }
    }

    /// A request has a body, of which not all has been read; or now it has.
    pub(super) fn set_body_open(&self, open: bool) {
        self.body_is_open.store(open, Relaxed);
    }

    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Relaxed) != 0
    }

    /// What is to be written waits for something else than the client: its time begins anew.
    pub(super) fn write_waits(&self) {
        if self.is_write_blocked() {
            self.write_blocked.store(self.clock.now(), Relaxed);
        }
    }

    /// The reader of a request body waits for the client; `waker` is told when that takes too long.
    pub(super) fn body_wanted(&self, waker: &Waker) {
        if self.body_wanted.load(Relaxed) == 0 {
            self.body_wanted.store(self.clock.now(), Relaxed);
        }
        let mut reader = self
            .body_reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !reader.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *reader = Some(waker.clone());
        }
    }

    pub(super) fn body_progress(&self) {
        if self.body_wanted.load(Relaxed) != 0 {
            self.body_wanted.store(0, Relaxed);
            self.body_is_late.store(false, Relaxed);
        }
    }

    /// The request body was waited for too long; its reader asks when it is polled.
    pub(super) fn body_is_late(&self) -> bool {
        self.body_is_late.load(Relaxed)
    }

    fn look_at_body(&self, now: u64, limits: &ClientLimits) {
        let since = self.body_wanted.load(Relaxed);
        if since == 0 || now.saturating_sub(since) < limits.body_timeout_ms {
            return;
        }
        self.body_is_late.store(true, Relaxed);
        let reader = self
            .body_reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// When the connection is closed, read on for a moment first.
    pub(super) fn set_linger(&self) {
        self.linger.store(true, Relaxed);
    }

    pub(super) fn lingers(&self) -> bool {
        self.linger.load(Relaxed) || self.phase() == Phase::Head
    }

    pub(super) fn take_check_peer(&self) -> bool {
        self.check_peer.load(Relaxed) && self.check_peer.swap(false, Relaxed)
    }

    /// Its client sees the end of the answer by the end of the connection.
    pub(super) fn ends_a_body(&self) {
        self.ends_body.store(true, Relaxed);
    }

    /// The answer is broken off, and the connection with it.
    pub(super) fn cut(&self) {
        if self.ends_body.load(Relaxed) {
            self.is_cut.store(true, Relaxed);
            // The next flush looks.
            self.check_peer.store(true, Relaxed);
        }
    }

    /// The client would take the end of the connection for that of the answer.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Relaxed)
    }

    /// End as soon as nothing is in flight.
    pub(super) fn finish(&self) {
        self.finish.store(true, Relaxed);
        self.wake();
    }

    /// What the conversation needs is there from now on, or gone.
    pub(super) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Relaxed);
    }

    /// The last word was said, but for saying that.
    pub(super) fn is_leaving(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// Whether nothing has happened for a moment, nothing is on its way in either direction, and more may come. A request that was
    /// answered early is on its way until its body has ended.
    pub(super) fn take_may_rest(&self) -> bool {
        self.may_rest.load(Relaxed)
            && self.may_rest.swap(false, Relaxed)
            && self.phase() == Phase::Idle
            && self.write_blocked.load(Relaxed) == 0
            && !self.body_is_open.load(Relaxed)
            && !self.interim.waits()
            && !self.leaving.load(Relaxed)
    }

    pub(super) fn multiplexes(&self) {
        self.multiplexes.store(true, Relaxed);
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexes.load(Relaxed)
    }

    pub(super) fn take_finish(&self) -> bool {
        self.finish.load(Relaxed) && self.finish.swap(false, Relaxed)
    }

    pub(super) fn closing(&self) -> bool {
        self.closing.load(Relaxed)
    }

    /// Ends the connection.
    pub(super) fn close(&self) {
        self.closing.store(true, Relaxed);
        self.wake();
    }

    /// Not before the next deadline.
    pub(super) fn close_later(&self) {
        self.closing.store(false, Relaxed);
    }

    /// Remembers the task; a task has one waker for its whole life.
    pub(super) fn remember(&self, waker: &Waker) {
        self.waker.get_or_init(|| waker.clone());
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Called a few times a second.
    pub(super) fn look(&self, now: u64, limits: &ClientLimits) {
        self.look_at_body(now, limits);
        match self.due(now, limits) {
            Due::Nothing => {}
            Due::Rest => {
                self.may_rest.store(true, Relaxed);
                self.wake();
            }
            Due::Close => self.close(),
            Due::RefuseHead => {
                self.head_is_late.store(true, Relaxed);
                self.wake();
            }
            Due::CheckPeer => {
                self.check_peer.store(true, Relaxed);
                self.wake();
            }
        }
    }

    /// As [`Self::look`], at one stream of a connection. Whether its client is there is asked for the connection.
    pub(super) fn look_at_stream(&self, now: u64, limits: &ClientLimits) {
        self.look_at_body(now, limits);
        if self.write_is_late(now, limits) {
            self.close();
        }
        if self.interim.has_heads() {
            // There was no room for them.
            self.wake();
        }
    }

    fn write_is_late(&self, now: u64, limits: &ClientLimits) -> bool {
        let blocked = self.write_blocked.load(Relaxed);
        blocked != 0 && now.saturating_sub(blocked) >= limits.write_timeout_ms
    }

    /// Milliseconds in this phase.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.since.load(Relaxed))
    }

    fn due(&self, now: u64, limits: &ClientLimits) -> Due {
        if self.write_is_late(now, limits) {
            return Due::Close;
        }
        let limit = match self.phase() {
            Phase::Fresh | Phase::Head => limits.head_timeout_ms,
            // An answer is still on its way.
            Phase::Idle if self.is_write_blocked() => return Due::Nothing,
            Phase::Idle => limits.keep_alive_timeout_ms,
            Phase::Lingering => limits::LINGER.as_millis() as u64,
            Phase::Busy => return self.due_while_busy(now),
        };
        let age = self.age(now);
        if age < limit {
            let idle = self.phase() == Phase::Idle && age >= limits::REST.as_millis() as u64;
            match idle && self.at_work.load(Relaxed) {
                true => Due::Rest,
                false => Due::Nothing,
            }
        } else if self.phase() == Phase::Head && age < limit + REFUSAL_MS {
            Due::RefuseHead
        } else {
            Due::Close
        }
    }

    fn due_while_busy(&self, now: u64) -> Due {
        if self.age(now) < limits::PEER_CHECK.as_millis() as u64 {
            Due::Nothing
        } else {
            Due::CheckPeer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ConnectionState {
        ConnectionState::new(Arc::new(Clock::new()))
    }

    fn due(state: &ConnectionState, seconds: u64) -> Due {
        let later = state.clock.now() + seconds * 1000;
        state.due(later, &ClientLimits::default())
    }

    #[test]
    fn a_silent_client_is_closed_after_the_head_timeout() {
        let state = state();
        assert_eq!(due(&state, 14), Due::Nothing);
        assert_eq!(due(&state, 15), Due::Close);
    }

    #[test]
    fn dripping_bytes_do_not_extend_the_head_timeout() {
        let state = state();
        state.was_read();
        state.was_read();
        assert_eq!(state.phase(), Phase::Head);
        assert_eq!(due(&state, 15), Due::RefuseHead);
        assert_eq!(due(&state, 16), Due::Close);
    }

    #[test]
    fn an_idle_connection_has_its_own_longer_time() {
        let state = state();
        state.enter(Phase::Idle);
        assert_eq!(due(&state, 74), Due::Nothing);
        assert_eq!(due(&state, 75), Due::Close);
    }

    #[test]
    fn a_connection_is_not_idle_while_an_answer_is_on_its_way() {
        let state = state();
        state.enter(Phase::Idle);
        state.write_blocks();
        let limits = ClientLimits {
            keep_alive_timeout_ms: 1000,
            ..ClientLimits::default()
        };
        let due = |seconds: u64| state.due(state.clock.now() + seconds * 1000, &limits);
        assert_eq!(due(29), Due::Nothing);
        assert_eq!(due(30), Due::Close);
        state.write_progress();
        assert_eq!(due(29), Due::Close);
    }

    #[test]
    fn what_waits_for_others_has_its_time_anew() {
        let state = state();
        state.enter(Phase::Busy);
        state.write_waits();
        assert!(!state.is_write_blocked(), "nothing is to be written");
        state.write_blocked.store(1, Relaxed);
        state.write_waits();
        assert_eq!(state.write_blocked.load(Relaxed), state.clock.now());
    }

    #[test]
    fn an_idle_connection_rests_if_nothing_is_on_its_way() {
        let state = state();
        state.set_at_work(true);
        assert_eq!(due(&state, 1), Due::Nothing);
        state.enter(Phase::Idle);
        assert_eq!(due(&state, 0), Due::Nothing);
        assert_eq!(due(&state, 1), Due::Rest);
        let look = || state.look(state.clock.now() + 1000, &ClientLimits::default());
        assert!(!state.take_may_rest());
        state.write_blocks();
        look();
        assert!(!state.take_may_rest());
        state.write_progress();
        look();
        assert!(state.take_may_rest());
        assert!(!state.take_may_rest());
        state.set_at_work(false);
        assert_eq!(due(&state, 1), Due::Nothing);
    }

    #[test]
    fn a_request_in_flight_has_no_deadline_but_its_client_is_watched() {
        let state = state();
        state.enter(Phase::Busy);
        assert_eq!(due(&state, 3600), Due::CheckPeer);
    }

    #[test]
    fn a_client_that_does_not_read_is_closed() {
        let state = state();
        state.enter(Phase::Busy);
        state.write_blocks();
        assert_eq!(due(&state, 30), Due::Close);
        state.write_progress();
        assert_eq!(due(&state, 30), Due::CheckPeer);
    }
}
