//! Reading what workers print, in a thread of its own: as fast as it comes, whatever becomes of it.
//!
//! The thread waits for all pipes at once and reads a bounded piece of each that has something, in turn, so that a flood
//! in one takes nothing from the others. It never writes to anything that could block.

use super::Shared;
use super::app::AppLog;
use super::format;
use super::lines::Cutter;
use super::ring::{MOST, Stamp};
use super::source::{Source, Stream};
use crate::sys::shortage;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes that are read from one pipe in one turn.
const CHUNK: usize = 256 * 1024;
/// What the pipe of a worker that prints a lot is enlarged to. Not all pipes are: what a user may have is limited
/// (`pipe-user-pages-soft` in pipe(7)).
const LARGE_PIPE: i32 = 1024 * 1024;
/// Reads of a whole pipe after which it is enlarged.
const FULL_READS: u32 = 4;
/// The size of a new pipe.
const NEW_PIPE: usize = 64 * 1024;
/// When memory that a burst has needed is given back.
const TIDY: Duration = Duration::from_secs(5);
/// How long a sink that has found no thread waits before it looks for one again.
const OFFER: Duration = Duration::from_millis(100);
/// Lines that wait for their sink, in bytes, beyond which a worker's pipe is left alone for a moment, and below which it is
/// read again.
const CROWDED: u64 = MOST as u64 / 2;
const RELAXED: u64 = MOST as u64 / 4;
/// How long a pipe is left alone at most. Then it is read, and the oldest lines are dropped, until the sink has caught up: a
/// slow disk may slow a flood down, but holds up nobody.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often it is looked at meanwhile, in milliseconds.
const LOOK: u8 = 1;
/// The token of what wakes the thread; pipes count from 1.
const WAKE: u64 = 0;

/// One output of one worker.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) log: Arc<AppLog>,
    pub(super) source: Arc<Source>,
    pub(super) stream: Stream,
    pub(super) read_end: OwnedFd,
    pub(super) lines: Cutter,
    /// Tells, when it is dropped for both outputs, that everything was read.
    pub(super) _end: Arc<End>,
    pub(super) full_reads: u32,
    pub(super) pace: Pace,
}

/// Whether a pipe is read when something is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Pace {
    #[default]
    Free,
    /// Its sink is given time until then.
    Rests(Instant),
    /// The sink has had its time: lines are dropped rather than anybody held up.
    Drops,
}

impl Pace {
    /// The pace from now on, where so many bytes wait for the sink.
    fn next(self, waiting: u64, now: Instant) -> Pace {
        match self {
            Pace::Free if waiting > CROWDED => Pace::Rests(now + PATIENCE),
            Pace::Rests(_) | Pace::Drops if waiting <= RELAXED => Pace::Free,
            Pace::Rests(until) if until <= now => Pace::Drops,
            pace => pace,
        }
    }
}

/// Both outputs of a worker have come to their end when this is dropped.
#[derive(Debug)]
pub(super) struct End(pub(super) Option<oneshot::Sender<()>>);

impl Drop for End {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            // Whoever waits may have given up.
            let _ = sender.send(());
        }
    }
}

/// What the thread is told.
enum Order {
    Read(Pipe),
    /// Give back what is read from this worker.
    Release(Arc<Source>, oneshot::Sender<Vec<Pipe>>),
    /// Give everything back, after what can be read at once.
    ReleaseAll(mpsc::Sender<Vec<Pipe>>),
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Pump {
    wake: Arc<EventFd>,
    orders: Arc<Mutex<Vec<Order>>>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Order::Read(_) => "Read",
            Order::Release(..) => "Release",
            Order::ReleaseAll(_) => "ReleaseAll",
        })
    }
}

impl Pump {
    /// # Errors
    /// No descriptor is free.
    pub(super) fn new() -> io::Result<Pump> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Pump {
            wake: Arc::new(EventFd::from_value_and_flags(0, flags)?),
            orders: Arc::default(),
        })
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// No thread or no descriptor is free.
    pub(super) fn start(&self, shared: Weak<Shared>) -> io::Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&*self.wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        let reader = Reader {
            epoll,
            wake: self.wake.clone(),
            orders: self.orders.clone(),
            pipes: HashMap::new(),
            next_token: WAKE + 1,
            chunk: vec![0; CHUNK],
            shared,
            resting: Vec::new(),
            // Rings of the program before us may have such memory.
            tidy_at: Some(Instant::now() + TIDY),
            offer_at: None,
        };
        let thread = std::thread::Builder::new().name("output".to_owned());
        thread.spawn(move || reader.run())?;
        Ok(())
    }

    /// Reads from a pipe, which must not block, until its end.
    pub(super) fn read(&self, pipe: Pipe) {
        self.order(Order::Read(pipe));
    }

    /// Stops reading from a worker; the pipes that are still open come back.
    pub(super) fn release(&self, source: &Arc<Source>) -> oneshot::Receiver<Vec<Pipe>> {
        let (reply, released) = oneshot::channel();
        self.order(Order::Release(source.clone(), reply));
        released
    }

    /// Stops reading altogether, when what can be read at once was read; the pipes that are still open come back.
    pub(super) fn release_all(&self) -> Vec<Pipe> {
        let (reply, released) = mpsc::channel();
        self.order(Order::ReleaseAll(reply));
        // No answer: there is no thread, and so nothing that is read.
        released.recv().unwrap_or_default()
    }

    fn order(&self, order: Order) {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(order);
        self.wake();
    }

    /// Lets the thread look around.
    pub(super) fn wake(&self) {
        // It fails only if it was written to 2^64 times without being read.
        let _ = self.wake.write(1);
    }
}

impl Drop for Pump {
    /// The thread sees that nobody is there any more, and ends.
    fn drop(&mut self) {
        self.wake();
    }
}

/// The thread.
struct Reader {
    epoll: Epoll,
    wake: Arc<EventFd>,
    orders: Arc<Mutex<Vec<Order>>>,
    pipes: HashMap<u64, Pipe>,
    next_token: u64,
    chunk: Vec<u8>,
    shared: Weak<Shared>,
    /// Pipes that are left alone for a moment, or could not be watched.
    resting: Vec<u64>,
    /// When some ring may have memory to give back.
    tidy_at: Option<Instant>,
    /// When sinks that have found no thread look for one again.
    offer_at: Option<Instant>,
}

/// Whether there may be more.
#[derive(PartialEq, Eq)]
enum Flow {
    Open,
    Empty,
    Ended,
}

impl Reader {
    fn run(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let ready = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                // Only by a bug of ours.
                Err(_) => {
                    std::thread::sleep(shortage::PAUSE);
                    continue;
                }
            };
            for event in &events[..ready] {
                match event.data() {
                    WAKE => self.obey(),
                    token => {
                        self.read(token);
                    }
                }
            }
            self.look_at_resting();
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            shared.tell_followers();
            if shared.untidy.swap(false, Ordering::Relaxed) {
                self.tidy_at.get_or_insert(Instant::now() + TIDY);
            }
            if self.tidy_at.is_some_and(|at| at <= Instant::now()) {
                self.tidy_at = shared.tidy().then(|| Instant::now() + TIDY);
            }
            if shared.starved.swap(false, Ordering::Relaxed) {
                self.offer_at.get_or_insert(Instant::now() + OFFER);
            }
            if self.offer_at.is_some_and(|at| at <= Instant::now()) {
                self.offer_at = None;
                shared.offer_again();
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        if !self.resting.is_empty() {
            return EpollTimeout::from(LOOK);
        }
        let Some(at) = self.tidy_at.into_iter().chain(self.offer_at).min() else {
            return EpollTimeout::NONE;
        };
        let wait = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::NONE)
    }

    fn obey(&mut self) {
        let _ = self.wake.read();
        let orders =
            std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        for order in orders {
            match order {
                // Who asked has given up where a reply is not taken; then the pipes are closed.
                Order::Release(source, reply) => {
                    let _ = reply.send(self.release(&source));
                }
                Order::ReleaseAll(reply) => {
                    let _ = reply.send(self.release_all());
                }
                Order::Read(pipe) => {
                    self.pipes.insert(self.next_token, pipe);
                    self.watch(self.next_token);
                    self.next_token += 1;
                }
            }
        }
    }

    fn release(&mut self, source: &Arc<Source>) -> Vec<Pipe> {
        let of_source = |_: &u64, pipe: &mut Pipe| Arc::ptr_eq(&pipe.source, source);
        let released = self.pipes.extract_if(of_source).map(|(_, pipe)| pipe);
        let released: Vec<Pipe> = released.collect();
        for pipe in &released {
            let _ = self.epoll.delete(&pipe.read_end);
        }
        released
    }

    /// Waits for what comes through a pipe.
    fn watch(&mut self, token: u64) {
        let Some(pipe) = self.pipes.get(&token) else {
            return;
        };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        let Err(error) = self
            .epoll
            .add(&pipe.read_end, event)
            .map_err(io::Error::from)
        else {
            return;
        };
        if shortage::will_pass(&error) {
            // Looked at again in a moment.
            self.resting.push(token);
            return;
        }
        let (app, stream) = (pipe.log.name(), pipe.stream.name());
        tracing::error!(%app, %error, "cannot read {stream} of a worker");
        self.pipes.remove(&token);
    }

    /// Reads pipes again whose sinks have caught up, or have had their time.
    fn look_at_resting(&mut self) {
        let now = Instant::now();
        for token in std::mem::take(&mut self.resting) {
            let Some(pipe) = self.pipes.get_mut(&token) else {
                continue;
            };
            pipe.pace = pipe.pace.next(pipe.log.untaken(pipe.stream), now);
            match pipe.pace {
                Pace::Rests(_) => self.resting.push(token),
                Pace::Free | Pace::Drops => self.watch(token),
            }
        }
    }

    /// One turn of one pipe.
    fn read(&mut self, token: u64) -> Flow {
        let Some(pipe) = self.pipes.get_mut(&token) else {
            return Flow::Ended;
        };
        let seq = match self.shared.upgrade() {
            Some(shared) => shared.seq.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
        let flow = match nix::unistd::read(&pipe.read_end, &mut self.chunk) {
            Ok(0) => Flow::Ended,
            Ok(read) => {
                let is_large = pipe.take_in(seq, &self.chunk[..read]);
                pipe.enlarge(read);
                if is_large {
                    let now = Instant::now();
                    self.tidy_at.get_or_insert(now + TIDY);
                    pipe.pace = pipe.pace.next(pipe.log.untaken(pipe.stream), now);
                    if matches!(pipe.pace, Pace::Rests(_)) {
                        // An error would only mean that it is read meanwhile.
                        let _ = self.epoll.delete(&pipe.read_end);
                        self.resting.push(token);
                    }
                }
                Flow::Open
            }
            Err(Errno::EINTR) => Flow::Open,
            Err(Errno::EAGAIN) => Flow::Empty,
            Err(_) => Flow::Ended,
        };
        if flow == Flow::Ended {
            pipe.finish(seq);
            // Not by closing it alone: a process that is just being started may hold a copy for a moment.
            let _ = self.epoll.delete(&pipe.read_end);
            self.pipes.remove(&token);
        }
        flow
    }

    /// Reads what there is, but not for ever.
    fn release_all(&mut self) -> Vec<Pipe> {
        let tokens: Vec<u64> = self.pipes.keys().copied().collect();
        for token in tokens {
            let turns = LARGE_PIPE as usize / CHUNK;
            for _ in 0..=turns {
                if self.read(token) != Flow::Open {
                    break;
                }
            }
        }
        for pipe in self.pipes.values() {
            let _ = self.epoll.delete(&pipe.read_end);
        }
        self.resting.clear();
        self.pipes.drain().map(|(_, pipe)| pipe).collect()
    }
}

impl Pipe {
    fn stamp(&self, seq: u64) -> Stamp {
        Stamp {
            seq,
            time: format::now(),
            source: self.source.clone(),
        }
    }

    /// True if the ring has become large.
    fn take_in(&mut self, seq: u64, bytes: &[u8]) -> bool {
        let (stamp, lines) = (self.stamp(seq), &mut self.lines);
        self.log.push(self.stream, |ring| {
            lines.feed(bytes, |parts| ring.push(&stamp, parts));
        })
    }

    fn finish(&mut self, seq: u64) {
        let (stamp, lines) = (self.stamp(seq), &mut self.lines);
        self.log.push(self.stream, |ring| {
            lines.finish(|parts| ring.push(&stamp, parts));
        });
    }

    /// A larger pipe lets a worker that prints a lot go on for longer at a time.
    fn enlarge(&mut self, read: usize) {
        if read < NEW_PIPE || self.full_reads > FULL_READS {
            return;
        }
        self.full_reads += 1;
        if self.full_reads > FULL_READS {
            // Without: it works as well, but slower.
            let _ = fcntl(&self.read_end, FcntlArg::F_SETPIPE_SZ(LARGE_PIPE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_given_time_but_not_for_ever() {
        let now = Instant::now();
        let later = now + PATIENCE;
        assert_eq!(Pace::Free.next(CROWDED, now), Pace::Free);
        let rests = Pace::Free.next(CROWDED + 1, now);
        assert_eq!(rests, Pace::Rests(later));
        assert_eq!(rests.next(RELAXED + 1, now), rests);
        assert_eq!(rests.next(RELAXED, now), Pace::Free);
        assert_eq!(rests.next(RELAXED + 1, later), Pace::Drops);
        assert_eq!(Pace::Drops.next(RELAXED + 1, later), Pace::Drops);
        assert_eq!(Pace::Drops.next(RELAXED, later), Pace::Free);
    }
}
