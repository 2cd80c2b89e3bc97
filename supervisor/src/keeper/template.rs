//! The keeper of a template: it has the template fork workers, and is the keeper of each of them, too.
//!
//! Each worker has a link of its own to the supervisor, on which the same is said as on that of any keeper; orders on the
//! first link are about the template. The template may end before its workers, and they go on. The children of this process are
//! the template, the reapers ([`super::forked`]), and orphans: of the template as long as it lives, and of a reaper that was
//! killed; these are killed.

use super::Link;
use super::forked::{Forked, Order, Stuck};
use super::lines::Lines;
use super::message::{FromKeeper, ToKeeper, ToTemplate};
use super::watch::{judged, kill_descendants, told};
use crate::confine::Failure;
use crate::confine::cgroup::Group;
use crate::confine::failure::{describe, failed};
use crate::sys::{fd, passing, proctree, shortage, wait};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};

/// Between two looks at what ends, in milliseconds.
const SOON: u16 = 3;

/// The socket on which a template gets its orders: our end and its end. One order is one packet.
pub(super) fn orders() -> Result<(OwnedFd, OwnedFd), Failure> {
    let kind = SocketType::SEQPACKET;
    socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(failed("a socket for the template"))
}

/// Serves the supervisor until the template and all its workers have ended; then, or when the supervisor is gone, leaves
/// nothing alive.
pub(super) fn watch(
    template: Pid,
    group: Option<&Group>,
    link: Lines,
    orders: OwnedFd,
    children: &SignalFd,
) {
    // The template's output ends with the template, not with us.
    let _ = fd::place(&[(0, 1), (0, 2)]);
    let mut keeper = Keeper {
        template: Some(template),
        was_killed: false,
        group,
        link,
        orders,
        workers: Vec::new(),
        has_orphans: false,
    };
    loop {
        keeper.reap();
        keeper.hear();
        keeper.end_what_ends();
        keeper.order();
        if !keeper.link.is_open() {
            break;
        }
        if keeper.is_over() {
            // Orders that are on their way are answered still: then the supervisor closes the link.
            let _ = keeper.link.stream().shutdown(Shutdown::Write);
        }
        keeper.wait(children);
        while let Ok(Some(_)) = children.read_signal() {}
    }
    // The supervisor is gone, or has nobody left here.
    for group in keeper.groups() {
        group.kill();
    }
    kill_descendants();
    for group in keeper.groups() {
        group.end();
    }
}

struct Keeper<'a> {
    /// While it lives.
    template: Option<Pid>,
    was_killed: bool,
    group: Option<&'a Group>,
    link: Lines,
    orders: OwnedFd,
    workers: Vec<Forked>,
    /// There may be children that are neither the template nor reapers, and are to be killed.
    has_orphans: bool,
}

impl Keeper<'_> {
    fn is_over(&self) -> bool {
        self.template.is_none() && self.workers.is_empty() && !self.has_orphans
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        let workers = self.workers.iter().filter_map(Forked::group);
        self.group.into_iter().chain(workers)
    }

    /// Until there is something to do.
    fn wait(&self, children: &SignalFd) {
        let sources = self.link.source().into_iter();
        let sources = sources
            .chain([children.as_fd()])
            .chain(self.workers.iter().flat_map(Forked::sources));
        let mut sources: Vec<PollFd> = sources
            .map(|source| PollFd::new(source, PollFlags::POLLIN))
            .collect();
        let soon = self.has_orphans || self.workers.iter().any(Forked::is_ending);
        let timeout = match soon {
            true => PollTimeout::from(SOON),
            false => PollTimeout::NONE,
        };
        match poll(&mut sources, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            // No memory, says poll(2): everything lives on meanwhile.
            Err(_) => std::thread::sleep(shortage::PAUSE),
        }
    }

    fn reap(&mut self) {
        while let Ok(Some(reaped)) = wait::reap() {
            if self.template == Some(reaped.pid) {
                self.template = None;
                // Its own children.
                self.has_orphans = true;
                let ended = judged(told(reaped), self.group, self.was_killed);
                Link {
                    stream: self.link.stream(),
                }
                .send(&FromKeeper::Exited(ended));
                for worker in &mut self.workers {
                    worker.template_ended();
                }
            }
            for worker in &mut self.workers {
                self.has_orphans |= worker.child_ended(reaped.pid);
            }
        }
    }

    fn hear(&mut self) {
        self.link.read_with_descriptors();
        while let Some(line) = self.link.next() {
            match serde_json::from_str(&line) {
                Ok(ToTemplate::Order(ToKeeper::Kill)) => self.kill_template(),
                Ok(ToTemplate::Order(ToKeeper::Terminate | ToKeeper::Dump)) | Err(_) => {}
                Ok(ToTemplate::Fork { fork }) => {
                    let descriptors = self.link.descriptors();
                    let mut worker = Forked::new(fork, descriptors);
                    if let (Some(worker), None) = (&mut worker, self.template) {
                        worker.template_ended();
                    }
                    self.workers.extend(worker);
                }
            }
        }
        let mut known: Vec<Pid> = self.workers.iter().filter_map(Forked::reaper).collect();
        known.extend(self.template);
        let mut stuck = false;
        for worker in &mut self.workers {
            stuck |= worker.hear(&known) == Stuck::Yes;
            known.extend(worker.reaper());
        }
        if stuck {
            self.kill_template();
            self.has_orphans = true;
        }
    }

    fn kill_template(&mut self) {
        let Some(template) = self.template else {
            return;
        };
        self.was_killed = true;
        for pid in proctree::descendants(template).unwrap_or_default() {
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = kill(template, Signal::SIGKILL);
    }

    fn end_what_ends(&mut self) {
        if self.has_orphans {
            self.kill_orphans();
        }
        for worker in self.workers.iter_mut().filter(|worker| worker.is_ending()) {
            worker.kill_rest();
        }
        if !self.has_orphans {
            for worker in self.workers.extract_if(.., |worker| worker.is_over()) {
                worker.finish();
            }
        }
    }

    /// What a killed reaper has left, and the template.
    fn kill_orphans(&mut self) {
        // A reaper that has not said yet what it is.
        let is_expected = |worker: &Forked| worker.is_pending() && !worker.is_being_killed();
        if self.workers.iter().any(is_expected) {
            return;
        }
        // Short of descriptors or memory: it is looked again.
        let Ok(children) = proctree::children(Pid::this()) else {
            return;
        };
        let known = |pid: &Pid| {
            self.template == Some(*pid) || self.workers.iter().any(|w| w.reaper() == Some(*pid))
        };
        let orphans: Vec<Pid> = children.into_iter().filter(|pid| !known(pid)).collect();
        self.has_orphans = !orphans.is_empty();
        for orphan in orphans {
            for pid in proctree::descendants(orphan).unwrap_or_default() {
                let _ = kill(pid, Signal::SIGKILL);
            }
            let _ = kill(orphan, Signal::SIGKILL);
        }
    }

    /// Has the template fork the next worker. One at a time: who is not known yet is then known to be that one.
    fn order(&mut self) {
        if self.workers.iter().any(Forked::is_pending) || self.template.is_none() {
            return;
        }
        let Some((worker, order)) = self
            .workers
            .iter_mut()
            .find_map(|worker| worker.take_order().map(|order| (worker, order)))
        else {
            return;
        };
        let Order { env, descriptors } = order;
        let packet = serde_json::json!({ "env": env }).to_string();
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        loop {
            match passing::send(&self.orders, packet.as_bytes(), &borrowed) {
                Ok(_) => return,
                Err(error) if shortage::will_pass(&error) => std::thread::sleep(shortage::PAUSE),
                Err(error) => return worker.fail("fork", &describe(&error)),
            }
        }
    }
}
