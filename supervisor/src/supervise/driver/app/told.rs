//! What the log and the events say of an app.

use super::{AppRun, Live};
use crate::control::kinds;
use crate::reports::report::Kind;
use crate::supervise::driver::deaths::{Draft, decision};
use crate::supervise::driver::ending::Ending;
use crate::supervise::machine::{Next, Report, WorkerId, describe};
use crate::supervise::scaling::Change;
use std::time::{Duration, Instant};
use tracing::field::{DisplayValue, display};

const CRASH_LOOP: &str = "crash loop: requests get 503 until a worker is ready again; \
                          correct the cause, then `paster restart` starts it at once";

/// Which worker a line is about, as far as it is known.
#[derive(Default)]
struct Whose {
    slot: Option<u32>,
    generation: Option<u64>,
    pid: Option<u32>,
}

impl From<&Live> for Whose {
    fn from(live: &Live) -> Whose {
        Whose {
            slot: Some(live.slot),
            generation: Some(live.generation),
            pid: live.pid,
        }
    }
}

impl From<&Ending> for Whose {
    fn from(ending: &Ending) -> Whose {
        Whose {
            slot: Some(ending.slot),
            generation: Some(ending.generation),
            pid: ending.pid,
        }
    }
}

/// A line, and an event, about a worker.
macro_rules! tell_of {
    ($level:ident, $kind:expr, $app:expr, $whose:expr, $($rest:tt)+) => {
        tracing::$level!(
            name: $kind,
            app = %$app,
            slot = $whose.slot,
            generation = $whose.generation,
            pid = $whose.pid,
            $($rest)+
        )
    };
}

impl AppRun {
    /// Logs what happened; a death is kept for error pages and `status`.
    pub(in super::super) fn tell(&mut self, report: &Report, draft: Option<&Draft>) {
        if let Some(draft) = draft {
            self.note_death(draft);
        }
        match report {
            Report::Ready { id } => self.tell_ready(*id),
            Report::Crashed { next, .. } => {
                self.tell_crash(draft, *next);
                self.failed_start(*next);
            }
            Report::SpawnFailed { next, .. } => {
                self.tell_not_started(draft, *next);
                self.failed_start(*next);
            }
            Report::StartTimeout {
                id,
                timeout,
                was_ready,
                next,
            } => {
                self.tell_not_ready(*id, *timeout, *was_ready, *next);
                self.failed_start(*next);
            }
            Report::Hung { id, why, next } => {
                self.tell_hang(*id, why, *next);
                self.failed_start(*next);
            }
            Report::GaveUp { .. } => {
                let (what, report) = of_draft(draft);
                tracing::error!(
                    name: kinds::APP_FAILED,
                    app = %self.spec.name,
                    report,
                    "{what}; it is not started again until it is restarted or changed"
                );
            }
            Report::DrainTimeout { id } => tell_of!(
                warn,
                kinds::DRAIN_TIMEOUT,
                self.spec.name,
                self.whose(*id),
                "requests did not finish within the drain timeout; the worker is stopped"
            ),
            Report::StopTimeout { id } => tell_of!(
                warn,
                kinds::STOP_TIMEOUT,
                self.spec.name,
                self.whose(*id),
                "worker ignored SIGTERM; it is killed"
            ),
            Report::Recycling { id, why } => tell_of!(
                info,
                kinds::WORKER_RECYCLED,
                self.spec.name,
                self.whose(*id),
                "worker {why}; its successor is started"
            ),
            Report::Stopped { exit, .. } => tell_of!(
                info,
                kinds::WORKER_STOPPED,
                self.spec.name,
                self.whose_end(),
                report = of_draft(draft).1,
                exit = %describe(*exit),
                "worker stopped"
            ),
            Report::Scaled(change) => self.tell_scaled(*change),
            Report::Asleep => {
                tracing::info!(name: kinds::APP_ASLEEP, app = %self.spec.name, "idle: no process until a request comes");
            }
            Report::Woken => {
                tracing::debug!(name: kinds::APP_WOKEN, app = %self.spec.name, "a request came: it is started");
            }
        }
    }

    fn tell_ready(&mut self, id: WorkerId) {
        self.crash_loop_told = false;
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.note("healthy, serves");
        tell_of!(
            info,
            kinds::WORKER_READY,
            self.spec.name,
            Whose::from(&*live),
            duration_ms = super::super::millis(live.started.elapsed()),
            "worker ready"
        );
    }

    fn tell_crash(&self, draft: Option<&Draft>, next: Next) {
        let (what, report) = of_draft(draft);
        tell_of!(
            warn,
            kinds::WORKER_CRASHED,
            self.spec.name,
            self.whose_end(),
            report,
            "{what}; {}",
            decision(next)
        );
    }

    fn tell_not_started(&self, draft: Option<&Draft>, next: Next) {
        let (what, report) = of_draft(draft);
        tell_of!(
            error,
            kinds::WORKER_NOT_STARTED,
            self.spec.name,
            self.whose_end(),
            report,
            "{what}; {}",
            decision(next)
        );
    }

    fn tell_not_ready(&mut self, id: WorkerId, timeout: Duration, was_ready: bool, next: Next) {
        let what = if was_ready { "healthy" } else { "ready" };
        let why = format!("was not {what} within {timeout:?}");
        let next = decision(next);
        let sentence = self.condemn(id, Kind::StartTimeout, why, next.clone());
        let report = sentence.and_then(|sentence| sentence.report.clone().map(display));
        if let Some(live) = self.live.get(&id) {
            self.last_ending = Some(Ending::of(id, live, None, None, Instant::now()));
            tell_of!(
                error,
                kinds::WORKER_NOT_READY,
                self.spec.name,
                Whose::from(live),
                ?timeout,
                status = live.last_step(),
                report,
                "worker not {what} in time; it is killed; {next}"
            );
        }
    }

    fn tell_hang(&mut self, id: WorkerId, why: &str, next: Next) {
        let sentence = self.condemn(id, Kind::Hang, why.to_owned(), decision(next));
        let report = sentence.and_then(|sentence| sentence.report.clone().map(display));
        if let Some(live) = self.live.get(&id) {
            tell_of!(
                error,
                kinds::WORKER_HUNG,
                self.spec.name,
                Whose::from(live),
                report,
                "worker hangs: it {why}; it is replaced"
            );
        }
    }

    fn tell_scaled(&self, Change { from, to }: Change) {
        let what = if to > from {
            "requests wait: more processes are started"
        } else {
            "fewer processes are enough"
        };
        tracing::info!(name: kinds::APP_SCALED, app = %self.spec.name, from, to, "{what}");
    }

    /// Counts what is started again, and says once that this goes on and on.
    fn failed_start(&mut self, next: Next) {
        let Some(next) = next else {
            return;
        };
        self.restarts += 1;
        if next.failed && !std::mem::replace(&mut self.crash_loop_told, true) {
            tracing::error!(name: kinds::APP_FAILED, app = %self.spec.name, "{CRASH_LOOP}");
        }
    }

    fn whose(&self, id: WorkerId) -> Whose {
        self.live.get(&id).map(Whose::from).unwrap_or_default()
    }

    /// Of the worker that has ended last.
    fn whose_end(&self) -> Whose {
        let ending = self.last_ending.as_ref();
        ending.map(Whose::from).unwrap_or_default()
    }
}

/// What has happened, and the name of its report.
fn of_draft(draft: Option<&Draft>) -> (&str, Option<DisplayValue<&str>>) {
    let what = draft.map_or("", |draft| draft.report.what.as_str());
    (what, draft.and_then(Draft::name).map(display))
}
