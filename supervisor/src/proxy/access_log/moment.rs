//! Moments in UTC, as logs write them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, to be shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(pub(super) SystemTime);

/// `29/Feb/2024:12:34:56 +0000`
pub(super) struct Common(pub(super) Moment);

/// `2024-02-29T12:34:56+00:00`
pub(super) struct Iso(pub(super) Moment);

/// `2024-02-29T12:34:56.789Z`
pub(super) struct Precise(pub(super) Moment);

/// Seconds since 1970: `1709210096.789`
pub(super) struct Unix(pub(super) Moment);

struct Parts {
    year: i64,
    /// From 1.
    month: usize,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    milli: u32,
}

impl Moment {
    fn parts(self) -> Parts {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        Parts {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            milli: since.subsec_millis(),
        }
    }
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let at = self.0.parts();
        let month = MONTHS[at.month - 1];
        let (day, year) = (at.day, at.year);
        let (hour, minute, second) = (at.hour, at.minute, at.second);
        write!(
            f,
            "{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000"
        )
    }
}

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.parts().date_and_time(f)?;
        f.write_str("+00:00")
    }
}

impl fmt::Display for Precise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.0.parts();
        at.date_and_time(f)?;
        write!(f, ".{:03}Z", at.milli)
    }
}

impl fmt::Display for Unix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(f, "{}.{:03}", since.as_secs(), since.subsec_millis())
    }
}

impl Parts {
    fn date_and_time(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.year, self.month, self.day);
        let (hour, minute, second) = (self.hour, self.minute, self.second);
        write!(
            f,
            "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )
    }
}

/// The Gregorian date of a day since 1970.
fn civil(mut days: u64) -> (i64, usize, u64) {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970 + 400 * i64::try_from(days / 146_097).unwrap_or(0);
    days %= 146_097;
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(11_017), (2000, 3, 1));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn a_moment_is_written_as_nginx_writes_it() {
        let moment = Moment(UNIX_EPOCH + Duration::from_millis(1_709_210_096_789));
        assert_eq!(Common(moment).to_string(), "29/Feb/2024:12:34:56 +0000");
        assert_eq!(Iso(moment).to_string(), "2024-02-29T12:34:56+00:00");
        assert_eq!(Precise(moment).to_string(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Unix(moment).to_string(), "1709210096.789");
    }
}
