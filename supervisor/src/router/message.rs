//! Messages between supervisor and proxy: one JSON object per line over an inherited socketpair.
//!
//! The supervisor says *what is* by whole, versioned tables; the proxy answers with acknowledgements,
//! demands and statistics. The proxy never learns how things came to be.

use super::access_log::AccessLog;
use super::answers::{Answers, Page};
use super::limits::ClientLimits;
use super::redirect::Redirect;
use super::traffic::Traffic;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// First argument of the program in the role of the proxy.
pub const PROXY_ROLE: &str = "proxy-process";

/// Descriptor of the socketpair in the proxy process; listeners follow from 4.
pub const CONTROL_FD: i32 = 3;

/// Unique for the life of a supervisor: no two workers ever share one, whatever their app or slot.
pub type WorkerId = u64;

/// Supervisor to proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToProxy {
    /// First message, once: what does not change during the life of this proxy.
    Hello(Hello),
    /// What TLS listeners prove themselves with from now on, by [`Greeting::tls`]. Connections that there are live on. Not sent
    /// where nobody listens with TLS.
    Certificates(BTreeMap<String, TlsServer>),
    /// Everything that is served from now on.
    Table(Table),
    /// Another proxy accepts from now on: serve the connections that there are, say `Connection: close` with their next answer,
    /// and exit 0 with the last one, however long that takes.
    Retire,
    /// Stop accepting, finish what is in flight, then exit 0; at the deadline exit anyway.
    Shutdown { drain_ms: u64 },
    /// Open the access log file again (after rotation).
    ReopenLogs,
}

/// What a proxy must know before it accepts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The listeners that were passed from descriptor 4, in that order.
    pub listeners: Vec<ListenerInfo>,
    /// Become this user before anything else; none when the supervisor is not privileged.
    pub run_as: Option<RunAs>,
    pub access_log: AccessLog,
    /// The directories that files are served from, absolute.
    #[serde(default)]
    pub directories: BTreeSet<PathBuf>,
}

/// Numeric identity to switch to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    pub uid: u32,
    pub gid: u32,
}

/// One inherited listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// As shown to people: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/site.sock`.
    pub address: String,
    /// `http` or `https`: `wsgi.url_scheme`, and the default port of urlmap domains.
    pub scheme: String,
    /// SERVER_NAME and SERVER_PORT for requests on this listener.
    pub server_name: String,
    pub server_port: u16,
    #[serde(default)]
    pub greeting: Greeting,
}

impl ListenerInfo {
    /// For people to click on; a unix socket has none, so it is its address.
    pub fn url(&self) -> String {
        let tls = self.greeting.tls.is_some();
        match (self.address.starts_with("unix:"), tls) {
            (true, false) => self.address.clone(),
            (true, true) => format!("{} (TLS)", self.address),
            (false, false) => format!("http://{}/", self.address),
            (false, true) => format!("https://{}/", self.address),
        }
    }
}

/// What comes before the first request on a listener, or instead of an answer by an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Greeting {
    /// Each connection begins with a header of the PROXY protocol. Only peers in [`Table::trusted_proxy`] may connect.
    pub proxy_protocol: bool,
    /// TLS, with the certificates that [`ToProxy::Certificates`] has under this name.
    pub tls: Option<String>,
    /// All requests are sent to the same target by `https` at this port.
    pub redirect: Option<u16>,
}

impl Greeting {
    /// Whether anything precedes the first request.
    pub fn comes_first(&self) -> bool {
        self.proxy_protocol || self.tls.is_some()
    }
}

/// What a TLS server has, and what it asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsServer {
    /// The first is for clients that name none of them.
    pub certificates: Vec<Certificate>,
    /// None: clients are asked for nothing.
    pub clients: Option<ClientAuthorities>,
}

/// Whose certificates clients have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientAuthorities {
    /// DER.
    pub authorities: Vec<Vec<u8>>,
    /// Lists of the certificates that they have taken back, DER. Where there are any, a certificate must be known not to be on one.
    pub revoked: Vec<Vec<u8>>,
    /// Nobody is let in without one.
    pub required: bool,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The names that it is for, in lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// DER, its own first.
    pub chain: Vec<Vec<u8>>,
    pub key: PrivateKey,
}

/// A private key (DER). It is told to the proxy and to nobody else, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(pub Vec<u8>);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

/// The route table: immutable, replaced whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Grows by at least one with each table of a supervisor.
    pub version: u64,
    pub root: RouteNode,
    pub apps: BTreeMap<String, App>,
    /// `[DEFAULT] debug` of the served file: error pages say what died and how.
    pub debug: bool,
    /// Networks (CIDR) whose `X-Forwarded-*` and `Forwarded` are believed; `unix` for clients on unix listeners.
    pub trusted_proxy: Vec<String>,
    #[serde(default)]
    pub limits: ClientLimits,
    /// Looked at before `root`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<Redirect>,
    /// What is done with answers that no app is concerned with.
    #[serde(default, skip_serializing_if = "Answers::is_off")]
    pub answers: Box<Answers>,
    /// What `pages` of answers name.
    #[serde(default)]
    pub pages: Arc<BTreeMap<String, Page>>,
}

/// One level of routing. Levels are matched one after the other, as nested urlmaps are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "node", rename_all = "snake_case")]
pub enum RouteNode {
    App {
        app: String,
    },
    Map {
        /// In matching order.
        routes: Vec<Route>,
        not_found: Option<Box<RouteNode>>,
        /// False for a map whose apps see the request *unshifted* because filters above the map were
        /// built again inside each of them (fan-out): SCRIPT_NAME and PATH_INFO stay those of this level.
        shift: bool,
    },
}

/// An entry of a map. Matching: exactly `paste.urlmap`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Lower-cased `host` or `host:port`.
    pub domain: Option<String>,
    /// Without trailing slash; UTF-8 bytes are compared with the decoded path.
    pub prefix: String,
    pub to: RouteNode,
}

/// An app as the proxy sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub serving: Serving,
    /// Whatever that is, clients get 503.
    #[serde(default)]
    pub maintenance: Option<Maintenance>,
    pub handover: Handover,
    /// The ready workers, and only those.
    pub workers: Vec<Worker>,
    /// Requests that may wait for a worker.
    pub queue: usize,
    /// How long one may wait, in milliseconds; then 503.
    pub queue_timeout_ms: u64,
    /// 504 after this time without a response head, in milliseconds; none: no limit.
    pub request_timeout_ms: Option<u64>,
    /// A request's body is read to its end before a worker is taken.
    #[serde(default)]
    pub buffering: bool,
    /// Bytes of a request body; more is answered with 413. None: no limit.
    #[serde(default)]
    pub max_body: Option<u64>,
    /// What is done with its answers; mostly nothing.
    #[serde(default, skip_serializing_if = "Answers::is_off")]
    pub answers: Answers,
    /// The proxy takes part in traces (W3C Trace Context); so many of a million of those that begin here are sampled. None: what
    /// clients say of traces is passed on as it is.
    #[serde(default)]
    pub traced: Option<u32>,
    /// Its requests are kept out of the access log.
    #[serde(default)]
    pub unlogged: bool,
    /// It may get more processes: say soon when requests wait.
    #[serde(default)]
    pub scales: bool,
    /// The last death of a worker of this app, for error pages under `debug`.
    pub last_death: Option<Death>,
    /// Requests that were in flight when a worker died; mostly none.
    #[serde(default)]
    pub suspects: Vec<Suspect>,
    /// Where the files are that answers may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sendfile: Vec<Sendfile>,
    /// Served by the proxy itself: there are no workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<StaticFiles>,
}

/// A directory whose files the answers of an app may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sendfile {
    /// Of the values of `X-Accel-Redirect` that lead there. None: only `X-Sendfile` does.
    pub prefix: Option<String>,
    /// Absolute; one of [`Hello::directories`].
    pub directory: PathBuf,
}

/// A directory whose files are an app, as `paste.urlparser.StaticURLParser` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticFiles {
    /// Absolute; one of [`Hello::directories`].
    pub root: PathBuf,
    /// Seconds for Cache-Control and Expires, above 0.
    pub cache_max_age: Option<u64>,
}

/// An app that is closed to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// What they are told.
    pub message: Option<String>,
    /// When they may ask again.
    pub retry_after_s: u64,
    /// Networks (CIDR) whose clients are served all the same; `unix` for those on unix listeners.
    pub allow: Vec<String>,
}

/// A request that may be deadly. An answer to it is told by [`FromProxy::Answered`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    pub method: String,
    /// As clients send it, without the query.
    pub path: String,
    /// Deaths in a row at which it was in flight.
    pub deaths: u32,
    /// It gets 503 for so long, counted from this table; when that is over it is sent once and not repeated. None: it is
    /// only watched.
    pub refused_ms: Option<u64>,
}

/// What happens to a request when no worker is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Serving {
    /// Workers are or will be there: wait in the queue.
    Up,
    /// On demand and asleep: wait, and tell the supervisor ([`FromProxy::Wanted`]).
    Idle,
    /// In a crash loop: 503 at once with Retry-After.
    Failed { retry_after_s: u64 },
    /// Stopped by hand: 503 at once.
    Stopped,
}

/// How the request is handed to the app's workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handover {
    /// Our Python host: original target, and the `Paster-Environ` field (docs/worker-contract.md).
    Environ,
    /// Target without the mount prefix, `X-Script-Name`, `X-Forwarded-*`.
    Strip,
    /// Original target, `X-Script-Name`, `X-Forwarded-*` (`strip_prefix = off`).
    Keep,
}

/// A ready worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    pub id: WorkerId,
    pub slot: u32,
    pub generation: u64,
    pub pid: u32,
    pub address: WorkerAddress,
    /// Requests that it may be given at the same time.
    pub max_in_flight: usize,
}

/// Where a worker listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerAddress {
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

impl std::fmt::Display for WorkerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WorkerAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            WorkerAddress::Tcp(address) => f.write_str(address),
        }
    }
}

/// How a worker ended, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    pub worker: WorkerId,
    /// e.g. `worker 0 of blog (pid 4120) was killed by signal 11 (SIGSEGV) after 4.2s`
    pub what: String,
    pub last_output: Vec<String>,
}

/// Proxy to supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromProxy {
    /// The proxy accepts connections; sent once, after the first table.
    Ready,
    /// This table is in force: no new request goes to a worker that it does not name.
    Applied { version: u64 },
    /// A worker that the table in force does not name has nothing in flight any more.
    Drained { worker: WorkerId },
    /// Connecting to a ready worker failed.
    Unreachable { worker: WorkerId, error: String },
    /// A request waits for an app that has no process.
    Wanted { app: String },
    /// A request was over its time; the client has its 504.
    TimedOut { worker: WorkerId, request: InFlight },
    /// The worker closed the connection before its answer was complete. If it has died, this was in flight then; told
    /// before [`FromProxy::Drained`].
    Lost { worker: WorkerId, request: InFlight },
    /// A suspect of the table in force was answered; told once for each table.
    Answered {
        app: String,
        method: String,
        path: String,
    },
    /// A directory of [`Hello::directories`] is another one by now, which this proxy may not read. At most once a second.
    DirectoryReplaced { directory: PathBuf },
    /// Once a second while anything changed; sooner while requests wait for an app that scales.
    Stats(Stats),
}

/// A request that a worker has, or had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    pub method: String,
    /// As the client sent it, without the query.
    pub path: String,
    /// X-Request-Id.
    pub id: Option<String>,
    pub age_ms: u64,
    /// Its answer had begun.
    pub answering: bool,
}

/// Counters since the start of the proxy; gauges of now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub connections: u64,
    /// TLS connections that did not come about.
    #[serde(default)]
    pub handshakes_failed: u64,
    pub apps: BTreeMap<String, AppStats>,
    /// What the requests of apps came to; only of those for which it has changed since it was last told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traffic: BTreeMap<String, Traffic>,
    /// What became of requests that have reached no app; only if it has changed since it was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_app: Option<Box<Traffic>>,
    /// Workers of the table in force. A list: JSON has no numeric keys.
    pub workers: Vec<WorkerStats>,
}

/// Per worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStats {
    pub id: WorkerId,
    pub in_flight: u64,
    /// Requests that it was given.
    pub requests: u64,
    /// The last try to connect to it has failed, and it has not answered since.
    #[serde(default)]
    pub unreachable: bool,
}

/// Per app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStats {
    pub requests: u64,
    pub queued: u64,
    /// How long the first of those has waited.
    #[serde(default)]
    pub waited_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_survive_the_way_through_json() {
        let stats = FromProxy::Stats(Stats {
            connections: 1,
            workers: vec![WorkerStats {
                id: 1 << 32,
                in_flight: 2,
                requests: 3,
                unreachable: true,
            }],
            ..Stats::default()
        });
        let line = serde_json::to_string(&stats).expect("serialised");
        assert_eq!(
            serde_json::from_str::<FromProxy>(&line).expect("read back"),
            stats
        );
    }
}
