//! Workers that end, or do not come up: whose fault it was, and when the next one is started.

use super::rollout::rollout_failed;
use super::{
    AppMachine, Effect, GIVE_UP_STATUSES, Next, Report, Worker, WorkerId, WorkerState, describe,
};
use crate::keeper::message::Exit;
use crate::plan::spec::Restart;
use std::time::{Duration, Instant};

impl AppMachine {
    pub(super) fn spawn_failed(
        &mut self,
        id: WorkerId,
        error: String,
        now: Instant,
        dice: f64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        if !worker.is_live() {
            return;
        }
        let next = self.failure(&worker, Duration::ZERO, now, dice, &error, effects);
        effects.push(Effect::Report(Report::SpawnFailed { id, error, next }));
    }

    pub(super) fn exited(
        &mut self,
        id: WorkerId,
        exit: Exit,
        now: Instant,
        dice: f64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        if !worker.is_live() {
            effects.push(Effect::Report(Report::Stopped { id, exit }));
            return;
        }
        let ready_for = match worker.state {
            WorkerState::Ready { since } => now.saturating_duration_since(since),
            _ => Duration::ZERO,
        };
        if self.must_not_restart(exit) && worker.generation == self.generation {
            self.given_up = true;
            self.prove(
                Err(format!(
                    "a worker {}; it is not started again",
                    describe(exit)
                )),
                now,
                effects,
            );
            effects.push(Effect::Report(Report::GaveUp { id, exit }));
            return;
        }
        let why = match worker.state {
            WorkerState::Ready { .. } => describe(exit),
            _ => format!("{} before it was ready", describe(exit)),
        };
        let next = self.failure(&worker, ready_for, now, dice, &why, effects);
        effects.push(Effect::Report(Report::Crashed { id, exit, next }));
    }

    fn must_not_restart(&self, exit: Exit) -> bool {
        match (self.policy.restart, exit) {
            (_, Exit::Code(code)) if GIVE_UP_STATUSES.contains(&code) => true,
            (Restart::Never, _) | (Restart::OnFailure, Exit::Code(0)) => true,
            (Restart::Always | Restart::OnFailure, _) => false,
        }
    }

    /// A worker failed: either its rollout is over, or the app waits before the next start.
    pub(super) fn failure(
        &mut self,
        worker: &Worker,
        ready_for: Duration,
        now: Instant,
        dice: f64,
        why: &str,
        effects: &mut Vec<Effect>,
    ) -> Next {
        if let Some(rollout) = self.rollout
            && rollout.generation == worker.generation
        {
            self.rollout = None;
            effects.push(rollout_failed(
                worker.generation,
                &format!("a worker {why}"),
            ));
            return None;
        }
        if worker.generation != self.generation {
            return None;
        }
        let verdict = self
            .crashes
            .record(now, ready_for, &self.policy.backoff, dice);
        if !verdict.delay.is_zero() {
            // A pause that is under way is not cut short by another failure.
            self.not_before = self.not_before.max(Some(now + verdict.delay));
        }
        self.prove(Err(format!("a worker {why}")), now, effects);
        Some(verdict)
    }

    pub(super) fn start_failed(
        &mut self,
        id: WorkerId,
        worker: &Worker,
        now: Instant,
        dice: f64,
        effects: &mut Vec<Effect>,
    ) {
        self.kill(id, effects);
        let timeout = self.policy_of(worker.generation).start_timeout;
        let was_ready = matches!(worker.state, WorkerState::Proving { .. });
        let what = if was_ready { "healthy" } else { "ready" };
        let why = format!("was not {what} within {timeout:?}");
        // Told before what follows from it, a rollout that is given up.
        let place = effects.len();
        let next = self.failure(worker, Duration::ZERO, now, dice, &why, effects);
        let report = Report::StartTimeout {
            id,
            timeout,
            was_ready,
            next,
        };
        effects.insert(place, Effect::Report(report));
    }
}
