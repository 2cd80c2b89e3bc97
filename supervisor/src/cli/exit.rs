//! Exit statuses, documented in docs/cli.md.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// It could not be done: a bad configuration, a failed start.
    Failed = 1,
    /// Bad usage (clap's own status too).
    Usage = 2,
    /// No `paster serve` runs for this configuration.
    NotRunning = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}
