//! The plan as data: all that a configuration asks for, validated, nothing left to interpret.

pub use super::log::{LineFormat, LogSettings, LogTo, Rotation};
use super::loggers::Loggers;
use crate::config::problem::Problem;
use crate::config::tree::{Node, Origin};
use crate::confine::Wanted;
use crate::confine::cgroup::Tree;
use crate::confine::verdict::Verdict;
use crate::router::access_log::AccessLog;
use crate::router::answers::{Answers, Page};
use crate::router::limits::ClientLimits;
use crate::router::message::{
    Certificate, ClientAuthorities, Handover, RouteNode, Sendfile, StaticFiles, WorkerAddress,
};
use crate::router::redirect::Redirect as PathRedirect;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything that `paster serve` needs to know about a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Absolute path of the file that was given.
    pub config: PathBuf,
    pub listen: Vec<Endpoint>,
    pub root: RouteNode,
    /// By name.
    pub apps: BTreeMap<String, AppSpec>,
    /// `[DEFAULT] debug`.
    pub debug: bool,
    pub trusted_proxy: Vec<String>,
    pub limits: ClientLimits,
    pub redirects: Vec<PathRedirect>,
    /// What `[isolate]` says about answers.
    pub answers: Answers,
    /// The files that `error_pages` name, by absolute path.
    pub pages: Arc<BTreeMap<String, Page>>,
    pub access_log: AccessLog,
    /// Where the tree was cut, and why not finer, in words for people.
    pub cuts: Vec<Cut>,
    pub warnings: Vec<Problem>,
    /// Every file that was read.
    pub files: Vec<PathBuf>,
}

impl Plan {
    /// The directories that the proxy reads files from.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let roots = self.apps.values().filter_map(|app| match &app.kind {
            AppKind::Static(files) => Some(files.root.clone()),
            AppKind::Python { .. } | AppKind::Exec { .. } | AppKind::Upstream { .. } => None,
        });
        let named = self.apps.values().flat_map(|app| &app.settings.sendfile);
        let named = named.map(|entry| entry.directory.clone());
        roots.chain(named).collect()
    }

    /// The control group hierarchies that its apps use.
    pub fn cgroup_trees(&self) -> impl Iterator<Item = &Tree> {
        self.apps
            .values()
            .filter_map(|app| app.confined.confinement.cgroup.as_ref())
            .flat_map(|cgroup| &cgroup.trees)
    }
}

/// An address, and how clients are spoken to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub listen: Listen,
    pub manner: Manner,
}

/// How clients are spoken to: what a server section says besides addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manner {
    /// The section, `server:main`.
    pub server: String,
    /// None: in the clear.
    pub tls: Option<Tls>,
    /// What it asks clients for; only with TLS.
    pub clients: Option<ClientAuthorities>,
    /// What apps are told although the connection is in the clear: somebody before us does TLS.
    pub claims_https: bool,
    /// Requests are sent away, to https.
    pub redirect: Option<Redirect>,
    pub proxy_protocol: bool,
}

impl Manner {
    /// `wsgi.url_scheme` of its requests.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() || self.claims_https {
            "https"
        } else {
            "http"
        }
    }
}

/// What a TLS server proves itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// A certificate of our own making that nobody trusts, for development.
    SelfSigned,
    /// Read from files; the first is for clients that name none of them.
    Certificates(Vec<Certificate>),
}

/// Where a plain listener sends its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirect {
    /// To the first TLS listener that there is.
    Ours,
    /// To this port.
    Port(u16),
}

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listen {
    /// `host` is a name or literal address; it may resolve to several addresses.
    Tcp { host: String, port: u16 },
    /// Path and permission bits.
    Unix { path: PathBuf, mode: u32 },
    /// Sockets that the service manager passes under this name.
    Passed { name: String },
}

/// One explanation for `paster check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// The section (or URI) of the node, e.g. `app:blog`.
    pub node: String,
    /// The app that it became or belongs to; none for a level that the proxy maps.
    pub app: Option<String>,
    pub why: String,
}

/// The resolved form of one app: one worker group.
#[derive(Debug, Clone, PartialEq)]
pub struct AppSpec {
    pub name: String,
    pub origin: Origin,
    pub kind: AppKind,
    /// Where it is visible, for people and `status`: `/blog`, `//ex.org/blog` (with a domain), `(not found)`.
    pub mounts: Vec<String>,
    pub handover: Handover,
    pub settings: Settings,
    /// What `settings.wanted` has become on this machine.
    pub confined: Verdict,
    /// Value of `debug` in the app's `global_conf`.
    pub debug: bool,
}

/// What runs.
#[derive(Debug, Clone, PartialEq)]
pub enum AppKind {
    /// Hosted by our Python host.
    Python {
        tree: Box<Node>,
        interpreter: PathBuf,
        /// Directories to put on `sys.path` (the INI file's first).
        python_path: Vec<PathBuf>,
        /// Of the INI file, if it has a `[loggers]` section.
        logging: Option<Loggers>,
    },
    /// Any program; placeholders (`{socket}` …) still in place.
    Exec { argv: Vec<String>, node: Box<Node> },
    /// Runs elsewhere, never spawned.
    Upstream { address: WorkerAddress },
    /// Files that the proxy serves; there is no process.
    Static(StaticFiles),
}

impl AppKind {
    /// Whether workers of it run here.
    pub fn has_workers(&self) -> bool {
        match self {
            AppKind::Python { .. } | AppKind::Exec { .. } => true,
            AppKind::Upstream { .. } | AppKind::Static(_) => false,
        }
    }
}

/// When a worker that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

/// How an app says that it can serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// `READY=1` if it comes, else the first successful connect.
    Auto,
    Notify,
    Accept,
    /// GET this path: 200 to 399.
    Http(String),
}

/// Policy of one app: `[isolate]` overlaid with `[isolate:NAME]`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    pub processes: u32,
    /// None: as `processes`.
    pub max_processes: Option<u32>,
    pub scale_down_after: Duration,
    pub threads: u32,
    /// Filters around the app, by name, outermost first. The tree of the app has them.
    pub filters: Vec<String>,
    /// Python workers are forked from a process that has loaded the app.
    pub preload: bool,
    pub ready: Readiness,
    pub start_timeout: Duration,
    pub min_healthy: Duration,
    pub drain_timeout: Duration,
    pub stop_timeout: Duration,
    pub request_timeout: Option<Duration>,
    pub watchdog: Option<Duration>,
    /// GET this path of each worker …
    pub health_path: Option<String>,
    /// … so often.
    pub health_interval: Duration,
    pub idle_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
    pub max_requests: Option<u64>,
    /// A worker may have up to so many requests more, at random.
    pub max_requests_jitter: u64,
    /// In bytes, of the worker process alone.
    pub max_memory: Option<u64>,
    /// A request's body is read to its end before a worker is taken; none: as suits the kind of app.
    pub request_buffering: Option<bool>,
    /// Directories of files that its answers may name.
    pub sendfile: Vec<Sendfile>,
    /// The proxy serves it, if it is one of `egg:Paste#static`.
    pub native_static: bool,
    /// Bytes of a request body.
    pub max_body: Option<u64>,
    /// Clients get 503 while the workers live on …
    pub maintenance: bool,
    /// … but not those in these networks.
    pub maintenance_allow: Vec<String>,
    /// When they may ask again.
    pub maintenance_retry_after: Duration,
    /// What the proxy does with answers.
    pub answers: Answers,
    /// The proxy takes part in traces; so many of a million of those that begin here are sampled.
    pub traced: Option<u32>,
    /// Its requests are kept out of the access log.
    pub unlogged: bool,
    pub queue: usize,
    pub queue_timeout: Duration,
    pub restart: Restart,
    pub restart_delay: Duration,
    pub restart_max_delay: Duration,
    pub crash_limit: u32,
    pub crash_window: Duration,
    /// Deaths in a row at which a request that was in flight is refused.
    pub deadly_requests: Option<u32>,
    /// For how long at first.
    pub deadly_pause: Duration,
    /// Crash reports that are kept.
    pub keep_reports: u32,
    /// Working directory of the workers; none: paster's own, as with the original.
    pub directory: Option<PathBuf>,
    /// Absolute patterns of files; a change among them replaces the workers.
    pub watch: Vec<String>,
    /// Added to paster's own environment.
    pub environment: BTreeMap<String, String>,
    /// Numeric ids, looked up while planning.
    pub user: Option<User>,
    pub umask: Option<u32>,
    pub nice: Option<i32>,
    /// `limit_*`: resource name (`nofile` …) to soft and hard limit; none is unlimited.
    pub limits: BTreeMap<String, Option<u64>>,
    pub no_new_privileges: bool,
    pub isolation: Isolation,
    /// What the kernel is to keep the workers from.
    pub wanted: Wanted,
    pub log: LogSettings,
}

/// What happens where this machine cannot give what `wanted` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// The configuration is refused.
    #[default]
    Require,
    /// The app is served without it.
    Warn,
}

/// The identity of an app's workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups (initgroups).
    pub groups: Vec<u32>,
}

impl AppSpec {
    /// A request's body is read to its end before a worker is taken.
    pub fn buffers_requests(&self) -> bool {
        let suits = matches!(self.kind, AppKind::Python { .. });
        self.settings.request_buffering.unwrap_or(suits)
    }

    /// Its workers are forked from a template.
    pub fn is_preloaded(&self) -> bool {
        self.settings.preload && matches!(self.kind, AppKind::Python { .. })
    }
}

impl Settings {
    /// The most processes that there may be: also where `processes` was raised while it ran.
    pub fn most_processes(&self) -> u32 {
        self.max_processes.unwrap_or(0).max(self.processes)
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            processes: 1,
            max_processes: None,
            scale_down_after: Duration::from_secs(60),
            threads: 4,
            filters: Vec::new(),
            preload: false,
            ready: Readiness::Auto,
            start_timeout: Duration::from_secs(60),
            min_healthy: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(10),
            request_timeout: None,
            watchdog: None,
            health_path: None,
            health_interval: Duration::from_secs(10),
            idle_timeout: None,
            max_lifetime: None,
            max_requests: None,
            max_requests_jitter: 0,
            max_memory: None,
            request_buffering: None,
            sendfile: Vec::new(),
            native_static: true,
            max_body: None,
            maintenance: false,
            maintenance_allow: Vec::new(),
            maintenance_retry_after: Duration::from_secs(60),
            answers: Answers::default(),
            traced: None,
            unlogged: false,
            queue: 1000,
            queue_timeout: Duration::from_secs(30),
            restart: Restart::Always,
            restart_delay: Duration::from_millis(100),
            restart_max_delay: Duration::from_secs(30),
            crash_limit: 5,
            crash_window: Duration::from_secs(60),
            deadly_requests: Some(2),
            deadly_pause: Duration::from_secs(5),
            keep_reports: 20,
            directory: None,
            watch: Vec::new(),
            environment: BTreeMap::new(),
            user: None,
            umask: None,
            nice: None,
            limits: BTreeMap::new(),
            no_new_privileges: true,
            isolation: Isolation::default(),
            wanted: Wanted::default(),
            log: LogSettings::default(),
        }
    }
}
