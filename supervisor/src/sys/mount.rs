//! mount_setattr(2), for which no crate has a function.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Everything below is read-only.
pub const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// Programs on it give nobody privileges.
pub const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// Device files on it cannot be opened.
pub const NODEV: u64 = libc::MOUNT_ATTR_NODEV;

/// Which mounts are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// That one.
    One,
    /// That one and all mounted below it.
    All,
}

/// Sets attributes (`RDONLY` …) on the mount that `tree` was opened at.
///
/// # Errors
/// Those of mount_setattr(2): `EPERM` without privilege, `ENOSYS` before Linux 5.12.
pub fn set_attributes(tree: BorrowedFd<'_>, reach: Reach, attributes: u64) -> io::Result<()> {
    let flags = match reach {
        Reach::One => libc::AT_EMPTY_PATH,
        Reach::All => libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
    };
    let wanted = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated literal, `wanted` lives until the call returns and its size is told; the kernel
    // only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const wanted,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
