//! A problem in a configuration: what, where, and what to do next.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A position in an INI file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

/// An error or a warning about a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The exception class that Paste Deploy raises in this situation, e.g. `LookupError`; for problems of our own settings `SettingError`; for warnings `Warning`; for
    /// what a running paster refuses `Refused`.
    pub class: String,
    /// A lower-case fragment without full stop.
    pub message: String,
    pub place: Option<Place>,
    /// What to do next.
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(class: &str, message: impl Into<String>) -> Problem {
        Problem {
            class: class.to_owned(),
            message: message.into(),
            place: None,
            hint: None,
        }
    }

    pub fn at(mut self, file: impl Into<PathBuf>, line: usize) -> Problem {
        self.place = Some(Place {
            file: file.into(),
            line,
        });
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}: ", place.file.display(), place.line)?;
        }
        f.write_str(&self.message)
    }
}
