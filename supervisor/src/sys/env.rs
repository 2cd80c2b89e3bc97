//! The environment of this process.

use std::ffi::OsString;

/// Takes a variable out of the environment. Only before the first thread is started.
#[expect(
    clippy::disallowed_methods,
    reason = "before the first thread nobody else reads it"
)]
pub fn take(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: the command line has been parsed and nothing has been started yet, so this is the only thread, and nobody
    // reads the environment meanwhile.
    unsafe { std::env::remove_var(name) };
    Some(value)
}
