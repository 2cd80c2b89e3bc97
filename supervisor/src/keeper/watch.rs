//! Waiting: for the worker's end, for messages, for the end of the supervisor.

use super::message::{Ended, Exit, FromKeeper, ToKeeper, Usage};
use super::{Link, parse};
use crate::confine::cgroup::Group;
use crate::sys::wait::{self, End, Reaped};
use crate::sys::{proctree, shortage};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Blocks what would end the keeper by accident, and makes the death of children readable.
pub(super) fn block_signals() -> nix::Result<SignalFd> {
    let mut ignored = SigSet::empty();
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
    ] {
        ignored.add(signal);
    }
    ignored.thread_block()?;
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// Serves the supervisor until the worker has ended; then, or when the supervisor is gone, leaves nothing alive.
pub(super) fn watch(
    worker: Pid,
    group: Option<&Group>,
    link: &mut Link,
    messages: &mut BufReader<&UnixStream>,
    children: &SignalFd,
) {
    let mut was_killed = false;
    loop {
        if let Some(ended) = reap(worker) {
            link.send(&FromKeeper::Exited(judged(ended, group, was_killed)));
            end_rest(group);
            return;
        }
        let message_waits = !messages.buffer().is_empty() || wait_for_input(messages, children);
        while let Ok(Some(_)) = children.read_signal() {}
        if message_waits {
            let mut line = String::new();
            match messages.read_line(&mut line) {
                Ok(0) | Err(_) => {
                    // The supervisor is gone: nothing may outlive it.
                    end_rest(group);
                    return;
                }
                Ok(_) => was_killed |= obey(worker, group, &line),
            }
        }
    }
}

/// With the cause that the control group knows of.
pub(super) fn judged(mut ended: Ended, group: Option<&Group>, was_killed: bool) -> Ended {
    // A kill that was ordered has nothing to do with memory.
    let limit = group.filter(|_| !was_killed && ended.exit == Exit::Signal(libc::SIGKILL));
    if let Some(limit) = limit.and_then(Group::killed_for_memory) {
        ended.exit = Exit::OverMemory(limit);
    }
    ended
}

/// Carries out an order; true if it was to kill.
fn obey(worker: Pid, group: Option<&Group>, line: &str) -> bool {
    let order = parse(line);
    match order {
        Some(ToKeeper::Terminate) => {
            // The worker leads its own process group (setsid), and it is not reaped yet, so the number is still its own.
            let _ = killpg(worker, Signal::SIGTERM);
            let _ = killpg(worker, Signal::SIGCONT);
        }
        Some(ToKeeper::Dump) => {
            let _ = kill(worker, Signal::SIGQUIT);
        }
        Some(ToKeeper::Kill) => {
            if let Some(group) = group {
                group.kill();
            }
            // Whom we cannot see at the moment is found when the worker has ended.
            for pid in proctree::descendants(Pid::this()).unwrap_or_default() {
                let _ = kill(pid, Signal::SIGKILL);
            }
            let _ = kill(worker, Signal::SIGKILL);
        }
        None => {}
    }
    order == Some(ToKeeper::Kill)
}

/// True when a message (or end of file) from the supervisor can be read.
fn wait_for_input(messages: &BufReader<&UnixStream>, children: &SignalFd) -> bool {
    let mut fds = [
        PollFd::new(messages.get_ref().as_fd(), PollFlags::POLLIN),
        PollFd::new(children.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => fds[0].any().unwrap_or(true),
        Err(Errno::EINTR) => false,
        // No memory, says poll(2): the worker lives on meanwhile.
        Err(_) => {
            std::thread::sleep(shortage::PAUSE);
            false
        }
    }
}

/// Reaps every child that has ended, adopted ones included; returns how the worker ended, if it did.
fn reap(worker: Pid) -> Option<Ended> {
    let mut ended = None;
    while let Ok(Some(reaped)) = wait::reap() {
        if reaped.pid == worker {
            ended = Some(told(reaped));
        }
    }
    ended
}

/// And whether a core was dumped.
pub(super) fn exit(end: End) -> (Exit, bool) {
    match end {
        End::Code(code) => (Exit::Code(code), false),
        End::Signal {
            number,
            core_dumped,
        } => (Exit::Signal(number), core_dumped),
    }
}

pub(super) fn told(Reaped { end, usage, .. }: Reaped) -> Ended {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (exit, core_dumped) = exit(end);
    let usage = Usage {
        max_rss_bytes: usage.max_rss_bytes,
        user_ms: millis(usage.user),
        system_ms: millis(usage.system),
    };
    Ended {
        exit,
        core_dumped,
        usage: Some(usage),
    }
}

/// Leaves nothing alive, and no control group.
fn end_rest(group: Option<&Group>) {
    if let Some(group) = group {
        group.kill();
    }
    kill_descendants();
    if let Some(group) = group {
        group.end();
    }
}

/// Kills all descendants, again and again until none is left: each round also catches what was forked during
/// the last one. Orphans of the killed become our children (we are their subreaper), so `ECHILD` is the end.
pub(super) fn kill_descendants() {
    loop {
        for pid in proctree::descendants(Pid::this()).unwrap_or_default() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) => {
                // Killed but not gone yet: the kernel needs a moment.
                std::thread::sleep(Duration::from_millis(2));
            }
            _ => {}
        }
    }
}
