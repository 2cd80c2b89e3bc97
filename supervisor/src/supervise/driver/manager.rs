//! The service manager, told what is: readiness, status, reloads, signs of life, and the listeners that it is to keep.

use super::Driver;
use super::shutdown;
use crate::manager::{Inherited, Link, Notices, Phase, Undelivered, store_name};
use crate::supervise::bind::{Bound, Keeping};
use crate::supervise::machine::AppState;
use nix::time::{ClockId, clock_gettime};
use std::fmt::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The way to the manager and what it knows.
pub(super) struct Manager {
    link: Link,
    notices: Notices,
}

impl Manager {
    /// None if nobody wants to be told.
    pub(super) fn open(inherited: &Inherited) -> Option<Manager> {
        let address = inherited.notify_socket.as_deref()?;
        match Link::open(address) {
            Ok(link) => Some(Manager {
                link,
                notices: Notices::new(inherited.watchdog, Instant::now()),
            }),
            Err(error) => {
                tracing::warn!(%error, address, "the service manager cannot be told anything");
                None
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let times = [self.notices.deadline(), self.link.deadline()];
        times.into_iter().flatten().min()
    }

    fn reload_began(&mut self) {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Into::into);
        let now = Instant::now();
        if let Some(message) = self.notices.reload_began(monotonic, now) {
            self.link.tell(message, now);
        }
    }

    /// Gives the manager a copy of a listener, so that it is still there at our next start.
    fn store(&mut self, bound: &mut Bound) {
        let name = store_name(&bound.info.address);
        let message = format!("FDSTORE=1\nFDNAME={name}");
        match self.link.send(&message, &[bound.socket.as_fd()]) {
            Ok(()) => bound.keeping = Keeping::Stored(name),
            Err(Undelivered::Later) => {} // with the next event
            Err(Undelivered::Never(error)) => {
                tracing::debug!(%error, name, "the service manager does not keep the listener");
            }
        }
    }

    /// Takes a listener out of the manager's store.
    fn forget(&mut self, name: &str) {
        let message = format!("FDSTOREREMOVE=1\nFDNAME={name}");
        self.link.tell(message, Instant::now());
    }
}

impl Driver {
    /// After each message, and at its own deadlines: what the manager does not know yet. That this comes from the loop
    /// which does all the work is what makes its signs of life worth something.
    pub(super) fn tell_manager(&mut self) {
        let Some(mut manager) = self.manager.take() else {
            return;
        };
        let (phase, summary) = match self.phase {
            shutdown::Phase::Running if self.came_up => (Phase::Running, self.summary()),
            shutdown::Phase::Running => (Phase::Starting, self.summary()),
            shutdown::Phase::Draining { .. } => (
                Phase::Stopping,
                "stopping: requests in flight finish".to_owned(),
            ),
            shutdown::Phase::Stopping | shutdown::Phase::Killed { .. } => {
                let left: usize = self.apps.values().map(|app| app.live.len()).sum();
                (
                    Phase::Stopping,
                    format!(
                        "stopping: {}",
                        count(left, "worker is", "workers are") + " left"
                    ),
                )
            }
        };
        let now = Instant::now();
        if manager.link.deadline().is_some_and(|at| at <= now) {
            manager.link.flush(now);
        }
        if let Some(message) = manager.notices.due(phase, &summary, now) {
            manager.link.tell(message, now);
        }
        for bound in &mut self.listeners {
            if bound.keeping == Keeping::Own {
                manager.store(bound);
            }
        }
        self.manager = Some(manager);
    }

    /// Drops a listener that the configuration does not name any more.
    pub(super) fn let_go(&mut self, mut bound: Bound) {
        if let Keeping::Stored(name) = &bound.keeping {
            if let Some(manager) = &mut self.manager {
                manager.forget(name);
            }
            bound.keeping = Keeping::Own;
        }
    }

    /// The manager has been told what is by the program in whose place we are.
    pub(super) fn manager_went_on(&mut self) {
        if let Some(manager) = &mut self.manager
            && self.came_up
        {
            manager.notices.went_on();
        }
    }

    /// Takes listeners out of the manager's store.
    pub fn forget_listeners(&mut self, names: &[String]) {
        if let Some(manager) = &mut self.manager {
            names.iter().for_each(|name| manager.forget(name));
        }
    }

    pub(super) fn reload_began(&mut self) {
        if let Some(manager) = &mut self.manager {
            manager.reload_began();
        }
    }

    pub(super) fn reload_ended(&mut self, failure: Option<String>) {
        if let Some(manager) = &mut self.manager {
            manager.notices.reload_ended(failure);
        }
    }

    /// `3 apps: 2 ready, 1 failed; 4 workers`.
    fn summary(&self) -> String {
        let states: Vec<AppState> = self
            .numbers
            .values()
            .filter_map(|number| self.apps.get(number))
            .map(|app| app.machine.state())
            .collect();
        let workers = self.apps.values().flat_map(|app| app.machine.workers());
        summary(
            &states,
            workers.filter(|(_, worker)| worker.is_ready()).count(),
        )
    }
}

fn summary(states: &[AppState], workers: usize) -> String {
    const WORDS: [(AppState, &str); 7] = [
        (AppState::Ready, "ready"),
        (AppState::Degraded, "degraded"),
        (AppState::Starting, "starting"),
        (AppState::Idle, "idle"),
        (AppState::Backoff, "waiting to be started again"),
        (AppState::Failed, "failed"),
        (AppState::Stopped, "stopped"),
    ];
    let mut text = count(states.len(), "app", "apps");
    let mut separator = ": ";
    for (state, word) in WORDS {
        let number = states.iter().filter(|s| **s == state).count();
        if number > 0 {
            let _ = write!(text, "{separator}{number} {word}");
            separator = ", ";
        }
    }
    let _ = write!(text, "; {}", count(workers, "worker", "workers"));
    text
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_the_states_that_there_are() {
        let states = [AppState::Ready, AppState::Failed, AppState::Ready];
        assert_eq!(summary(&states, 4), "3 apps: 2 ready, 1 failed; 4 workers");
        assert_eq!(
            summary(&[AppState::Starting], 0),
            "1 app: 1 starting; 0 workers"
        );
        assert_eq!(summary(&[], 0), "0 apps; 0 workers");
    }
}
