//! Children that have ended: how, and what they used (wait4(2), getrusage(2)).

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fmt;
use std::mem::MaybeUninit;
use std::time::Duration;

/// A child that has ended and is reaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    pub pid: Pid,
    pub end: End,
    pub usage: Usage,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Code(i32),
    /// The number may be that of a real-time signal.
    Signal {
        number: i32,
        core_dumped: bool,
    },
}

/// What a process used, together with those of its children that it had waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The largest resident set of any of them.
    pub max_rss_bytes: u64,
    pub user: Duration,
    pub system: Duration,
}

/// Reaps one child of this process that has ended; none if all that are left still run.
///
/// # Errors
/// `ECHILD` when there is no child.
pub fn reap() -> nix::Result<Option<Reaped>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for the writes that wait4(2) makes, and it makes no others.
    let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    match pid {
        0 => return Ok(None),
        pid if pid < 0 => return Err(Errno::last()),
        _ => {}
    }
    // SAFETY: it was zeroed, which is a valid value of this structure of integers, and then filled in by wait4(2).
    let usage = unsafe { usage.assume_init() };
    Ok(Some(Reaped {
        pid: Pid::from_raw(pid),
        end: End::of(status),
        usage: Usage {
            // Kilobytes on Linux (getrusage(2)).
            max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024,
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
        },
    }))
}

impl End {
    /// Of a status of wait(2) without WUNTRACED and WCONTINUED: a child has exited or was killed.
    pub fn of(status: i32) -> End {
        if libc::WIFSIGNALED(status) {
            End::Signal {
                number: libc::WTERMSIG(status),
                core_dumped: libc::WCOREDUMP(status),
            }
        } else {
            End::Code(libc::WEXITSTATUS(status))
        }
    }
}

impl fmt::Display for End {
    /// `exited with status 3`, `was killed by signal 11 (SIGSEGV)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            End::Code(code) => write!(f, "exited with status {code}"),
            End::Signal { number, .. } => match Signal::try_from(number) {
                Ok(signal) => write!(f, "was killed by signal {number} ({signal})"),
                Err(_) => write!(f, "was killed by signal {number}"),
            },
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    // `reap` waits for any child, so it is tested by the keeper's tests: here other tests have children too.

    #[test]
    fn a_status_is_an_exit_or_a_signal() {
        assert_eq!(End::of(3 << 8), End::Code(3));
        let killed = |number, core_dumped| End::Signal {
            number,
            core_dumped,
        };
        assert_eq!(End::of(9), killed(9, false));
        assert_eq!(End::of(11 | 0x80), killed(11, true));
        assert_eq!(End::of(34), killed(34, false), "a real-time signal");
    }

    #[test]
    fn times_are_added_up() {
        let time = libc::timeval {
            tv_sec: 2,
            tv_usec: 500_000,
        };
        assert_eq!(duration(time), Duration::from_millis(2500));
    }
}
