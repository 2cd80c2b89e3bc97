//! Where standard input, output and error go.

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the log file, to append to it.
///
/// # Errors
/// A text that names the file.
pub fn open_log(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|error| format!("cannot open the log file {}: {error}", path.display()))
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
