//! Becoming another user, for good.

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

/// Changes user, group and supplementary groups of this process. As root there is no way back.
///
/// # Errors
/// `EPERM` without privilege.
pub fn assume(uid: u32, gid: u32, groups: &[u32]) -> nix::Result<()> {
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups)?;
    setgid(Gid::from_raw(gid))?;
    setuid(Uid::from_raw(uid))
}
