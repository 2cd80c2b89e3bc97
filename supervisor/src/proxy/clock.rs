//! Milliseconds since the start of the process: one number that fits an atomic.

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// From 1; monotonic.
pub(super) fn now_ms() -> u64 {
    at_ms(Instant::now())
}

/// [`now_ms`] at a moment that is known already.
pub(super) fn at_ms(moment: Instant) -> u64 {
    let start = *START.get_or_init(Instant::now);
    let elapsed = moment.saturating_duration_since(start).as_millis();
    u64::try_from(elapsed).unwrap_or(u64::MAX - 1) + 1
}
