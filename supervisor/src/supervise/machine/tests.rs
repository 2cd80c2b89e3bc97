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

#[test]
fn a_crashed_worker_leaves_the_table_at_once_and_returns_after_the_delay() {
    let mut bench = Bench::ready(policy(1));
    let effects = bench.step(Event::Exited(1, Exit::Signal(11)));
    assert!(effects.contains(&Effect::Publish));
    assert!(spawned(&effects).is_empty());
    assert_eq!(bench.machine.state(), AppState::Backoff);
    assert_eq!(
        spawned(&bench.after(Duration::from_millis(101), Event::Tick)).len(),
        1
    );
}

#[test]
fn after_ten_healthy_seconds_a_crashed_worker_is_replaced_at_once() {
    let mut bench = Bench::ready(policy(1));
    assert_eq!(
        spawned(&bench.after(11 * SECOND, Event::Exited(1, Exit::Code(1)))).len(),
        1
    );
}

#[test]
fn a_crash_loop_makes_the_app_failed_and_a_good_start_ends_that() {
    let mut bench = Bench::new(policy(1));
    let mut id = spawned(&bench.step(Event::Tick))[0];
    for _ in 0..4 {
        bench.step(Event::Exited(id, Exit::Code(1)));
        id = spawned(&bench.after(2 * SECOND, Event::Tick))[0];
    }
    bench.step(Event::Exited(id, Exit::Code(1)));
    assert_eq!(bench.machine.state(), AppState::Failed);
    assert!(
        spawned(&bench.after(20 * SECOND, Event::Tick)).is_empty(),
        "retries are slow"
    );
    let id = spawned(&bench.after(20 * SECOND, Event::Tick))[0];
    assert_eq!(
        bench.machine.state(),
        AppState::Failed,
        "503 until it is ready"
    );
    bench.step(Event::Ready(id));
    assert_eq!(bench.machine.state(), AppState::Ready);
}

#[test]
fn the_slow_attempts_of_a_crash_loop_do_not_end_it() {
    let mut bench = Bench::new(policy(1));
    let mut id = spawned(&bench.step(Event::Tick))[0];
    for attempt in 0..20 {
        let pause = if attempt < 4 { SECOND } else { 40 * SECOND };
        bench.step(Event::Exited(id, Exit::Code(1)));
        id = spawned(&bench.after(pause, Event::Tick))[0];
        let looping = bench.machine.state() == AppState::Failed;
        assert_eq!(looping, attempt >= 4, "attempt {attempt}");
    }
}

#[test]
fn another_failure_does_not_cut_a_pause_short() {
    let mut slow = policy(3);
    (slow.backoff.delay, slow.backoff.limit) = (SECOND, 100);
    let mut bench = Bench::new(slow);
    let ids = spawned(&bench.step(Event::Tick));
    bench.step(Event::Ready(ids[1]));
    let mut id = ids[0];
    for pause in [1, 2, 8] {
        bench.step(Event::Exited(id, Exit::Code(1)));
        id = spawned(&bench.after(pause * SECOND, Event::Tick))[0];
    }
    // The fourth in a row: eight seconds. The next one had a healthy life, the last one had none.
    bench.step(Event::Exited(id, Exit::Code(1)));
    bench.step(Event::Exited(ids[1], Exit::Code(1)));
    bench.step(Event::Exited(ids[2], Exit::Code(1)));
    assert!(spawned(&bench.after(7 * SECOND, Event::Tick)).is_empty());
    assert_eq!(spawned(&bench.after(SECOND, Event::Tick)).len(), 3);
}

#[test]
fn a_shorter_longest_pause_counts_for_the_pause_under_way() {
    let mut bench = Bench::new(policy(1));
    let mut id = spawned(&bench.step(Event::Tick))[0];
    for _ in 0..4 {
        bench.step(Event::Exited(id, Exit::Code(1)));
        id = spawned(&bench.after(2 * SECOND, Event::Tick))[0];
    }
    bench.step(Event::Exited(id, Exit::Code(1)));
    let mut patient = policy(1);
    patient.backoff.max_delay = SECOND;
    bench.step(Event::NewPolicy {
        generation: 1,
        policy: patient,
    });
    assert_eq!(spawned(&bench.after(SECOND, Event::Tick)).len(), 1);
}

#[test]
fn exit_status_78_is_not_restarted_until_someone_asks() {
    let mut bench = Bench::ready(policy(1));
    bench.step(Event::Exited(1, Exit::Code(78)));
    assert_eq!(bench.machine.state(), AppState::Failed);
    assert!(spawned(&bench.after(3600 * SECOND, Event::Tick)).is_empty());
    assert_eq!(spawned(&bench.step(Event::Start)).len(), 1);
}

#[test]
fn restart_on_failure_lets_a_clean_exit_be() {
    let mut bench = Bench::ready(Policy {
        restart: Restart::OnFailure,
        ..policy(1)
    });
    bench.step(Event::Exited(1, Exit::Code(0)));
    assert!(spawned(&bench.after(60 * SECOND, Event::Tick)).is_empty());
}

#[test]
fn a_rollout_replaces_first_then_drains_then_stops() {
    let mut bench = Bench::ready(policy(1));
    let effects = bench.step(Event::Rollout {
        generation: 2,
        policy: policy(1),
    });
    let new = spawned(&effects)[0];
    assert!(
        bench.machine.worker(1).expect("old").is_ready(),
        "the old one serves on"
    );
    let effects = bench.after(3 * SECOND, Event::Ready(new));
    assert_eq!(outcome(&effects), Some((2, Ok(()))));
    assert!(effects.contains(&Effect::Publish));
    assert!(matches!(
        bench.machine.worker(1).expect("old").state,
        WorkerState::Draining { .. }
    ));
    assert_eq!(bench.step(Event::Drained(1)), [Effect::Terminate(1)]);
    bench.step(Event::Exited(1, Exit::Code(0)));
    assert_eq!(bench.machine.state(), AppState::Ready);
    assert_eq!(bench.machine.generation(), 2);
}

#[test]
fn a_generation_that_fails_is_given_up_and_the_old_one_serves_on() {
    let mut bench = Bench::ready(policy(2));
    let new = spawned(&bench.step(Event::Rollout {
        generation: 2,
        policy: policy(2),
    }));
    bench.step(Event::Ready(new[0]));
    let effects = bench.step(Event::Exited(new[1], Exit::Code(1)));
    assert_eq!(
        outcome(&effects),
        Some((
            2,
            Err("exited with status 1 before it was ready".to_owned())
        ))
    );
    assert!(matches!(
        bench.machine.worker(new[0]).expect("its sister").state,
        WorkerState::Draining { .. }
    ));
    assert_eq!(bench.machine.generation(), 1);
    assert_eq!(bench.machine.state(), AppState::Ready);
    assert!(spawned(&bench.after(60 * SECOND, Event::Tick)).is_empty());
}

#[test]
fn a_new_generation_must_stay_healthy_before_it_takes_over() {
    let careful = Policy {
        min_healthy: 5 * SECOND,
        ..policy(1)
    };
    let mut bench = Bench::ready(policy(1));
    let new = spawned(&bench.step(Event::Rollout {
        generation: 2,
        policy: careful,
    }))[0];
    bench.step(Event::Ready(new));
    bench.after(4 * SECOND, Event::Tick);
    assert_eq!(bench.machine.generation(), 1);
    assert_eq!(
        outcome(&bench.after(SECOND, Event::Tick)),
        Some((2, Ok(())))
    );
}

#[test]
fn a_newer_rollout_replaces_one_under_way() {
    let mut bench = Bench::ready(policy(1));
    let second = spawned(&bench.step(Event::Rollout {
        generation: 2,
        policy: policy(1),
    }))[0];
    let effects = bench.step(Event::Rollout {
        generation: 3,
        policy: policy(1),
    });
    assert!(effects.contains(&Effect::Terminate(second)));
    let third = spawned(&effects)[0];
    assert_eq!(outcome(&bench.step(Event::Ready(third))), Some((3, Ok(()))));
}

#[test]
fn a_rollout_that_replaces_an_unproven_generation_ends_once() {
    let mut bench = Bench::new(policy(2));
    bench.step(Event::Tick);
    let second = spawned(&bench.step(Event::Rollout {
        generation: 2,
        policy: policy(2),
    }));
    bench.step(Event::Ready(second[0]));
    let third = spawned(&bench.step(Event::Rollout {
        generation: 3,
        policy: policy(1),
    }))[0];
    let ends = |effects: &[Effect]| {
        let ends = effects
            .iter()
            .filter(|e| matches!(e, Effect::RolloutDone { .. }));
        ends.count()
    };
    assert_eq!(ends(&bench.step(Event::Ready(third))), 1);
}

#[test]
fn settings_that_change_during_a_rollout_are_those_of_the_new_generation() {
    let mut bench = Bench::ready(policy(1));
    bench.step(Event::Rollout {
        generation: 2,
        policy: policy(1),
    });
    for generation in [1, 2] {
        bench.step(Event::NewPolicy {
            generation,
            policy: policy(3),
        });
    }
    for id in 2..=6 {
        bench.step(Event::Ready(id));
    }
    assert_eq!(bench.machine.generation(), 2);
    assert_eq!(bench.machine.serving().count(), 3);
}

#[test]
fn without_time_to_drain_a_worker_still_leaves_the_table_first() {
    let mut bench = Bench::ready(Policy {
        drain_timeout: Duration::ZERO,
        ..policy(1)
    });
    assert_eq!(bench.step(Event::Stop), [Effect::Publish]);
    assert!(
        bench
            .after(LEAST_DRAIN, Event::Tick)
            .contains(&Effect::Terminate(1))
    );
}

#[test]
fn a_crash_loop_that_is_forgotten_is_published() {
    let mut hasty = policy(1);
    hasty.backoff.limit = 1;
    let mut bench = Bench::ready(hasty);
    bench.step(Event::Exited(1, Exit::Code(1)));
    assert_eq!(bench.machine.state(), AppState::Failed);
    assert!(bench.step(Event::Start).contains(&Effect::Publish));
}

#[test]
fn a_worker_that_is_never_ready_is_killed_at_its_timeout_and_replaced_after_the_delay() {
    let mut bench = Bench::new(policy(1));
    bench.step(Event::Tick);
    let effects = bench.after(60 * SECOND, Event::Tick);
    assert!(effects.contains(&Effect::Kill(1)));
    assert_eq!(spawned(&bench.after(SECOND, Event::Tick)).len(), 1);
}

#[test]
fn a_worker_may_ask_for_more_time_to_start() {
    let mut bench = Bench::new(policy(1));
    bench.step(Event::Tick);
    bench.after(50 * SECOND, Event::Extend(1, 30 * SECOND));
    assert!(
        !bench
            .after(20 * SECOND, Event::Tick)
            .contains(&Effect::Kill(1))
    );
    assert!(
        bench
            .after(10 * SECOND, Event::Tick)
            .contains(&Effect::Kill(1))
    );
}

#[test]
fn a_stop_drains_then_terminates_then_kills() {
    let mut bench = Bench::ready(policy(1));
    bench.step(Event::Stop);
    assert_eq!(bench.machine.state(), AppState::Stopped);
    assert!(
        bench
            .after(30 * SECOND, Event::Tick)
            .contains(&Effect::Terminate(1)),
        "the drain has a limit"
    );
    assert!(
        bench
            .after(10 * SECOND, Event::Tick)
            .contains(&Effect::Kill(1)),
        "the stop has a limit"
    );
    bench.step(Event::Exited(1, Exit::Signal(9)));
    assert!(bench.machine.is_gone());
    assert!(
        spawned(&bench.after(60 * SECOND, Event::Tick)).is_empty(),
        "a stopped app stays stopped"
    );
}

#[test]
fn a_stop_ends_a_rollout_and_says_so() {
    let mut bench = Bench::ready(policy(1));
    bench.step(Event::Rollout {
        generation: 2,
        policy: policy(1),
    });
    assert_eq!(
        outcome(&bench.step(Event::Stop)),
        Some((2, Err("the app was stopped".to_owned())))
    );
}

#[test]
fn fewer_processes_drain_the_highest_slots() {
    let mut bench = Bench::ready(policy(3));
    bench.step(Event::NewPolicy {
        generation: 1,
        policy: policy(1),
    });
    let draining: Vec<u32> = bench
        .machine
        .workers()
        .filter(|(_, w)| matches!(w.state, WorkerState::Draining { .. }))
        .map(|(_, w)| w.slot)
        .collect();
    assert_eq!(draining, [1, 2]);
}

#[test]
fn restarting_a_failed_app_needs_nothing_to_protect() {
    let mut bench = Bench::new(policy(1));
    let id = spawned(&bench.step(Event::Tick))[0];
    bench.step(Event::Exited(id, Exit::Code(78)));
    let new = spawned(&bench.step(Event::Rollout {
        generation: 2,
        policy: policy(1),
    }))[0];
    assert_eq!(outcome(&bench.step(Event::Ready(new))), Some((2, Ok(()))));
    assert_eq!(bench.machine.generation(), 2);
}

#[test]
fn an_app_on_demand_starts_asleep_wakes_and_sleeps_again() {
    let mut bench = Bench::new(Policy {
        idle_timeout: Some(60 * SECOND),
        ..policy(1)
    });
    assert!(spawned(&bench.step(Event::Tick)).is_empty());
    assert_eq!(bench.machine.state(), AppState::Idle);
    let id = spawned(&bench.step(Event::Wanted))[0];
    assert_eq!(bench.machine.state(), AppState::Starting);
    bench.step(Event::Ready(id));
    bench.after(50 * SECOND, Event::Active);
    bench.after(50 * SECOND, Event::Tick);
    assert_eq!(bench.machine.state(), AppState::Ready, "it was in use");
    let effects = bench.after(10 * SECOND, Event::Tick);
    assert!(effects.contains(&Effect::Publish));
    assert_eq!(bench.machine.state(), AppState::Idle);
    assert_eq!(bench.step(Event::Drained(id)), [Effect::Terminate(id)]);
    bench.step(Event::Exited(id, Exit::Code(0)));
    assert!(bench.machine.is_gone());
}

#[test]
fn a_request_for_an_app_that_just_fell_asleep_starts_a_worker_at_once() {
    let mut bench = Bench::new(Policy {
        idle_timeout: Some(60 * SECOND),
        ..policy(1)
    });
    bench.step(Event::Tick);
    let id = spawned(&bench.step(Event::Wanted))[0];
    bench.step(Event::Ready(id));
    bench.after(60 * SECOND, Event::Tick);
    assert_eq!(
        spawned(&bench.step(Event::Wanted)).len(),
        1,
        "the old one may still drain"
    );
}

#[test]
fn a_worker_that_hangs_gets_nothing_new_dumps_and_is_replaced() {
    let mut bench = Bench::ready(policy(1));
    let effects = bench.after(11 * SECOND, Event::Hung(1, "did not answer".to_owned()));
    assert!(effects.contains(&Effect::Dump(1)) && effects.contains(&Effect::Publish));
    assert_eq!(
        spawned(&effects).len(),
        1,
        "its successor is not kept waiting"
    );
    assert!(matches!(
        bench.machine.worker(1).expect("it drains").state,
        WorkerState::Draining { .. }
    ));
    assert!(
        bench
            .after(30 * SECOND, Event::Tick)
            .contains(&Effect::Terminate(1))
    );
}

/// What is told of a failure that is no exit, and where: the delay until the next start, if there is one.
fn told_delay(effects: &[Effect]) -> Option<(usize, Option<Duration>)> {
    effects.iter().enumerate().find_map(|(at, e)| match e {
        Effect::Report(Report::StartTimeout { delay, .. } | Report::Hung { delay, .. }) => {
            Some((at, *delay))
        }
        _ => None,
    })
}

#[test]
fn a_start_that_takes_too_long_and_a_hang_say_when_the_next_start_is() {
    let mut bench = Bench::new(policy(1));
    bench.step(Event::Tick);
    let effects = bench.after(60 * SECOND, Event::Tick);
    let (_, delay) = told_delay(&effects).expect("it is told");
    assert_eq!(delay, Some(Duration::from_millis(100)));
    let mut bench = Bench::ready(policy(1));
    let effects = bench.after(11 * SECOND, Event::Hung(1, "did not answer".to_owned()));
    let (_, delay) = told_delay(&effects).expect("it is told");
    assert_eq!(delay, Some(Duration::ZERO), "it had been well");
}

#[test]
fn a_new_generation_that_takes_too_long_is_told_before_it_is_given_up() {
    let mut bench = Bench::ready(policy(1));
    let rollout = Event::Rollout {
        generation: 2,
        policy: policy(1),
    };
    bench.step(rollout);
    let effects = bench.after(60 * SECOND, Event::Tick);
    let (told, delay) = told_delay(&effects).expect("it is told");
    assert_eq!(delay, None, "it is not started again");
    let done = effects
        .iter()
        .position(|e| matches!(e, Effect::RolloutDone { .. }))
        .expect("the rollout is over");
    assert!(told < done, "who waits for it is told why");
}

#[test]
fn an_app_that_keeps_hanging_is_in_a_crash_loop() {
    let mut bench = Bench::ready(policy(1));
    for id in 1..=5 {
        bench.step(Event::Hung(id, "did not answer".to_owned()));
        bench.after(2 * SECOND, Event::Tick);
        bench.step(Event::Ready(id + 1));
    }
    assert_eq!(bench.machine.state(), AppState::Failed);
}

#[test]
fn a_missed_watchdog_is_a_hang_and_a_ping_prevents_it() {
    let mut bench = Bench::ready(Policy {
        watchdog: Some(5 * SECOND),
        ..policy(1)
    });
    bench.after(4 * SECOND, Event::Alive(1));
    assert!(
        !bench
            .after(4 * SECOND, Event::Tick)
            .contains(&Effect::Dump(1))
    );
    assert!(bench.after(SECOND, Event::Tick).contains(&Effect::Dump(1)));
}

/// With health checks.
fn checked() -> Policy {
    Policy {
        health: true,
        min_healthy: 2 * SECOND,
        start_timeout: 10 * SECOND,
        ..policy(1)
    }
}

fn ill(id: WorkerId) -> Event {
    Event::Unhealthy(id, "answered with status 503".to_owned())
}

#[test]
fn with_health_checks_a_worker_serves_when_it_was_healthy_for_min_healthy() {
    let mut bench = Bench::new(checked());
    let id = spawned(&bench.step(Event::Tick))[0];
    bench.after(SECOND, Event::Ready(id));
    bench.after(4 * SECOND, Event::Tick);
    assert_eq!(bench.machine.state(), AppState::Starting, "not checked yet");
    bench.step(Event::Healthy(id));
    bench.after(SECOND, ill(id));
    bench.after(2 * SECOND, Event::Tick);
    assert_eq!(bench.machine.state(), AppState::Starting, "it fell ill");
    bench.step(Event::Healthy(id));
    bench.after(SECOND, Event::Healthy(id));
    bench.after(SECOND, Event::Tick);
    assert_eq!(bench.machine.state(), AppState::Ready);
}

#[test]
fn a_worker_that_does_not_become_healthy_in_time_has_failed() {
    let mut bench = Bench::ready(policy(1));
    let new = spawned(&bench.step(Event::Rollout {
        generation: 2,
        policy: checked(),
    }))[0];
    bench.after(SECOND, Event::Ready(new));
    bench.after(SECOND, ill(new));
    let effects = bench.after(8 * SECOND, Event::Tick);
    assert!(effects.contains(&Effect::Kill(new)));
    assert_eq!(
        outcome(&effects),
        Some((2, Err("was not healthy within 10s".to_owned())))
    );
    assert!(bench.machine.worker(1).expect("the old one").is_ready());
}

#[test]
fn three_failed_checks_in_a_row_are_a_hang() {
    let mut bench = Bench::ready(policy(1));
    for event in [ill(1), ill(1), Event::Healthy(1), ill(1), ill(1)] {
        assert!(bench.after(SECOND, event).is_empty());
    }
    let effects = bench.after(SECOND, ill(1));
    assert!(effects.contains(&Effect::Dump(1)) && effects.contains(&Effect::Publish));
}

#[test]
fn a_worker_that_waits_for_its_checks_serves_when_they_are_switched_off() {
    let mut bench = Bench::new(checked());
    let id = spawned(&bench.step(Event::Tick))[0];
    bench.step(Event::Ready(id));
    bench.step(Event::NewPolicy {
        generation: 1,
        policy: policy(1),
    });
    assert_eq!(bench.machine.state(), AppState::Ready);
}

#[test]
fn requests_that_wait_bring_another_process_and_a_stop_forgets_it() {
    let mut bench = Bench::ready(Policy {
        max_processes: 2,
        ..policy(1)
    });
    let load = Event::Load(Load {
        in_flight: 4,
        queued: 1,
        waited: SECOND,
    });
    assert!(spawned(&bench.step(load.clone())).is_empty(), "too early");
    let new = spawned(&bench.after(SECOND, load.clone()))[0];
    assert_eq!(bench.machine.worker(new).map(|w| w.slot), Some(1));
    assert_eq!(bench.machine.state(), AppState::Ready);
    assert!(spawned(&bench.after(SECOND, load)).is_empty());
    bench.step(Event::Stop);
    bench.step(Event::Start);
    assert_eq!(bench.machine.size(1), 1);
}

#[test]
fn recycling_replaces_first_and_one_at_a_time() {
    let mut bench = Bench::ready(policy(2));
    let effects = bench.step(Event::Recycle(1, "has had 10 requests".to_owned()));
    let successor = spawned(&effects)[0];
    assert!(spawned(&bench.step(Event::Recycle(2, "too".to_owned()))).is_empty());
    assert!(bench.machine.worker(1).expect("it serves").is_ready());
    assert_eq!(bench.machine.state(), AppState::Ready);
    bench.step(Event::Ready(successor));
    assert!(matches!(
        bench.machine.worker(1).expect("it drains").state,
        WorkerState::Draining { .. }
    ));
    assert_eq!(
        spawned(&bench.step(Event::Recycle(2, "too".to_owned()))).len(),
        1
    );
}

#[test]
fn workers_of_one_app_do_not_reach_their_age_together() {
    let mut bench = Bench::ready(Policy {
        max_lifetime: Some(100 * SECOND),
        ..policy(2)
    });
    let first = spawned(&bench.after(100 * SECOND, Event::Tick));
    assert_eq!(first.len(), 1);
    assert!(spawned(&bench.after(2 * SECOND, Event::Tick)).is_empty());
    bench.step(Event::Ready(first[0]));
    assert_eq!(spawned(&bench.after(SECOND, Event::Tick)).len(), 1);
}
