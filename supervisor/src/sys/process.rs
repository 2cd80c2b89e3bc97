//! Waiting for a child by a descriptor: also after this process has become another program.

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child of this process that has not been waited for.
#[derive(Debug)]
pub struct Child {
    pid: u32,
    pidfd: AsyncFd<OwnedFd>,
}

impl Child {
    /// Watches the child `pid`, which nobody else may wait for.
    ///
    /// # Errors
    /// pidfd_open(2): no such process, no free descriptor.
    pub fn watch(pid: u32) -> io::Result<Child> {
        let raw = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty())?;
        // SAFETY: the descriptor is owned by the registration, open as long as it, and closed by nobody else.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
        Ok(Child { pid, pidfd })
    }

    /// As [`Child::watch`], for a child that was just started; one that cannot be watched is killed and reaped.
    pub fn watch_or_kill(mut child: std::process::Child) -> io::Result<Child> {
        Child::watch(child.id()).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end and reaps it.
    ///
    /// # Errors
    /// `ECHILD` when it was waited for elsewhere.
    pub async fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            // A pidfd is readable once the process has ended (pidfd_open(2)).
            let mut ended = self.pidfd.readable().await?;
            let id = WaitId::PidFd(self.pidfd.as_fd());
            match waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)? {
                None => ended.clear_ready(),
                Some(status) => {
                    // As in wait(2): the status in the second byte, the signal in the first.
                    let code = status.exit_status().map(|code| code << 8);
                    let raw = code.or(status.terminating_signal()).unwrap_or(0);
                    return Ok(ExitStatus::from_raw(raw));
                }
            }
        }
    }

    /// SIGKILL.
    pub fn kill(&self) {
        let _ =
            rustix::process::pidfd_send_signal(self.pidfd.as_fd(), rustix::process::Signal::KILL);
    }
}
