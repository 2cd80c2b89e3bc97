//! A worker that is forked from a template, as its keeper sees it.
//!
//! ```text
//! keeper ── template            the keeper sends the template an order, which the template carries out by forking
//!    └───── reaper ── worker    twice; who waits for the worker, the reaper, talks to the keeper in lines
//! ```
//!
//! `reaper PID` (and one byte back: go on), `worker PID`, `ended STATUS MAXRSS USER SYSTEM`, or `failed WHY`. All of that comes
//! from processes that run as the app does, so it is checked: what it names must be where it belongs.

use super::lines::Lines;
use super::message::{Ended, Exit, Fork, FromKeeper, ToKeeper, Usage};
use super::{Link, parse, watch};
use crate::confine::Failure;
use crate::confine::cgroup::Group;
use crate::confine::failure::failed;
use crate::sys::wait::End;
use crate::sys::{proctree, shortage};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a reaper may take to notice that all below it was killed.
const REAPER_TIME: Duration = Duration::from_secs(1);

/// What the template is to be sent for a worker.
pub(super) struct Order {
    pub(super) env: BTreeMap<String, String>,
    /// The reaper's end of the talk, and what the worker is given.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// One worker, from the order to fork it until nothing of it is left.
pub(super) struct Forked {
    /// To the supervisor.
    link: Lines,
    /// With the reaper.
    talk: Lines,
    group: Option<Group>,
    /// Until it was sent.
    order: Option<Order>,
    reaper: Option<Pid>,
    worker: Option<Worker>,
    /// The supervisor knows how it ended, or that it never was.
    told: bool,
    /// SIGTERM is to be sent once there is a worker.
    terminate: bool,
    /// Since when nothing of it is to live.
    killed: Option<Instant>,
}

struct Worker {
    pid: Pid,
    /// So that no signal goes to another process of that number.
    pidfd: OwnedFd,
}

/// What an order to kill means for the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuck {
    No,
    /// It was told to fork and has not.
    Yes,
}

impl Forked {
    /// Takes what the supervisor has sent. None if a descriptor is missing: then the link, wherever it is, has an end.
    pub(super) fn new(fork: Fork, descriptors: Vec<OwnedFd>) -> Option<Forked> {
        let mut descriptors = descriptors.into_iter();
        let link = UnixStream::from(descriptors.next()?);
        let (talk, reapers) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(error) => {
                let Failure { step, error } = failed("a socket for its reaper")(error);
                Link { stream: &link }.send(&FromKeeper::Failed { step, error });
                return None;
            }
        };
        let mut passed: Vec<OwnedFd> = vec![reapers.into()];
        passed.extend(descriptors);
        if passed.len() != super::message::FORK_FDS {
            return None;
        }
        let mut forked = Forked {
            link: Lines::new(link, Vec::new()),
            talk: Lines::new(talk, Vec::new()),
            group: None,
            order: Some(Order {
                env: fork.env,
                descriptors: passed,
            }),
            reaper: None,
            worker: None,
            told: false,
            terminate: false,
            killed: None,
        };
        if let Some((cgroup, name)) = &fork.group {
            match Group::create(cgroup, name) {
                Ok(group) => forked.group = Some(group),
                Err(failure) => forked.fail(&failure.step, &failure.error),
            }
        }
        Some(forked)
    }

    /// The order, once; it is not asked for again.
    pub(super) fn take_order(&mut self) -> Option<Order> {
        self.order.take_if(|_| !self.told)
    }

    /// It was ordered, and neither its reaper nor a failure has been heard of.
    pub(super) fn is_pending(&self) -> bool {
        self.order.is_none() && self.reaper.is_none() && !self.told
    }

    pub(super) fn is_being_killed(&self) -> bool {
        self.killed.is_some()
    }

    pub(super) fn reaper(&self) -> Option<Pid> {
        self.reaper
    }

    /// All is said, and its reaper is gone.
    pub(super) fn is_over(&self) -> bool {
        self.told && self.reaper.is_none()
    }

    /// What ends must be looked at again soon.
    pub(super) fn is_ending(&self) -> bool {
        self.told || self.killed.is_some()
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.link.source().into_iter().chain(self.talk.source())
    }

    /// Hears what the supervisor and the reaper have said. `others` are children of ours that are no reapers.
    pub(super) fn hear(&mut self, others: &[Pid]) -> Stuck {
        self.talk.read();
        while let Some(line) = self.talk.next() {
            let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match word {
                "reaper" => self.reaper_is(rest, others),
                "worker" => self.worker_is(rest),
                "ended" => self.worker_ended(rest),
                "failed" => self.fail("fork", rest),
                _ => {}
            }
        }
        if !self.talk.is_open() && self.is_pending() {
            match self.killed {
                Some(_) => self.end(killed()),
                None => self.fail("fork", "the template has not done it"),
            }
        }
        let mut stuck = Stuck::No;
        let was_open = self.link.is_open();
        self.link.read();
        while let Some(line) = self.link.next() {
            if self.obey(parse(&line)) == Stuck::Yes {
                stuck = Stuck::Yes;
            }
        }
        // At its end nobody wants the worker any more.
        match was_open && !self.link.is_open() {
            true => self.obey(Some(ToKeeper::Kill)),
            false => stuck,
        }
    }

    fn reaper_is(&mut self, pid: &str, others: &[Pid]) {
        let Some(pid) = pid.parse().ok().map(Pid::from_raw) else {
            return;
        };
        if self.reaper.is_some() || others.contains(&pid) || !is_child(pid, Pid::this()) {
            return;
        }
        self.reaper = Some(pid);
        if let Some(Err(failure)) = self.group.as_ref().map(|group| group.admit(pid)) {
            self.fail(&failure.step, &failure.error);
        }
        if self.told || self.killed.is_some() {
            self.obey(Some(ToKeeper::Kill));
            let _ = kill(pid, Signal::SIGKILL);
        } else {
            let _ = self.talk.stream().write_all(b"\n");
        }
    }

    fn worker_is(&mut self, pid: &str) {
        let (Some(reaper), None) = (self.reaper, &self.worker) else {
            return;
        };
        let Some(pid) = pid.parse().ok().map(Pid::from_raw) else {
            return;
        };
        // Looked at when it is held fast. One that has ended already is not there; that is told next.
        let pidfd = hold(pid).filter(|_| is_child(pid, reaper));
        self.worker = pidfd.map(|pidfd| Worker { pid, pidfd });
        self.send(&FromKeeper::Spawned {
            pid: pid.as_raw().cast_unsigned(),
            root: Some(reaper.as_raw().cast_unsigned()),
        });
        if self.terminate {
            self.obey(Some(ToKeeper::Terminate));
        }
    }

    fn worker_ended(&mut self, text: &str) {
        let numbers: Vec<u64> = text
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [status, max_rss, user_ms, system_ms] = numbers[..] else {
            return;
        };
        let (exit, core_dumped) = watch::exit(End::of(i32::try_from(status).unwrap_or(0)));
        self.end(Ended {
            exit,
            core_dumped,
            usage: Some(Usage {
                max_rss_bytes: max_rss.saturating_mul(1024),
                user_ms,
                system_ms,
            }),
        });
    }

    /// A child of ours has ended, perhaps the reaper. True if that was not its time: what is below it has come to us.
    pub(super) fn child_ended(&mut self, pid: Pid) -> bool {
        if self.reaper != Some(pid) {
            return false;
        }
        // What it said last may not have been heard.
        self.hear(&[]);
        self.reaper = None;
        let untimely = !self.told;
        if untimely {
            self.end(match self.killed {
                Some(_) => killed(),
                None => Ended::WITH_ITS_KEEPER,
            });
        }
        untimely
    }

    /// Carries out an order.
    fn obey(&mut self, order: Option<ToKeeper>) -> Stuck {
        match order {
            Some(ToKeeper::Terminate) => {
                self.terminate = true;
                if let Some(worker) = &self.worker {
                    worker.terminate();
                }
            }
            Some(ToKeeper::Dump) => {
                if let Some(worker) = &self.worker {
                    worker.signal(rustix::process::Signal::QUIT);
                }
            }
            Some(ToKeeper::Kill) => {
                self.killed.get_or_insert_with(Instant::now);
                if self.order.take().is_some() {
                    self.end(killed());
                } else if self.is_pending() {
                    return Stuck::Yes;
                }
                self.kill_rest();
            }
            None => {}
        }
        Stuck::No
    }

    /// Kills what is below the reaper, which reaps it and then ends; if it does not, it has to be ended itself.
    pub(super) fn kill_rest(&mut self) {
        let Some(reaper) = self.reaper else {
            return;
        };
        for pid in proctree::descendants(reaper).unwrap_or_default() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        // Somebody may have stopped it.
        let _ = kill(reaper, Signal::SIGCONT);
        let since = *self.killed.get_or_insert_with(Instant::now);
        if since.elapsed() > REAPER_TIME {
            let _ = kill(reaper, Signal::SIGKILL);
        }
        // The reaper is in it, and has said all that is wanted of it.
        if let Some(group) = self.group.as_ref().filter(|_| self.told) {
            group.kill();
        }
    }

    /// The template cannot do it any more.
    pub(super) fn template_ended(&mut self) {
        if self.order.take().is_some() {
            self.fail("fork", "the template has ended");
        }
    }

    pub(super) fn fail(&mut self, step: &str, error: &str) {
        if !self.told {
            self.told = true;
            self.order = None;
            self.send(&FromKeeper::Failed {
                step: step.to_owned(),
                error: error.to_owned(),
            });
        }
    }

    fn end(&mut self, ended: Ended) {
        if !self.told {
            self.told = true;
            self.worker = None;
            let ended = watch::judged(ended, self.group.as_ref(), self.killed.is_some());
            self.send(&FromKeeper::Exited(ended));
        }
    }

    fn send(&self, message: &FromKeeper) {
        let stream = self.link.stream();
        Link { stream }.send(message);
    }

    /// Nothing of it is left: neither a control group nor, with this, the link.
    pub(super) fn finish(self) {
        if let Some(group) = &self.group {
            group.end();
        }
    }

    pub(super) fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }
}

impl Worker {
    fn signal(&self, signal: rustix::process::Signal) {
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// As with any worker: SIGTERM to its process group, then SIGCONT so that a stopped one can obey.
    fn terminate(&self) {
        let is_there = pidfd_send_signal(&self.pidfd, rustix::process::Signal::CONT).is_ok();
        // It may have no group of its own yet.
        if is_there && killpg(self.pid, Signal::SIGTERM).is_err() {
            self.signal(rustix::process::Signal::TERM);
        }
        let _ = killpg(self.pid, Signal::SIGCONT);
    }
}

/// Whether it is one, however long it takes to see that.
fn is_child(pid: Pid, of: Pid) -> bool {
    loop {
        match proctree::children(of) {
            Ok(children) => return children.contains(&pid),
            Err(_) => std::thread::sleep(shortage::PAUSE),
        }
    }
}

/// A descriptor of this process, if there is such a process.
fn hold(pid: Pid) -> Option<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw())?;
    loop {
        match pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from) {
            Ok(pidfd) => return Some(pidfd),
            Err(error) if shortage::will_pass(&error) => std::thread::sleep(shortage::PAUSE),
            Err(_) => return None,
        }
    }
}

fn killed() -> Ended {
    Ended {
        exit: Exit::Signal(Signal::SIGKILL as i32),
        core_dumped: false,
        usage: None,
    }
}
