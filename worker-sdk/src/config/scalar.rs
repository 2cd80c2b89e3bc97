//! Text to values, by the rules of `paste.deploy.converters` and of paster's own durations.

use super::ConfigError;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// As `asbool`: trimmed and in any case; the empty string is none of them.
pub(super) fn boolean(text: &str) -> Result<bool, ConfigError> {
    match text.trim().to_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "t" | "1" => Ok(true),
        "false" | "no" | "off" | "n" | "f" | "0" => Ok(false),
        _ => Err(ConfigError::expected("`true` or `false`")),
    }
}

/// As `asint` (Python's `int`) for ASCII digits; `bounds` are the type's, for the message.
pub(super) fn integer<T: FromStr>(
    text: &str,
    bounds: (impl Display, impl Display),
) -> Result<T, ConfigError> {
    without_underscores(text.trim())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            ConfigError::expected(format!("a whole number from {} to {}", bounds.0, bounds.1))
        })
}

/// Python allows one `_` between two digits and nowhere else.
fn without_underscores(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let well_placed = digits
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    well_placed.then(|| text.replace('_', ""))
}

pub(super) fn float<T: FromStr>(text: &str) -> Result<T, ConfigError> {
    text.trim()
        .parse()
        .map_err(|_| ConfigError::expected("a number"))
}

pub(super) fn character(text: &str) -> Result<char, ConfigError> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(ConfigError::expected("one character")),
    }
}

/// A whole number with its unit: `500ms`, `10s`, `5m`, `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, ConfigError> {
    let text = text.trim();
    let split = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(not_a_duration()),
    };
    let amount: u64 = digits.parse().map_err(|_| not_a_duration())?;
    amount
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(not_a_duration)
}

fn not_a_duration() -> ConfigError {
    ConfigError::expected("a duration such as `500ms`, `10s` or `5m`")
}
