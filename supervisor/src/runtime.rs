//! The composition root of `paster serve`: builds the parts, and owns the order of start-up and shutdown.
//!
//! Bind early, start late: the addresses are known (and refused, if they must be) before the first process exists.

mod holdings;
mod log;
mod signals;
mod succession;

pub use succession::consent;

use crate::background::{self, Launcher, Monitor};
use crate::config::problem::Problem;
use crate::control::protocol::Answer;
use crate::control::server::{Call, Feeds};
use crate::control::{self, feed::Feed, journal};
use crate::logs::{FrozenLogs, Logs};
use crate::manager::Inherited;
use crate::plan::spec::{Plan, User};
use crate::supervise::bind::Binder;
use crate::supervise::driver::{Driver, Inputs, Order, Outcome, Replan, Surroundings};
use crate::supervise::launch::Site;
use crate::sys::pidfile::PidFileError;
use crate::sys::rundir::RunDirError;
use holdings::{Holdings, Predecessor};
use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::level_filters::LevelFilter;

/// What `paster serve` was asked to do, resolved.
pub struct Serve {
    pub replan: Replan,
    pub run_dir: PathBuf,
    pub inherited: Inherited,
    /// With the sockets that were passed to us.
    pub binder: Binder,
    /// About passed descriptors that cannot be used.
    pub complaints: Vec<String>,
    /// Not made before there is something to keep.
    pub state_dir: PathBuf,
    /// The state of the program whose place is taken.
    pub take_over: Option<File>,
    /// Whom to become when the addresses are bound.
    pub identity: Option<User>,
    pub background: Background,
    /// Of paster's own log; none: as `PASTER_LOG` says.
    pub log_level: Option<LevelFilter>,
    /// With `--reload`: how often files are looked at.
    pub reload: Option<Duration>,
}

/// What is around us (`crate::background`).
#[derive(Default)]
pub struct Background {
    /// No terminal is to be used once everything is checked.
    pub daemon: bool,
    /// The process that was called waits for us to serve.
    pub launcher: Option<Launcher>,
    pub monitor: Option<Monitor>,
    /// How the server before this one ended, which the monitor has started us for.
    pub obituary: Option<String>,
}

/// Facts for the start-up summary.
pub struct Started<'a> {
    pub plan: &'a Plan,
    /// As bound: port 0 has become a number.
    pub urls: Vec<String>,
}

/// Why nothing was started.
#[derive(Debug)]
pub enum ServeError {
    /// The configuration is invalid.
    Config(Vec<Problem>),
    RunDir(RunDirError),
    PidFile(PidFileError),
    /// An address or the access log cannot be used; with its hint.
    Setup(String),
    Io(io::Error),
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> ServeError {
        ServeError::Io(error)
    }
}

/// Threads for what blocks: reading configurations and `/proc`. Where tokio finds none, and the system gives none, it panics.
const HELPERS: usize = 8;
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// How long the last answers on the control socket may take.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// Serves until told to stop. `announce` is called once, when the addresses are bound and before anything is started.
pub fn serve(serve: Serve, announce: impl FnOnce(&Started)) -> Result<(), ServeError> {
    // A log file that may not grow is no reason to end.
    crate::sys::child::survive_file_size_limit().map_err(io::Error::from)?;
    // Floods of output, long tables and readings of the configuration come and go.
    crate::sys::heap::keep_little();
    // One thread that forks, and it is the main one: parent-death signals fire on the death of the thread that forked (prctl(2)).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(HELPERS)
        .thread_keep_alive(FOR_EVER)
        .build()?;
    // The first helper stays, so that there is one also when the system has no thread for us.
    runtime.spawn_blocking(|| ());
    let result = runtime.block_on(run(serve, announce));
    // A configuration that is being read when we leave is not waited for.
    runtime.shutdown_background();
    result
}

async fn run(mut serve: Serve, announce: impl FnOnce(&Started)) -> Result<(), ServeError> {
    // First of all: process 1 gets only the signals that it has handlers for.
    let (order_sender, mut orders) = signals::orders()?;
    let replan = serve.replan.clone();
    let state_dir = serve.state_dir.clone();
    let (reload, log_level) = (serve.reload, serve.log_level);
    let around = Background {
        launcher: serve.background.launcher.take(),
        obituary: serve.background.obituary.take(),
        ..serve.background
    };
    let front = match &around.launcher {
        Some(launcher) => Some(tokio::spawn(stop_without_front(
            launcher.watch()?,
            order_sender,
        ))),
        None => None,
    };
    // Its lock is let go last, when the log has been written.
    let Some(mut held) = hold(serve, &mut orders).await? else {
        return Ok(());
    };
    if held.predecessor.is_none() {
        announce(&Started {
            plan: &held.plan,
            urls: held.listeners.iter().map(|b| b.info.url()).collect(),
        });
    }
    leave_the_terminal(held.log.take(), &held.inherited, around.daemon)?;
    let feeds = feeds(held.predecessor.as_mut())?;
    let _last_lines = log::LastLines(feeds.logs.clone());
    log::init(feeds.logs.own_log(), feeds.events.clone(), log_level);
    log_what_was_found(&held, around.obituary.as_deref());
    let (news_sender, news) = mpsc::channel(1024);
    let (proxy_sender, proxy_news) = mpsc::channel(1024);
    let (call_sender, calls) = mpsc::channel(64);
    let site = Site {
        program: succession::program()?,
        invoked_as: succession::invoked_as()?,
        config: held.plan.config.clone(),
        workers_dir: held.run_dir.workers(),
        name: held.run_dir.site_name(),
        private_tmp: held.run_dir.private_tmp(),
        state_dir,
        proxy_uid: held.proxy_uid,
        log_level,
        reload,
        logs: feeds.logs.clone(),
        news: news_sender,
    };
    let mut inputs = Inputs {
        news,
        proxy_news,
        calls,
        orders,
    };
    let surroundings = Surroundings {
        run_dir: held.run_dir.path().to_path_buf(),
        lock: held.run_dir.lock()?,
        control: held.control.try_clone()?.into(),
        events: feeds.events.clone(),
        inherited: held.inherited,
        binder: held.binder,
        pid_file: held.pid_file,
    };
    let (plan, listeners) = (held.plan, held.listeners);
    let mut driver = Driver::new(site, plan, surroundings, listeners, proxy_sender, replan);
    driver.forget_listeners(&held.forget);
    if let Some(launcher) = around.launcher {
        driver.when_up(Box::new(move |words| {
            front.iter().for_each(JoinHandle::abort);
            launcher.serving(words);
        }));
    }
    match held.predecessor {
        None => driver.start_all(),
        Some((from, state, descriptors)) => driver.take_over(&from, state, descriptors)?,
    }
    supervise(
        &mut driver,
        &mut inputs,
        &held.control,
        &call_sender,
        &feeds,
    )
    .await
}

/// What is printed from now on goes to the log file, or nowhere.
fn leave_the_terminal(log: Option<File>, inherited: &Inherited, daemon: bool) -> io::Result<()> {
    if let Some(log) = log {
        background::to_log(&log)?;
    }
    if daemon {
        background::to_nowhere(inherited.log_file.is_none())?;
    }
    Ok(())
}

/// The first lines of the log.
fn log_what_was_found(held: &Holdings, obituary: Option<&str>) {
    if held.predecessor.is_none() && held.inherited.log_file.is_some() {
        log::tell_start(&held.plan, &held.listeners, obituary);
    }
    for stranger in &held.strangers {
        let (pid, group) = (stranger.pid, stranger.group.display());
        tracing::warn!(pid, %group, "a process that paster does not know is in its control group; it is left alone");
    }
}

/// What we need to serve; none if we were told to stop before we had it.
async fn hold(
    mut serve: Serve,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<Option<Holdings>, ServeError> {
    if let Some(state) = serve.take_over.take() {
        return Holdings::take_over(&serve, state).map(Some);
    }
    crate::sys::fd::cloexec_from(3)?;
    match first_plan(serve.replan.clone(), orders).await? {
        Some(plan) => Holdings::acquire(serve, plan.map_err(ServeError::Config)?).map(Some),
        None => Ok(None),
    }
}

/// Logs and events, with what the predecessor has kept of them.
fn feeds(predecessor: Option<&mut Predecessor>) -> io::Result<Feeds> {
    let Some((_, state, descriptors)) = predecessor else {
        return Ok(Feeds {
            logs: Logs::start(FrozenLogs::default(), None)?,
            events: Feed::new(journal::KEPT),
        });
    };
    let frozen = std::mem::take(&mut state.surroundings.logs);
    let kept = frozen.kept.map(|number| descriptors.take(number));
    Ok(Feeds {
        logs: Logs::start(frozen, kept.transpose()?.map(Into::into))?,
        events: state.surroundings.events(),
    })
}

/// From the start until everything has stopped, or until another program has taken our place.
async fn supervise(
    driver: &mut Driver,
    inputs: &mut Inputs,
    control: &UnixListener,
    calls: &mpsc::Sender<Call>,
    feeds: &Feeds,
) -> Result<(), ServeError> {
    let Feeds { logs, events } = feeds;
    loop {
        let connections = TaskTracker::new();
        let server = tokio::spawn(control::server::serve(
            control.try_clone()?,
            calls.clone(),
            feeds.clone(),
            connections.clone(),
        ));
        let outcome = driver.run(inputs).await;
        server.abort();
        if outcome == Outcome::Upgrade {
            driver.announce_upgrade();
        }
        // Followers have read everything when their stream ends.
        events.end();
        logs.end_followers(true);
        connections.close();
        let last_calls = async {
            while let Some((_, reply)) = inputs.calls.recv().await {
                let _ = reply.send(Answer::Again);
            }
        };
        tokio::select! {
            () = connections.wait() => {}
            () = last_calls, if outcome == Outcome::Upgrade => {}
            () = tokio::time::sleep(LAST_ANSWERS) => {}
        }
        if outcome == Outcome::Finished {
            return Ok(());
        }
        // A signal of this moment waits for the handlers of the successor.
        signals::hold(true)?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let error = succession::hand_over(driver, inputs, logs).await;
        signals::hold(false)?;
        events.begin();
        logs.end_followers(false);
        driver.upgrade_failed(&error);
    }
}

/// Reads the configuration; none if we were told to stop meanwhile.
async fn first_plan(
    replan: Replan,
    orders: &mut mpsc::Receiver<Order>,
) -> io::Result<Option<Result<Plan, Vec<Problem>>>> {
    let mut planning = tokio::task::spawn_blocking(move || replan());
    loop {
        tokio::select! {
            plan = &mut planning => return plan.map(Some).map_err(io::Error::other),
            order = orders.recv() => match order {
                Some(Order::Stop | Order::StopNow) | None => return Ok(None),
                // What concerns a running site is done by the start itself.
                Some(_) => {}
            }
        }
    }
}

/// The process that was called waits for us; should it be ended (Ctrl-C) before we serve, nobody wants us any more.
async fn stop_without_front(
    watch: std::os::unix::net::UnixStream,
    orders: mpsc::WeakSender<Order>,
) -> Option<()> {
    let mut watch = tokio::net::UnixStream::from_std(watch).ok()?;
    // It says nothing: what can be read is its end.
    let _ = tokio::io::AsyncReadExt::read(&mut watch, &mut [0]).await;
    orders.upgrade()?.send(Order::Stop).await.ok()
}
