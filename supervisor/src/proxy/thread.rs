//! A request thread: a runtime of its own, a pool of its own, the connections that it accepted. Nothing in here is
//! shared with another thread but what [`Shared`] says.

use super::access_log::AccessLogger;
use super::connection::{Clock, ConnectionState, Phase};
use super::disk::Disk;
use super::files::{Places, Roots};
use super::http2::Watched;
use super::inherited::Listener;
use super::limits;
use super::outbox::{Event, Outbox};
use super::pool::Pool;
use super::serve::Acceptor;
use super::snapshot::Snapshot;
use super::tls::Servers;
use super::traffic::{AppTraffic, Cells};
use crate::router::message::ListenerInfo;
use crate::sys::heap;
use arc_swap::{ArcSwap, Cache};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What all threads see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) table: Arc<ArcSwap<Snapshot>>,
    pub(super) outbox: Outbox,
    pub(super) log: Option<AccessLogger>,
    /// The directories that files are served from.
    pub(super) roots: Roots,
    /// Open client connections, per thread.
    pub(super) open: Vec<AtomicUsize>,
    pub(super) max_open: usize,
    /// Client connections since the start.
    pub(super) accepted: AtomicU64,
    /// What TLS listeners prove themselves with.
    pub(super) tls: Servers,
    /// TLS connections that did not come about, since the start.
    pub(super) handshakes_failed: AtomicU64,
    /// What became of requests that have reached no app.
    pub(super) without_app: AppTraffic,
    draining: AtomicBool,
    /// Told to those who accept.
    drain_begins: Notify,
    /// Idle connections are closed, too.
    hurried: AtomicBool,
}

impl Shared {
    pub(super) fn new(
        first: Snapshot,
        outbox: Outbox,
        log: Option<AccessLogger>,
        roots: Roots,
        threads: usize,
        max_open: usize,
    ) -> Self {
        Self {
            table: Arc::new(ArcSwap::from_pointee(first)),
            outbox,
            log,
            roots,
            open: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            max_open,
            accepted: AtomicU64::new(0),
            tls: Servers::default(),
            handshakes_failed: AtomicU64::new(0),
            without_app: AppTraffic::default(),
            draining: AtomicBool::new(false),
            drain_begins: Notify::new(),
            hurried: AtomicBool::new(false),
        }
    }

    /// From now on nothing is accepted, and threads end when their last connection does.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.drain_begins.notify_waiters();
    }

    /// As [`Shared::drain`], and connections on which nothing happens are closed.
    pub(super) fn drain_soon(&self) {
        self.hurried.store(true, Ordering::SeqCst);
        self.drain();
    }

    /// The moment from which nothing is accepted.
    pub(super) fn draining(&self) -> Notified<'_> {
        self.drain_begins.notified()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(super) fn open_connections(&self) -> usize {
        self.open
            .iter()
            .map(|open| open.load(Ordering::Relaxed))
            .sum()
    }
}

/// The table as a thread holds it: one shared reference, counted again by an `Rc` of the thread's own.
#[derive(Debug)]
pub(super) struct Held(Arc<Snapshot>);

impl std::ops::Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// State of one thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    pub(super) pool: Pool,
    pub(super) clock: Arc<Clock>,
    pub(super) disk: Disk,
    /// For files that are compressed.
    pub(super) places: Places,
    /// The table as this thread last saw it, so that a request costs no shared reference count.
    table: RefCell<Rc<Held>>,
    /// Knows at the price of one load whether that is still the one.
    latest: RefCell<Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    connections: RefCell<HashMap<u64, Arc<ConnectionState>>>,
    next_connection: Cell<u64>,
    streams: RefCell<HashMap<u64, Rc<Watched>>>,
    next_stream: Cell<u64>,
    tunnels: Cell<usize>,
    /// Connections that have given back their buffers, since the heap was last trimmed; and when that was.
    rests: Cell<usize>,
    trimmed: Cell<u64>,
    ended: Notify,
}

impl Thread {
    fn new(shared: Arc<Shared>, index: usize) -> Self {
        let mut latest = Cache::new(Arc::clone(&shared.table));
        let table = RefCell::new(Rc::new(Held(Arc::clone(latest.load()))));
        Self {
            shared,
            index,
            pool: Pool::default(),
            clock: Arc::new(Clock::new()),
            disk: Disk::default(),
            places: Places::default(),
            table,
            latest: RefCell::new(latest),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            streams: RefCell::default(),
            next_stream: Cell::new(0),
            tunnels: Cell::new(0),
            rests: Cell::new(0),
            trimmed: Cell::new(0),
            ended: Notify::new(),
        }
    }

    /// The table in force. A request keeps the one that it got; if a worker of it was withdrawn meanwhile, the lease
    /// says so (`upstream`).
    pub(super) fn table(&self) -> Rc<Held> {
        let mut latest = self.latest.borrow_mut();
        let current = latest.load();
        let mut mine = self.table.borrow_mut();
        if !Arc::ptr_eq(current, &mine.0) {
            *mine = Rc::new(Held(Arc::clone(current)));
        }
        Rc::clone(&mine)
    }

    /// Where this thread counts requests that have reached no app.
    pub(super) fn without_app(&self) -> &Cells {
        self.shared.without_app.of_thread(self.index)
    }

    pub(super) fn open_connection(self: &Rc<Self>) -> OpenConnection {
        let state = Arc::new(self.new_state());
        let number = self.next_connection.get();
        self.next_connection.set(number + 1);
        self.connections
            .borrow_mut()
            .insert(number, Arc::clone(&state));
        self.shared.open[self.index].fetch_add(1, Ordering::Relaxed);
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        OpenConnection {
            thread: Rc::clone(self),
            number,
            state,
        }
    }

    /// For a connection, or what has the deadlines of one.
    pub(super) fn new_state(&self) -> ConnectionState {
        ConnectionState::new(Arc::clone(&self.clock))
    }

    /// Looks after a stream until [`Self::unwatch`] is called with the number that this returns.
    pub(super) fn watch(&self, stream: Rc<Watched>) -> u64 {
        let number = self.next_stream.get();
        self.next_stream.set(number + 1);
        self.streams.borrow_mut().insert(number, stream);
        number
    }

    pub(super) fn unwatch(&self, number: u64) {
        let stream = self.streams.borrow_mut().remove(&number);
        drop(stream);
    }

    pub(super) fn open_tunnel(self: &Rc<Self>) -> OpenTunnel {
        self.tunnels.set(self.tunnels.get() + 1);
        OpenTunnel(Rc::clone(self))
    }

    /// A connection has given back its buffers.
    pub(super) fn rests(&self) {
        self.rests.set(self.rests.get() + 1);
    }

    fn trim(&self, now: u64) {
        let pause = limits::TRIM_PAUSE.as_millis() as u64;
        if self.rests.get() >= limits::RESTS && now.saturating_sub(self.trimmed.get()) >= pause {
            self.rests.set(0);
            self.trimmed.set(now);
            heap::trim();
        }
    }

    fn is_empty(&self) -> bool {
        self.connections.borrow().is_empty() && self.tunnels.get() == 0
    }

    /// Deadlines of connections, the age of pooled ones, the table; a few times a second.
    fn look_around(&self) {
        let now = self.clock.tick();
        let draining = self.shared.is_draining();
        let hurried = self.shared.hurried.load(Ordering::Relaxed);
        let table = self.table();
        for state in self.connections.borrow().values() {
            state.look(now, &table.limits);
            let quiet = matches!(state.phase(), Phase::Idle | Phase::Fresh);
            let old = state.age(now) >= limits::DRAIN_IDLE.as_millis() as u64;
            if hurried && quiet && old || draining && state.is_multiplexed() {
                state.finish();
            }
        }
        for stream in self.streams.borrow().values() {
            stream.look(now, &table.limits);
        }
        self.pool.clean(now, |worker| table.names(worker));
        self.trim(now);
        if draining && self.is_empty() {
            self.ended.notify_one();
        }
    }
}

/// Counts a client connection for as long as it lives.
#[derive(Debug)]
pub(super) struct OpenConnection {
    thread: Rc<Thread>,
    number: u64,
    pub(super) state: Arc<ConnectionState>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.thread.connections.borrow_mut().remove(&self.number);
        self.thread.shared.open[self.thread.index].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a tunnel for as long as it lives.
#[derive(Debug)]
pub(super) struct OpenTunnel(Rc<Thread>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.tunnels.set(self.0.tunnels.get() - 1);
    }
}

/// Starts a request thread; it tells [`Event::ThreadEnded`] after a drain.
///
/// # Errors
/// When the thread or its runtime cannot be made, or a listener cannot be watched: a proxy that the system lets listen in
/// part only does not start.
pub(super) fn start(
    shared: Arc<Shared>,
    index: usize,
    listeners: Vec<(Listener, ListenerInfo)>,
) -> io::Result<()> {
    let (sender, started) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(format!("proxy-{index}"))
        .spawn(move || {
            let (runtime, acceptors) = match prepare(listeners) {
                Ok(prepared) => prepared,
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            let _ = sender.send(Ok(()));
            let outbox = shared.outbox.clone();
            runtime.block_on(run(shared, index, acceptors));
            outbox.event(Event::ThreadEnded);
        })?;
    // The thread says one thing or the other, unless it has panicked.
    started
        .recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

/// A runtime for the thread that calls this, and what it accepts from.
fn prepare(
    listeners: Vec<(Listener, ListenerInfo)>,
) -> io::Result<(LocalRuntime, Vec<(Acceptor, ListenerInfo)>)> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let acceptors = {
        let _entered = runtime.enter();
        let watched = listeners
            .into_iter()
            .map(|(listener, info)| Ok((Acceptor::new(listener)?, info)));
        watched.collect::<io::Result<Vec<_>>>()?
    };
    Ok((runtime, acceptors))
}

async fn run(shared: Arc<Shared>, index: usize, acceptors: Vec<(Acceptor, ListenerInfo)>) {
    let thread = Rc::new(Thread::new(shared, index));
    for (acceptor, info) in acceptors {
        let thread = Rc::clone(&thread);
        tokio::task::spawn_local(super::serve::accept(thread, acceptor, info));
    }
    let mut interval = tokio::time::interval(limits::LOOK_AROUND);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => thread.look_around(),
            () = thread.ended.notified() => return,
        }
    }
}
