//! Values as people write them: durations, sizes, numbers, switches.
//!
//! Each parser's error is a fragment that says what was expected; the caller knows which key and line it was.

use std::time::Duration;

/// Units of a duration, longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Units of a size, in bytes (powers of 1024).
const SIZE_UNITS: [(&str, u64); 4] = [
    ("T", 1 << 40),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
];

/// The longest duration that is accepted: ten years. Longer ones are slips of the pen, and would overflow deadlines.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Reads `500ms`, `10s`, `5m`, `1h`; a fraction (`1.5s`) is kept to the millisecond. `0` needs no unit.
///
/// # Errors
/// What was expected, when the text is anything else or is longer than ten years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as `500ms`, `10s`, `5m` or `1h`".to_owned();
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = split_unit(text);
    if unit.is_empty() && !number.is_empty() {
        return Err(format!(
            "{}; `{number}` has no unit, write `{number}s` for seconds",
            expected()
        ));
    }
    let factor = DURATION_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, ms)| *ms)
        .ok_or_else(expected)?;
    let milliseconds = decimal(number, factor).ok_or_else(expected)?;
    let parsed = Duration::from_millis(milliseconds);
    if parsed > LONGEST {
        Err("expected a duration of at most ten years".to_owned())
    } else {
        Ok(parsed)
    }
}

/// Reads a duration, or `off` for none.
///
/// # Errors
/// As [`duration`]; zero is an error too, because "no time at all" is not what anybody means by it.
pub fn optional_duration(text: &str) -> Result<Option<Duration>, String> {
    if text.trim().eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    match duration(text) {
        Ok(Duration::ZERO) => {
            Err("expected a duration above zero, or `off` for no limit".to_owned())
        }
        Ok(parsed) => Ok(Some(parsed)),
        Err(expected) => Err(format!("{expected}, or `off`")),
    }
}

/// Reads a size in bytes: `1000`, `64K`, `256M`, `2G` (powers of 1024; `KB` and `KiB` mean the same).
///
/// # Errors
/// What was expected, when the text is anything else or does not fit 63 bits.
pub fn size(text: &str) -> Result<u64, String> {
    let expected = || "expected a size in bytes such as `64K`, `256M` or `2G`".to_owned();
    let (number, unit) = split_unit(text.trim());
    let upper = unit.to_ascii_uppercase();
    let bare = upper
        .strip_suffix("IB")
        .or_else(|| upper.strip_suffix('B'))
        .unwrap_or(&upper);
    let factor = match bare {
        "" => 1,
        _ => SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == bare)
            .map(|(_, bytes)| *bytes)
            .ok_or_else(expected)?,
    };
    let bytes = decimal(number, factor).ok_or_else(expected)?;
    if i64::try_from(bytes).is_ok() {
        Ok(bytes)
    } else {
        Err(expected())
    }
}

/// Reads a switch as `paste.deploy.converters.asbool` does: any case, surrounding space ignored.
///
/// # Errors
/// What was expected; the empty string is an error there too.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" => Ok(true),
        "false" | "no" | "off" | "n" | "f" | "0" => Ok(false),
        _ => Err("expected `on` or `off`".to_owned()),
    }
}

/// Reads a whole number between `lowest` and `highest`.
///
/// # Errors
/// The range, when the text is no number or is out of it.
pub fn number<N>(text: &str, lowest: N, highest: N) -> Result<N, String>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    match text.trim().parse::<N>() {
        Ok(parsed) if parsed >= lowest && parsed <= highest => Ok(parsed),
        _ => Err(format!(
            "expected a whole number from {lowest} to {highest}"
        )),
    }
}

/// Writes a duration the way [`duration`] reads it, in the largest unit that is exact (but `60s`, not `1m`, as most
/// people write it).
pub fn show_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let (unit, factor) = DURATION_UNITS
        .iter()
        .find(|(unit, factor)| {
            milliseconds.is_multiple_of(*factor) && (*unit != "m" || milliseconds > *factor)
        })
        .expect("every number is a multiple of one millisecond");
    format!("{}{unit}", milliseconds / factor)
}

/// Writes a size the way [`size`] reads it, in the largest unit that is exact.
pub fn show_size(bytes: u64) -> String {
    match SIZE_UNITS
        .iter()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
    {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// `12.5ms` → (`12.5`, `ms`).
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `number` times `factor`, rounded down; none for what is no decimal number or overflows.
pub(super) fn decimal(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let parts = whole.parse::<u128>().ok()? * scale + fraction.parse::<u128>().ok()?;
    u64::try_from(parts * u128::from(factor) / scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration(" 10s "), Ok(Duration::from_secs(10)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_duration_without_unit_is_told_what_to_write() {
        let error = duration("10").expect_err("no unit");
        assert!(error.contains("`10s`"), "{error}");
    }

    #[test]
    fn nonsense_is_no_duration() {
        for text in [
            "",
            "s",
            "-1s",
            "1d",
            "1.s",
            ".5s",
            "1..5s",
            "99999999999999999999s",
            "20000000h",
            "1 0s",
            "é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn off_is_no_limit_and_zero_is_refused() {
        assert_eq!(optional_duration("off"), Ok(None));
        assert_eq!(optional_duration("1s"), Ok(Some(Duration::from_secs(1))));
        assert!(optional_duration("0s").is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("256 MiB"), Ok(256 << 20));
        assert_eq!(size("2g"), Ok(2 << 30));
        assert_eq!(size("1000"), Ok(1000));
        for text in ["", "K", "1X", "-1", "9999999T", "1BB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn switches_are_those_of_asbool() {
        assert_eq!(switch(" Yes "), Ok(true));
        assert_eq!(switch("f"), Ok(false));
        assert!(switch("").is_err());
        assert!(switch("2").is_err());
    }

    #[test]
    fn numbers_outside_the_range_name_it() {
        assert_eq!(number("4", 1, 10), Ok(4));
        assert_eq!(
            number::<u32>("0", 1, 10),
            Err("expected a whole number from 1 to 10".to_owned())
        );
        assert!(number::<u32>("-3", 0, 10).is_err());
        assert!(number::<u32>("4.0", 0, 10).is_err());
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for text in ["500ms", "10s", "90s", "5m", "1h", "1500ms"] {
            assert_eq!(
                duration(&show_duration(duration(text).expect(text))),
                duration(text)
            );
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        assert_eq!(show_duration(Duration::ZERO), "0s");
        assert_eq!(show_size(65536), "64K");
        assert_eq!(show_size(1000), "1000");
        assert_eq!(show_size(0), "0");
    }
}
