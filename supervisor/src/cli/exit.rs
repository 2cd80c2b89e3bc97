//! Exit statuses, documented in docs/cli.md.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// It could not be done: a bad configuration, a failed start.
    Failed,
    /// Bad usage (clap's own status too).
    Usage,
    /// No `paster serve` runs for this configuration.
    NotRunning,
    /// What was waited for did not come in time.
    TimedOut,
    /// What was told to stop has not ended.
    StillRunning,
    /// The status of the server that a monitor has watched.
    Server(u8),
}

impl Exit {
    fn status(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning | Exit::StillRunning => 3,
            Exit::TimedOut => 4,
            Exit::Server(status) => status,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit.status())
    }
}
