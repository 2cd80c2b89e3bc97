//! Closing the gap between desired and actual state: who replaces whom, who goes, who is started.

use super::{AppMachine, Effect, LEAST_DRAIN, Worker, WorkerId, WorkerState};
use std::time::{Duration, Instant};

impl AppMachine {
    /// Closes the gap between desired and actual state.
    pub(super) fn reconcile(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.swap_when_ready(now, effects);
        self.retire_recycled(now, effects);
        let ready = self.slots_filled(self.generation, Worker::is_ready);
        if ready == self.size(self.generation) {
            self.prove(Ok(()), now, effects);
        }
        self.retire_superfluous(now, effects);
        if !self.wanted || self.asleep {
            return;
        }
        if !self.given_up && self.not_before.is_none() {
            self.fill_slots(self.generation, now, effects);
        }
        if let Some(rollout) = self.rollout {
            self.fill_slots(rollout.generation, now, effects);
        }
    }

    pub(super) fn slots_filled(&self, generation: u64, counts: impl Fn(&Worker) -> bool) -> u32 {
        let filled = (0..self.size(generation)).filter(|slot| {
            self.workers
                .values()
                .any(|w| w.generation == generation && w.slot == *slot && counts(w))
        });
        u32::try_from(filled.count()).unwrap_or(u32::MAX)
    }

    /// Workers that nobody wants: of a stopped app, of a generation that was given up, of slots beyond the number.
    fn retire_superfluous(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let size_of = |generation| (generation, self.size(generation));
        let (wanted, current, next) = (
            self.wanted && !self.asleep,
            size_of(self.generation),
            self.rollout.map(|rollout| size_of(rollout.generation)),
        );
        self.retire(
            |worker| {
                let has_slot =
                    |(generation, size)| worker.generation == generation && worker.slot < size;
                !wanted || !(has_slot(current) || next.is_some_and(has_slot))
            },
            now,
            effects,
        );
    }

    /// How long a worker that was withdrawn may go on: in any case until the proxies know that it was.
    pub(super) fn drain_time(&self) -> Duration {
        self.policy.drain_timeout.max(LEAST_DRAIN)
    }

    pub(super) fn retire(
        &mut self,
        unwanted: impl Fn(&Worker) -> bool,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let ids: Vec<WorkerId> = self
            .workers
            .iter()
            .filter(|(_, w)| w.is_live() && unwanted(w))
            .map(|(id, _)| *id)
            .collect();
        let deadline = now + self.drain_time();
        for id in ids {
            let Some(worker) = self.workers.get_mut(&id) else {
                continue;
            };
            if worker.is_ready() {
                worker.state = WorkerState::Draining { deadline };
            } else {
                self.terminate(id, now, effects);
            }
        }
    }

    fn fill_slots(&mut self, generation: u64, now: Instant, effects: &mut Vec<Effect>) {
        let policy = *self.policy_of(generation);
        for slot in 0..self.size(generation) {
            // One that was told to stop, or will be when its successor is ready, fills its slot no more.
            if self
                .workers
                .values()
                .any(|w| w.generation == generation && w.slot == slot && w.holds_slot())
            {
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            let state = WorkerState::Starting {
                deadline: now + policy.start_timeout,
            };
            self.workers.insert(
                id,
                Worker {
                    slot,
                    generation,
                    state,
                    alive: now,
                    retires_at: None,
                    recycling: false,
                    failed_checks: 0,
                },
            );
            effects.push(Effect::Spawn {
                id,
                slot,
                generation,
            });
        }
    }
}
