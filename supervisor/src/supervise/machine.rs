//! The state machine of one app: desired against actual. Pure: no clock, no process, no logging.
//!
//! [`AppMachine::step`] takes one event and returns the effects that close the gap between what is wanted and what
//! is; the driver carries them out in order. `docs/architecture.md` has the table of worker states.

use super::backoff::Crashes;
use super::scaling::{Condition, Scaler};
use crate::supervise::upgrade::moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

mod failure;
mod reconcile;
mod rollout;
mod types;
mod upkeep;

pub use types::*;

use rollout::rollout_failed;

/// A table that no longer names a worker is in force after this time, whatever `drain_timeout` says.
const LEAST_DRAIN: Duration = Duration::from_millis(250);

/// A generation that is being brought up beside the serving one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Rollout {
    generation: u64,
    policy: Policy,
}

/// Desired and actual state of one app.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppMachine {
    policy: Policy,
    /// The generation that serves, or should.
    generation: u64,
    /// Someone waits to hear whether `generation` comes up (it replaced nothing that was serving).
    unproven: bool,
    rollout: Option<Rollout>,
    wanted: bool,
    workers: BTreeMap<WorkerId, Worker>,
    first_id: WorkerId,
    next_id: WorkerId,
    crashes: Crashes,
    /// No start before this time.
    #[serde(with = "moment::option")]
    not_before: Option<Instant>,
    /// No start at all: the worker said so, or its `restart` policy does.
    given_up: bool,
    /// On demand, and nobody wants it at the moment.
    asleep: bool,
    /// The last request, as far as is known; starts with the first event.
    #[serde(with = "moment::option")]
    last_active: Option<Instant>,
    scaler: Scaler,
}

impl AppMachine {
    /// An app that should run generation 1. Its worker ids count up from `first_id`, which must be far enough from that
    /// of any other machine. With no processes wanted (an upstream) the app is always ready.
    pub fn new(policy: Policy, first_id: WorkerId) -> AppMachine {
        AppMachine {
            policy,
            generation: 1,
            unproven: false,
            rollout: None,
            wanted: true,
            workers: BTreeMap::new(),
            first_id,
            next_id: first_id,
            crashes: Crashes::default(),
            not_before: None,
            given_up: false,
            asleep: policy.idle_timeout.is_some(),
            last_active: None,
            scaler: Scaler::default(),
        }
    }

    pub fn first_id(&self) -> WorkerId {
        self.first_id
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn workers(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers.iter().map(|(id, worker)| (*id, worker))
    }

    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.get(&id)
    }

    /// True when no process is left.
    pub fn is_gone(&self) -> bool {
        self.workers.is_empty()
    }

    /// True when every wanted worker serves and nothing is under way.
    pub fn is_settled(&self) -> bool {
        self.rollout.is_none()
            && match self.state() {
                AppState::Ready => true,
                AppState::Stopped | AppState::Idle => self.is_gone(),
                _ => false,
            }
    }

    pub fn state(&self) -> AppState {
        if !self.wanted {
            return AppState::Stopped;
        }
        if self.asleep {
            return AppState::Idle;
        }
        match self.slots_filled(self.generation, Worker::is_ready) {
            0 if self.policy.processes == 0 => AppState::Ready,
            0 if self.crashes.is_loop() || self.given_up => AppState::Failed,
            0 if self.not_before.is_some() => AppState::Backoff,
            0 => AppState::Starting,
            // Those beyond `processes` come and go with the load.
            n if n < self.policy.processes => AppState::Degraded,
            _ => AppState::Ready,
        }
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let workers = self
            .workers
            .values()
            .filter_map(|worker| match worker.state {
                WorkerState::Starting { deadline }
                | WorkerState::Draining { deadline }
                | WorkerState::Stopping { deadline } => Some(deadline),
                WorkerState::Proving { .. } => worker
                    .proof_due(self.policy_of(worker.generation))
                    .map(|(at, _)| at),
                WorkerState::Ready { .. } => self.upkeep_due(worker),
                WorkerState::Killed => None,
            });
        workers
            .chain(self.not_before)
            .chain(self.sleep_due())
            .chain(self.scale_due())
            .min()
    }

    /// One transition. `dice` is uniform in `0.0..1.0`.
    pub fn step(&mut self, event: Event, now: Instant, dice: f64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let before = self.shown();
        match event {
            Event::Tick => {}
            Event::Start => self.start(),
            Event::Stop => self.stop(&mut effects),
            Event::Rollout { generation, policy } => {
                self.begin_rollout(generation, policy, now, &mut effects)
            }
            Event::NewPolicy { generation, policy } => self.obey(generation, policy, now),
            Event::Ready(id) => self.ready(id, now),
            Event::Extend(id, by) => self.extend(id, now + by),
            Event::Drained(id) => self.drained(id, now, &mut effects),
            Event::Wanted => self.wake(now, &mut effects),
            Event::Active => self.last_active = Some(now),
            Event::Load(load) => self.scaler.observe(load),
            Event::Alive(id) => self.note_life(id, now),
            Event::Healthy(id) => self.note_health(id, now),
            Event::Unhealthy(id, why) => self.note_illness(id, &why, now, dice, &mut effects),
            Event::Hung(id, why) => self.hang(id, &why, now, dice, &mut effects),
            Event::Recycle(id, why) => self.recycle(id, why, &mut effects),
            Event::SpawnFailed(id, error) => self.spawn_failed(id, error, now, dice, &mut effects),
            Event::Exited(id, exit) => self.exited(id, exit, now, dice, &mut effects),
        }
        self.pass_deadlines(now, dice, &mut effects);
        self.pass_upkeep(now, dice, &mut effects);
        self.scale(now, &mut effects);
        self.reconcile(now, &mut effects);
        if self.shown() != before {
            effects.push(Effect::Publish);
        }
        effects
    }

    /// The workers that the route table names.
    pub fn serving(&self) -> impl Iterator<Item = (WorkerId, &Worker)> {
        self.workers()
            .filter(|(_, w)| w.is_ready() && w.generation == self.generation)
    }

    /// All that the route table says of the app: whom it names, and why requests neither are served nor wait.
    fn shown(&self) -> (Option<AppState>, Vec<WorkerId>) {
        let state = self.state();
        let shut = matches!(state, AppState::Failed | AppState::Stopped | AppState::Idle);
        let named = self.serving().map(|(id, _)| id).collect();
        (shut.then_some(state), named)
    }

    fn start(&mut self) {
        self.wanted = true;
        self.asleep = self.policy.idle_timeout.is_some() && self.is_gone();
        self.forget_crashes();
    }

    fn stop(&mut self, effects: &mut Vec<Effect>) {
        self.wanted = false;
        self.scaler = Scaler::default();
        if self.unproven {
            self.unproven = false;
            effects.push(rollout_failed(self.generation, "the app was stopped"));
        }
        if let Some(rollout) = self.rollout.take() {
            effects.push(rollout_failed(rollout.generation, "the app was stopped"));
        }
    }

    fn obey(&mut self, generation: u64, policy: Policy, now: Instant) {
        if let Some(rollout) = &mut self.rollout
            && rollout.generation == generation
        {
            rollout.policy = policy;
        } else if self.generation == generation {
            self.asleep &= policy.idle_timeout.is_some();
            let longest = now + policy.backoff.max_delay;
            self.not_before = self.not_before.map(|at| at.min(longest));
            self.policy = policy;
        }
    }

    fn forget_crashes(&mut self) {
        self.crashes.clear();
        self.not_before = None;
        self.given_up = false;
    }

    fn ready(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.workers.get_mut(&id)
            && let WorkerState::Starting { deadline } = worker.state
        {
            worker.state = WorkerState::Proving {
                since: now,
                healthy: None,
                deadline,
            };
            worker.alive = now;
        }
    }

    fn extend(&mut self, id: WorkerId, until: Instant) {
        if let Some(worker) = self.workers.get_mut(&id)
            && let WorkerState::Starting { deadline } | WorkerState::Stopping { deadline } =
                &mut worker.state
        {
            *deadline = until.max(*deadline);
        }
    }

    fn drained(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.get(&id)
            && matches!(worker.state, WorkerState::Draining { .. })
        {
            self.terminate(id, now, effects);
        }
    }

    fn terminate(&mut self, id: WorkerId, now: Instant, effects: &mut Vec<Effect>) {
        let stop_timeout = self.policy.stop_timeout;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = WorkerState::Stopping {
                deadline: now + stop_timeout,
            };
            effects.push(Effect::Terminate(id));
        }
    }

    fn kill(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.state = WorkerState::Killed;
            effects.push(Effect::Kill(id));
        }
    }

    fn pass_deadlines(&mut self, now: Instant, dice: f64, effects: &mut Vec<Effect>) {
        if self.not_before.is_some_and(|at| at <= now) {
            self.not_before = None;
        }
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            let worker = self.workers[&id];
            let policy = *self.policy_of(worker.generation);
            match worker.state {
                WorkerState::Starting { deadline } if deadline <= now => {
                    self.start_failed(id, &worker, now, dice, effects);
                }
                WorkerState::Proving { .. } => match worker.proof_due(&policy) {
                    Some((at, true)) if at <= now => {
                        let since = at.checked_sub(policy.min_healthy).unwrap_or(at);
                        self.begin_to_serve(id, &worker, since, now, dice, effects);
                    }
                    Some((at, false)) if at <= now => {
                        self.start_failed(id, &worker, now, dice, effects);
                    }
                    _ => {}
                },
                WorkerState::Draining { deadline } if deadline <= now => {
                    effects.push(Effect::Report(Report::DrainTimeout { id }));
                    self.terminate(id, now, effects);
                }
                WorkerState::Stopping { deadline } if deadline <= now => {
                    effects.push(Effect::Report(Report::StopTimeout { id }));
                    self.kill(id, effects);
                }
                WorkerState::Starting { .. }
                | WorkerState::Ready { .. }
                | WorkerState::Draining { .. }
                | WorkerState::Stopping { .. }
                | WorkerState::Killed => {}
            }
        }
    }

    fn begin_to_serve(
        &mut self,
        id: WorkerId,
        worker: &Worker,
        since: Instant,
        now: Instant,
        dice: f64,
        effects: &mut Vec<Effect>,
    ) {
        let max_lifetime = self.policy_of(worker.generation).max_lifetime;
        let ready = Worker {
            state: WorkerState::Ready { since },
            alive: now,
            retires_at: max_lifetime.map(|age| now + age.mul_f64(0.9 + dice.clamp(0.0, 1.0) / 5.0)),
            ..*worker
        };
        self.workers.insert(id, ready);
        effects.push(Effect::Report(Report::Ready { id }));
        if worker.generation == self.generation {
            self.crashes.recover();
        }
    }

    fn policy_of(&self, generation: u64) -> &Policy {
        match &self.rollout {
            Some(rollout) if rollout.generation == generation => &rollout.policy,
            _ => &self.policy,
        }
    }

    /// How many processes a generation has at the moment, or shall have.
    pub fn size(&self, generation: u64) -> u32 {
        self.scaler.size(&self.policy_of(generation).bounds())
    }

    /// The most that it can have.
    pub fn most(&self) -> u32 {
        self.policy.bounds().most
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
