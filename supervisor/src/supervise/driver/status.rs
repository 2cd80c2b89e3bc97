//! `paster status`: what is, at this moment.

use super::Driver;
use super::app::AppRun;
use crate::control::protocol::{
    AppStatus, ProxyStatus, RefusedStatus, SCHEMA_VERSION, Status, WorkerStatus,
};
use crate::reports::report::seconds;
use crate::supervise::machine::{Worker, WorkerId, WorkerState};
use crate::sys::proctree;
use std::time::Instant;

impl Driver {
    pub(super) fn status(&self) -> Status {
        Status {
            schema_version: SCHEMA_VERSION,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.plan.config.to_string_lossy().into_owned(),
            uptime_s: self.started.elapsed().as_secs_f64(),
            upgrades: self.upgrades,
            upgrade_error: self.last_upgrade_error.clone(),
            state_dir: self.site.state_dir.to_string_lossy().into_owned(),
            listen: self
                .listeners
                .iter()
                .map(|bound| bound.info.address.clone())
                .collect(),
            proxy: ProxyStatus {
                pid: self.proxies.pid(),
                connections: self.proxies.stats().map(|stats| stats.connections).sum(),
                table_version: self.proxies.applied(),
            },
            apps: self
                .numbers
                .values()
                .filter_map(|number| self.apps.get(number))
                .map(|app| self.app(app))
                .collect(),
        }
    }

    fn app(&self, app: &AppRun) -> AppStatus {
        let name = &app.spec.name;
        let counted = || {
            self.proxies
                .stats()
                .filter_map(|stats| stats.apps.get(name))
        };
        AppStatus {
            name: name.clone(),
            state: app.machine.state().name().to_owned(),
            mounts: app.spec.mounts.clone(),
            generation: app.machine.generation(),
            processes: app.machine.size(app.machine.generation()),
            max_processes: app.machine.most(),
            restarts: app.restarts,
            queued: counted().map(|stats| stats.queued).sum(),
            requests: app.requests_before + counted().map(|stats| stats.requests).sum::<u64>(),
            workers: app
                .machine
                .workers()
                .map(|(id, worker)| self.worker(app, id, worker))
                .collect(),
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
        }
    }

    fn worker(&self, app: &AppRun, id: WorkerId, worker: &Worker) -> WorkerStatus {
        let live = app.live.get(&id);
        let pid = live.and_then(|live| live.pid);
        WorkerStatus {
            slot: worker.slot,
            generation: worker.generation,
            pid,
            state: worker_state_name(worker.state).to_owned(),
            in_flight: self.proxies.in_flight_of(id),
            uptime_s: live.map_or(0.0, |live| live.started.elapsed().as_secs_f64()),
            rss_bytes: pid.and_then(proctree::rss_bytes),
            status: live.and_then(|live| live.status.clone()),
            health: live.and_then(|live| live.health.as_ref()).map(health),
        }
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
