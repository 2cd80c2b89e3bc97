//! Descriptors by number: those that a process inherits under an agreed number.

use nix::fcntl::{FcntlArg, FdFlag};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

/// Takes over an inherited descriptor and marks it close-on-exec.
///
/// # Errors
/// `EBADF` when nothing is open under that number.
pub fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl(2) with F_SETFD only reads its integer arguments; it fails with EBADF on a number that is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (checked above), and by the convention between our processes
    // it was passed for us to own; each role takes each number once, at its start.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets a descriptor stay open across exec, or not.
///
/// # Errors
/// `EBADF` when nothing is open under that number.
pub fn keep_across_exec(fd: impl AsFd, keep: bool) -> io::Result<()> {
    let flags = if keep {
        FdFlag::empty()
    } else {
        FdFlag::FD_CLOEXEC
    };
    nix::fcntl::fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Marks every descriptor from `first` upwards close-on-exec, so that nothing leaks into a child by accident.
pub fn cloexec_from(first: RawFd) -> io::Result<()> {
    let first = libc::c_uint::try_from(first).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = libc::CLOSE_RANGE_CLOEXEC as libc::c_int;
    // SAFETY: close_range(2) with CLOSE_RANGE_CLOEXEC closes nothing and touches no memory of ours.
    if unsafe { libc::close_range(first, libc::c_uint::MAX, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Moves descriptors to agreed numbers in a process that is about to execute another program; each target
/// is closed first if it was open and stays open across the exec.
///
/// # Errors
/// The error of dup2(2). A source must not be the target of an earlier pair.
pub fn place(pairs: &[(RawFd, RawFd)]) -> nix::Result<()> {
    for &(source, target) in pairs {
        // SAFETY: dup2(2) works on numbers only. The caller is the single-threaded child of a fork, so no
        // other code relies on what the target number meant before.
        if unsafe { libc::dup2(source, target) } < 0 {
            return Err(nix::Error::last());
        }
        if source == target {
            // SAFETY: as above; dup2 onto itself leaves close-on-exec set, so it is cleared here.
            if unsafe { libc::fcntl(target, libc::F_SETFD, 0) } < 0 {
                return Err(nix::Error::last());
            }
        }
    }
    Ok(())
}
