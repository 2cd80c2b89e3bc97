//! From one generation to the next: beside it, if there is something to protect, or in its place.

use super::{AppMachine, Effect, Policy, Rollout, Worker};
use std::time::Instant;

impl AppMachine {
    pub(super) fn begin_rollout(
        &mut self,
        generation: u64,
        policy: Policy,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        self.wanted = true;
        // Also an app on demand shows that it can start.
        self.asleep = false;
        self.last_active = Some(now);
        // A newer wish replaces one that is still under way: its workers are superfluous now (reconcile
        // ends them), and whoever waited for it waits for this one.
        self.rollout = None;
        self.unproven = false;
        let protects_something = self
            .workers
            .values()
            .any(|w| w.is_ready() && w.generation == self.generation);
        if protects_something {
            self.rollout = Some(Rollout { generation, policy });
        } else {
            self.generation = generation;
            self.policy = policy;
            self.unproven = true;
            self.forget_crashes();
            self.retire_old_generations(now, effects);
        }
    }

    pub(super) fn swap_when_ready(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let Some(rollout) = self.rollout else { return };
        if self.slots_filled(rollout.generation, Worker::is_ready) < self.size(rollout.generation) {
            return;
        }
        self.rollout = None;
        self.generation = rollout.generation;
        self.policy = rollout.policy;
        self.last_active = Some(now);
        self.forget_crashes();
        self.retire_old_generations(now, effects);
        effects.push(Effect::RolloutDone {
            generation: rollout.generation,
            result: Ok(()),
        });
    }

    fn retire_old_generations(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let current = self.generation;
        self.retire(|worker| worker.generation != current, now, effects);
    }

    /// Answers whoever waits for a generation that replaced nothing.
    pub(super) fn prove(
        &mut self,
        result: Result<(), String>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if std::mem::take(&mut self.unproven) {
            // An app on demand may sleep only from now on.
            self.last_active = self.last_active.max(Some(now));
            effects.push(Effect::RolloutDone {
                generation: self.generation,
                result,
            });
        }
    }
}

pub(super) fn rollout_failed(generation: u64, why: &str) -> Effect {
    Effect::RolloutDone {
        generation,
        result: Err(why.to_owned()),
    }
}
