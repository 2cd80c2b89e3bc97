//! Requests over their time, the watchdog and health checks.

use super::*;

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
        Some((2, Err("a worker was not healthy within 10s".to_owned())))
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
