//! The composition root of `paster serve`: builds the parts, and owns the order of start-up and shutdown.
//!
//! Bind early, start late: the addresses are known (and refused, if they must be) before the first process exists.

use crate::config::problem::Problem;
use crate::control::{self, feed::Feed, journal, protocol::Event, server::Feeds};
use crate::plan::spec::Plan;
use crate::supervise::access_log;
use crate::supervise::bind::bind;
use crate::supervise::driver::{Driver, Inputs, Order, Replan};
use crate::supervise::launch::Site;
use crate::supervise::output::Sink;
use crate::sys::rundir::{RunDir, RunDirError};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// What `paster serve` was asked to do, resolved.
pub struct Serve {
    pub replan: Replan,
    pub run_dir: PathBuf,
}

/// Facts for the start-up summary.
pub struct Started<'a> {
    pub plan: &'a Plan,
    /// As bound: port 0 has become a number.
    pub addresses: Vec<String>,
}

/// Why nothing was started.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration is invalid.
    Config(Vec<Problem>),
    RunDir(RunDirError),
    /// An address or the access log cannot be used; with its hint.
    Setup(String),
    Io(io::Error),
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> ServeError {
        ServeError::Io(error)
    }
}

/// Lines that the writer threads hold for a slow terminal; beyond that they are dropped and counted.
const BUFFERED_LINES: usize = 16 * 1024;
/// How long the last answers on the control socket may take.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves until told to stop. `announce` is called once, when the addresses are bound and before anything is started.
pub fn serve(serve: &Serve, announce: impl FnOnce(&Started)) -> Result<(), ServeError> {
    // One thread, and it is the main one: parent-death signals fire on the death of the thread that forked (prctl(2)).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(serve, announce));
    // A configuration that is being read when we leave is not waited for.
    runtime.shutdown_background();
    result
}

async fn run(serve: &Serve, announce: impl FnOnce(&Started)) -> Result<(), ServeError> {
    crate::sys::fd::cloexec_from(3)?;
    let plan = (serve.replan)().map_err(ServeError::Config)?;
    let run_dir = RunDir::open(&serve.run_dir).map_err(ServeError::RunDir)?;
    let mut listeners = Vec::new();
    for address in &plan.listen {
        listeners.extend(bind(address).map_err(ServeError::Setup)?);
    }
    let proxy_uid = proxy_uid();
    if let Some(uid) = proxy_uid {
        run_dir.share_with_proxy(uid)?;
    }
    access_log::prepare(&plan.access_log, proxy_uid).map_err(ServeError::Setup)?;
    // Orphans of killed keepers come to us instead of init, which would not end them.
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)?;
    let orders = signals()?;
    let control = control::server::bind(&run_dir.control())?;
    announce(&Started {
        plan: &plan,
        addresses: listeners
            .iter()
            .map(|bound| bound.info.address.clone())
            .collect(),
    });

    let (stdout, _stdout_guard) = writer(io::stdout());
    let (stderr, _stderr_guard) = writer(io::stderr());
    let events = Feed::new(journal::KEPT);
    init_log(stderr.clone(), events.clone());
    let (news_sender, news) = mpsc::channel(1024);
    let (proxy_sender, proxy_news) = mpsc::channel(1024);
    let (call_sender, calls) = mpsc::channel(64);
    let connections = tokio_util::task::TaskTracker::new();
    let server = tokio::spawn(control::server::serve(
        control,
        call_sender,
        Feeds {
            events: events.clone(),
        },
        connections.clone(),
    ));
    let site = Site {
        program: program()?,
        config: plan.config.clone(),
        workers_dir: run_dir.workers(),
        proxy_uid,
        stdout: Sink::new(stdout),
        stderr: Sink::new(stderr),
        news: news_sender,
    };
    let inputs = Inputs {
        news,
        proxy_news,
        calls,
        orders,
    };
    Driver::run(
        site,
        plan,
        listeners,
        proxy_sender,
        serve.replan.clone(),
        bind,
        inputs,
    )
    .await;
    server.abort();
    // Followers have read everything when their stream ends.
    events.end();
    connections.close();
    let _ = tokio::time::timeout(LAST_ANSWERS, connections.wait()).await;
    Ok(())
}

/// This program, for its other roles; it stays the same file also when a new version is installed over it.
fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The proxy runs without privileges: as `nobody`, when we are root.
fn proxy_uid() -> Option<u32> {
    const NOBODY: u32 = 65534;
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let nobody = nix::unistd::User::from_name("nobody").ok().flatten();
    Some(nobody.map_or(NOBODY, |user| user.uid.as_raw()))
}

fn writer(
    target: impl io::Write + Send + 'static,
) -> (NonBlocking, tracing_appender::non_blocking::WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(BUFFERED_LINES)
        .lossy(true)
        .finish(target)
}

/// The log for people at a terminal: local time of day, colours (unless `NO_COLOR` is set). Anywhere else each line can
/// stand alone: full timestamps in UTC, no escapes.
///
/// Lines that are events go to `events` as well, whatever the log shows.
fn init_log(writer: NonBlocking, events: Feed<Arc<Event>>) {
    let filter = EnvFilter::try_from_env("PASTER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(writer);
    let log = if io::stderr().is_terminal() {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let timer = ChronoLocal::new("%H:%M:%S".to_owned());
        log.with_timer(timer).with_ansi(colour).boxed()
    } else {
        log.with_ansi(false).boxed()
    };
    let subscriber = tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(journal::layer(events));
    // Set once in the life of the process, so the only error is impossible.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Signals, translated into orders. The handlers are in place before the first process is started.
fn signals() -> io::Result<mpsc::Receiver<Order>> {
    let (sender, orders) = mpsc::channel(16);
    let table = [
        (SignalKind::terminate(), Order::Stop),
        (SignalKind::interrupt(), Order::Stop),
        (SignalKind::quit(), Order::StopNow),
        (SignalKind::hangup(), Order::Reload),
        (SignalKind::user_defined1(), Order::ReopenLogs),
        (SignalKind::user_defined2(), Order::Upgrade),
        (SignalKind::from_raw(nix::libc::SIGTTIN), Order::Scale(1)),
        (SignalKind::from_raw(nix::libc::SIGTTOU), Order::Scale(-1)),
    ];
    for (kind, order) in table {
        let mut stream = signal(kind)?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = sender.send(order).await;
            }
        });
    }
    Ok(orders)
}
