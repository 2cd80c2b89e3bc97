//! Promises of one machine, each under a clock that only the test moves.

mod failures;
mod hangs;
mod numbers;
mod rollouts;

use super::*;
use crate::keeper::message::Exit;
use crate::plan::spec::Restart;
use crate::supervise::backoff::BackoffPolicy;
use crate::supervise::scaling::Load;

const SECOND: Duration = Duration::from_secs(1);

fn policy(processes: u32) -> Policy {
    Policy {
        processes,
        start_timeout: 60 * SECOND,
        min_healthy: Duration::ZERO,
        drain_timeout: 30 * SECOND,
        stop_timeout: 10 * SECOND,
        restart: Restart::Always,
        backoff: BackoffPolicy {
            delay: Duration::from_millis(100),
            max_delay: 30 * SECOND,
            limit: 5,
            window: 60 * SECOND,
        },
        idle_timeout: None,
        watchdog: None,
        max_lifetime: None,
        health: false,
        max_processes: processes,
        threads: 4,
        scale_down_after: 60 * SECOND,
    }
}

/// A machine under a clock that only the test moves.
struct Bench {
    machine: AppMachine,
    now: Instant,
}

impl Bench {
    fn new(policy: Policy) -> Bench {
        Bench {
            machine: AppMachine::new(policy, 1),
            now: Instant::now(),
        }
    }

    fn step(&mut self, event: Event) -> Vec<Effect> {
        self.machine.step(event, self.now, 0.5)
    }

    fn after(&mut self, time: Duration, event: Event) -> Vec<Effect> {
        self.now += time;
        self.step(event)
    }

    /// An app whose workers of generation 1 all serve.
    fn ready(policy: Policy) -> Bench {
        let mut bench = Bench::new(policy);
        for id in spawned(&bench.step(Event::Tick)) {
            bench.step(Event::Ready(id));
        }
        assert_eq!(bench.machine.state(), AppState::Ready);
        bench
    }
}

fn spawned(effects: &[Effect]) -> Vec<WorkerId> {
    effects
        .iter()
        .filter_map(|e| {
            if let Effect::Spawn { id, .. } = e {
                Some(*id)
            } else {
                None
            }
        })
        .collect()
}

fn outcome(effects: &[Effect]) -> Option<(u64, Result<(), String>)> {
    effects.iter().find_map(|e| match e {
        Effect::RolloutDone { generation, result } => Some((*generation, result.clone())),
        _ => None,
    })
}

/// What is told of a failure that is no exit, and where: the delay until the next start, if there is one.
fn told_delay(effects: &[Effect]) -> Option<(usize, Option<Duration>)> {
    effects.iter().enumerate().find_map(|(at, e)| match e {
        Effect::Report(Report::StartTimeout { next, .. } | Report::Hung { next, .. }) => {
            Some((at, next.map(|next| next.delay)))
        }
        _ => None,
    })
}

#[test]
fn the_first_tick_starts_every_slot_once() {
    let mut bench = Bench::new(policy(3));
    assert_eq!(spawned(&bench.step(Event::Tick)).len(), 3);
    assert_eq!(spawned(&bench.step(Event::Tick)).len(), 0);
    assert_eq!(bench.machine.state(), AppState::Starting);
}

#[test]
fn a_worker_that_says_ready_is_published() {
    let mut bench = Bench::new(policy(1));
    let id = spawned(&bench.step(Event::Tick))[0];
    assert!(bench.step(Event::Ready(id)).contains(&Effect::Publish));
    assert_eq!(bench.machine.state(), AppState::Ready);
}
