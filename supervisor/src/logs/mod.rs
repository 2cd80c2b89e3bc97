//! What workers print: read as fast as it comes, kept for reports and `paster logs`, passed on to where it is wanted.
//!
//! ```text
//! worker ── pipe ──▶ pump ──▶ ring of app and stream ──▶ sink ──▶ stdout, file, journald, syslog
//!                    (thread)        │                   (a thread each)
//!                                    └──▶ reports, `paster logs`
//! ```
//!
//! A worker is never blocked by us and we never grow: the pump only copies into rings, which are bounded; each sink
//! has a thread of its own and takes from the rings what its place takes from it. Who is too slow misses the
//! oldest lines, counts them and says so, at the place where they are missing.

mod app;
mod datagram;
mod file;
mod format;
mod frozen;
mod handover;
mod journald;
mod lines;
mod outlet;
mod own;
mod priority;
mod pump;
mod ring;
mod rotation;
mod sink;
mod source;
mod standard;
mod syslog;
mod tail;

use crate::plan::spec::{LineFormat, LogSettings, LogTo, Plan, Rotation};
use crate::reports::report::{MAX_LINES, OutputLine};
pub use app::Counts;
use app::{AppLog, Feeds};
pub(crate) use file::LogFile;
pub use format::LogLine;
use frozen::{FrozenApp, FrozenWaiting, Thaw};
pub use frozen::{FrozenLogs, latin1};
use lines::Cutter;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use outlet::Daemon;
pub use own::OwnLog;
use pump::{End, Pace, Pipe, Pump};
use sink::{Divert, Feed, Place, Sink};
pub use source::Source;
pub use source::Stream;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tail::News;
pub use tail::Wanted;
use tokio::sync::{oneshot, watch};

/// How long a write that has begun may take when writing is to stop: nothing but a disk takes that long.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// The output of all apps. Clones are the same.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pump: Pump,
    /// The number of the next read.
    seq: AtomicU64,
    /// Our own stdout and stderr; the same sink where they are the same file.
    standard: [Arc<Sink>; 2],
    /// Our own log, and its way to stderr.
    own: (Arc<AppLog>, Arc<Feed>),
    state: Mutex<State>,
    /// Some sink has found no thread.
    starved: AtomicBool,
    /// For those who follow.
    news: watch::Sender<News>,
}

#[derive(Debug, Default)]
struct State {
    /// By name.
    apps: BTreeMap<String, App>,
    sinks: HashMap<Place, Arc<Sink>>,
    /// Daemons that are not there: their lines go to our own stdout and stderr.
    diverted: HashSet<Place>,
    /// What the program before us has accepted for places and not written.
    inherited: HashMap<Place, FrozenWaiting>,
}

#[derive(Debug)]
struct App {
    log: Arc<AppLog>,
    /// None until it is known in this program.
    settings: Option<LogSettings>,
    feeds: Feeds<Arc<Feed>>,
}

/// The output of one worker.
#[derive(Debug, Clone)]
pub struct Output {
    shared: Arc<Shared>,
    log: Arc<AppLog>,
    source: Arc<Source>,
}

/// A pipe that is read no more.
#[derive(Debug, Default)]
pub struct Released {
    /// None at its end.
    pub read_end: Option<OwnedFd>,
    /// The beginning of a line.
    pub partial: Vec<u8>,
}

/// Comes true when both outputs of a worker have been read to their end.
pub type AllRead = oneshot::Receiver<()>;

/// Counts of an app, and what is wrong with its log.
#[derive(Debug)]
pub struct Status {
    pub stdout: Counts,
    pub stderr: Counts,
    pub trouble: Option<String>,
}

impl App {
    fn new(log: Arc<AppLog>) -> App {
        App {
            log,
            settings: None,
            feeds: [None, None],
        }
    }
}

impl Output {
    /// The last `count` lines of this worker, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        self.last_lines(count).map(|(_, text)| text).collect()
    }

    /// The last lines of this worker, for a report.
    pub fn report(&self) -> Vec<OutputLine> {
        self.last_lines(MAX_LINES)
            .map(|(stream, text)| OutputLine::new(stream, &text))
            .collect()
    }

    fn last_lines(&self, count: usize) -> impl Iterator<Item = (Stream, String)> {
        let own = |source: &Source| source.worker == self.source.worker;
        let lines = self.log.last(count, own);
        lines.into_iter().map(|line| {
            let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
            (line.stream, String::from_utf8_lossy(text).into_owned())
        })
    }

    /// Stops reading, where the pipes are not at their ends. Both outputs.
    pub async fn release(&self) -> [Released; 2] {
        let mut released: [Released; 2] = Default::default();
        // Without an answer there is no thread, and so nothing that could be released.
        for pipe in self
            .shared
            .pump
            .release(&self.source)
            .await
            .unwrap_or_default()
        {
            released[pipe.stream.index()] = Released {
                partial: pipe.lines.partial().to_vec(),
                read_end: Some(pipe.read_end),
            };
        }
        released
    }

    /// The worker's program runs under this number.
    pub fn set_pid(&self, pid: u32) {
        self.source.set_pid(pid);
    }
}

impl Logs {
    /// Starts the thread that reads; goes on with what was `kept` before, if that can be read. Threads that write are started as needed.
    ///
    /// # Errors
    /// No descriptor or thread is free.
    pub fn start(frozen: FrozenLogs, kept: Option<File>) -> io::Result<Logs> {
        let pump = Pump::new()?;
        let one_file = is_one_file();
        let mut inherited: HashMap<Place, FrozenWaiting> = frozen.waiting.into_iter().collect();
        let mut thaw = Thaw::default();
        let mut kept = kept.into_iter().flat_map(handover::read);
        let own = Arc::new(AppLog::thaw(kept.next().unwrap_or_default(), &mut thaw));
        let known = |app: FrozenApp| {
            let name = app.name.clone();
            let log = Arc::new(AppLog::thaw(app, &mut thaw));
            (name, App::new(log))
        };
        let apps = kept.map(known).collect();
        let shared = Arc::new_cyclic(|shared| {
            let mut standard = |stream| {
                let place = Place::Standard(stream);
                let waiting = inherited.remove(&place);
                Sink::new(&place, waiting, shared.clone())
            };
            let stderr = standard(Stream::Stderr);
            let stdout = if one_file {
                stderr.clone()
            } else {
                standard(Stream::Stdout)
            };
            let feed = Feed::new(own.clone(), LineFormat::Plain, stderr.clone());
            Shared {
                pump,
                seq: AtomicU64::new(frozen.seq.max(1)),
                own: (own, feed),
                standard: [stdout, stderr],
                state: Mutex::new(State {
                    apps,
                    inherited,
                    ..State::default()
                }),
                starved: AtomicBool::new(false),
                news: watch::Sender::default(),
            }
        });
        shared.pump.start(Arc::downgrade(&shared))?;
        shared.standard.iter().for_each(Sink::resume);
        let (own, feed) = &shared.own;
        own.set_feeds(&[None, Some(feed.clone())]);
        Ok(Logs(shared))
    }

    /// Everything that waits, as data, and everything that is kept, as a file; to be asked for in a pause.
    ///
    /// # Errors
    /// No memory or no descriptor is free.
    pub fn freeze(&self) -> io::Result<(FrozenLogs, File)> {
        let sinks = self.0.sinks();
        let state = self.0.state();
        let apps = state.apps.values().map(|app| &app.log);
        let kept = handover::write(
            [&self.0.own.0]
                .into_iter()
                .chain(apps)
                .map(|log| log.freeze()),
        )?;
        let frozen = FrozenLogs {
            seq: self.0.seq.load(Ordering::Relaxed),
            kept: Some(kept.as_raw_fd()),
            waiting: sinks.iter().filter_map(|sink| sink.freeze()).collect(),
        };
        Ok((frozen, kept))
    }

    /// A way for our own log to stderr, in turn with what workers print there.
    pub fn own_log(&self) -> OwnLog {
        OwnLog::new(&self.0)
    }

    /// From now on the lines of `app` go where `settings` say; what is kept of it stays. New apps are added.
    pub fn configure(&self, app: &str, settings: &LogSettings) {
        let mut state = self.0.state();
        let known = state
            .apps
            .entry(app.to_owned())
            .or_insert_with(|| App::new(Arc::new(AppLog::new(app))));
        if known.settings.as_ref() == Some(settings) {
            return;
        }
        known.settings = Some(settings.clone());
        self.0.route(&mut state, app);
        abandon_unused(&mut state);
    }

    /// Forgets an app, when the last of its workers has gone.
    pub fn remove(&self, app: &str) {
        let mut state = self.0.state();
        state.apps.remove(app);
        abandon_unused(&mut state);
    }

    /// Reads the outputs of a worker of a configured app to their ends, perhaps on from where they were released.
    ///
    /// # Errors
    /// The app is not configured; or of fcntl(2).
    pub fn attach(
        &self,
        app: &str,
        source: Source,
        pipes: [Released; 2],
    ) -> io::Result<(Output, AllRead)> {
        let log = self
            .log(app)
            .ok_or_else(|| io::Error::other("the app has no log"))?;
        let source = Arc::new(source);
        let (sender, all_read) = oneshot::channel();
        let end = Arc::new(End(Some(sender)));
        for (stream, pipe) in Stream::BOTH.into_iter().zip(pipes) {
            let Some(read_end) = pipe.read_end else {
                continue;
            };
            fcntl(&read_end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            self.0.pump.read(Pipe {
                log: log.clone(),
                source: source.clone(),
                stream,
                read_end,
                lines: Cutter::resume(pipe.partial),
                _end: end.clone(),
                full_reads: 0,
                pace: Pace::default(),
            });
        }
        let shared = self.0.clone();
        let output = Output {
            shared,
            log,
            source,
        };
        Ok((output, all_read))
    }

    fn log(&self, app: &str) -> Option<Arc<AppLog>> {
        Some(self.0.state().apps.get(app)?.log.clone())
    }

    /// Counts of an app; none for one that has no output.
    pub fn status(&self, app: &str) -> Option<Status> {
        let state = self.0.state();
        let known = state.apps.get(app)?;
        let [stdout, stderr] = known.log.counts();
        // Of the place that is wanted, also while its lines go another way.
        let trouble = |stream| {
            let sink = match place(app, known.settings.as_ref()?, stream)? {
                Place::Standard(stream) => &self.0.standard[stream.index()],
                place => state.sinks.get(&place)?,
            };
            sink.trouble()
        };
        let trouble = Stream::BOTH.into_iter().find_map(trouble);
        Some(Status {
            stdout,
            stderr,
            trouble,
        })
    }

    /// After a rotation by somebody else: all files are opened anew.
    pub fn reopen(&self) {
        let sinks: Vec<Arc<Sink>> = {
            let state = self.0.state();
            let files = state
                .sinks
                .iter()
                .filter(|(place, _)| matches!(place, Place::File(_)));
            files.map(|(_, sink)| sink.clone()).collect()
        };
        sinks.iter().for_each(Sink::reopen);
    }

    /// Stops reading, and writes what was read; what cannot be written within `patience` stays where it is, unless a write
    /// itself hangs (a disk). Workers go on, until their pipes are full.
    ///
    /// Blocks the calling thread meanwhile.
    pub fn pause(&self, patience: Duration) -> Paused {
        let pipes = self.0.pump.release_all();
        let deadline = Instant::now() + patience;
        let sinks = self.0.sinks();
        wait(deadline, || {
            sinks
                .iter()
                .all(|sink| sink.is_idle() || sink.trouble().is_some())
        });
        sinks.iter().for_each(|sink| sink.stop());
        let deadline = Instant::now() + LAST_WRITE;
        wait(deadline, || sinks.iter().all(|sink| sink.has_ended()));
        Paused { pipes }
    }

    /// Goes on after a pause.
    pub fn resume(&self, paused: Paused) {
        self.0.sinks().iter().for_each(Sink::resume);
        for pipe in paused.pipes {
            self.0.pump.read(pipe);
        }
    }
}

/// What was read from while nothing is read.
#[derive(Debug)]
pub struct Paused {
    pipes: Vec<Pipe>,
}

fn wait(deadline: Instant, done: impl Fn() -> bool) {
    const INTERVAL: Duration = Duration::from_millis(2);
    while !done() && Instant::now() < deadline {
        std::thread::sleep(INTERVAL);
    }
}

/// Whether our stdout and stderr are one terminal, pipe or file: then one sink keeps the order of the lines.
fn is_one_file() -> bool {
    use nix::sys::stat::fstat;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    match (fstat(stdout.as_fd()), fstat(stderr.as_fd())) {
        (Ok(out), Ok(err)) => (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino),
        _ => false,
    }
}

/// Makes sure that the log files of a plan can be written.
///
/// # Errors
/// The first that cannot be, in words.
pub fn check(plan: &Plan) -> Result<(), String> {
    for app in plan.apps.values() {
        let LogTo::File(template) = &app.settings.log.to else {
            continue;
        };
        for stream in Stream::BOTH {
            let path = template.path(&app.name, stream.name());
            if let Err(error) = file::create(&path) {
                return Err(cannot_open(&path, &error));
            }
        }
    }
    Ok(())
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    let text = format!("cannot open the log file {}: {error}", path.display());
    match path.parent() {
        Some(directory) if !directory.exists() => {
            format!("{text}; create the directory {}", directory.display())
        }
        _ => text,
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sinks(&self) -> Vec<Arc<Sink>> {
        let state = self.state();
        self.standard
            .iter()
            .chain(state.sinks.values())
            .cloned()
            .collect()
    }

    /// Connects an app with its sinks.
    fn route(&self, state: &mut State, name: &str) {
        let Some(App {
            log,
            settings: Some(settings),
            ..
        }) = state.apps.get(name)
        else {
            return;
        };
        let (log, settings) = (log.clone(), settings.clone());
        let sinks = Stream::BOTH.map(|stream| {
            let mut place = place(name, &settings, stream)?;
            if state.diverted.contains(&place) {
                place = Place::Standard(stream);
            }
            Some(self.sink(state, &place, &settings.rotation))
        });
        let feed = |sink: Arc<Sink>| Feed::new(log.clone(), settings.format, sink);
        let feeds = match sinks {
            [Some(stdout), Some(stderr)] if Arc::ptr_eq(&stdout, &stderr) => {
                let both = feed(stdout);
                [Some(both.clone()), Some(both)]
            }
            sinks => sinks.map(|sink| sink.map(feed)),
        };
        log.set_feeds(&feeds);
        if let Some(app) = state.apps.get_mut(name) {
            app.feeds = feeds;
        }
    }

    fn sink(&self, state: &mut State, place: &Place, rotation: &Rotation) -> Arc<Sink> {
        if let Place::Standard(stream) = place {
            return self.standard[stream.index()].clone();
        }
        let State {
            sinks, inherited, ..
        } = state;
        let sink = sinks.entry(place.clone()).or_insert_with(|| {
            let sink = Sink::new(place, inherited.remove(place), self.standard[0].shared());
            // Where there is something inherited.
            sink.resume();
            sink
        });
        sink.set_rotation(rotation);
        sink.clone()
    }

    /// A daemon is not there, or is there again: its lines go another way.
    fn divert(&self, place: &Place, divert: Divert) {
        let mut state = self.state();
        let changed = match divert {
            Divert::Away => state.diverted.insert(place.clone()),
            Divert::Back => state.diverted.remove(place),
        };
        if !changed {
            return;
        }
        let concerned = |(name, app): (&String, &App)| {
            let settings = app.settings.as_ref()?;
            let goes_there = self::place(name, settings, Stream::Stdout).as_ref() == Some(place);
            goes_there.then(|| name.clone())
        };
        let names: Vec<String> = state.apps.iter().filter_map(concerned).collect();
        for name in names {
            self.route(&mut state, &name);
        }
    }

    /// A sink has found no thread: what waits is offered again in a moment, by the pump.
    fn offer_later(&self) {
        self.starved.store(true, Ordering::Relaxed);
        self.pump.wake();
    }

    /// Lets all sinks look for what waits.
    fn offer_again(&self) {
        self.sinks().iter().for_each(Sink::resume);
        let feeds: Vec<Arc<Feed>> = {
            let state = self.state();
            let of_apps = state
                .apps
                .values()
                .flat_map(|app| app.feeds.iter().flatten());
            of_apps.chain([&self.own.1]).cloned().collect()
        };
        feeds.iter().for_each(Feed::offer);
    }

    fn tell_followers(&self) {
        if self.news.receiver_count() > 0 {
            self.news.send_modify(|news| news.count += 1);
        }
    }

    /// Gives memory back that only a burst has needed; true if that has to be tried again later.
    fn tidy(&self) -> bool {
        let logs: Vec<Arc<AppLog>> = self
            .state()
            .apps
            .values()
            .map(|app| app.log.clone())
            .collect();
        logs.iter().fold(false, |again, log| again | log.tidy())
    }
}

/// Where a stream goes; none for nowhere.
fn place(app: &str, settings: &LogSettings, stream: Stream) -> Option<Place> {
    match &settings.to {
        LogTo::Off => None,
        LogTo::Inherit => Some(Place::Standard(stream)),
        LogTo::Journald(socket) => Some(Place::Daemon(Daemon::Journald, socket.clone())),
        LogTo::Syslog(socket) => Some(Place::Daemon(Daemon::Syslog, socket.clone())),
        LogTo::File(template) => Some(Place::File(template.path(app, stream.name()))),
    }
}

/// Lets go of sinks to which no app is configured.
fn abandon_unused(state: &mut State) {
    let places = |(name, app): (&String, &App)| {
        let place = |stream| place(name, app.settings.as_ref()?, stream);
        Stream::BOTH.map(place)
    };
    let used: HashSet<Place> = state.apps.iter().flat_map(places).flatten().collect();
    state.diverted.retain(|place| used.contains(place));
    state.sinks.retain(|place, sink| {
        let keep = used.contains(place);
        if !keep {
            sink.abandon();
        }
        keep
    });
}
