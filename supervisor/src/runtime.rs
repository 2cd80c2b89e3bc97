//! The composition root of `paster serve`: builds the parts, and owns the order of start-up and shutdown.
//!
//! Bind early, start late: the addresses are known (and refused, if they must be) before the first process exists.

use crate::background::{self, Launcher, Monitor};
use crate::config::problem::Problem;
use crate::confine::cgroup::{self, Stranger};
use crate::control::protocol::{Answer, Event};
use crate::control::{self, feed::Feed, journal, server::Feeds};
use crate::logs::{self, FrozenLogs, Logs, OwnLog};
use crate::manager::Inherited;
use crate::plan::spec::{Plan, User};
use crate::supervise::access_log;
use crate::supervise::bind::{Binder, Bound, Keeping, equip};
use crate::supervise::driver::{
    Driver, FrozenDriver, Inputs, Order, Outcome, Replan, Surroundings,
};
use crate::supervise::launch::Site;
use crate::supervise::upgrade::{self, Consent, Descriptors, State};
use crate::sys;
use crate::sys::pidfile::{PidFile, PidFileError};
use crate::sys::rundir::{self, RunDir, RunDirError};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::{Layer, SubscriberExt};

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
/// How long the last lines may take to get to where they go.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Serves until told to stop. `announce` is called once, when the addresses are bound and before anything is started.
pub fn serve(serve: Serve, announce: impl FnOnce(&Started)) -> Result<(), ServeError> {
    // A log file that may not grow is no reason to end.
    crate::sys::child::survive_file_size_limit().map_err(io::Error::from)?;
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

/// What a supervisor holds while it serves.
struct Holdings {
    plan: Plan,
    run_dir: RunDir,
    listeners: Vec<Bound>,
    /// Names of stored listeners that the plan does not ask for.
    forget: Vec<String>,
    inherited: Inherited,
    binder: Binder,
    control: UnixListener,
    pid_file: Option<PidFile>,
    log: Option<File>,
    proxy_uid: Option<u32>,
    /// Processes in our control groups that are not ours.
    strangers: Vec<Stranger>,
    /// The state of the program in whose place we are.
    predecessor: Option<(String, FrozenDriver, Descriptors)>,
}

/// Whether this program could take over from the one that has written `state`, with the configuration as it reads it.
///
/// # Errors
/// Why not.
pub fn consent(serve: &Serve, state: File) -> Result<Consent, ServeError> {
    let state = State::<FrozenDriver>::read(state).map_err(ServeError::Setup)?;
    let plan = (serve.replan)().map_err(ServeError::Config)?;
    state.content.fits(&plan).map_err(ServeError::Setup)?;
    Ok(Consent::ours())
}

impl Holdings {
    /// Takes everything anew; refuses before anything is started.
    fn acquire(serve: Serve, mut plan: Plan) -> Result<Holdings, ServeError> {
        // Before the addresses, which would only say that they are in use.
        if let Some(pid) = rundir::holder(&serve.run_dir) {
            let path = serve.run_dir;
            return Err(ServeError::RunDir(RunDirError::Running { pid, path }));
        }
        if let Some(user) = &serve.identity {
            rundir::prepare_for(&serve.run_dir, user.uid, user.gid).map_err(ServeError::RunDir)?;
        }
        let mut listeners = Vec::new();
        let mut binder = serve.binder;
        for endpoint in &plan.listen {
            let bound = binder.bind(&endpoint.listen).map_err(ServeError::Setup)?;
            listeners.extend(bound);
        }
        if let Some(user) = &serve.identity {
            become_user(user, &listeners)?;
            // Which the change has undone.
            serve.background.monitor.map_or(Ok(()), Monitor::follow)?;
            // As every reload will read it.
            plan = (serve.replan)().map_err(ServeError::Config)?;
        }
        equip(&mut listeners, &plan.listen);
        // From here on nothing needs privilege, and what is made belongs to the user.
        let run_dir = RunDir::open(&serve.run_dir).map_err(ServeError::RunDir)?;
        // The last worker of a group removes it, so there is something only after a kill.
        let marker = format!("NOTIFY_SOCKET={}/", run_dir.workers().display());
        let strangers = cgroup::clear(plan.cgroup_trees(), &run_dir.site_name(), &marker);
        let pid_file = serve.inherited.pid_file.as_deref().map(PidFile::create);
        let pid_file = pid_file.transpose().map_err(ServeError::PidFile)?;
        let log = serve
            .inherited
            .log_file
            .as_deref()
            .map(background::open_log);
        let log = log.transpose().map_err(ServeError::Setup)?;
        let forget = binder.drop_stored();
        let unused = binder.unused(&listeners);
        plan.warnings
            .extend(unused_sockets(&serve.complaints, &unused));
        let proxy_uid = proxy_uid();
        if let Some(uid) = proxy_uid {
            run_dir.share_with_proxy(uid)?;
        }
        access_log::prepare(&plan.access_log, proxy_uid).map_err(ServeError::Setup)?;
        logs::check(&plan).map_err(ServeError::Setup)?;
        // Orphans of killed keepers come to us instead of init, which would not end them.
        nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)?;
        let control = control::server::bind(&run_dir.control())?;
        Ok(Holdings {
            plan,
            run_dir,
            listeners,
            forget,
            inherited: serve.inherited,
            binder,
            control,
            pid_file,
            log,
            proxy_uid,
            strangers,
            predecessor: None,
        })
    }

    /// Takes over what the previous program in this process has left in `state`.
    fn take_over(serve: &Serve, state: File) -> Result<Holdings, ServeError> {
        let state = State::<FrozenDriver>::read(state).map_err(ServeError::Setup)?;
        let mut descriptors = state.inherit().map_err(ServeError::Setup)?;
        let driver = state.content;
        let surroundings = &driver.surroundings;
        let binder = Binder::thaw(surroundings.passed.clone(), &mut descriptors)?;
        let pid_file = match (&surroundings.inherited.pid_file, surroundings.pid_file) {
            (Some(path), Some(lock)) => Some(PidFile::take_over(path, descriptors.take(lock)?)),
            _ => None,
        };
        let plan = (serve.replan)().map_err(ServeError::Config)?;
        Ok(Holdings {
            plan,
            run_dir: RunDir::take_over(&surroundings.run_dir, descriptors.take(surroundings.lock)?),
            listeners: Vec::new(),
            forget: Vec::new(),
            inherited: surroundings.inherited.clone(),
            binder,
            control: descriptors.take(surroundings.control)?.into(),
            pid_file,
            log: None,
            proxy_uid: proxy_uid(),
            strangers: Vec::new(),
            predecessor: Some((state.version, driver, descriptors)),
        })
    }
}

async fn run(mut serve: Serve, announce: impl FnOnce(&Started)) -> Result<(), ServeError> {
    // First of all: process 1 gets only the signals that it has handlers for.
    let (order_sender, mut orders) = signals()?;
    let replan = serve.replan.clone();
    let state_dir = serve.state_dir.clone();
    let reload = serve.reload;
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
    let Holdings {
        plan,
        run_dir,
        listeners,
        forget,
        inherited,
        binder,
        control,
        pid_file,
        log,
        proxy_uid,
        strangers,
        predecessor,
    } = match serve.take_over.take() {
        None => {
            crate::sys::fd::cloexec_from(3)?;
            match first_plan(replan.clone(), &mut orders).await? {
                Some(plan) => Holdings::acquire(serve, plan.map_err(ServeError::Config)?)?,
                None => return Ok(()),
            }
        }
        Some(state) => Holdings::take_over(&serve, state)?,
    };
    if predecessor.is_none() {
        announce(&Started {
            plan: &plan,
            urls: listeners.iter().map(|bound| bound.info.url()).collect(),
        });
    }
    if let Some(log) = log {
        background::to_log(&log)?;
    }
    if around.daemon {
        background::to_nowhere(inherited.log_file.is_none())?;
    }
    let logs = match &predecessor {
        None => Logs::start(FrozenLogs::default())?,
        Some((_, state, _)) => Logs::start(state.surroundings.logs.clone())?,
    };
    let _last_lines = LastLines(logs.clone());
    let events = match &predecessor {
        None => Feed::new(journal::KEPT),
        Some((_, state, _)) => state.surroundings.events(),
    };
    init_log(logs.own_log(), events.clone());
    if predecessor.is_none() && inherited.log_file.is_some() {
        tell_start(&plan, &listeners, around.obituary.as_deref());
    }
    for stranger in strangers {
        let (pid, group) = (stranger.pid, stranger.group.display());
        tracing::warn!(pid, %group, "a process that paster does not know is in its control group; it is left alone");
    }
    let (news_sender, news) = mpsc::channel(1024);
    let (proxy_sender, proxy_news) = mpsc::channel(1024);
    let (call_sender, calls) = mpsc::channel(64);
    let site = Site {
        program: program()?,
        invoked_as: invoked_as()?,
        config: plan.config.clone(),
        workers_dir: run_dir.workers(),
        name: run_dir.site_name(),
        private_tmp: run_dir.private_tmp(),
        state_dir,
        proxy_uid,
        reload,
        logs: logs.clone(),
        news: news_sender,
    };
    let mut inputs = Inputs {
        news,
        proxy_news,
        calls,
        orders,
    };
    let surroundings = Surroundings {
        run_dir: run_dir.path().to_path_buf(),
        lock: run_dir.lock()?,
        control: control.try_clone()?.into(),
        events: events.clone(),
        inherited,
        binder,
        pid_file,
    };
    let mut driver = Driver::new(site, plan, surroundings, listeners, proxy_sender, replan);
    driver.forget_listeners(&forget);
    if let Some(launcher) = around.launcher {
        driver.when_up(Box::new(move |words| {
            front.iter().for_each(JoinHandle::abort);
            launcher.serving(words);
        }));
    }
    match predecessor {
        None => driver.start_all(),
        Some((from, state, descriptors)) => driver.take_over(&from, state, descriptors)?,
    }
    loop {
        let connections = TaskTracker::new();
        let server = tokio::spawn(control::server::serve(
            control.try_clone()?,
            call_sender.clone(),
            Feeds {
                logs: logs.clone(),
                events: events.clone(),
            },
            connections.clone(),
        ));
        let outcome = driver.run(&mut inputs).await;
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
        hold_signals(true)?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let error = hand_over(&mut driver, &mut inputs, &logs).await?;
        hold_signals(false)?;
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

/// The first lines of a log file; at a terminal there is the summary.
fn tell_start(plan: &Plan, listeners: &[Bound], obituary: Option<&str>) {
    if let Some(obituary) = obituary {
        tracing::error!("{obituary}; it is started again");
    }
    let urls: Vec<String> = listeners.iter().map(|bound| bound.info.url()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        config = %plan.config.display(),
        listen = urls.join(" "),
        "paster starts"
    );
    for warning in &plan.warnings {
        tracing::warn!(hint = warning.hint, "{warning}");
    }
}

/// Gives up privilege for good; the socket files that were made with it go along.
fn become_user(user: &User, listeners: &[Bound]) -> Result<(), ServeError> {
    for bound in listeners {
        if let (Some(path), Keeping::Own) = (&bound.path, &bound.keeping) {
            std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid))?;
        }
    }
    sys::identity::assume(user.uid, user.gid, &user.groups)
        .map_err(|error| ServeError::Setup(format!("cannot become user `{}`: {error}", user.name)))
}

/// Warnings about what was passed to us and is not served.
fn unused_sockets(complaints: &[String], unused: &[(String, String)]) -> Vec<Problem> {
    let complaints = complaints
        .iter()
        .map(|complaint| Problem::new("Warning", complaint.clone()));
    let unused = unused.iter().map(|(name, address)| {
        let what = format!(
            "the socket `{name}` on {address} was passed to paster, but the configuration does not listen there: its clients wait in vain"
        );
        let hint = format!(
            "listen on it with `--listen fd:{name}`, or let [server:main] name its address"
        );
        Problem::new("Warning", what).hint(hint)
    });
    complaints.chain(unused).collect()
}

/// However we leave: what was said by then is written.
struct LastLines(Logs);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.pause(LAST_LINES);
    }
}

/// Executes the successor; returns only if that is not possible, with the reason.
///
/// # Errors
/// It was not possible, nor is it to go on.
async fn hand_over(driver: &mut Driver, inputs: &mut Inputs, logs: &Logs) -> io::Result<String> {
    let program = driver.successor().unwrap_or_default();
    let (mut state, descriptors) = match driver.freeze(inputs).await {
        Ok(frozen) => frozen,
        Err(error) => return Ok(error),
    };
    let paused = logs.pause(LAST_LINES);
    state.surroundings.logs = logs.freeze();
    let state = State::new(state, &descriptors);
    let error = match state.write() {
        Ok(file) => upgrade::execute(&program, &file, &descriptors),
        Err(error) => error,
    };
    logs.resume(paused)?;
    driver.resume(state.content, descriptors);
    Ok(format!("cannot execute {}: {error}", program.display()))
}

/// Where this program is.
fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Where a new version of this program will be: the name that it was called by (as with nginx and gunicorn), found as a
/// shell finds it.
fn invoked_as() -> io::Result<PathBuf> {
    let name = std::env::args_os()
        .next()
        .map(PathBuf::from)
        .unwrap_or_default();
    if name.components().count() > 1 {
        return std::path::absolute(name);
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories)
        .map(|directory| directory.join(&name))
        .find(|path| path.is_file());
    found.map_or_else(program, Ok)
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

/// The log for people at a terminal: local time of day, colours (unless `NO_COLOR` is set). Anywhere else each line can
/// stand alone: full timestamps in UTC, no escapes.
///
/// Lines that are events go to `events` as well, whatever the log shows.
fn init_log(writer: OwnLog, events: Feed<Arc<Event>>) {
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

/// The signals that are orders.
const ORDERS: [(Signal, Order); 9] = [
    (Signal::SIGTERM, Order::Stop),
    (Signal::SIGINT, Order::Stop),
    (Signal::SIGQUIT, Order::StopNow),
    (Signal::SIGHUP, Order::Reload),
    (Signal::SIGUSR1, Order::ReopenLogs),
    (Signal::SIGUSR2, Order::Upgrade),
    (Signal::SIGCHLD, Order::LookForStrangers),
    (Signal::SIGTTIN, Order::Scale(1)),
    (Signal::SIGTTOU, Order::Scale(-1)),
];

/// Lets the signals that are orders wait, or come.
fn hold_signals(hold: bool) -> io::Result<()> {
    let mut set = SigSet::empty();
    ORDERS.iter().for_each(|(signal, _)| set.add(*signal));
    let how = if hold {
        SigmaskHow::SIG_BLOCK
    } else {
        SigmaskHow::SIG_UNBLOCK
    };
    Ok(pthread_sigmask(how, Some(&set), None)?)
}

/// Signals, translated into orders. The handlers are in place before the first process is started; what came while another
/// program made place for us comes now.
fn signals() -> io::Result<(mpsc::WeakSender<Order>, mpsc::Receiver<Order>)> {
    let (sender, orders) = mpsc::channel(16);
    for (signal, order) in ORDERS {
        let mut stream = tokio::signal::unix::signal(SignalKind::from_raw(signal as i32))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                let _ = sender.send(order).await;
            }
        });
    }
    hold_signals(false)?;
    Ok((sender.downgrade(), orders))
}
