//! When a crashed app is started again. Pure arithmetic: the clock and the dice are arguments.

use super::upgrade::moment;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A life this long as *ready* is no part of a crash loop: the next start is immediate.
pub const HEALTHY_LIFE: Duration = Duration::from_secs(10);

/// The rule, from the settings of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackoffPolicy {
    pub delay: Duration,
    pub max_delay: Duration,
    /// So many crashes …
    pub limit: u32,
    /// … within this time make the app *failed*.
    pub window: Duration,
}

/// The crashes of an app in its current generation.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Crashes {
    /// Within the window, oldest first; never longer than the limit.
    #[serde(with = "moment::list")]
    recent: VecDeque<Instant>,
    /// In a row without a healthy life between them.
    in_a_row: u32,
    /// In a crash loop, until a worker is ready again.
    failed: bool,
}

/// What to do after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Wait this long before the next start.
    pub delay: Duration,
    /// The app is in a crash loop: requests get 503 at once.
    pub failed: bool,
}

impl Crashes {
    /// Records a crash at `now` of a worker that had been ready for `ready_for`. `dice` is uniform in `0.0..1.0`.
    pub fn record(
        &mut self,
        now: Instant,
        ready_for: Duration,
        policy: &BackoffPolicy,
        dice: f64,
    ) -> Verdict {
        if ready_for >= HEALTHY_LIFE {
            self.in_a_row = 0;
        }
        self.recent.push_back(now);
        while self.recent.len() > policy.limit as usize {
            self.recent.pop_front();
        }
        let oldest = *self.recent.front().expect("one was just pushed");
        // The slow attempts of a crash loop are too far apart for the window; they do not end it.
        self.failed |= self.recent.len() >= policy.limit as usize
            && now.duration_since(oldest) <= policy.window;
        let delay = match (self.failed, self.in_a_row) {
            (true, _) => jitter(policy.max_delay, policy.max_delay, dice),
            (false, 0) if ready_for >= HEALTHY_LIFE => Duration::ZERO,
            (false, row) => {
                let doubled = policy
                    .delay
                    .saturating_mul(1_u32.checked_shl(row).unwrap_or(u32::MAX));
                jitter(doubled, policy.max_delay, dice)
            }
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        Verdict {
            delay,
            failed: self.failed,
        }
    }

    /// The app is in a crash loop: requests get 503 at once.
    pub fn is_loop(&self) -> bool {
        self.failed
    }

    /// When the last crash was.
    pub fn last(&self) -> Option<Instant> {
        self.recent.back().copied()
    }

    /// A worker is ready: if this was a crash loop, it is none any more.
    pub fn recover(&mut self) {
        self.failed = false;
    }

    /// Forgets everything: a new generation begins, or someone restarted the app by hand.
    pub fn clear(&mut self) {
        *self = Crashes::default();
    }
}

/// `delay`, capped, times 0.75 to 1.25, so that apps that fell together do not come back together.
fn jitter(delay: Duration, cap: Duration, dice: f64) -> Duration {
    delay.min(cap).mul_f64(0.75 + dice.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BackoffPolicy = BackoffPolicy {
        delay: Duration::from_millis(100),
        max_delay: Duration::from_secs(30),
        limit: 5,
        window: Duration::from_secs(60),
    };
    const MIDDLE: f64 = 0.5;

    #[test]
    fn the_delay_doubles_with_each_crash_in_a_row() {
        let (mut crashes, mut now) = (Crashes::default(), Instant::now());
        let mut delays = Vec::new();
        for _ in 0..4 {
            delays.push(
                crashes
                    .record(now, Duration::ZERO, &POLICY, MIDDLE)
                    .delay
                    .as_millis(),
            );
            now += Duration::from_secs(1);
        }
        assert_eq!(delays, [100, 200, 400, 800]);
    }

    #[test]
    fn too_many_crashes_within_the_window_are_a_failure_with_slow_retries() {
        let (mut crashes, now) = (Crashes::default(), Instant::now());
        let verdicts: Vec<_> = (0..6)
            .map(|_| crashes.record(now, Duration::ZERO, &POLICY, MIDDLE))
            .collect();
        assert!(!verdicts[3].failed);
        assert_eq!(
            verdicts[4],
            Verdict {
                delay: POLICY.max_delay,
                failed: true
            }
        );
        assert!(verdicts[5].failed);
    }

    #[test]
    fn a_crash_loop_goes_on_until_a_worker_is_ready() {
        let (mut crashes, mut now) = (Crashes::default(), Instant::now());
        for _ in 0..20 {
            let verdict = crashes.record(now, Duration::ZERO, &POLICY, MIDDLE);
            now += verdict.delay;
        }
        let verdict = crashes.record(now, Duration::ZERO, &POLICY, MIDDLE);
        assert!(verdict.failed && crashes.is_loop());
        assert_eq!(verdict.delay, POLICY.max_delay);
        crashes.recover();
        assert!(!crashes.is_loop());
        now += POLICY.window;
        assert!(!crashes.record(now, HEALTHY_LIFE, &POLICY, MIDDLE).failed);
    }

    #[test]
    fn no_more_crashes_are_remembered_than_count() {
        let (mut crashes, now) = (Crashes::default(), Instant::now());
        for _ in 0..1000 {
            crashes.record(now, Duration::ZERO, &POLICY, MIDDLE);
        }
        assert_eq!(crashes.recent.len(), 5);
        let fewer = BackoffPolicy { limit: 2, ..POLICY };
        crashes.record(now, Duration::ZERO, &fewer, MIDDLE);
        assert_eq!(crashes.recent.len(), 2);
    }

    #[test]
    fn crashes_that_are_far_apart_are_no_crash_loop() {
        let (mut crashes, mut now) = (Crashes::default(), Instant::now());
        for _ in 0..20 {
            assert!(
                !crashes
                    .record(now, Duration::from_secs(1), &POLICY, MIDDLE)
                    .failed
            );
            now += Duration::from_secs(16);
        }
    }

    #[test]
    fn after_a_healthy_life_the_restart_is_immediate() {
        let (mut crashes, now) = (Crashes::default(), Instant::now());
        crashes.record(now, Duration::ZERO, &POLICY, MIDDLE);
        assert_eq!(
            crashes.record(now, HEALTHY_LIFE, &POLICY, MIDDLE).delay,
            Duration::ZERO
        );
        assert_eq!(
            crashes.record(now, Duration::ZERO, &POLICY, MIDDLE).delay,
            Duration::from_millis(200)
        );
    }

    #[test]
    fn the_delay_never_exceeds_the_cap_by_more_than_the_jitter() {
        let mut crashes = Crashes::default();
        let mut now = Instant::now();
        for _ in 0..200 {
            let verdict = crashes.record(now, Duration::ZERO, &POLICY, 1.0);
            assert!(verdict.delay <= POLICY.max_delay.mul_f64(1.25));
            now += Duration::from_secs(100);
        }
    }
}
