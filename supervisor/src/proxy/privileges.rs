//! Becoming nobody in particular, once, before any thread exists.

use super::files::Roots;
use crate::confine;
use crate::router::access_log::AccessLog;
use crate::router::message::{Hello, RunAs};
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use std::io;

/// Gives up everything that `run_as` does not have: supplementary groups, group, user, in this order (a user without
/// privilege could no longer change the groups). Then no later `execve` can gain anything back, and the kernel is asked to
/// keep this process from what it never needs. The directories that are served are opened before, so what is above them may be closed to others.
///
/// # Errors
/// When the kernel refuses a change of identity; the process must not go on then.
pub(super) fn drop_to(hello: &Hello) -> io::Result<Roots> {
    let roots = Roots::open(&hello.directories);
    if let Some(RunAs { uid, gid }) = hello.run_as {
        setgroups(&[])?;
        setgid(Gid::from_raw(gid))?;
        setuid(Uid::from_raw(uid))?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    let temporary = std::env::temp_dir();
    let mut writable = vec![temporary.as_path()];
    if let AccessLog::File { path, .. } = &hello.access_log {
        writable.push(path);
    }
    if let Err(failure) = confine::proxy::restrict(&writable, &roots.descriptors()) {
        tracing::warn!(
            step = failure.step,
            error = failure.error,
            "the proxy is not confined"
        );
    }
    Ok(roots)
}
