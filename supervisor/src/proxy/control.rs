//! The conversation with the supervisor. One loop applies tables, writes what the threads have to tell, and decides
//! when the process ends.

use super::access_log::AccessLogger;
use super::files::Roots;
use super::inherited::Listener;
use super::limits;
use super::outbox::{Event, Outbox};
use super::queue::AppQueue;
use super::snapshot::{Keeper, Snapshot};
use super::thread::{Shared, start};
use crate::router::message::{
    AppStats, FromProxy, Hello, ListenerInfo, Stats, Table, TlsServer, ToProxy,
};
use crate::router::traffic::Traffic;
use crate::sys::shortage;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A line from the supervisor may be long (a table has all routes), but not endless.
const LINE_LIMIT: u64 = 256 << 20;
const STATS_INTERVAL: Duration = Duration::from_secs(1);
/// How often apps that could get more processes are looked at, whether requests wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Descriptors that are not for client connections and their ways to workers.
const RESERVED_DESCRIPTORS: u64 = 64;

/// One message of the supervisor.
///
/// # Errors
/// At the end of the stream (the supervisor is gone) and for what is no message.
fn read_message(reader: &mut impl BufRead) -> io::Result<ToProxy> {
    let mut line = Vec::new();
    io::Read::take(&mut *reader, LINE_LIMIT).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(&line).map_err(io::Error::from)
}

/// Runs the proxy on an open control socket until it is told to end.
///
/// # Errors
/// When it cannot start: no valid first messages, no privileges to drop, no listeners, no threads.
pub(super) fn run(control: UnixStream) -> io::Result<ExitCode> {
    let mut reader = BufReader::new(control.try_clone()?);
    let ToProxy::Hello(hello) = read_message(&mut reader)? else {
        return Err(io::Error::other(
            "the first message of the supervisor is not `hello`",
        ));
    };
    let listeners = (0..hello.listeners.len())
        .map(Listener::inherited)
        .collect::<io::Result<Vec<_>>>()?;
    let roots = super::privileges::drop_to(&hello)?;
    let mut certificates = BTreeMap::new();
    let table = loop {
        match read_message(&mut reader)? {
            ToProxy::Table(table) => break table,
            ToProxy::Certificates(named) => certificates = named,
            ToProxy::Retire | ToProxy::Shutdown { .. } => return Ok(ExitCode::SUCCESS),
            ToProxy::Hello(_) | ToProxy::ReopenLogs => {}
        }
    };
    let (outbox, events) = Outbox::new();
    read_in_background(reader, outbox.clone())?;
    let mut control = Control::start(
        control,
        &hello,
        (table, certificates),
        &outbox,
        (listeners, roots),
    )?;
    control.told(&FromProxy::Ready);
    control.run(&events)
}

/// Lines become events. The end of the stream is the end of the process: without a supervisor nobody would restart
/// a worker or stop this process, so it stops at once.
fn read_in_background(mut reader: BufReader<UnixStream>, outbox: Outbox) -> io::Result<()> {
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            loop {
                match read_message(&mut reader) {
                    Ok(message) => outbox.event(Event::Line(Box::new(message))),
                    Err(error) => {
                        // Reset: the supervisor was killed before it had read all that we had told it.
                        if !matches!(
                            error.kind(),
                            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                        ) {
                            tracing::error!(%error, "the control socket failed");
                        }
                        end_process();
                    }
                }
            }
        })?;
    Ok(())
}

#[expect(
    clippy::exit,
    reason = "the supervisor is gone, and whatever is in flight goes with its workers"
)]
fn end_process() -> ! {
    std::process::exit(0)
}

struct Control {
    socket: UnixStream,
    outbox: Outbox,
    keeper: Keeper,
    shared: Arc<Shared>,
    threads: usize,
    /// As it was told last, without traffic.
    last_stats: Stats,
    last_traffic: BTreeMap<String, Traffic>,
    last_without_app: Traffic,
    /// Queues of apps that could get more processes.
    scaling: Vec<Arc<AppQueue>>,
    /// Set when the proxy is to end.
    deadline: Option<Instant>,
}

impl Control {
    fn start(
        socket: UnixStream,
        hello: &Hello,
        (table, certificates): (Table, BTreeMap<String, TlsServer>),
        outbox: &Outbox,
        (listeners, roots): (Vec<Listener>, Roots),
    ) -> io::Result<Self> {
        let threads =
            std::thread::available_parallelism().map_or(1, |n| n.get().min(limits::THREADS));
        // A site without its access log is better than no site.
        let log = AccessLogger::start(&hello.access_log).unwrap_or_else(|error| {
            tracing::error!(%error, "requests are not logged");
            None
        });
        let mut keeper = Keeper::new(outbox.clone());
        let version = table.version;
        let first = keeper.prepare(table);
        let shared = Arc::new(Shared::new(
            first,
            outbox.clone(),
            log,
            roots,
            threads,
            max_connections()?,
        ));
        keeper.enforce(&shared.table.load());
        certify(&shared, &certificates);
        let scaling = scaling(&shared.table.load());
        let mut control = Self {
            socket,
            outbox: outbox.clone(),
            keeper,
            shared,
            threads,
            last_stats: Stats::default(),
            last_traffic: BTreeMap::new(),
            last_without_app: Traffic::default(),
            scaling,
            deadline: None,
        };
        control.told(&FromProxy::Applied { version });
        for index in 0..threads {
            let mine = pair(&listeners, &hello.listeners)?;
            start(Arc::clone(&control.shared), index, mine)?;
        }
        Ok(control)
    }

    fn run(mut self, events: &Receiver<Event>) -> io::Result<ExitCode> {
        let mut next_stats = Instant::now() + STATS_INTERVAL;
        let mut next_look = Instant::now() + LOOK_INTERVAL;
        loop {
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) || self.threads == 0 {
                self.tell_stats();
                if let Some(log) = &self.shared.log {
                    log.finish();
                }
                return Ok(ExitCode::SUCCESS);
            }
            if now >= next_stats {
                next_stats = now + STATS_INTERVAL;
                self.tell_stats();
            }
            if now >= next_look {
                next_look = now + LOOK_INTERVAL;
                if self.scaling.iter().any(|queue| queue.waiting() > 0) {
                    self.tell_stats();
                }
            }
            let mut wake = self.deadline.unwrap_or(next_stats).min(next_stats);
            if !self.scaling.is_empty() {
                wake = wake.min(next_look);
            }
            match events.recv_timeout(wake.saturating_duration_since(now)) {
                Ok(Event::Line(message)) => self.obey(*message),
                Ok(Event::Tell(message)) => {
                    self.outbox.told();
                    self.told(&message);
                }
                Ok(Event::ThreadEnded) => self.threads -= 1,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
            }
        }
    }

    fn obey(&mut self, message: ToProxy) {
        match message {
            ToProxy::Hello(_) => tracing::warn!("a second `hello` was ignored"),
            ToProxy::Certificates(certificates) => certify(&self.shared, &certificates),
            ToProxy::Table(table) => self.apply(table),
            ToProxy::Retire => self.shared.drain(),
            ToProxy::Shutdown { drain_ms } => {
                let deadline = Instant::now() + Duration::from_millis(drain_ms);
                self.deadline = Some(self.deadline.map_or(deadline, |known| known.min(deadline)));
                self.shared.drain_soon();
            }
            ToProxy::ReopenLogs => {
                if let Some(log) = &self.shared.log {
                    log.reopen();
                }
            }
        }
    }

    /// Stored first, then the old workers are withdrawn: whoever is refused by one of them finds the new table.
    /// `Applied` is written before any `Drained` that follows from it, for those come through the event channel.
    fn apply(&mut self, table: Table) {
        let version = table.version;
        let snapshot = Arc::new(self.keeper.prepare(table));
        self.shared.table.store(Arc::clone(&snapshot));
        self.keeper.enforce(&snapshot);
        self.scaling = scaling(&snapshot);
        self.told(&FromProxy::Applied { version });
    }

    fn tell_stats(&mut self) {
        let traffic: BTreeMap<String, Traffic> = self
            .keeper
            .queues()
            .map(|(name, queue)| (name.clone(), queue.traffic.sum()))
            .collect();
        let mut stats = Stats {
            connections: self.shared.open_connections() as u64,
            handshakes_failed: self.shared.handshakes_failed.load(Ordering::Relaxed),
            apps: self
                .keeper
                .queues()
                .map(|(name, queue)| {
                    let stats = AppStats {
                        requests: traffic.get(name).map_or(0, |traffic| traffic.requests),
                        queued: queue.waiting() as u64,
                        waited_ms: queue.waited_ms(),
                    };
                    (name.clone(), stats)
                })
                .collect(),
            traffic: BTreeMap::new(),
            without_app: None,
            workers: self
                .keeper
                .upstreams()
                .map(|upstream| upstream.stats())
                .collect(),
        };
        let none = Traffic::default();
        let changed = |(name, traffic): &(&String, &Traffic)| {
            self.last_traffic.get(*name).unwrap_or(&none) != *traffic
        };
        let changed = traffic.iter().filter(changed);
        let changed: BTreeMap<_, _> = changed.map(|(n, t)| (n.clone(), t.clone())).collect();
        let without_app = self.shared.without_app.sum();
        let without_app = (without_app != self.last_without_app).then_some(without_app);
        if stats == self.last_stats && changed.is_empty() && without_app.is_none() {
            return;
        }
        self.last_stats = stats.clone();
        self.last_traffic = traffic;
        if let Some(without_app) = &without_app {
            self.last_without_app.clone_from(without_app);
        }
        stats.traffic = changed;
        stats.without_app = without_app.map(Box::new);
        self.told(&FromProxy::Stats(stats));
    }

    /// Writes a line, in a shortage later: a lost one would never be made up for. An error means that the supervisor is gone; the reader notices that too, and ends the process.
    fn told(&mut self, message: &FromProxy) {
        let Ok(mut line) = serde_json::to_vec(message) else {
            return;
        };
        line.push(b'\n');
        if let Err(error) = shortage::write_all(&mut self.socket, &line) {
            tracing::debug!(%error, "cannot tell the supervisor");
        }
    }
}

/// Connections from now on are shown `certificates`.
fn certify(shared: &Shared, certificates: &BTreeMap<String, TlsServer>) {
    if let Err(error) = shared.tls.replace(certificates) {
        tracing::error!(%error, "the certificates cannot be used; those before them stay");
    }
}

fn scaling(snapshot: &Snapshot) -> Vec<Arc<AppQueue>> {
    let apps = snapshot.apps.values().filter(|app| app.spec.scales);
    apps.map(|app| Arc::clone(&app.queue)).collect()
}

/// A copy of each listener, with what is known of it.
fn pair(
    listeners: &[Listener],
    infos: &[ListenerInfo],
) -> io::Result<Vec<(Listener, ListenerInfo)>> {
    listeners
        .iter()
        .zip(infos)
        .map(|(listener, info)| Ok((listener.try_clone()?, info.clone())))
        .collect()
}

/// Each client may need a descriptor of its own and one to a worker.
fn max_connections() -> io::Result<usize> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Not more than a machine can mean: some containers have limits of a thousand million.
    let wanted = hard.min(1 << 20).max(soft);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => wanted,
        Err(_) => soft,
    };
    let room = limit.saturating_sub(RESERVED_DESCRIPTORS) / 2;
    Ok(usize::try_from(room).unwrap_or(usize::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_line_is_no_message() {
        let mut cut: &[u8] = br#"{"type":"reopen_logs"}"#;
        let error = read_message(&mut cut).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut whole: &[u8] = b"{\"type\":\"reopen_logs\"}\n";
        assert_eq!(read_message(&mut whole).unwrap(), ToProxy::ReopenLogs);
        let mut nonsense: &[u8] = b"{}\n";
        assert!(read_message(&mut nonsense).is_err());
    }
}
