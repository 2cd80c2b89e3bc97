//! Forking a child in a single-threaded process, and the settings that only a child makes.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, Pid};

/// Forks and runs `child` in the new process; when it returns (its exec has failed) the process ends with status 127.
///
/// # Errors
/// The error of fork(2), e.g. `EAGAIN` at a process limit.
///
/// # Panics
/// Refuses (in every build) to run in a process with more than one thread, because the child runs
/// ordinary code that may allocate.
pub fn fork(child: impl FnOnce()) -> nix::Result<Pid> {
    if let Some(pid) = split()? {
        return Ok(pid);
    }
    child();
    exit_now(127)
}

/// Forks; both processes go on from here. None in the child.
///
/// # Errors
/// As [`fork`].
///
/// # Panics
/// As [`fork`].
pub fn split() -> nix::Result<Option<Pid>> {
    assert_eq!(thread_count(), 1, "fork needs a single-threaded process");
    // SAFETY: only the calling thread exists (checked above), so no lock can be held by a
    // thread that the child does not have, and any code may run in it.
    Ok(match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Some(child),
        ForkResult::Child => None,
    })
}

fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Lets a write beyond the limit of file sizes fail (`EFBIG`, setrlimit(2)) instead of ending the process.
pub fn survive_file_size_limit() -> nix::Result<()> {
    // SAFETY: installing SIG_IGN runs no handler of ours.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    Ok(())
}

/// Unblocks all signals and gives those that the Rust runtime or we ignore (SIGPIPE, SIGXFSZ) their default action again.
pub fn reset_signals() -> nix::Result<()> {
    for ignored in [Signal::SIGPIPE, Signal::SIGXFSZ] {
        // SAFETY: installing SIG_DFL runs no handler of ours.
        unsafe { signal(ignored, SigHandler::SigDfl) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Ends this process at once, without destructors or atexit handlers: for the child of a fork whose exec failed.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) does not return and touches no memory.
    unsafe { libc::_exit(status) }
}

/// Sets the niceness of this process.
pub fn set_nice(nice: i32) -> nix::Result<()> {
    // SAFETY: setpriority(2) takes integers only.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } < 0 {
        return Err(nix::Error::last());
    }
    Ok(())
}
