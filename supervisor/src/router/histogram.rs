//! How long things took: counts by fixed classes of time, whose bounds grow by about a half each, from 50 µs to 5 minutes.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest time of each class but the last, which has no end, in microseconds.
pub const BOUNDS: [u64; 42] = [
    50,
    70, //
    100,
    150,
    200,
    300,
    500,
    700, //
    1_000,
    1_500,
    2_000,
    3_000,
    5_000,
    7_000, //
    10_000,
    15_000,
    20_000,
    30_000,
    50_000,
    70_000, //
    100_000,
    150_000,
    200_000,
    300_000,
    500_000,
    700_000, //
    1_000_000,
    1_500_000,
    2_000_000,
    3_000_000,
    5_000_000,
    7_000_000, //
    10_000_000,
    15_000_000,
    20_000_000,
    30_000_000,
    50_000_000,
    70_000_000, //
    100_000_000,
    150_000_000,
    200_000_000,
    300_000_000,
];

/// How many classes there are.
pub const CLASSES: usize = BOUNDS.len() + 1;

/// The class of a time in microseconds.
pub fn class(micros: u64) -> usize {
    BOUNDS.partition_point(|bound| *bound < micros)
}

/// Whole microseconds; the next one, if it is not whole.
pub fn micros(time: Duration) -> u64 {
    // Not by `as_nanos`: a division of 128 bits takes longer than all else here.
    let part = u64::from(time.subsec_nanos().div_ceil(1000));
    time.as_secs()
        .saturating_mul(1_000_000)
        .saturating_add(part)
}

/// Counts by class. Only classes with anything in them are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// In ascending order; none is empty.
    classes: Vec<(u8, u64)>,
    /// Of all times, in microseconds.
    sum_us: u64,
}

impl Histogram {
    /// `counts` are those of all classes, in their order.
    pub fn new(counts: impl IntoIterator<Item = u64>, sum_us: u64) -> Histogram {
        let classes = (0..)
            .zip(counts)
            .take(CLASSES)
            .filter(|(_, count)| *count > 0)
            .collect();
        Histogram { classes, sum_us }
    }

    /// How many times were measured.
    pub fn count(&self) -> u64 {
        self.classes
            .iter()
            .fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// So many times of class 0 more.
    pub fn add_shortest(&mut self, count: u64) {
        self.add(&Histogram::new([count], 0));
    }

    pub fn add(&mut self, more: &Histogram) {
        let mut counts = [0u64; CLASSES];
        for (class, count) in self.classes.iter().chain(&more.classes) {
            if let Some(known) = counts.get_mut(usize::from(*class)) {
                *known = known.saturating_add(*count);
            }
        }
        *self = Histogram::new(counts, self.sum_us.saturating_add(more.sum_us));
    }

    /// For each class that is not empty its bound (none: no end) and how many times were not longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let classes = self.classes.iter();
        classes.scan(0u64, |sum, (class, count)| {
            *sum = sum.saturating_add(*count);
            Some((BOUNDS.get(usize::from(*class)).copied(), *sum))
        })
    }

    /// The time, in microseconds, that this share of all (0 to 1) did not exceed: estimated as if the times of a class were spread evenly
    /// over it, as Prometheus does; at most the last bound. None when nothing was measured.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * all as f64;
        let mut below = 0u64;
        for (class, count) in &self.classes {
            let class = usize::from(*class);
            let sum = below.saturating_add(*count);
            let last = BOUNDS[BOUNDS.len() - 1];
            let Some(bound) = BOUNDS.get(class).copied() else {
                return Some(last as f64);
            };
            if sum as f64 >= rank {
                let least = class.checked_sub(1).map_or(0, |before| BOUNDS[before]);
                let part = ((rank - below as f64) / *count as f64).clamp(0.0, 1.0);
                return Some(least as f64 + (bound - least) as f64 * part);
            }
            below = sum;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(times: &[u64]) -> Histogram {
        let mut counts = [0; CLASSES];
        for time in times {
            counts[class(*time)] += 1;
        }
        Histogram::new(counts, times.iter().sum())
    }

    #[test]
    fn classes_have_the_bounds_that_they_say() {
        assert_eq!((class(0), class(50), class(51)), (0, 0, 1));
        assert_eq!(BOUNDS[class(1_000)], 1_000);
        assert_eq!(BOUNDS[class(1_001)], 1_500);
        assert_eq!(class(300_000_000), CLASSES - 2);
        assert_eq!(class(u64::MAX), CLASSES - 1);
    }

    #[test]
    fn a_begun_microsecond_counts() {
        assert_eq!(micros(Duration::from_nanos(50_000)), 50);
        assert_eq!(micros(Duration::from_nanos(50_001)), 51);
        assert_eq!(micros(Duration::from_nanos(2_999_999_999)), 3_000_000);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }

    #[test]
    fn bounds_grow_by_a_third_to_two_thirds() {
        for pair in BOUNDS.windows(2) {
            let growth = pair[1] as f64 / pair[0] as f64;
            assert!((1.3..1.7).contains(&growth), "{pair:?}");
        }
    }

    #[test]
    fn quantiles_are_estimated_within_their_class() {
        let histogram = of(&[1_200; 100]);
        assert_eq!(histogram.quantile(0.5), Some(1_250.0));
        assert_eq!(histogram.quantile(1.0), Some(1_500.0));
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(of(&[400_000_000]).quantile(0.5), Some(300_000_000.0));
    }

    #[test]
    fn sums_of_classes_are_told_as_prometheus_wants_them() {
        let histogram = of(&[10, 60, 60, 400_000_000]);
        let told: Vec<_> = histogram.cumulative().collect();
        assert_eq!(told, [(Some(50), 1), (Some(70), 3), (None, 4)]);
    }

    #[test]
    fn what_a_proxy_says_cannot_do_harm() {
        let strange: Histogram = serde_json::from_str(
            r#"{"classes": [[250, 18446744073709551615], [1, 18446744073709551615]], "sum_us": 1}"#,
        )
        .expect("numbers");
        let mut sum = strange.clone();
        sum.add(&strange);
        assert_eq!(sum.count(), u64::MAX);
        assert!(sum.quantile(0.99).is_some());
        assert!(strange.cumulative().count() > 0);
        assert!(strange.quantile(0.5).is_some());
    }

    proptest! {
        #[test]
        fn a_quantile_is_in_the_class_of_the_true_one(
            mut times in prop::collection::vec(0..400_000_000u64, 1..200), share in 0.01..1.0f64,
        ) {
            let histogram = of(&times);
            times.sort_unstable();
            let rank = (share * times.len() as f64).ceil().max(1.0) as usize - 1;
            let estimated = histogram.quantile(share).expect("there are times");
            let at = class(times[rank]);
            let least = at.checked_sub(1).map_or(0, |before| BOUNDS[before]);
            let most = BOUNDS.get(at).or(BOUNDS.last()).expect("there are bounds");
            prop_assert!(least as f64 <= estimated && estimated <= *most as f64, "{estimated} for {}", times[rank]);
        }

        #[test]
        fn more_is_never_less(times in prop::collection::vec(0..400_000_000u64, 1..100)) {
            let histogram = of(&times);
            let quantiles: Vec<f64> = (0..=20).filter_map(|n| histogram.quantile(f64::from(n) / 20.0)).collect();
            prop_assert!(quantiles.is_sorted(), "{quantiles:?}");
        }

        #[test]
        fn parts_add_up_to_the_whole(
            one in prop::collection::vec(0..400_000_000u64, 0..50), other in prop::collection::vec(0..400_000_000u64, 0..50),
        ) {
            let mut sum = of(&one);
            sum.add(&of(&other));
            prop_assert_eq!(sum, of(&[one, other].concat()));
        }
    }
}
