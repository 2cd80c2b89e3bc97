//! What can go wrong between a program and its supervisor, and how it is told.

use crate::config::ConfigError;
use crate::standalone::{USAGE, UsageError};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Any error, for services that have their own kinds.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// `EX_CONFIG` of sysexits(3): paster does not start such a program again until something was changed.
const EX_CONFIG: u8 = 78;

/// Why a worker could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("there is no socket to serve on: this program was not started by paster")]
    NoSocket,
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(
        "the worker's environment was taken over before; `Worker::from_env` works once in a process"
    )]
    AlreadyTaken,
    #[error("descriptor {fd}, passed as {variable}, is not usable: {reason}")]
    Descriptor {
        variable: &'static str,
        fd: i32,
        reason: String,
    },
    #[error("{variable} is `{value}`, which is not {expected}")]
    Variable {
        variable: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("cannot read the app's configuration")]
    Unreadable(#[source] io::Error),
    #[error("the app's configuration is not what the worker contract says")]
    Malformed(#[source] serde_json::Error),
    #[error("paster speaks version {found} of the worker contract, this program version {known}")]
    Contract { found: u32, known: u32 },
    #[error("app `{app}`: {problem}{}", in_file(.file))]
    Config {
        app: String,
        file: Option<PathBuf>,
        problem: Box<ConfigError>,
    },
    #[error("cannot listen on {address}")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot tell the supervisor")]
    Notify(#[source] io::Error),
    #[error("needs a tokio runtime with I/O and time: call it inside `#[tokio::main]`")]
    NoRuntime,
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    #[error("stopped by a second signal while {open} connections were open")]
    CutShort { open: usize },
}

fn in_file(file: &Option<PathBuf>) -> String {
    file.as_ref()
        .map(|file| format!(" (in {})", file.display()))
        .unwrap_or_default()
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NoSocket | Error::Usage(_) => Some(USAGE.to_owned()),
            Error::Config { problem, .. } => problem.hint(),
            Error::Contract { .. } => {
                Some("build the program with a newer `paster-worker`".to_owned())
            }
            _ => None,
        }
    }

    /// The exit status that says the right thing to the supervisor: 78 where another start would fail in the same
    /// way, else 1.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::NoSocket
            | Error::Usage(_)
            | Error::Malformed(_)
            | Error::Contract { .. }
            | Error::Config { .. } => EX_CONFIG,
            _ => 1,
        }
    }
}

/// The end of `main`: success is exit status 0; an error goes to stderr with its causes and what to do about it,
/// and becomes [`Error::exit_status`] (1 for errors that are not of this crate). `--help` is answered on stdout.
pub fn report<E: Into<BoxError>>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let error = error.into();
    let own = error.downcast_ref::<Error>();
    if let Some(Error::Usage(UsageError::Help)) = own {
        // Nobody is left to tell when stdout is gone; the same goes for stderr below.
        let _ = writeln!(io::stdout(), "{}: {USAGE}", UsageError::Help);
        return ExitCode::SUCCESS;
    }
    let mut text = format!("error: {}\n", told(error.as_ref()));
    if let Some(hint) = own.and_then(Error::hint) {
        text.push_str(&format!("hint: {hint}\n"));
    }
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(own.map_or(1, Error::exit_status))
}

/// An error and its causes in one line.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_start_cannot_cure_is_exit_78() {
        assert_eq!(Error::NoSocket.exit_status(), 78);
        assert_eq!(Error::Contract { found: 2, known: 1 }.exit_status(), 78);
        assert_eq!(Error::NoRuntime.exit_status(), 1);
    }

    #[test]
    fn causes_are_told_after_what_they_caused() {
        let cause = io::Error::new(io::ErrorKind::AddrInUse, "address in use");
        let error = Error::Listen {
            address: "127.0.0.1:80".to_owned(),
            source: cause,
        };
        assert_eq!(
            told(&error),
            "cannot listen on 127.0.0.1:80: address in use"
        );
    }
}
