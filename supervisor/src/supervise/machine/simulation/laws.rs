//! What must hold after every step, whatever has happened.

use super::world::{Process, Verdict};
use crate::keeper::message::Exit;
use crate::supervise::backoff::HEALTHY_LIFE;
use crate::supervise::machine::{
    AppMachine, AppState, Effect, Event, GIVE_UP_STATUSES, LEAST_DRAIN, Policy, Report, Worker,
    WorkerId, WorkerState,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The workers that the route table names.
pub(super) fn in_table(machine: &AppMachine) -> Vec<WorkerId> {
    let named = machine
        .workers()
        .filter(|(_, w)| w.is_ready() && w.generation == machine.generation());
    named.map(|(id, _)| id).collect()
}

/// What the table says of the app as a whole.
fn serving(machine: &AppMachine) -> u8 {
    match machine.state() {
        AppState::Failed => 1,
        AppState::Stopped => 2,
        AppState::Idle => 3,
        AppState::Starting | AppState::Ready | AppState::Degraded | AppState::Backoff => 0,
    }
}

/// The machine before a step.
#[derive(Debug, Default)]
pub(super) struct Before {
    generation: u64,
    workers: Vec<(WorkerId, Worker)>,
    table: Vec<WorkerId>,
    serving: u8,
    next_id: WorkerId,
    /// Some deadline had passed already.
    is_due: bool,
    policy: Option<Policy>,
}

impl Before {
    pub(super) fn take(&mut self, machine: &AppMachine, now: Instant) {
        self.generation = machine.generation();
        self.workers.clear();
        self.workers
            .extend(machine.workers().map(|(id, worker)| (id, *worker)));
        self.table.clear();
        self.table.extend(in_table(machine));
        self.serving = serving(machine);
        self.next_id = machine.next_id;
        self.is_due = machine.deadline().is_some_and(|at| at <= now);
        self.policy = Some(machine.policy);
    }

    fn worker(&self, id: WorkerId) -> Option<&Worker> {
        let known = self.workers.iter().find(|(known, _)| *known == id);
        known.map(|(_, worker)| worker)
    }
}

/// What is remembered from step to step.
#[derive(Debug, Default)]
pub(super) struct Laws {
    stopped: bool,
    /// A worker of this generation said that it must not be started again.
    given_up: Option<u64>,
    newest_rollout: Option<u64>,
    /// The last that was said about each generation that matters.
    policies: Vec<(u64, Policy)>,
    /// Rollouts that may still end.
    open: Vec<u64>,
    pauses: Pauses,
    effects: u64,
}

impl Laws {
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whoever waits for the last rollout has an answer.
    pub(super) fn newest_is_answered(&self) -> bool {
        self.newest_rollout
            .is_none_or(|newest| !self.open.contains(&newest))
    }

    pub(super) fn effects_seen(&self) -> u64 {
        self.effects
    }

    /// Compares the machine after a step with what it was before.
    pub(super) fn hold(
        &mut self,
        before: &Before,
        event: &Event,
        effects: &[Effect],
        machine: &AppMachine,
        now: Instant,
    ) -> Verdict {
        self.effects += effects.len() as u64;
        self.remember(before, event, effects, machine, now);
        slots_have_one_holder(machine)?;
        deadlines_stand(before, event, machine, now)?;
        strangers_change_nothing(before, event, effects)?;
        tables_are_published(before, effects, machine)?;
        drain_comes_first(before, effects)?;
        size_is_within_bounds(before, effects, machine)?;
        self.nothing_starts_unwanted(before, effects, machine, now)?;
        self.rollouts_end_once(before, event, effects, machine)
    }

    fn remember(
        &mut self,
        before: &Before,
        event: &Event,
        effects: &[Effect],
        machine: &AppMachine,
        now: Instant,
    ) {
        match event {
            Event::Stop => self.stopped = true,
            Event::Start => {
                self.stopped = false;
                self.given_up = None;
                self.pauses = Pauses::default();
            }
            Event::Rollout { generation, policy } => {
                self.stopped = false;
                self.newest_rollout = Some(*generation);
                self.policies
                    .retain(|(known, _)| *known == before.generation);
                self.policies.push((*generation, *policy));
                self.open.push(*generation);
            }
            Event::NewPolicy { generation, policy } => {
                self.policies.retain(|(known, _)| known != generation);
                self.policies.push((*generation, *policy));
            }
            Event::Exited(id, Exit::Code(code)) if GIVE_UP_STATUSES.contains(code) => {
                let of_serving = before
                    .worker(*id)
                    .is_some_and(|w| w.is_live() && w.generation == before.generation);
                if of_serving {
                    self.given_up = Some(before.generation);
                }
            }
            _ => {}
        }
        self.pauses.note(before, event, effects, now);
        let asleep = effects.contains(&Effect::Report(Report::Asleep));
        if asleep {
            self.given_up = None;
        }
        if asleep || machine.generation() != before.generation {
            self.pauses = Pauses::default();
        }
    }

    /// A stopped app stays stopped, a sleeping one sleeps, one that was given up is left alone; a pause is a pause.
    fn nothing_starts_unwanted(
        &self,
        before: &Before,
        effects: &[Effect],
        machine: &AppMachine,
        now: Instant,
    ) -> Verdict {
        if self.stopped && machine.state() != AppState::Stopped {
            return Err(format!("stopped, but {:?}", machine.state()));
        }
        let state = machine.state();
        for effect in effects {
            let Effect::Spawn { id, generation, .. } = effect else {
                continue;
            };
            if self.stopped || state == AppState::Idle {
                return Err(format!("{effect:?} of an app that is {state:?}"));
            }
            if self.given_up == Some(*generation) && before.generation == *generation {
                return Err(format!(
                    "{effect:?} after a worker said that it must not be"
                ));
            }
            if *id < before.next_id {
                return Err(format!("{effect:?}: the id is not new"));
            }
            if *generation == before.generation && self.pauses.until.is_some_and(|at| now < at) {
                return Err(format!(
                    "{effect:?} {:?} too early",
                    self.pauses.until.map(|at| at - now)
                ));
            }
        }
        if (self.stopped || state == AppState::Idle) && machine.workers().any(|(_, w)| w.is_live())
        {
            return Err(format!(
                "{state:?}, but a worker goes on: {:?}",
                machine.workers
            ));
        }
        Ok(())
    }

    /// Exactly one result, and a good one only if every process serves.
    fn rollouts_end_once(
        &mut self,
        before: &Before,
        event: &Event,
        effects: &[Effect],
        machine: &AppMachine,
    ) -> Verdict {
        for effect in effects {
            let Effect::RolloutDone { generation, result } = effect else {
                continue;
            };
            let Some(n) = self.open.iter().position(|open| open == generation) else {
                return Err(format!("{effect:?}, but nobody waits for that"));
            };
            self.open.swap_remove(n);
            if result.is_ok() {
                let ready = machine.slots_filled(*generation, Worker::is_ready);
                if machine.generation() != *generation || ready < machine.size(*generation) {
                    return Err(format!("{effect:?}, but {ready} workers of it serve"));
                }
            } else if machine.generation() != *generation
                && matches!(event, Event::Exited(..) | Event::SpawnFailed(..))
                && !before.is_due
                && machine.state() != AppState::Idle
                && in_table(machine) != before.table
            {
                return Err(format!("{effect:?} disturbed the generation that serves"));
            }
        }
        let said = |(known, policy): &(u64, Policy)| {
            *known == machine.generation() && *policy != machine.policy
        };
        if self.policies.iter().any(said) {
            return Err("the newest settings are not in force".to_owned());
        }
        if machine.generation() < before.generation {
            return Err("the generation went back".to_owned());
        }
        let newest = self.newest_rollout.unwrap_or(1);
        let under_way = machine.rollout.map(|rollout| rollout.generation);
        if under_way.is_some_and(|generation| generation != newest) {
            return Err(format!(
                "rollout {under_way:?} goes on, {newest} was asked for"
            ));
        }
        if self.open.contains(&newest) && !machine.unproven && under_way.is_none() {
            return Err(format!("rollout {newest} has ended without a result"));
        }
        Ok(())
    }
}

/// The machine knows exactly the processes that there are.
pub(super) fn workers_are_processes(machine: &AppMachine, processes: &[Process]) -> Verdict {
    for (id, _) in machine.workers() {
        if !processes.iter().any(|process| process.id == id) {
            return Err(format!("worker {id} has no process"));
        }
    }
    for process in processes {
        let Some(worker) = machine.worker(process.id) else {
            return Err(format!("process {} is forgotten", process.id));
        };
        let fits = match worker.state {
            WorkerState::Stopping { .. } => process.terminated && !process.killed,
            WorkerState::Killed => process.killed,
            _ => !process.terminated && !process.killed,
        };
        if !fits {
            return Err(format!("{worker:?}, but its process is {process:?}"));
        }
    }
    Ok(())
}

/// Never two that hold one slot of one generation; beside the holder at most one that it is to succeed.
fn slots_have_one_holder(machine: &AppMachine) -> Verdict {
    let recycled = machine
        .workers()
        .filter(|(_, w)| w.is_live() && w.recycling);
    if recycled.count() > 1 {
        return Err("two workers are recycled at the same time".to_owned());
    }
    for (id, worker) in machine.workers().filter(|(_, w)| w.is_live()) {
        let twins = machine.workers().filter(|(_, w)| {
            w.is_live() && w.slot == worker.slot && w.generation == worker.generation
        });
        let (all, holders) = twins.fold((0, 0), |(all, holders), (_, twin)| {
            (all + 1, holders + u32::from(twin.holds_slot()))
        });
        if holders > 1 || all > 2 {
            return Err(format!("{all} workers share the slot of {id}: {worker:?}"));
        }
    }
    Ok(())
}

/// Whoever waits for something has a deadline; it stands unless the worker asks for time. States go forward only.
fn deadlines_stand(before: &Before, event: &Event, machine: &AppMachine, now: Instant) -> Verdict {
    let next = machine.deadline();
    for (id, worker) in machine.workers() {
        let (rank, deadline) = rank(worker);
        if deadline.is_some() && next > deadline {
            return Err(format!(
                "nobody will wake at the deadline of {id}: {worker:?}"
            ));
        }
        let Some(known) = before.worker(id) else {
            continue;
        };
        if let Some((at, _)) = worker.proof_due(machine.policy_of(worker.generation))
            && next > Some(at)
        {
            return Err(format!("nobody will wake at the proof of {id}: {worker:?}"));
        }
        let (rank_before, deadline_before) = self::rank(known);
        if rank < rank_before {
            return Err(format!("{known:?} became {worker:?}"));
        }
        let asked = matches!(event, Event::Extend(who, _) if *who == id);
        if rank == rank_before
            && deadline != deadline_before
            && !(asked && deadline > deadline_before)
        {
            return Err(format!("the deadline of {known:?} moved: {worker:?}"));
        }
        if rank != rank_before
            && let (Some(deadline), Some(policy)) = (deadline, before.policy)
            && rank > 2
        {
            let longest = longest_wait(&policy).max(longest_wait(&machine.policy));
            if deadline > now + longest {
                return Err(format!("the deadline is too far away: {worker:?}"));
            }
        }
    }
    Ok(())
}

/// Of a worker that was told to go, in one state.
fn longest_wait(policy: &Policy) -> Duration {
    let Policy {
        drain_timeout,
        stop_timeout,
        ..
    } = policy;
    LEAST_DRAIN.max(*drain_timeout).max(*stop_timeout)
}

fn rank(worker: &Worker) -> (u8, Option<Instant>) {
    match worker.state {
        WorkerState::Starting { deadline } => (0, Some(deadline)),
        WorkerState::Proving { .. } => (1, None),
        WorkerState::Ready { .. } => (2, None),
        WorkerState::Draining { deadline } => (3, Some(deadline)),
        WorkerState::Stopping { deadline } => (4, Some(deadline)),
        WorkerState::Killed => (5, None),
    }
}

/// News of a worker that is not there has no consequences.
fn strangers_change_nothing(before: &Before, event: &Event, effects: &[Effect]) -> Verdict {
    let id = match event {
        Event::Ready(id)
        | Event::Extend(id, _)
        | Event::Drained(id)
        | Event::Alive(id)
        | Event::Healthy(id)
        | Event::Unhealthy(id, _)
        | Event::Hung(id, _)
        | Event::Recycle(id, _)
        | Event::SpawnFailed(id, _)
        | Event::Exited(id, _) => *id,
        _ => return Ok(()),
    };
    if before.worker(id).is_none() && !before.is_due && !effects.is_empty() {
        return Err(format!("{event:?} of nobody led to {effects:?}"));
    }
    Ok(())
}

/// Whatever the table says of the app, it is sent when it changes.
fn tables_are_published(before: &Before, effects: &[Effect], machine: &AppMachine) -> Verdict {
    let changed = in_table(machine) != before.table || serving(machine) != before.serving;
    if changed && !effects.contains(&Effect::Publish) {
        return Err(format!(
            "the table has changed, but is not published: {:?} and {} before, {:?} and {} now",
            before.table,
            before.serving,
            in_table(machine),
            serving(machine)
        ));
    }
    Ok(())
}

/// Never fewer than `processes`, never more than `max_processes`, and no step without a reason.
fn size_is_within_bounds(before: &Before, effects: &[Effect], machine: &AppMachine) -> Verdict {
    let size = machine.size(machine.generation());
    let policy = machine.policy;
    if size < policy.processes || size > policy.max_processes {
        return Err(format!("{size} processes under {policy:?}"));
    }
    for effect in effects {
        match effect {
            Effect::Spawn {
                slot, generation, ..
            } if *slot >= machine.size(*generation) => {
                return Err(format!("{effect:?}, but there is no such slot"));
            }
            Effect::Report(Report::Scaled(change)) if change.to > change.from => {
                let served = before.table.len() as u32;
                if served < change.from || change.to > 2 * change.from {
                    return Err(format!("{effect:?}, but only {served} serve"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// No worker that the table names is ended: it leaves the table first.
fn drain_comes_first(before: &Before, effects: &[Effect]) -> Verdict {
    for effect in effects {
        if let Effect::Terminate(id) | Effect::Kill(id) = effect
            && before.table.contains(id)
        {
            return Err(format!("{effect:?}, but it is in the table"));
        }
    }
    Ok(())
}

/// The pauses between starts as the documentation has them, reckoned once more.
#[derive(Debug, Default)]
struct Pauses {
    in_a_row: u32,
    recent: VecDeque<Instant>,
    looping: bool,
    /// No start of the serving generation before this.
    until: Option<Instant>,
}

impl Pauses {
    fn note(&mut self, before: &Before, event: &Event, effects: &[Effect], now: Instant) {
        let Some(mut policy) = before.policy else {
            return;
        };
        if let Event::NewPolicy {
            generation,
            policy: new,
        } = event
            && *generation == before.generation
        {
            policy = *new;
            let longest = now + policy.backoff.max_delay;
            self.until = self.until.map(|until| until.min(longest));
        }
        if let Event::Exited(id, _) | Event::SpawnFailed(id, _) = event {
            self.failed(*id, before, &policy, now);
        }
        for effect in effects {
            match effect {
                // It hangs, or was not ready in time.
                Effect::Dump(id) | Effect::Kill(id) => self.failed(*id, before, &policy, now),
                Effect::Report(Report::Ready { id }) => {
                    let worker = before.worker(*id);
                    self.looping &= worker.is_none_or(|w| w.generation != before.generation);
                }
                _ => {}
            }
        }
    }

    fn failed(&mut self, id: WorkerId, before: &Before, policy: &Policy, now: Instant) {
        let worker = before.worker(id).filter(|w| w.is_live());
        match worker.filter(|w| w.generation == before.generation) {
            Some(Worker {
                state: WorkerState::Ready { since },
                ..
            }) => self.failure(now.saturating_duration_since(*since), policy, now),
            Some(_) => self.failure(Duration::ZERO, policy, now),
            None => {}
        }
    }

    fn failure(&mut self, lived: Duration, policy: &Policy, now: Instant) {
        let healthy = lived >= HEALTHY_LIFE;
        if healthy {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        self.recent.push_back(now);
        while self.recent.len() > policy.backoff.limit as usize {
            self.recent.pop_front();
        }
        self.looping |= self.recent.len() == policy.backoff.limit as usize
            && now - self.recent[0] <= policy.backoff.window;
        let max_delay = policy.backoff.max_delay;
        let delay = if self.looping {
            max_delay
        } else if healthy {
            Duration::ZERO
        } else {
            let doubled = 2_u32.saturating_pow(self.in_a_row - 1);
            policy.backoff.delay.saturating_mul(doubled).min(max_delay)
        };
        self.until = self.until.max(Some(now + delay.mul_f64(0.75)));
    }
}
