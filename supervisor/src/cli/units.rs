//! Numbers for people, with their units and three digits.

/// With a decimal unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value, unit > 0), UNITS[unit])
}

/// Milliseconds, or seconds where these are many.
pub(crate) fn time(millis: Option<f64>) -> String {
    match millis {
        None => "-".to_owned(),
        Some(millis) if millis >= 999.5 => format!("{} s", three_digits(millis / 1000.0, true)),
        Some(millis) => format!("{} ms", three_digits(millis, true)),
    }
}

/// How long something has been there, in its two greatest units.
pub(crate) fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// As many as tell something.
fn three_digits(value: f64, may_have_a_part: bool) -> String {
    match value {
        value if !may_have_a_part || value >= 99.95 => format!("{value:.0}"),
        value if value >= 9.995 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_tell_something() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234), "1.23 kB");
        assert_eq!(bytes(999_700), "1.00 MB");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
        assert_eq!(time(None), "-");
        assert_eq!(time(Some(0.125)), "0.12 ms");
        assert_eq!(time(Some(12.34)), "12.3 ms");
        assert_eq!(time(Some(1_500.0)), "1.50 s");
    }

    #[test]
    fn times_are_short() {
        let times = [0.9, 61.0, 3600.0, 90_000.0].map(age);
        assert_eq!(times, ["0s", "1m 1s", "1h 0m", "1d 1h"]);
    }
}
