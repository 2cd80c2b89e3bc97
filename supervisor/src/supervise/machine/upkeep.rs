//! Workers that hang, workers that have had their share, apps that nobody needs at the moment.

use super::{AppMachine, Condition, Effect, Report, Scaler, Worker, WorkerId, WorkerState};
use std::time::{Duration, Instant};

/// Two workers of an app are not replaced because of their age at the same time; the second waits this long.
const NEXT_IN_LINE: Duration = Duration::from_secs(1);

/// So many health checks in a row fail before a worker is held to hang.
const FAILED_CHECKS: u32 = 3;

impl AppMachine {
    /// When a ready worker misses its watchdog, or has reached its age.
    pub(super) fn upkeep_due(&self, worker: &Worker) -> Option<Instant> {
        let watchdog = self.policy_of(worker.generation).watchdog;
        let hangs_at = watchdog.map(|limit| worker.alive + limit);
        let retires_at = worker.retires_at.filter(|_| !worker.recycling);
        hangs_at.into_iter().chain(retires_at).min()
    }

    /// When an app on demand falls asleep.
    pub(super) fn sleep_due(&self) -> Option<Instant> {
        let may_sleep = self.wanted && !self.asleep && !self.unproven && self.rollout.is_none();
        let idle_timeout = self.policy.idle_timeout.filter(|_| may_sleep)?;
        Some(self.last_active? + idle_timeout)
    }

    pub(super) fn pass_upkeep(&mut self, now: Instant, dice: f64, effects: &mut Vec<Effect>) {
        if self.last_active.is_none() {
            self.last_active = Some(now);
        }
        let ready: Vec<(WorkerId, Worker)> = self
            .workers
            .iter()
            .filter(|(_, w)| w.is_ready())
            .map(|(id, w)| (*id, *w))
            .collect();
        for (id, worker) in ready {
            let watchdog = self.policy_of(worker.generation).watchdog;
            if let Some(limit) = watchdog.filter(|limit| worker.alive + *limit <= now) {
                let why = format!("missed its watchdog of {limit:?}");
                self.hang(id, &why, now, dice, effects);
            } else if worker.retires_at.is_some_and(|at| at <= now) && !worker.recycling {
                self.retire_by_age(id, now, effects);
            }
        }
        if self.sleep_due().is_some_and(|at| at <= now) {
            self.asleep = true;
            // Whoever wakes it gets a fresh start.
            self.forget_crashes();
            self.scaler = Scaler::default();
            effects.push(Effect::Report(Report::Asleep));
        }
    }

    /// Between two numbers of processes; a rollout brings up as many as there are.
    fn may_scale(&self) -> bool {
        self.wanted && !self.asleep && self.rollout.is_none() && !self.unproven
    }

    /// When there may be a process too many.
    pub(super) fn scale_due(&self) -> Option<Instant> {
        let due = self.scaler.due(&self.policy.bounds());
        due.filter(|_| self.may_scale())
    }

    pub(super) fn scale(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if !self.may_scale() {
            return self.scaler.hold();
        }
        let condition = Condition {
            ready: self.slots_filled(self.generation, Worker::is_ready),
            paused: self.not_before.is_some() || self.given_up,
            crashed: self.crashes.last(),
        };
        let change = self.scaler.decide(&self.policy.bounds(), condition, now);
        effects.extend(change.map(|change| Effect::Report(Report::Scaled(change))));
    }

    fn retire_by_age(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        if self.is_recycling() {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.retires_at = Some(now + NEXT_IN_LINE);
            }
            return;
        }
        self.recycle(id, "has reached its maximum lifetime".to_owned(), effects);
    }

    pub(super) fn wake(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.last_active = Some(now);
        if std::mem::take(&mut self.asleep) {
            effects.push(Effect::Report(Report::Woken));
        }
    }

    pub(super) fn note_life(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.alive = now;
        }
    }

    pub(super) fn note_health(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.failed_checks = 0;
            if let WorkerState::Proving { healthy, .. } = &mut worker.state {
                healthy.get_or_insert(now);
            }
        }
    }

    /// A worker that has not served yet begins its proof anew; one that serves hangs when it fails again and again.
    pub(super) fn note_illness(
        &mut self,
        id: WorkerId,
        why: &str,
        now: Instant,
        dice: f64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match &mut worker.state {
            WorkerState::Proving { healthy, .. } => *healthy = None,
            WorkerState::Ready { .. } => {
                worker.failed_checks += 1;
                if worker.failed_checks >= FAILED_CHECKS {
                    let why = format!("failed {FAILED_CHECKS} health checks in a row: it {why}");
                    self.hang(id, &why, now, dice, effects);
                }
            }
            _ => {}
        }
    }

    /// A hang is a crash that has to be helped along: nothing new for the worker, a successor at once (or after the
    /// backoff), its end when the other requests on it have had their time.
    pub(super) fn hang(
        &mut self,
        id: WorkerId,
        why: &str,
        now: Instant,
        dice: f64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(worker) = self.workers.get(&id).copied() else {
            return;
        };
        let WorkerState::Ready { since } = worker.state else {
            return;
        };
        let deadline = now + self.drain_time();
        self.workers.insert(
            id,
            Worker {
                state: WorkerState::Draining { deadline },
                ..worker
            },
        );
        effects.push(Effect::Dump(id));
        let place = effects.len();
        let next = self.failure(
            &worker,
            now.saturating_duration_since(since),
            now,
            dice,
            why,
            effects,
        );
        let report = Report::Hung {
            id,
            why: why.to_owned(),
            next,
        };
        effects.insert(place, Effect::Report(report));
    }

    /// Marks a ready worker for replacement, one of an app at a time: whoever counts will ask again.
    pub(super) fn recycle(&mut self, id: WorkerId, why: String, effects: &mut Vec<Effect>) {
        if self.is_recycling() {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.is_ready()
        {
            worker.recycling = true;
            effects.push(Effect::Report(Report::Recycling { id, why }));
        }
    }

    fn is_recycling(&self) -> bool {
        self.workers
            .values()
            .any(|worker| worker.recycling && worker.is_live())
    }

    /// Withdraws recycled workers whose successor serves.
    pub(super) fn retire_recycled(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let succeeded: Vec<(u64, u32)> = self
            .workers
            .values()
            .filter(|w| w.is_ready() && w.holds_slot())
            .map(|w| (w.generation, w.slot))
            .collect();
        self.retire(
            |w| w.recycling && succeeded.contains(&(w.generation, w.slot)),
            now,
            effects,
        );
    }
}
