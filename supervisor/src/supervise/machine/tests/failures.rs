//! What a death or a failed start leads to: pauses, crash loops, and what is not started again.

use super::*;

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
fn an_app_that_keeps_hanging_is_in_a_crash_loop() {
    let mut bench = Bench::ready(policy(1));
    for id in 1..=5 {
        bench.step(Event::Hung(id, "did not answer".to_owned()));
        bench.after(2 * SECOND, Event::Tick);
        bench.step(Event::Ready(id + 1));
    }
    assert_eq!(bench.machine.state(), AppState::Failed);
}
