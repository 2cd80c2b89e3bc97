//! Points in time that another program on the same running machine understands: nanoseconds of CLOCK_MONOTONIC
//! (clock_gettime(2)), which is what [`Instant`] counts here without saying so.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::{Duration, Instant};

/// The same moment on both clocks.
fn now() -> (Instant, i64) {
    let instant = Instant::now();
    // CLOCK_MONOTONIC is always there.
    let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec()
            .saturating_mul(1_000_000_000)
            .saturating_add(time.tv_nsec())
    });
    (instant, clock)
}

fn to_clock(moment: Instant) -> i64 {
    let (instant, clock) = now();
    let nanos = |distance: Duration| i64::try_from(distance.as_nanos()).unwrap_or(i64::MAX);
    match moment.checked_duration_since(instant) {
        Some(ahead) => clock.saturating_add(nanos(ahead)),
        None => clock.saturating_sub(nanos(instant.duration_since(moment))),
    }
}

fn from_clock(at: i64) -> Instant {
    let (instant, clock) = now();
    let distance = Duration::from_nanos(at.abs_diff(clock));
    let moment = if at > clock {
        instant.checked_add(distance)
    } else {
        instant.checked_sub(distance)
    };
    moment.unwrap_or(instant)
}

/// # Errors
/// Those of the serialiser.
pub(crate) fn serialize<S: Serializer>(moment: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    to_clock(*moment).serialize(serializer)
}

/// # Errors
/// Those of the deserialiser.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Instant, D::Error> {
    i64::deserialize(deserializer).map(from_clock)
}

/// The same for a moment that may not be.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Instant, Serialize, Serializer, from_clock, to_clock};

    /// # Errors
    /// Those of the serialiser.
    pub(crate) fn serialize<S: Serializer>(
        moment: &Option<Instant>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        moment.map(to_clock).serialize(serializer)
    }

    /// # Errors
    /// Those of the deserialiser.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Instant>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(from_clock))
    }
}

/// The same for several.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Instant, Serializer, from_clock, to_clock};

    /// # Errors
    /// Those of the serialiser.
    pub(crate) fn serialize<'a, S: Serializer>(
        moments: impl IntoIterator<Item = &'a Instant>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(moments.into_iter().map(|moment| to_clock(*moment)))
    }

    /// # Errors
    /// Those of the deserialiser.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>, C: FromIterator<Instant>>(
        deserializer: D,
    ) -> Result<C, D::Error> {
        Ok(Vec::<i64>::deserialize(deserializer)?
            .into_iter()
            .map(from_clock)
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_before_and_after_now_survive() {
        let now = Instant::now();
        for moment in [
            now,
            now + Duration::from_secs(90),
            now - Duration::from_millis(5),
        ] {
            let back = from_clock(to_clock(moment));
            let error = back.max(moment) - back.min(moment);
            assert!(error < Duration::from_millis(100), "{error:?}");
        }
    }

    #[test]
    fn absurd_numbers_are_no_panic() {
        for at in [i64::MIN, i64::MAX, 0] {
            from_clock(at);
        }
    }
}
