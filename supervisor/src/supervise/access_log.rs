//! The access log file, made ready for a proxy that may not make it itself.

use crate::router::access_log::AccessLog;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, fchown};

/// Creates the file, if there is one to create (0640), and gives it to the user of the proxy.
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
        .open(path);
    let given = file.and_then(|file| match proxy_uid {
        Some(uid) => fchown(&file, Some(uid), None),
        None => Ok(()),
    });
    given.map_err(|error| format!("cannot open the access log {}: {error}", path.display()))
}
