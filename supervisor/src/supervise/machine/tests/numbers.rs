//! How many workers are wanted: stop, sleep, another number, another process for those who wait, and recycling.

use super::*;

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
