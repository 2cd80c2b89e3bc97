//! The access log file, made ready for a proxy that may not make it itself.

use crate::router::access_log::AccessLog;
use nix::libc;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, fchown};

/// Creates the file, if there is one to create (0640), and gives it to the user of the proxy. Nothing blocks: a pipe without a
/// reader is an error.
///
/// # Errors
/// A text that names the file.
pub fn prepare(log: &AccessLog, proxy_uid: Option<u32>) -> Result<(), String> {
    let AccessLog::File { path, .. } = log else {
        return Ok(());
    };
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let given = file.and_then(|file| match proxy_uid {
        Some(uid) => fchown(&file, Some(uid), None),
        None => Ok(()),
    });
    given.map_err(|error| {
        let path = path.display();
        match error.raw_os_error() {
            Some(libc::ENXIO) => {
                format!(
                    "cannot open the access log {path}: it is a pipe that nobody reads, or no file"
                )
            }
            _ => format!("cannot open the access log {path}: {error}"),
        }
    })
}
