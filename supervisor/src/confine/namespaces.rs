//! New namespaces for the worker: of mounts, of the network, and, without root, of users, which permits the others.

use super::Failure;
use super::failure::failed;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rustix::mount::{MountPropagationFlags, mount_change};
use std::fs;

/// Puts this single-threaded process into new namespaces. Mounts made outside still appear inside, as with systemd; those
/// made inside stay inside. The network has a loopback interface that is up, and nothing else.
pub(super) fn enter(mounts: bool, network: bool) -> Result<(), Failure> {
    let (uid, gid) = (geteuid(), getegid());
    if !uid.is_root() {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(failed("user namespace"))?;
        // user_namespaces(7): a single group may be mapped without privilege once setgroups(2) is given up.
        for (file, map) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{uid} {uid} 1")),
            ("gid_map", format!("{gid} {gid} 1")),
        ] {
            fs::write(format!("/proc/self/{file}"), map)
                .map_err(failed(format!("user namespace: {file}")))?;
        }
    }
    if mounts {
        unshare(CloneFlags::CLONE_NEWNS).map_err(failed("mount namespace"))?;
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", flags).map_err(failed("mount namespace"))?;
    }
    if network {
        unshare(CloneFlags::CLONE_NEWNET).map_err(failed("network namespace"))?;
        crate::sys::net::loopback_up().map_err(failed("loopback interface"))?;
    }
    Ok(())
}
