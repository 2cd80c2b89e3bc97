//! `paster status --json`, typed as a user's script would type it (docs/cli.md); unknown fields are ignored.

use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) schema_version: u32,
    pub(crate) pid: u32,
    pub(crate) version: String,
    pub(crate) config: String,
    pub(crate) uptime_s: f64,
    pub(crate) upgrades: u64,
    pub(crate) cpu_s: Option<f64>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) listen: Vec<String>,
    pub(crate) proxy: Proxy,
    pub(crate) apps: Vec<App>,
    /// Requests that have reached none.
    pub(crate) without_app: serde_json::Value,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Proxy {
    pub(crate) pid: Option<u32>,
    pub(crate) cpu_s: Option<f64>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) connections: u64,
    pub(crate) handshakes_failed: u64,
    pub(crate) table_version: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) mounts: Vec<String>,
    pub(crate) generation: u64,
    pub(crate) processes: u32,
    pub(crate) max_processes: u32,
    pub(crate) configured_processes: u32,
    pub(crate) restarts: u64,
    pub(crate) queued: u64,
    pub(crate) requests: u64,
    pub(crate) workers: Vec<Worker>,
    pub(crate) unreachable: Option<String>,
    pub(crate) last_death: Option<String>,
    pub(crate) log: Option<Log>,
    pub(crate) last_report: Option<String>,
    pub(crate) refused: Vec<Refused>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refused {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) deaths: u32,
    pub(crate) left_s: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Log {
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
    pub(crate) trouble: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Stream {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) dropped: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Worker {
    pub(crate) slot: u32,
    pub(crate) generation: u64,
    pub(crate) pid: Option<u32>,
    pub(crate) state: String,
    pub(crate) in_flight: u64,
    pub(crate) uptime_s: f64,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) cpu_s: Option<f64>,
    pub(crate) status: Option<String>,
    pub(crate) health: Option<String>,
}

impl Status {
    /// The app of this name; a test asks only for apps that it has configured.
    pub(crate) fn app(&self, name: &str) -> &App {
        self.find(name)
            .unwrap_or_else(|| panic!("no app `{name}` in {self:#?}"))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.name == name)
    }
}

impl App {
    /// Every wanted worker serves.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == "ready"
    }

    /// Counts of what its workers have printed.
    pub(crate) fn log(&self) -> &Log {
        self.log
            .as_ref()
            .expect("an app with workers has an output")
    }

    /// Pids of the workers that serve, sorted.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self
            .workers
            .iter()
            .filter(|worker| worker.state == "ready")
            .filter_map(|worker| worker.pid)
            .collect();
        pids.sort_unstable();
        pids
    }

    /// The pid of the one worker that serves.
    pub(crate) fn pid(&self) -> u32 {
        match self.pids()[..] {
            [pid] => pid,
            ref pids => panic!("one worker of `{}` should serve, not {pids:?}", self.name),
        }
    }
}
