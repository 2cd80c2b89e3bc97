//! Becoming nobody in particular, once, before any thread exists.

use crate::router::message::RunAs;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use std::io;

/// Gives up everything that `run_as` does not have: supplementary groups, group, user, in this order
/// (a user without privilege could no longer change the groups). Then no later `execve` can gain anything back.
///
/// # Errors
/// When the kernel refuses a step; the process must not go on then.
pub(super) fn drop_to(run_as: Option<RunAs>) -> io::Result<()> {
    if let Some(RunAs { uid, gid }) = run_as {
        setgroups(&[])?;
        setgid(Gid::from_raw(gid))?;
        setuid(Uid::from_raw(uid))?;
    }
    nix::sys::prctl::set_no_new_privs()?;
    Ok(())
}
