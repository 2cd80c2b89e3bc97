//! The steps of a worker's life, with their times: what a report shows of a start that failed. Bounded, whatever the
//! worker tells.

use crate::reports::report::{MAX_STEPS, Step, clean, seconds};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest step, in bytes.
const MAX_STEP: usize = 200;
/// The first steps are kept for good; of the others the last ones.
const FIRST: usize = MAX_STEPS / 2;

/// What happened, oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Journey {
    steps: Vec<Step>,
    omitted: u64,
}

impl Journey {
    /// `what` happened `at` after the start was ordered.
    pub(super) fn note(&mut self, at: Duration, what: &str) {
        if self.steps.len() == MAX_STEPS {
            self.steps.remove(FIRST);
            self.omitted += 1;
        }
        self.steps.push(Step {
            at_s: seconds(at),
            what: clean(what, MAX_STEP),
        });
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(super) fn omitted(&self) -> u64 {
        self.omitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_steps_are_kept() {
        let mut journey = Journey::default();
        for n in 0..100 {
            journey.note(Duration::from_millis(n), &format!("step {n}"));
        }
        let numbers: Vec<f64> = journey.steps().iter().map(|s| s.at_s * 1000.0).collect();
        assert_eq!(numbers.len(), MAX_STEPS);
        assert_eq!(numbers[FIRST - 1].round(), 15.0);
        assert_eq!(numbers[FIRST].round(), 84.0);
        assert_eq!(journey.omitted(), 68);
    }

    #[test]
    fn a_long_step_is_cut() {
        let mut journey = Journey::default();
        journey.note(Duration::ZERO, &"x".repeat(500));
        assert!(journey.steps()[0].what.len() <= MAX_STEP + '…'.len_utf8());
    }
}
