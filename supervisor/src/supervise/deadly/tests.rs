use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const POLICY: DeadlyPolicy = DeadlyPolicy {
    limit: Some(2),
    pause: Duration::from_secs(5),
};
const SECOND: Duration = Duration::from_secs(1);

/// Deaths of ever new workers, on a clock of its own.
struct Bench {
    deadly: Deadly,
    now: Instant,
    worker: WorkerId,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            deadly: Deadly::default(),
            now: Instant::now(),
            worker: 0,
        }
    }

    /// One second later a new worker dies with GETs of these paths in flight; the paths that are refused then.
    fn death(&mut self, paths: &[&str]) -> Vec<(String, Duration)> {
        self.worker += 1;
        self.again(paths)
    }

    /// The same worker.
    fn again(&mut self, paths: &[&str]) -> Vec<(String, Duration)> {
        self.now += SECOND;
        let unanswered = paths.iter().map(|path| ("GET", *path));
        let refused = self.deadly.died(self.worker, unanswered, self.now, &POLICY);
        refused
            .into_iter()
            .map(|refusal| (refusal.path, refusal.pause))
            .collect()
    }

    fn refused(&self) -> Vec<String> {
        self.deadly.refused(self.now).map(|r| r.path).collect()
    }
}

fn refused(path: &str, seconds: u64) -> Vec<(String, Duration)> {
    vec![(path.to_owned(), Duration::from_secs(seconds))]
}

#[test]
fn a_request_that_was_in_flight_at_two_deaths_in_a_row_is_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.death(&["/boom"]), []);
    assert_eq!(bench.death(&["/boom"]), refused("/boom", 5));
    assert_eq!(bench.refused(), ["/boom"]);
    bench.now += 5 * SECOND;
    assert!(bench.refused().is_empty(), "for a while only");
}

#[test]
fn the_pause_doubles_each_time_up_to_a_minute() {
    let mut bench = Bench::new();
    bench.death(&["/boom"]);
    let pauses: Vec<u64> = (0..6)
        .map(|_| {
            let (_, pause) = bench.death(&["/boom"]).remove(0);
            bench.now += pause;
            pause.as_secs()
        })
        .collect();
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn an_answer_acquits() {
    let mut bench = Bench::new();
    bench.death(&["/busy"]);
    assert!(
        !bench.deadly.answered("GET", "/busy"),
        "the proxy was told nothing that is wrong now"
    );
    assert_eq!(bench.death(&["/busy"]), []);
    assert_eq!(bench.death(&["/busy"]), refused("/busy", 5));
    assert!(!bench.deadly.answered("POST", "/busy"), "another request");
    assert!(bench.deadly.answered("GET", "/busy"));
    assert!(bench.refused().is_empty());
}

#[test]
fn when_several_may_have_been_it_one_more_death_is_awaited() {
    let mut bench = Bench::new();
    bench.death(&["/boom", "/slow"]);
    assert_eq!(bench.death(&["/boom", "/slow"]), []);
    assert_eq!(bench.death(&["/boom"]), refused("/boom", 5));
    assert_eq!(bench.refused(), ["/boom"]);
}

#[test]
fn those_that_always_die_together_are_refused_together() {
    let mut bench = Bench::new();
    bench.death(&["/a", "/b"]);
    bench.death(&["/a", "/b"]);
    assert_eq!(bench.death(&["/a", "/b"]).len(), 2);
}

#[test]
fn a_bystander_of_the_last_death_is_not_refused() {
    let mut bench = Bench::new();
    bench.death(&["/boom"]);
    assert_eq!(bench.death(&["/boom", "/new"]), refused("/boom", 5));
}

#[test]
fn one_death_counts_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.death(&["/boom", "/boom"]), []);
    assert_eq!(bench.again(&["/boom"]), [], "first its hang, then its end");
    assert_eq!(bench.death(&["/boom"]), refused("/boom", 5));
}

#[test]
fn deaths_without_a_request_change_nothing() {
    let mut bench = Bench::new();
    bench.death(&["/boom"]);
    assert_eq!(bench.death(&[]), []);
    assert_eq!(bench.death(&["/boom"]), refused("/boom", 5));
}

#[test]
fn what_was_long_ago_is_forgotten() {
    let mut bench = Bench::new();
    bench.death(&["/boom"]);
    bench.now += MEMORY;
    assert!(bench.deadly.suspects(bench.now).is_empty());
    assert_eq!(bench.death(&["/boom"]), []);
}

#[test]
fn the_proxy_is_told_who_is_watched_refused_and_on_probation() {
    let mut bench = Bench::new();
    bench.death(&["/boom", "/x"]);
    bench.deadly.answered("GET", "/x");
    let told = |bench: &Bench| {
        let suspects = bench.deadly.suspects(bench.now);
        assert_eq!(suspects.len(), 1);
        suspects[0].refused_ms
    };
    assert_eq!(told(&bench), None);
    bench.death(&["/boom"]);
    assert_eq!(told(&bench), Some(5000));
    bench.now += 9 * SECOND;
    assert_eq!(told(&bench), Some(0));
}

#[test]
fn off_is_off_and_a_path_that_was_cut_is_nobody() {
    let mut deadly = Deadly::default();
    let off = DeadlyPolicy {
        limit: None,
        ..POLICY
    };
    let now = Instant::now();
    for worker in 0..9 {
        let unanswered = [("GET", "/boom")].into_iter();
        assert_eq!(deadly.died(worker, unanswered, now, &off), []);
        let long = "x".repeat(MAX_PATH + 1);
        let unanswered = [("GET", &*long)].into_iter();
        assert_eq!(deadly.died(worker, unanswered, now, &POLICY), []);
    }
    assert!(deadly.suspects(now).is_empty());
}

#[derive(Debug, Clone)]
enum Move {
    Death(Vec<u8>),
    Answer(u8),
    Wait(u16),
    Forget,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let any_move = prop_oneof![
        6 => proptest::collection::vec(0..100_u8, 0..6).prop_map(Move::Death),
        // Few paths, so that they meet again.
        6 => proptest::collection::vec(0..4_u8, 0..3).prop_map(Move::Death),
        3 => (0..4_u8).prop_map(Move::Answer),
        3 => (0..1000_u16).prop_map(Move::Wait),
        1 => Just(Move::Forget),
    ];
    proptest::collection::vec(any_move, 0..200)
}

proptest! {
    #[test]
    fn nobody_is_refused_without_enough_unanswered_deaths(moves in moves(), limit in 1..5_u32) {
        let policy = DeadlyPolicy { limit: Some(limit), ..POLICY };
        let mut deadly = Deadly::default();
        let mut now = Instant::now();
        let mut deaths: HashMap<String, u32> = HashMap::new();
        for (worker, the_move) in (0_u64..).zip(moves) {
            match the_move {
                Move::Death(paths) => {
                    let mut paths: Vec<String> = paths.iter().map(|n| format!("/{n}")).collect();
                    paths.dedup();
                    let mut counted = paths.clone();
                    counted.sort();
                    counted.dedup();
                    for path in &counted {
                        *deaths.entry(path.clone()).or_default() += 1;
                    }
                    let before: Vec<String> = deadly.refused(now).map(|r| r.path).collect();
                    let unanswered = paths.iter().map(|path| ("GET", &**path));
                    for refusal in deadly.died(worker, unanswered, now, &policy) {
                        prop_assert!(counted.contains(&refusal.path), "it was in flight");
                        prop_assert!(!before.contains(&refusal.path), "once");
                        prop_assert!(deaths[&refusal.path] >= limit);
                        prop_assert!(refusal.deaths <= deaths[&refusal.path]);
                        prop_assert!(refusal.pause >= policy.pause && refusal.pause <= MAX_PAUSE);
                    }
                }
                Move::Answer(n) => {
                    let path = format!("/{n}");
                    deadly.answered("GET", &path);
                    deaths.remove(&path);
                    prop_assert!(deadly.refused(now).all(|r| r.path != path));
                }
                Move::Wait(seconds) => now += u32::from(seconds) * SECOND,
                Move::Forget => {
                    deadly.forget();
                    deaths.clear();
                }
            }
            let suspects = deadly.suspects(now);
            prop_assert!(suspects.len() <= MAX_SUSPECTS);
            let refused = suspects.iter().filter(|s| s.refused_ms.is_some_and(|ms| ms > 0)).count();
            prop_assert_eq!(refused, deadly.refused(now).count());
        }
        prop_assert!(deadly.refused(now + MAX_PAUSE).next().is_none(), "every pause ends");
    }
}
