//! What the log and the events say of an app.

use super::AppRun;
use crate::control::kinds;
use crate::reports::report::Kind;
use crate::supervise::driver::deaths::{Draft, decision};
use crate::supervise::driver::ending::Ending;
use crate::supervise::machine::{Report, describe};
use crate::supervise::scaling::Change;
use std::time::{Duration, Instant};
use tracing::field::display;

const CRASH_LOOP: &str = "crash loop: requests get 503 until a worker is ready again; \
                          correct the cause, then `paster restart` starts it at once";

impl AppRun {
    /// Logs what happened; a death is kept for error pages and `status`.
    pub(in super::super) fn tell(&mut self, report: &Report, draft: Option<&Draft>) {
        let app = self.spec.name.clone();
        let what = draft.map_or("", |draft| draft.report.what.as_str());
        let name = draft.and_then(Draft::name).map(display);
        if let Some(draft) = draft {
            self.note_death(draft);
        }
        match report {
            Report::Ready { id } => {
                self.crash_loop_told = false;
                let Some(live) = self.live.get_mut(id) else {
                    return;
                };
                live.note("healthy, serves");
                tracing::info!(
                    name: kinds::WORKER_READY,
                    %app,
                    slot = live.slot,
                    generation = live.generation,
                    pid = live.pid,
                    duration_ms = super::super::millis(live.started.elapsed()),
                    "worker ready"
                );
            }
            Report::Crashed { delay, failed, .. } => {
                let ending = self.last_ending.as_ref();
                tracing::warn!(
                    name: kinds::WORKER_CRASHED,
                    %app,
                    slot = ending.map(|ending| ending.slot),
                    generation = ending.map(|ending| ending.generation),
                    pid = ending.and_then(|ending| ending.pid),
                    report = name,
                    "{what}; {}",
                    decision(*delay, *failed)
                );
                self.failed_start(*delay, *failed);
            }
            Report::SpawnFailed { delay, failed, .. } => {
                let ending = self.last_ending.as_ref();
                tracing::error!(
                    name: kinds::WORKER_NOT_STARTED,
                    %app,
                    slot = ending.map(|ending| ending.slot),
                    generation = ending.map(|ending| ending.generation),
                    report = name,
                    "{what}; {}",
                    decision(*delay, *failed)
                );
                self.failed_start(*delay, *failed);
            }
            Report::StartTimeout {
                id,
                timeout,
                was_ready,
                delay,
                failed,
            } => {
                let what = if *was_ready { "healthy" } else { "ready" };
                let why = format!("was not {what} within {timeout:?}");
                let next = decision(*delay, *failed);
                let sentence = self.condemn(*id, Kind::StartTimeout, why, next.clone());
                let name = sentence.and_then(|sentence| sentence.report.clone());
                if let Some(live) = self.live.get(id) {
                    self.last_ending = Some(Ending::of(*id, live, None, None, Instant::now()));
                    tracing::error!(
                        name: kinds::WORKER_NOT_READY,
                        %app,
                        slot = live.slot,
                        generation = live.generation,
                        pid = live.pid,
                        ?timeout,
                        status = live.last_step(),
                        report = name.map(display),
                        "worker not {what} in time; it is killed; {next}"
                    );
                }
                self.failed_start(*delay, *failed);
            }
            Report::DrainTimeout { id } => {
                let live = self.live.get(id);
                tracing::warn!(
                    name: kinds::DRAIN_TIMEOUT,
                    %app,
                    slot = live.map(|live| live.slot),
                    generation = live.map(|live| live.generation),
                    pid = live.and_then(|live| live.pid),
                    "requests did not finish within the drain timeout; the worker is stopped"
                );
            }
            Report::StopTimeout { id } => {
                let live = self.live.get(id);
                tracing::warn!(
                    name: kinds::STOP_TIMEOUT,
                    %app,
                    slot = live.map(|live| live.slot),
                    generation = live.map(|live| live.generation),
                    pid = live.and_then(|live| live.pid),
                    "worker ignored SIGTERM; it is killed"
                );
            }
            Report::GaveUp { .. } => {
                tracing::error!(
                    name: kinds::APP_FAILED,
                    %app,
                    report = name,
                    "{what}; it is not started again until it is restarted or changed"
                );
            }
            Report::Hung {
                id,
                why,
                delay,
                failed,
            } => {
                let next = decision(*delay, *failed);
                let sentence = self.condemn(*id, Kind::Hang, why.clone(), next);
                let name = sentence.and_then(|sentence| sentence.report.clone());
                if let Some(live) = self.live.get(id) {
                    tracing::error!(
                        name: kinds::WORKER_HUNG,
                        app,
                        slot = live.slot,
                        generation = live.generation,
                        pid = live.pid,
                        report = name.map(display),
                        "worker hangs: it {why}; it is replaced"
                    );
                }
                self.failed_start(*delay, *failed);
            }
            Report::Recycling { id, why } => {
                let live = self.live.get(id);
                tracing::info!(
                    name: kinds::WORKER_RECYCLED,
                    app,
                    slot = live.map(|live| live.slot),
                    generation = live.map(|live| live.generation),
                    pid = live.and_then(|live| live.pid),
                    "worker {why}; its successor is started"
                );
            }
            Report::Asleep => tracing::info!(
                name: kinds::APP_ASLEEP,
                app,
                "idle: no process until a request comes"
            ),
            Report::Scaled(Change { from, to }) => {
                let what = if to > from {
                    "requests wait: more processes are started"
                } else {
                    "fewer processes are enough"
                };
                tracing::info!(name: kinds::APP_SCALED, app, from, to, "{what}");
            }
            Report::Woken => {
                tracing::debug!(name: kinds::APP_WOKEN, app, "a request came: it is started");
            }
            Report::Stopped { exit, .. } => {
                let ending = self.last_ending.as_ref();
                tracing::info!(
                    name: kinds::WORKER_STOPPED,
                    %app,
                    slot = ending.map(|ending| ending.slot),
                    generation = ending.map(|ending| ending.generation),
                    pid = ending.and_then(|ending| ending.pid),
                    report = name,
                    exit = %describe(*exit),
                    "worker stopped"
                );
            }
        }
    }

    /// Counts what is started again, and says once that this goes on and on.
    fn failed_start(&mut self, delay: Option<Duration>, failed: bool) {
        if delay.is_some() {
            self.restarts += 1;
        }
        if failed && !std::mem::replace(&mut self.crash_loop_told, true) {
            tracing::error!(name: kinds::APP_FAILED, app = %self.spec.name, "{CRASH_LOOP}");
        }
    }
}
