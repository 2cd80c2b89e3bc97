//! `--monitor-restart`: a process that does nothing but start the supervisor again when it dies.

use crate::sys::child;
use crate::sys::wait::{self, End};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Which process goes on after [`monitor`].
#[derive(Debug)]
pub enum Monitored {
    /// A server. `obituary` says how the one before it ended.
    Server {
        obituary: Option<String>,
        monitor: Monitor,
    },
    /// The monitor, and nothing is left to do: its exit status.
    Over(u8),
}

/// The process that started this one.
#[derive(Debug, Clone, Copy)]
pub struct Monitor(Pid);

impl Monitor {
    /// Arranges that this process is told to stop when the monitor dies: what it has started should not go on alone. A change of
    /// user undoes that (prctl(2)).
    ///
    /// # Errors
    /// The monitor is gone already.
    pub fn follow(self) -> io::Result<()> {
        set_pdeathsig(Signal::SIGTERM)?;
        if Pid::parent() == self.0 {
            Ok(())
        } else {
            Err(io::Error::other("the monitor has ended"))
        }
    }
}

/// Signals that are for the server.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];
/// Those that end it.
const ENDS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT];
/// A server that fails in this time has not begun to serve.
const START: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Forks a server, waits for its end, and forks another one, until one has ended because it was told to, or the first does not
/// come up. `release` is called in the monitor, once, when the first server is on its way.
///
/// # Errors
/// What the operating system refuses.
pub fn monitor(mut release: impl FnMut()) -> io::Result<Monitored> {
    let (signals, before) = take_signals()?;
    let monitor = Pid::this();
    let mut obituary = None;
    let mut first = true;
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let Some(server) = child::split()? else {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            let monitor = Monitor(monitor);
            return Ok(Monitored::Server { obituary, monitor });
        };
        if first {
            release();
        }
        let (ended, told) = watch(server, &signals)?;
        match verdict(ended, told, first, started.elapsed(), pause) {
            Verdict::Over(status) => return Ok(Monitored::Over(status)),
            Verdict::Again { after, next_pause } => {
                if rest(after, &signals)? {
                    return Ok(Monitored::Over(0));
                }
                pause = next_pause;
            }
        }
        obituary = Some(format!("the paster before (pid {server}) {ended}"));
        first = false;
    }
}

/// Blocks the signals that the monitor reads; returns what was blocked before.
fn take_signals() -> io::Result<(SignalFd, SigSet)> {
    let mut set = SigSet::empty();
    PASSED_ON.iter().for_each(|signal| set.add(*signal));
    set.add(Signal::SIGCHLD);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before))?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok((SignalFd::with_flags(&set, flags)?, before))
}

/// Waits for the end of the server and passes signals on; also says whether one of them told it to end. Strangers are reaped on
/// the way: as process 1 the monitor gets them.
fn watch(server: Pid, signals: &SignalFd) -> io::Result<(End, bool)> {
    let mut told = false;
    loop {
        wait_for(signals, PollTimeout::NONE)?;
        while let Some(info) = signals.read_signal()? {
            let Some(signal) = signal_of(&info) else {
                continue;
            };
            told |= ENDS.contains(&signal);
            if signal != Signal::SIGCHLD && is_from_a_process(&info) {
                let _ = kill(server, signal);
            }
        }
        while let Ok(Some(reaped)) = wait::reap() {
            if reaped.pid == server {
                return Ok((reaped.end, told));
            }
        }
    }
}

/// Waits; true if we were told to end meanwhile.
fn rest(time: Duration, signals: &SignalFd) -> io::Result<bool> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        wait_for(
            signals,
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        )?;
        while let Some(info) = signals.read_signal()? {
            if signal_of(&info).is_some_and(|signal| ENDS.contains(&signal)) {
                return Ok(true);
            }
        }
    }
}

fn wait_for(signals: &SignalFd, timeout: PollTimeout) -> io::Result<()> {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn signal_of(info: &siginfo) -> Option<Signal> {
    Signal::try_from(info.ssi_signo.cast_signed()).ok()
}

/// Not from the terminal: its Ctrl-C reaches the server as well (the code of what the kernel sends is above 0, sigaction(2)).
fn is_from_a_process(info: &siginfo) -> bool {
    info.ssi_code <= 0
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Over(u8),
    Again {
        after: Duration,
        next_pause: Duration,
    },
}

/// What to do after the end of a server that has lived for `lived`. `pause` is what a quick death costs now.
fn verdict(ended: End, told: bool, first: bool, lived: Duration, pause: Duration) -> Verdict {
    match ended {
        End::Code(0) => Verdict::Over(0),
        // Its configuration is bad, or its address in use: the user is there to see it.
        End::Code(status @ 1..=2) if first && lived < START => {
            Verdict::Over(u8::try_from(status).unwrap_or(1))
        }
        End::Code(status) if told => Verdict::Over(u8::try_from(status).unwrap_or(1)),
        // As shells have it.
        End::Signal { number, .. } if told => {
            Verdict::Over(u8::try_from(128 + number).unwrap_or(1))
        }
        _ if lived < START => Verdict::Again {
            after: pause,
            next_pause: (pause * 2).min(LONGEST_PAUSE),
        },
        _ => Verdict::Again {
            after: FIRST_PAUSE,
            next_pause: FIRST_PAUSE,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    fn killed(signal: Signal) -> End {
        End::Signal {
            number: signal as i32,
            core_dumped: false,
        }
    }

    #[test]
    fn an_end_that_was_wished_is_the_end() {
        let over = |ended, told| verdict(ended, told, false, LONG, FIRST_PAUSE);
        assert_eq!(over(End::Code(0), false), Verdict::Over(0));
        assert_eq!(over(End::Code(0), true), Verdict::Over(0));
        assert_eq!(over(killed(Signal::SIGKILL), true), Verdict::Over(137));
    }

    #[test]
    fn a_server_that_cannot_start_is_not_started_again_and_again() {
        let first = verdict(End::Code(1), false, true, SHORT, FIRST_PAUSE);
        assert_eq!(first, Verdict::Over(1));
        let later = verdict(End::Code(1), false, false, SHORT, FIRST_PAUSE);
        assert!(matches!(later, Verdict::Again { .. }), "it did serve once");
    }

    #[test]
    fn quick_deaths_cost_more_and_more_up_to_a_limit() {
        let mut pause = FIRST_PAUSE;
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let death = killed(Signal::SIGSEGV);
            match verdict(death, false, false, SHORT, pause) {
                Verdict::Again { after, next_pause } => {
                    pauses.push(after.as_secs());
                    pause = next_pause;
                }
                Verdict::Over(_) => panic!("it goes on"),
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        let late = verdict(End::Code(101), false, false, LONG, pause);
        assert_eq!(
            late,
            Verdict::Again {
                after: FIRST_PAUSE,
                next_pause: FIRST_PAUSE
            }
        );
    }
}
