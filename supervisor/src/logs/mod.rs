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
mod check;
mod datagram;
mod file;
mod format;
mod frozen;
mod handover;
mod journald;
mod lines;
mod outlet;
mod output;
mod own;
mod pause;
mod priority;
mod pump;
mod ring;
mod rotation;
mod routes;
mod sink;
mod source;
mod standard;
mod syslog;
mod tail;

use crate::plan::spec::{LineFormat, LogSettings};
pub use app::Counts;
use app::{AppLog, Feeds};
pub use check::check;
pub(crate) use file::LogFile;
pub use format::LogLine;
use frozen::{FrozenApp, FrozenWaiting, Thaw};
pub use frozen::{FrozenLogs, latin1};
use lines::Cutter;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
pub use output::{AllRead, Output, Released};
pub use own::{LOG_VARIABLE, OwnLog};
use pump::{End, Pace, Pipe, Pump};
use routes::{abandon_unused, place};
use sink::{Feed, Place, Sink};
pub use source::Source;
pub use source::Stream;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tail::News;
pub use tail::Wanted;
use tokio::sync::{oneshot, watch};

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
    /// The ring of our own log has become larger than it should stay.
    untidy: AtomicBool,
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
                untidy: AtomicBool::new(false),
                news: watch::Sender::default(),
            }
        });
        shared.pump.start(Arc::downgrade(&shared))?;
        shared.standard.iter().for_each(Sink::resume);
        let (own, feed) = &shared.own;
        own.set_feeds(&[None, Some(feed.clone())]);
        Ok(Logs(shared))
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

    /// A sink has found no thread: what waits is offered again in a moment, by the pump.
    fn offer_later(&self) {
        self.starved.store(true, Ordering::Relaxed);
        self.pump.wake();
    }

    /// Memory is given back in a moment, by the pump.
    fn tidy_later(&self) {
        if !self.untidy.swap(true, Ordering::Relaxed) {
            self.pump.wake();
        }
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
        let logs: Vec<Arc<AppLog>> = {
            let state = self.state();
            let of_apps = state.apps.values().map(|app| &app.log);
            of_apps.chain([&self.own.0]).cloned().collect()
        };
        logs.iter().fold(false, |again, log| again | log.tidy())
    }
}
