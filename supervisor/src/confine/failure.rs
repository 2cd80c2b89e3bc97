//! A step that the operating system refused.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::io;

/// Why a worker could not be started or confined: which step, and what the operating system said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub step: String,
    pub error: String,
}

impl Failure {
    pub(crate) fn new(step: impl Into<String>, error: impl Display) -> Failure {
        Failure {
            step: step.into(),
            error: error.to_string(),
        }
    }
}

/// For `map_err` on results of system calls.
pub(crate) fn failed<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let step = step.into();
    move |error| Failure {
        step,
        error: describe(&error.into()),
    }
}

/// `Operation not permitted`, without the number.
pub(crate) fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
