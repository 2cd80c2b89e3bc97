//! `paster status`: what is, at this moment.

use super::Driver;
use super::app::{AppRun, Live};
use super::maintenance::maintenance;
use crate::control::protocol::{
    Answer, AppStatus, LogStatus, ProxyStatus, RefusedStatus, SCHEMA_VERSION, Status, StreamStatus,
    WithoutApp, WorkerStatus,
};
use crate::control::traffic::TrafficStatus;
use crate::logs;
use crate::plan::spec::AppKind;
use crate::reports::report::seconds;
use crate::supervise::machine::{AppState, Worker, WorkerId, WorkerState};
use crate::sys::usage;
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::oneshot;

impl Driver {
    /// Looks at what only we know here, and at what the kernel knows of processes beside this loop.
    pub(super) fn tell_status(&self, reply: oneshot::Sender<Answer>) {
        let mut status = self.status();
        let roots: Vec<Option<u32>> = self
            .numbers
            .values()
            .filter_map(|number| self.apps.get(number))
            .flat_map(|app| {
                let root = |(id, _)| app.live.get(&id).and_then(Live::root);
                app.machine.workers().map(root)
            })
            .collect();
        tokio::task::spawn_blocking(move || {
            measure(&mut status, &roots);
            let _ = reply.send(Answer::Status(Box::new(status)));
        });
    }

    fn status(&self) -> Status {
        let without_app = self.proxies.without_app();
        Status {
            schema_version: SCHEMA_VERSION,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.plan.config.to_string_lossy().into_owned(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            upgrades: self.upgrades,
            upgrade_error: self.last_upgrade_error.clone(),
            state_dir: self.site.state_dir.to_string_lossy().into_owned(),
            cpu_s: None,
            rss_bytes: None,
            listen: self
                .listeners
                .iter()
                .map(|bound| bound.info.address.clone())
                .collect(),
            urls: self
                .listeners
                .iter()
                .map(|bound| bound.info.url())
                .collect(),
            proxy: ProxyStatus {
                pid: self.proxies.pid(),
                cpu_s: None,
                rss_bytes: None,
                connections: self.proxies.stats().map(|stats| stats.connections).sum(),
                handshakes_failed: self
                    .proxies
                    .stats()
                    .map(|stats| stats.handshakes_failed)
                    .sum(),
                table_version: self.proxies.applied(),
                counted_s: self
                    .proxies
                    .counted()
                    .map(|at| at.duration_since(self.started).as_secs_f64()),
            },
            apps: self
                .numbers
                .values()
                .filter_map(|number| self.apps.get(number))
                .map(|app| self.app(app))
                .collect(),
            without_app: WithoutApp {
                requests: without_app.requests,
                traffic: TrafficStatus::from(&without_app),
            },
        }
    }

    fn app(&self, app: &AppRun) -> AppStatus {
        let name = &app.spec.name;
        let counted = || {
            self.proxies
                .stats()
                .filter_map(|stats| stats.apps.get(name))
        };
        let configured = self.plan.apps.get(name);
        let maintenance = maintenance(&self.plan, app);
        AppStatus {
            name: name.clone(),
            state: self.shown_state(app).name().to_owned(),
            maintenance: maintenance.is_some(),
            maintenance_message: maintenance.and_then(|maintenance| maintenance.message),
            mounts: app.spec.mounts.clone(),
            generation: app.machine.generation(),
            processes: app.machine.size(app.machine.generation()),
            max_processes: app.machine.most(),
            configured_processes: configured.map_or(0, |spec| spec.settings.processes),
            restarts: app.restarts,
            queued: counted().map(|stats| stats.queued).sum(),
            requests: app.requests_before + counted().map(|stats| stats.requests).sum::<u64>(),
            traffic: self.traffic(app),
            workers: app
                .machine
                .workers()
                .map(|(id, worker)| self.worker(app, id, worker))
                .collect(),
            unreachable: self.unreachable(app),
            last_death: app.last_death.as_ref().map(|death| death.what.clone()),
            last_report: app.last_report.clone(),
            refused: app
                .deadly
                .refused(Instant::now())
                .map(|refusal| RefusedStatus {
                    method: refusal.method,
                    path: refusal.path,
                    deaths: refusal.deaths,
                    left_s: seconds(refusal.pause),
                })
                .collect(),
            log: self.site.logs.status(name).map(log),
        }
    }

    /// Why nobody answers where an upstream should be. Of workers their own state tells.
    fn unreachable(&self, app: &AppRun) -> Option<String> {
        let is_upstream = matches!(app.spec.kind, AppKind::Upstream { .. });
        let why = || app.unreachable_why.clone().unwrap_or_default();
        (is_upstream && self.proxies.cannot_reach(app.machine.first_id())).then(why)
    }

    /// What proxies have counted, those that are gone included.
    fn traffic(&self, app: &AppRun) -> TrafficStatus {
        let mut sum = app.traffic_before.clone();
        let told = self.proxies.traffic_of(&app.spec.name);
        told.for_each(|traffic| sum.add(traffic));
        TrafficStatus::from(&sum)
    }

    fn worker(&self, app: &AppRun, id: WorkerId, worker: &Worker) -> WorkerStatus {
        let live = app.live.get(&id);
        let state = match worker.state {
            WorkerState::Ready { .. } if !self.is_within_reach(app, id) => "starting",
            state => worker_state_name(state),
        };
        WorkerStatus {
            slot: worker.slot,
            generation: worker.generation,
            pid: live.and_then(|live| live.pid),
            state: state.to_owned(),
            in_flight: self.proxies.in_flight_of(id),
            uptime_s: live.map_or(0.0, |live| live.started.elapsed().as_secs_f64()),
            rss_bytes: None,
            cpu_s: None,
            status: live.and_then(|live| live.status.clone()),
            health: live.and_then(|live| live.health.as_ref()).map(health),
        }
    }

    /// A proxy has the worker in its table, or had it there.
    fn is_within_reach(&self, app: &AppRun, id: WorkerId) -> bool {
        let named = app.live.get(&id).and_then(|live| live.first_named);
        named.is_some_and(|table| self.proxies.has_been_applied(table))
    }

    /// The table that is in force names workers of an earlier generation, which serve as long as it does.
    fn is_being_swapped(&self, app: &AppRun) -> bool {
        let mut earlier = app.machine.workers().filter(|(_, worker)| {
            let is_draining = matches!(worker.state, WorkerState::Draining { .. });
            is_draining && worker.generation < app.machine.generation()
        });
        earlier.any(|(id, _)| {
            let last_named = app.live.get(&id).map(|live| live.last_named);
            last_named.is_some_and(|last| !self.proxies.has_been_applied(last + 1))
        })
    }

    /// The state of an app as clients see it: a worker that is ready counts from the moment at which the proxy knows it.
    pub(super) fn shown_state(&self, app: &AppRun) -> AppState {
        let state = app.machine.state();
        if !matches!(state, AppState::Ready | AppState::Degraded) {
            return state;
        }
        if !app.spec.kind.has_workers() {
            let known = app
                .first_table
                .is_some_and(|table| self.proxies.has_been_applied(table));
            return if known { state } else { AppState::Starting };
        }
        let mut slots: BTreeMap<u32, bool> = BTreeMap::new();
        for (id, worker) in app.machine.workers() {
            if worker.is_ready() && worker.generation == app.machine.generation() {
                *slots.entry(worker.slot).or_default() |= self.is_within_reach(app, id);
            }
        }
        let within_reach = slots.values().filter(|within_reach| **within_reach).count();
        match within_reach {
            // Until the proxy knows the new workers, those serve that they replace.
            _ if self.is_being_swapped(app) => state,
            0 => AppState::Starting,
            some if some < slots.len() => AppState::Degraded,
            _ => state,
        }
    }
}

/// Adds what the kernel knows. All of a worker is below its root; they are in the order of the workers.
fn measure(status: &mut Status, roots: &[Option<u32>]) {
    status.cpu_s = usage::cpu_seconds(status.pid);
    status.rss_bytes = usage::rss_bytes(status.pid);
    status.proxy.cpu_s = status.proxy.pid.and_then(usage::cpu_seconds);
    status.proxy.rss_bytes = status.proxy.pid.and_then(usage::rss_bytes);
    let workers = status.apps.iter_mut().flat_map(|app| &mut app.workers);
    for (worker, root) in workers.zip(roots) {
        worker.rss_bytes = worker.pid.and_then(usage::rss_bytes);
        worker.cpu_s = root.and_then(usage::cpu_seconds_below);
    }
}

fn log(status: logs::Status) -> LogStatus {
    let stream = |counts: logs::Counts| StreamStatus {
        lines: counts.lines,
        bytes: counts.bytes,
        dropped: counts.dropped,
    };
    LogStatus {
        stdout: stream(status.stdout),
        stderr: stream(status.stderr),
        trouble: status.trouble,
    }
}

fn worker_state_name(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Starting { .. } | WorkerState::Proving { .. } => "starting",
        WorkerState::Ready { .. } => "ready",
        WorkerState::Draining { .. } => "draining",
        WorkerState::Stopping { .. } | WorkerState::Killed => "stopping",
    }
}

/// `good`, or what was wrong.
fn health(checked: &Result<(), String>) -> String {
    match checked {
        Ok(()) => "good".to_owned(),
        Err(why) => why.clone(),
    }
}
