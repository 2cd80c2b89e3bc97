//! How many processes an app has between `processes` and `max_processes`. Pure: the clock is an argument.
//!
//! More when requests wait although every worker has all that it may be given; one fewer when for a long while one fewer would
//! have done. A worker that is needed again soon after it was given up makes the next while longer, so that a load that comes and
//! goes does not start and stop processes all day.

use super::backoff::HEALTHY_LIFE;
use super::upgrade::moment;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A request that has waited for so long waits for another worker.
const PATIENCE: Duration = Duration::from_millis(100);
/// What is said so soon after the last worker became ready may be older than its being there.
const SETTLE: Duration = Duration::from_millis(500);
/// A worker that is needed again within this time was given up too early.
const SOON: Duration = Duration::from_secs(600);
/// By so much longer is the next calm period then, and at most so much in all.
const LONGER: u32 = 4;
const LONGEST: u32 = 16;
/// For how long that is remembered.
const MEMORY: Duration = Duration::from_secs(900);

/// What the proxies say about an app at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Requests that its workers have.
    pub in_flight: u64,
    /// Requests that wait for a worker.
    pub queued: u64,
    /// How long the first of them has waited.
    pub waited: Duration,
}

impl Load {
    fn demand(self) -> u64 {
        self.in_flight.saturating_add(self.queued)
    }
}

/// The rule, from the settings of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    pub least: u32,
    /// Not below `least`.
    pub most: u32,
    /// Requests that one worker is given at the same time.
    pub threads: u32,
    /// One process fewer would have done for so long: so it is given up.
    pub calm: Duration,
}

impl Bounds {
    fn is_range(&self) -> bool {
        self.most > self.least
    }
}

/// How an app is, apart from its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Slots with a ready worker.
    pub ready: u32,
    /// A start is being waited for, or forbidden.
    pub paused: bool,
    /// The last crash.
    pub crashed: Option<Instant>,
}

/// A number of processes that gives way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub from: u32,
    pub to: u32,
}

/// What is known about the load of an app.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Scaler {
    /// Processes that should be there; the bounds have the last word.
    wanted: u32,
    load: Load,
    /// It was said just now, and nothing has been decided since.
    #[serde(skip)]
    is_news: bool,
    /// Since when every wanted worker is ready.
    #[serde(with = "moment::option")]
    complete: Option<Instant>,
    /// Since when one worker fewer would do.
    #[serde(with = "moment::option")]
    calm: Option<Instant>,
    #[serde(with = "moment::option")]
    given_up: Option<Instant>,
    /// When a worker was needed again soon after it was given up.
    #[serde(with = "moment::option")]
    regretted: Option<Instant>,
    /// By what the calm period is multiplied because of that; 0 as 1.
    factor: u32,
}

impl Scaler {
    /// The number of processes now.
    pub fn size(&self, bounds: &Bounds) -> u32 {
        self.wanted.clamp(bounds.least, bounds.most)
    }

    /// The proxies have said something.
    pub fn observe(&mut self, load: Load) {
        self.load = load;
        self.is_news = true;
    }

    /// The number is not to change at present; what was seen before does not count afterwards.
    pub fn hold(&mut self) {
        self.complete = None;
        self.calm = None;
        self.is_news = false;
    }

    /// When [`Scaler::decide`] is due without another observation.
    pub fn due(&self, bounds: &Bounds) -> Option<Instant> {
        let since = self.calm.filter(|_| self.size(bounds) > bounds.least)?;
        let (soonest, latest) = (
            since + bounds.calm,
            since + bounds.calm * self.factor.max(1),
        );
        let forgotten = self.regretted.map_or(soonest, |at| at + MEMORY);
        Some(forgotten.clamp(soonest, latest))
    }

    /// More, fewer, or as many as now.
    pub fn decide(
        &mut self,
        bounds: &Bounds,
        condition: Condition,
        now: Instant,
    ) -> Option<Change> {
        let is_news = std::mem::take(&mut self.is_news);
        if !bounds.is_range() {
            return None;
        }
        let from = self.size(bounds);
        let is_complete = condition.ready >= from;
        self.complete = is_complete.then_some(self.complete.unwrap_or(now));
        self.look_for_calm(bounds, now);
        let to = if is_news && self.is_overloaded(bounds, condition, now) {
            let lacking = self.load.queued.div_ceil(u64::from(bounds.threads.max(1)));
            // At most twice as many, so that one burst does not start everything at once.
            let more = u32::try_from(lacking)
                .unwrap_or(u32::MAX)
                .clamp(1, from.max(1));
            from.saturating_add(more).min(bounds.most)
        } else if self.due(bounds).is_some_and(|at| at <= now) {
            from - 1
        } else {
            return None;
        };
        if to == from {
            return None;
        }
        self.note(Change { from, to }, now);
        self.look_for_calm(bounds, now);
        Some(Change { from, to })
    }

    /// Every worker is ready and full, and still requests wait. Not of an app that has just crashed: more of the same would not help.
    fn is_overloaded(&self, bounds: &Bounds, condition: Condition, now: Instant) -> bool {
        let recently = |at: Instant| now.saturating_duration_since(at) < HEALTHY_LIFE;
        let Some(complete) = self.complete else {
            return false;
        };
        let places = u64::from(condition.ready) * u64::from(bounds.threads);
        // Nearly all: places that have just become free are counted before they are taken again.
        let is_full = self.load.in_flight * 4 >= places * 3;
        self.load.queued > 0
            && self.load.waited >= PATIENCE
            && is_full
            && now >= complete + SETTLE
            && !condition.paused
            && !condition.crashed.is_some_and(recently)
    }

    fn note(&mut self, change: Change, now: Instant) {
        self.wanted = change.to;
        self.hold();
        if change.to < change.from {
            self.given_up = Some(now);
            return;
        }
        let soon = |at: &Instant| now.saturating_duration_since(*at) < SOON;
        if self.given_up.take().as_ref().is_some_and(soon) {
            let remembered = self.regretted.is_some_and(|at| now < at + MEMORY);
            let factor = if remembered { self.factor.max(1) } else { 1 };
            self.factor = (factor * LONGER).min(LONGEST);
            self.regretted = Some(now);
        }
    }

    /// With a quarter of the places free, so that the last step down does not lead straight up again.
    fn look_for_calm(&mut self, bounds: &Bounds, now: Instant) {
        let size = self.size(bounds);
        let fewer = u64::from(size.saturating_sub(1)) * u64::from(bounds.threads);
        let is_calm = size > bounds.least && self.load.demand() <= (fewer * 3 / 4).max(1);
        self.calm = is_calm.then_some(self.calm.unwrap_or(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        least: 1,
        most: 8,
        threads: 2,
        calm: Duration::from_secs(60),
    };
    const STEP: Duration = Duration::from_millis(50);

    /// An app under a load that each test shapes; a new worker takes a while to be ready.
    struct Bench {
        scaler: Scaler,
        now: Instant,
        ready: u32,
        starting: Vec<Instant>,
        waited: Duration,
        changes: Vec<Change>,
        crashed: Option<Instant>,
        paused: bool,
    }

    impl Bench {
        fn new() -> Bench {
            Bench {
                scaler: Scaler::default(),
                now: Instant::now(),
                ready: 1,
                starting: Vec::new(),
                waited: Duration::ZERO,
                changes: Vec::new(),
                crashed: None,
                paused: false,
            }
        }

        fn size(&self) -> u32 {
            self.scaler.size(&BOUNDS)
        }

        /// So much time with so many requests at once.
        fn run(&mut self, time: Duration, demand: impl Fn(Duration) -> u64) {
            let begin = self.now;
            while self.now < begin + time {
                self.now += STEP;
                let demand = demand(self.now - begin);
                self.starting.retain(|at| *at > self.now);
                self.ready = self.size() - self.starting.len() as u32;
                let places = u64::from(self.ready * BOUNDS.threads);
                let queued = demand.saturating_sub(places);
                self.waited = if queued > 0 {
                    self.waited + STEP
                } else {
                    Duration::ZERO
                };
                let load = Load {
                    in_flight: demand.min(places),
                    queued,
                    waited: self.waited,
                };
                self.scaler.observe(load);
                self.decide();
            }
        }

        fn decide(&mut self) {
            let condition = Condition {
                ready: self.ready,
                paused: self.paused,
                crashed: self.crashed,
            };
            if let Some(change) = self.scaler.decide(&BOUNDS, condition, self.now) {
                self.changes.push(change);
                let new = change.to.saturating_sub(change.from);
                let ready_at = self.now + Duration::from_secs(1);
                self.starting.extend((0..new).map(|_| ready_at));
            }
        }

        fn flaps(&self) -> usize {
            let is_flap = |pair: &&[Change]| pair[0].to < pair[0].from && pair[1].to > pair[1].from;
            self.changes.windows(2).filter(is_flap).count()
        }
    }

    #[test]
    fn requests_that_wait_bring_more_workers_and_soon() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(1), |_| 2);
        assert_eq!(bench.size(), 1, "it is full, but nobody waits");
        bench.run(Duration::from_millis(200), |_| 3);
        assert_eq!(bench.size(), 2);
    }

    #[test]
    fn a_large_queue_doubles_them_until_the_bound() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(20), |_| 1000);
        let sizes: Vec<u32> = bench.changes.iter().map(|change| change.to).collect();
        assert_eq!(sizes, [2, 4, 8]);
    }

    #[test]
    fn the_next_ones_are_started_only_when_the_last_are_ready_and_do_not_suffice() {
        let mut bench = Bench::new();
        bench.run(Duration::from_millis(1600), |_| 4);
        assert_eq!(bench.size(), 2, "one is starting");
        bench.run(Duration::from_secs(60), |_| 4);
        assert_eq!(bench.size(), 2, "two suffice");
    }

    #[test]
    fn one_observation_is_a_reason_for_one_step() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(1), |_| 1);
        bench.run(Duration::from_millis(200), |_| 100);
        assert_eq!(bench.size(), 2);
        // Nothing is said until the new one is ready.
        bench.now += Duration::from_secs(2);
        bench.ready = 2;
        bench.decide();
        assert_eq!(bench.size(), 2);
    }

    #[test]
    fn short_waits_are_none() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(60), |time| {
            if time.as_millis().is_multiple_of(1000) {
                9
            } else {
                1
            }
        });
        assert_eq!(bench.size(), 1);
    }

    #[test]
    fn an_app_that_crashes_or_pauses_gets_no_more() {
        let mut bench = Bench::new();
        bench.paused = true;
        bench.run(Duration::from_secs(5), |_| 100);
        assert_eq!(bench.size(), 1);
        bench.paused = false;
        bench.crashed = Some(bench.now);
        bench.run(HEALTHY_LIFE - SETTLE, |_| 100);
        assert_eq!(bench.size(), 1);
        bench.run(SETTLE * 2, |_| 100);
        assert_eq!(bench.size(), 2);
    }

    #[test]
    fn what_was_said_is_not_acted_on_later() {
        let mut bench = Bench::new();
        bench.run(SETTLE * 2, |_| 1);
        bench.crashed = Some(bench.now);
        bench.run(SETTLE * 2, |_| 100);
        bench.now += HEALTHY_LIFE;
        bench.decide();
        assert_eq!(bench.size(), 1, "nobody says that requests still wait");
        bench.run(STEP, |_| 100);
        assert_eq!(bench.size(), 2);
    }

    #[test]
    fn requests_that_wait_for_dead_workers_do_not_count() {
        let mut bench = Bench::new();
        bench.decide();
        bench.now += Duration::from_secs(5);
        let load = Load {
            in_flight: 0,
            queued: 50,
            waited: Duration::from_secs(1),
        };
        bench.scaler.observe(load);
        bench.decide();
        assert_eq!(bench.size(), 1);
    }

    #[test]
    fn after_a_calm_while_there_is_one_fewer_and_so_on_down_to_the_bound() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(10), |_| 8);
        assert_eq!(bench.size(), 4);
        bench.run(Duration::from_secs(59), |_| 1);
        assert_eq!(bench.size(), 4);
        bench.run(Duration::from_secs(2), |_| 1);
        assert_eq!(bench.size(), 3);
        bench.run(Duration::from_secs(600), |_| 1);
        assert_eq!(bench.size(), 1);
        assert!(bench.scaler.due(&BOUNDS).is_none());
    }

    #[test]
    fn without_news_the_last_that_was_said_holds() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(10), |_| 4);
        bench.run(Duration::from_secs(1), |_| 0);
        bench.now = bench.scaler.due(&BOUNDS).expect("it is calm");
        bench.decide();
        assert_eq!(bench.size(), 1);
    }

    #[test]
    fn a_load_that_comes_and_goes_does_not_start_and_stop_workers_all_day() {
        for period in [20, 60, 120, 200, 300] {
            let mut bench = Bench::new();
            let hours = 2;
            bench.run(Duration::from_secs(hours * 3600), |time| {
                let angle = time.as_secs_f64() / f64::from(period) * std::f64::consts::TAU;
                (7.0 + 6.0 * angle.sin()).round() as u64
            });
            let most = hours as usize * 6;
            assert!(bench.flaps() <= most, "{period}: {} flaps", bench.flaps());
        }
    }

    #[test]
    fn other_bounds_have_the_last_word() {
        let mut bench = Bench::new();
        bench.run(Duration::from_secs(20), |_| 1000);
        let fixed = Bounds {
            least: 3,
            most: 3,
            ..BOUNDS
        };
        assert_eq!(bench.scaler.size(&fixed), 3);
        assert!(bench.scaler.due(&fixed).is_none());
    }
}
