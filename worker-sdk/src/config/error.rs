//! What can be wrong with an option.

use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// An option that is missing, unknown, or whose value does not suit its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    key: Option<String>,
    found: Option<String>,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    Missing,
    Unknown {
        known: &'static [&'static str],
    },
    /// What would have been right, in words.
    Expected(String),
    /// A message from the type's own deserializer.
    Other(String),
}

impl ConfigError {
    fn new(problem: Problem) -> ConfigError {
        ConfigError {
            key: None,
            found: None,
            problem,
        }
    }

    pub(super) fn expected(what: impl Into<String>) -> ConfigError {
        ConfigError::new(Problem::Expected(what.into()))
    }

    /// Adds the option it is about, where it is not known yet.
    pub(super) fn at(mut self, key: &str, found: &str) -> ConfigError {
        if self.key.is_none() {
            self.key = Some(key.to_owned());
        }
        if self.found.is_none() {
            self.found = Some(found.to_owned());
        }
        self
    }

    /// Name of the option, where there is one that is to blame.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What to do about it, as a sentence fragment.
    pub fn hint(&self) -> Option<String> {
        match &self.problem {
            Problem::Missing => Some(format!("add `{} = …` to the app's section", self.key()?)),
            Problem::Unknown { known: [] } => Some("this app has no options".to_owned()),
            Problem::Unknown { known } => Some(format!(
                "the options of this app are {}",
                listed(known, "and")
            )),
            Problem::Expected(_) | Problem::Other(_) => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "option `{key}`")?;
            f.write_str(match self.problem {
                Problem::Missing | Problem::Unknown { .. } => " ",
                Problem::Expected(_) | Problem::Other(_) => ": ",
            })?;
        }
        match (&self.problem, &self.found) {
            (Problem::Missing, _) => f.write_str("is missing"),
            (Problem::Unknown { .. }, _) => f.write_str("is not known"),
            (Problem::Expected(what), Some(found)) => write!(f, "expected {what}, found `{found}`"),
            (Problem::Expected(what), None) => write!(f, "expected {what}"),
            (Problem::Other(message), Some(found)) => write!(f, "{message} (found `{found}`)"),
            (Problem::Other(message), None) => f.write_str(message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl de::Error for ConfigError {
    fn custom<T: fmt::Display>(message: T) -> ConfigError {
        ConfigError::new(Problem::Other(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> ConfigError {
        ConfigError::expected(expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> ConfigError {
        ConfigError::expected(expected.to_string())
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> ConfigError {
        ConfigError::expected(format!("{expected}, not {length}"))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> ConfigError {
        ConfigError::expected(listed(known, "or"))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> ConfigError {
        ConfigError {
            key: Some(field.to_owned()),
            found: None,
            problem: Problem::Unknown { known },
        }
    }

    fn missing_field(field: &'static str) -> ConfigError {
        ConfigError {
            key: Some(field.to_owned()),
            found: None,
            problem: Problem::Missing,
        }
    }
}

/// `a`, `b` and `c`, in backquotes.
fn listed(names: &[&str], conjunction: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} {conjunction} {last}", most.join(", ")),
    }
}
