//! What is said on the control socket. Fields are only ever added.

use super::traffic::TrafficStatus;
use crate::config::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Version of [`Status`].
pub const SCHEMA_VERSION: u32 = 1;

/// A command to a running supervisor: the body of `POST /v1/command`. What it changes is what is wanted, so it is never
/// refused as busy; the answer comes when the effect is there, or with the reason why it is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    Status,
    /// Replace the workers of these apps (all, if none is named) by new ones.
    Restart {
        apps: Vec<String>,
    },
    /// Read the configuration again and apply what has changed.
    Reload,
    /// These apps shall have no process; requests get 503. With no name: stop paster itself.
    Stop {
        apps: Vec<String>,
    },
    /// Let `program` take the place of this supervisor, with everything that runs.
    Upgrade {
        program: PathBuf,
    },
    /// End a stop.
    Start {
        apps: Vec<String>,
    },
    /// So many workers for these apps.
    Scale {
        apps: BTreeMap<String, u32>,
    },
    /// Clients of this app get 503 (with this message) while its workers live on; or are served again.
    Maintenance {
        app: String,
        on: bool,
        message: Option<String>,
    },
    /// Nothing, but the answer comes when these apps (all, if none is named) are in this state, or after this time.
    Wait {
        apps: Vec<String>,
        state: WaitFor,
        timeout_ms: u64,
    },
    /// Nothing, if there are these apps.
    Find {
        apps: Vec<String>,
    },
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Every wanted worker serves; or the app sleeps, on demand.
    Ready,
    /// By hand, and no process is left.
    Stopped,
    /// On demand, and no process is left.
    Idle,
    Failed,
}

impl WaitFor {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            WaitFor::Ready => "ready",
            WaitFor::Stopped => "stopped",
            WaitFor::Idle => "idle",
            WaitFor::Failed => "failed",
        }
    }
}

/// The answer to any command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    Status(Box<Status>),
    /// One result for each app that the command was about.
    Done {
        apps: Vec<AppResult>,
        /// What a reload has changed besides apps: `listeners`, `certificates`, `routes`, `access_log`, `directories`,
        /// `settings`. None of any other command, and from an older paster.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        site: Option<Vec<String>>,
    },
    /// The program has agreed and is executed now. Whether that worked is seen in the status: `upgrades` is more than this
    /// number then.
    Upgrading {
        upgrades: u64,
    },
    /// Another program is taking over; ask it.
    Again,
    /// The command as a whole was not possible, e.g. an invalid configuration or an unknown app.
    Refused {
        errors: Vec<Problem>,
    },
}

impl Answer {
    /// Of a command that is about apps alone.
    pub fn done(apps: Vec<AppResult>) -> Answer {
        Answer::Done { apps, site: None }
    }

    /// Refuses with a sentence.
    pub fn refused(why: impl Into<String>) -> Answer {
        Answer::Refused {
            errors: vec![Problem::new("Refused", why)],
        }
    }
}

/// How a command ended for one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppResult {
    pub app: String,
    /// What was done: `restarted`, `started`, `stopped`, `scaled`, `added`, `removed`, `updated`, `maintenance on`, `maintenance off`,
    /// `unchanged`. Of a wait
    /// the state that was waited for.
    pub action: String,
    /// The one that serves, or should; 0 where nothing does.
    pub generation: u64,
    /// How many workers are wanted; only if they were scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Why it did not work; the app goes on as before.
    pub error: Option<Failure>,
}

/// Why something did not work for an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// e.g. `a worker exited with status 1 before it was ready`
    pub what: String,
    /// The last thing the worker said it was doing (`STATUS=`), or the step of the launch that failed.
    pub step: Option<String>,
    pub last_output: Vec<String>,
}

impl Failure {
    /// One that no worker has anything to say about.
    pub fn new(what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            step: None,
            last_output: Vec::new(),
        }
    }
}

/// `paster status --json` (docs/cli.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub schema_version: u32,
    pub pid: u32,
    pub version: String,
    pub config: String,
    pub uptime_s: f64,
    /// How often another program has taken over in this process (`paster upgrade`).
    pub upgrades: u64,
    /// Why the last program that had agreed to take over could not.
    pub upgrade_error: Option<String>,
    /// Where crash reports are kept.
    #[serde(default)]
    pub state_dir: String,
    /// CPU time of the supervisor.
    pub cpu_s: Option<f64>,
    pub rss_bytes: Option<u64>,
    pub listen: Vec<String>,
    /// The same as clients use them: with `https` where TLS is spoken.
    #[serde(default)]
    pub urls: Vec<String>,
    pub proxy: ProxyStatus,
    pub apps: Vec<AppStatus>,
    /// What the proxy has answered before it was about any app: redirects of the site, what no route matches, what is malformed.
    #[serde(default)]
    pub without_app: WithoutApp,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WithoutApp {
    pub requests: u64,
    pub traffic: TrafficStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// None for the moment in which a lost proxy is being replaced.
    pub pid: Option<u32>,
    pub cpu_s: Option<f64>,
    pub rss_bytes: Option<u64>,
    pub connections: u64,
    /// TLS connections that did not come about since the start of the proxies that run.
    #[serde(default)]
    pub handshakes_failed: u64,
    /// The table that is in force.
    pub table_version: u64,
    /// When it has last told what it counts (connections, requests), as an `uptime_s`.
    #[serde(default)]
    pub counted_s: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    pub name: String,
    /// `starting`, `ready`, `degraded`, `backoff`, `failed`, `stopped`, `idle`.
    pub state: String,
    /// Clients get 503 whatever its state is.
    #[serde(default)]
    pub maintenance: bool,
    /// What they are told then.
    #[serde(default)]
    pub maintenance_message: Option<String>,
    pub mounts: Vec<String>,
    pub generation: u64,
    /// How many workers there should be now.
    #[serde(default)]
    pub processes: u32,
    /// The most that there may be.
    #[serde(default)]
    pub max_processes: u32,
    /// What the configuration says; `paster scale` may say another number.
    #[serde(default)]
    pub configured_processes: u32,
    /// Starts after a death that nobody asked for.
    pub restarts: u64,
    pub queued: u64,
    pub requests: u64,
    /// What came of them.
    #[serde(default)]
    pub traffic: TrafficStatus,
    pub workers: Vec<WorkerStatus>,
    /// Of an upstream: why the proxy could not connect to it when it last tried. None while it answers, or was not asked.
    #[serde(default)]
    pub unreachable: Option<String>,
    /// How its last worker ended that nobody had asked to, if one did.
    pub last_death: Option<String>,
    /// Its crash report, if one is kept.
    #[serde(default)]
    pub last_report: Option<String>,
    /// Requests that get 503 for a while, because workers died of them.
    #[serde(default)]
    pub refused: Vec<RefusedStatus>,
    /// What its workers have printed; none for an upstream.
    #[serde(default)]
    pub log: Option<LogStatus>,
}

/// A request that is refused for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedStatus {
    pub method: String,
    pub path: String,
    /// Deaths in a row at which it was in flight.
    pub deaths: u32,
    /// For how long it is still refused.
    pub left_s: f64,
}

/// The output of an app, since paster runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    pub stdout: StreamStatus,
    pub stderr: StreamStatus,
    /// Why the log cannot be written at present.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStatus {
    pub lines: u64,
    pub bytes: u64,
    /// Lines that the log did not take in time.
    pub dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    pub slot: u32,
    pub generation: u64,
    /// None until the program has been executed.
    pub pid: Option<u32>,
    /// `starting`, `ready`, `draining`, `stopping`.
    pub state: String,
    pub in_flight: u64,
    pub uptime_s: f64,
    /// Of the worker process alone.
    pub rss_bytes: Option<u64>,
    /// CPU time of the worker and all that it has started, ended ones included.
    pub cpu_s: Option<f64>,
    /// The last `STATUS=` of the worker.
    pub status: Option<String>,
    /// `good`, or what was wrong at its last health check; none if there was none.
    #[serde(default)]
    pub health: Option<String>,
}

/// Something that happened: a line of `paster events --json`. The log has the same in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up from 1 while paster runs.
    pub seq: u64,
    /// RFC 3339, UTC, with milliseconds: texts in the order of time.
    pub time: String,
    /// `debug`, `info`, `warn`, `error`, as in the log.
    pub level: String,
    /// What happened, e.g. `worker_ready`; docs/operations.md lists all kinds.
    pub kind: String,
    /// Null for what concerns the site.
    pub app: Option<String>,
    pub slot: Option<u64>,
    pub generation: Option<u64>,
    pub pid: Option<u64>,
    pub message: String,
    /// What else the line of the log says, by name.
    pub details: Map<String, Value>,
}
