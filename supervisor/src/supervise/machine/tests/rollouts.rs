//! One generation replaces another.

use super::*;

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
            Err("a worker exited with status 1 before it was ready".to_owned())
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
