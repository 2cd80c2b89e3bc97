//! Where standard input, output and error go.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens the log file, to append to it. Nothing blocks: a pipe without a reader is an error.
///
/// # Errors
/// A text that names the file.
pub fn open_log(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let file = file.and_then(|file| {
        // Only the opening: whoever inherits it as standard output expects to wait.
        fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
        Ok(file)
    });
    file.map_err(|error| {
        let path = path.display();
        match error.raw_os_error() {
            Some(libc::ENXIO) => {
                format!(
                    "cannot open the log file {path}: it is a pipe that nobody reads, or no file"
                )
            }
            _ => format!("cannot open the log file {path}: {error}"),
        }
    })
}

/// From now on standard output and standard error are `log`.
///
/// # Errors
/// dup2(2).
pub fn to_log(log: &File) -> io::Result<()> {
    dup2_stdout(log)?;
    dup2_stderr(log)?;
    Ok(())
}

/// From now on nothing is read from standard input, and, with `output` too, nothing is seen of what is written.
///
/// # Errors
/// open(2), dup2(2).
pub fn to_nowhere(output: bool) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    if output {
        to_log(&null)?;
    }
    Ok(())
}
