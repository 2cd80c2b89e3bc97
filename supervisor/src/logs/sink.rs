//! Where lines go: one sink for each place, with a thread of its own while there is something to do, so that a disk or a
//! terminal that hangs holds up nothing but itself.
//!
//! The apps that share a place take turns: a feed that has lines stands in the queue once, and each turn is bounded.

use super::Shared;
use super::app::{AppLog, Batch};
use super::frozen::FrozenWaiting;
use super::outlet::{Daemon, Outlet, Progress};
use super::source::Stream;
use crate::plan::spec::{LineFormat, Rotation};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Bytes of one feed that are written in one turn.
const TURN: usize = 256 * 1024;
/// How long after a failure the same is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a thread waits for more to do before it ends.
const LINGER: Duration = Duration::from_secs(10);
/// Stack of such a thread.
const STACK: usize = 256 * 1024;

/// A place that may be shared by apps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// Our own stdout or stderr.
    Standard(Stream),
    File(PathBuf),
    Daemon(Daemon, PathBuf),
}

/// What one app, or one of its streams, sends to a sink.
#[derive(Debug)]
pub(super) struct Feed {
    log: Arc<AppLog>,
    format: LineFormat,
    sink: Arc<Sink>,
    /// It stands in the queue.
    queued: AtomicBool,
}

/// A place and its thread.
#[derive(Debug)]
pub(super) struct Sink {
    place: Place,
    shared: Weak<Shared>,
    schedule: Mutex<Schedule>,
    changed: Condvar,
    /// Locked by the thread, for as long as a write takes.
    outlet: Mutex<Outlet>,
}

#[derive(Debug)]
struct Schedule {
    queue: VecDeque<Arc<Feed>>,
    thread: Thread,
    rotation: Rotation,
    reopen: bool,
    /// It is to end as soon as it can.
    stopped: bool,
    /// Nobody sends anything to it any more.
    abandoned: bool,
    /// Something that was accepted waits to be written.
    holds: bool,
    /// Why it does not work at present.
    trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    None,
    Waits,
    Works,
}

/// Whether lines for a daemon go to our own stdout and stderr meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Divert {
    Away,
    Back,
}

/// What a thread does next.
enum Task {
    Reopen,
    Retry,
    Write(Arc<Feed>),
}

impl Feed {
    pub(super) fn new(log: Arc<AppLog>, format: LineFormat, sink: Arc<Sink>) -> Arc<Feed> {
        Arc::new(Feed {
            log,
            format,
            sink,
            queued: AtomicBool::new(false),
        })
    }

    /// There may be something to write.
    pub(super) fn offer(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.sink.enqueue(self.clone());
        }
    }
}

impl Sink {
    /// `waiting` is what another one has accepted for the place and not written.
    pub(super) fn new(
        place: &Place,
        waiting: Option<FrozenWaiting>,
        shared: Weak<Shared>,
    ) -> Arc<Sink> {
        let mut outlet = match place {
            Place::Standard(stream) => Outlet::standard(*stream),
            Place::File(path) => Outlet::file(path),
            Place::Daemon(kind, socket) => Outlet::daemon(*kind, socket),
        };
        if let Some(waiting) = waiting {
            outlet.thaw(waiting);
        }
        Arc::new(Sink {
            place: place.clone(),
            shared,
            schedule: Mutex::new(Schedule {
                queue: VecDeque::new(),
                thread: Thread::None,
                rotation: Rotation::default(),
                reopen: false,
                stopped: false,
                abandoned: false,
                holds: !outlet.is_empty(),
                trouble: None,
            }),
            changed: Condvar::new(),
            outlet: Mutex::new(outlet),
        })
    }

    /// Its failures can be told: it is not the place where they would be.
    fn may_speak(&self) -> bool {
        self.place != Place::Standard(Stream::Stderr)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shared(&self) -> Weak<Shared> {
        self.shared.clone()
    }

    pub(super) fn set_rotation(&self, rotation: &Rotation) {
        self.schedule().rotation = rotation.clone();
    }

    /// Why it does not work at present.
    pub(super) fn trouble(&self) -> Option<String> {
        self.schedule().trouble.clone()
    }

    /// Lets it open its file anew.
    pub(super) fn reopen(self: &Arc<Self>) {
        let mut schedule = self.schedule();
        schedule.reopen = true;
        self.wake(&mut schedule);
    }

    /// It is used no more: it ends when it has written what it has.
    pub(super) fn abandon(&self) {
        self.schedule().abandoned = true;
        self.changed.notify_all();
    }

    /// Ends the thread after what it does now; [`Sink::resume`] lets it go on.
    pub(super) fn stop(&self) {
        self.schedule().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn resume(self: &Arc<Self>) {
        let mut schedule = self.schedule();
        schedule.stopped = false;
        if schedule.holds || !schedule.queue.is_empty() {
            self.wake(&mut schedule);
        }
    }

    /// What was accepted and not written; none also while a write hangs.
    pub(super) fn freeze(&self) -> Option<(Place, FrozenWaiting)> {
        if !self.has_ended() {
            return None;
        }
        let outlet = self.outlet.lock().unwrap_or_else(PoisonError::into_inner);
        Some((self.place.clone(), outlet.freeze()?))
    }

    /// Nothing is to be written.
    pub(super) fn is_idle(&self) -> bool {
        let schedule = self.schedule();
        schedule.is_idle() && schedule.thread != Thread::Works
    }

    /// No thread is at work.
    pub(super) fn has_ended(&self) -> bool {
        self.schedule().thread == Thread::None
    }

    fn enqueue(self: &Arc<Self>, feed: Arc<Feed>) {
        let mut schedule = self.schedule();
        schedule.queue.push_back(feed);
        self.wake(&mut schedule);
    }

    fn wake(self: &Arc<Self>, schedule: &mut Schedule) {
        match schedule.thread {
            Thread::Works => {}
            Thread::Waits => self.changed.notify_all(),
            Thread::None if schedule.stopped => {}
            Thread::None => {
                let sink = self.clone();
                let thread = std::thread::Builder::new()
                    .name("log".to_owned())
                    .stack_size(STACK);
                match thread.spawn(move || sink.run()) {
                    Ok(_) => schedule.thread = Thread::Works,
                    // No thread is to be had now. What waits stays in the rings, and is offered again.
                    Err(_) => {
                        for feed in schedule.queue.drain(..) {
                            feed.queued.store(false, Ordering::Release);
                        }
                        if let Some(shared) = self.shared.upgrade() {
                            shared.offer_later();
                        }
                    }
                }
            }
        }
    }

    fn run(&self) {
        let mut outlet = self.outlet.lock().unwrap_or_else(PoisonError::into_inner);
        // After a pause: what was accepted before it comes first.
        let mut retry = (!outlet.is_empty()).then(Instant::now);
        // Used again and again while there is something to do; not kept by a thread that waits.
        let mut batch = Batch::default();
        while let Some((task, rotation)) = self.next(retry, || {
            outlet.shrink();
            batch = Batch::default();
        }) {
            let done = match task {
                Task::Write(feed) => self.write(&mut outlet, &feed, &rotation, &mut batch),
                Task::Reopen => {
                    outlet.reopen();
                    self.again(&mut outlet, &rotation)
                }
                Task::Retry => self.again(&mut outlet, &rotation),
            };
            retry = match done {
                Ok(Progress::Done) => {
                    self.works(&outlet);
                    None
                }
                Ok(Progress::Stopped) => Some(Instant::now()),
                Err(error) => self.fails(&mut outlet, &error),
            };
        }
    }

    /// Waits for something to do; calls `before` if it has to wait. None: the thread ends.
    fn next(&self, retry: Option<Instant>, mut before: impl FnMut()) -> Option<(Task, Rotation)> {
        let mut schedule = self.schedule();
        let task = loop {
            if schedule.stopped {
                break None;
            }
            if std::mem::take(&mut schedule.reopen) {
                break Some(Task::Reopen);
            }
            let now = Instant::now();
            let wait = match retry {
                Some(at) if at <= now || schedule.abandoned => break Some(Task::Retry),
                Some(at) => at - now,
                None => match schedule.queue.pop_front() {
                    Some(feed) => break Some(Task::Write(feed)),
                    None if schedule.abandoned => break None,
                    None => LINGER,
                },
            };
            before();
            schedule.thread = Thread::Waits;
            let waited = self.changed.wait_timeout(schedule, wait);
            let timeout;
            (schedule, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            schedule.thread = Thread::Works;
            if timeout.timed_out() && retry.is_none() && schedule.is_idle() {
                break None;
            }
        };
        if task.is_none() {
            schedule.thread = Thread::None;
        }
        Some((task?, schedule.rotation.clone()))
    }

    /// One turn of a feed.
    fn write(
        &self,
        outlet: &mut Outlet,
        feed: &Arc<Feed>,
        rotation: &Rotation,
        batch: &mut Batch,
    ) -> io::Result<Progress> {
        if let Err(error) = outlet.prepare() {
            // Its lines wait in the ring.
            self.schedule().queue.push_front(feed.clone());
            return Err(error);
        }
        feed.queued.store(false, Ordering::Release);
        if feed.log.take(feed, TURN, batch) {
            feed.offer();
        }
        if batch.is_empty() {
            return Ok(Progress::Done);
        }
        outlet.accept(feed.log.name(), feed.format, batch);
        self.schedule().holds = true;
        self.flush(outlet, rotation)
    }

    /// Opens it, if it is not open, and writes what was accepted before.
    fn again(&self, outlet: &mut Outlet, rotation: &Rotation) -> io::Result<Progress> {
        outlet.prepare()?;
        self.flush(outlet, rotation)
    }

    fn flush(&self, outlet: &mut Outlet, rotation: &Rotation) -> io::Result<Progress> {
        outlet.flush(rotation, &|| !self.schedule().stopped)
    }

    fn works(&self, outlet: &Outlet) {
        let was_in_trouble = {
            let mut schedule = self.schedule();
            schedule.holds = false;
            schedule.trouble.is_some()
        };
        if !was_in_trouble {
            return;
        }
        // The trouble is over when its lines come here again.
        self.divert(Divert::Back);
        self.schedule().trouble = None;
        if self.may_speak() {
            tracing::info!("{} is written again", outlet.describe());
        }
    }

    fn divert(&self, divert: Divert) {
        if let (Some(shared), Place::Daemon(..)) = (self.shared.upgrade(), &self.place) {
            shared.divert(&self.place, divert);
        }
    }

    /// Says so once; returns when to try again.
    fn fails(&self, outlet: &mut Outlet, error: &io::Error) -> Option<Instant> {
        let (is_new, abandoned) = {
            let mut schedule = self.schedule();
            let text = format!("cannot write {}: {error}", outlet.describe());
            let is_new = schedule.trouble.replace(text).is_none();
            (is_new, schedule.abandoned)
        };
        if abandoned {
            tracing::error!(%error, "the last lines for {} are lost", outlet.describe());
            outlet.forget();
            let mut schedule = self.schedule();
            schedule.queue.clear();
            schedule.holds = false;
            return None;
        }
        if is_new && self.may_speak() {
            let place = outlet.describe();
            if matches!(self.place, Place::Daemon(..)) {
                tracing::warn!(%error, "cannot write {place}; lines go to standard output and error until it works");
            } else {
                tracing::warn!(%error, "cannot write {place}; lines wait in memory, and the oldest are dropped when that is full");
            }
        }
        self.divert(Divert::Away);
        Some(Instant::now() + RETRY)
    }
}

impl Schedule {
    fn is_idle(&self) -> bool {
        self.queue.is_empty() && !self.holds && !self.reopen
    }
}
