//! Commands: run to their end, or left to go on beside the test.

use super::log::Log;
use super::paster::CommandResult;
use super::{DEADLINE, poll};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// Runs a command to its end, with a deadline.
pub(super) fn run(command: Command) -> CommandResult {
    Running::start(command).end()
}

/// A command that may go on.
pub(crate) struct Running {
    command: Command,
    child: Child,
    stdout: Log,
    stderr: Log,
    readers: [JoinHandle<()>; 2],
}

impl Running {
    pub(super) fn start(mut command: Command) -> Running {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("paster was built");
        let (stdout, stdout_reader) = Log::collect(child.stdout.take().expect("piped"));
        let (stderr, stderr_reader) = Log::collect(child.stderr.take().expect("piped"));
        Running {
            command,
            child,
            stdout,
            stderr,
            readers: [stdout_reader, stderr_reader],
        }
    }

    pub(crate) fn has_printed(&self) -> bool {
        !self.stdout.text().is_empty()
    }

    /// Waits for its end, with a deadline.
    pub(crate) fn end(mut self) -> CommandResult {
        let ended = poll(DEADLINE, || self.child.try_wait().expect("our own child"));
        let Ok(status) = ended else {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!(
                "{:?} did not end; stdout {:?}, stderr {:?}",
                self.command,
                self.stdout.text(),
                self.stderr.text()
            );
        };
        for reader in self.readers {
            let _ = reader.join();
        }
        CommandResult {
            code: status.code(),
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}
