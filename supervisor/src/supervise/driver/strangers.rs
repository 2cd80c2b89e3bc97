//! Processes that became our children without being started by us: as process 1 of a container, and as a subreaper, we are
//! the one who has to reap them.

use super::Driver;
use crate::sys::proctree;
use nix::unistd::Pid;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// A child that ended is reaped within moments by whoever started it. One that nobody has reaped for this long is a stranger.
const GRACE: Duration = Duration::from_secs(2);

/// Zombies, looked at twice.
#[derive(Debug)]
pub(super) struct Strangers {
    /// Children of this process from before it became paster: `sh -c 'something & exec paster …'`.
    before_us: Vec<Pid>,
    look_at: Option<Instant>,
    /// Those that the last look found.
    seen: HashSet<Pid>,
}

impl Strangers {
    /// To be made before anything is started.
    pub(super) fn new() -> Strangers {
        let before_us = proctree::children(Pid::this()).unwrap_or_default();
        // One that has ended already sends no signal any more.
        let look_at = (!before_us.is_empty()).then(|| Instant::now() + GRACE);
        Strangers {
            before_us,
            look_at,
            seen: HashSet::new(),
        }
    }

    pub(super) fn there_before_us(&self) -> impl Iterator<Item = u32> {
        self.before_us
            .iter()
            .map(|pid| pid.as_raw().cast_unsigned())
    }

    /// Some child has ended.
    pub(super) fn look_soon(&mut self) {
        self.look_at.get_or_insert_with(|| Instant::now() + GRACE);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }
}

impl Driver {
    /// Reaps what nobody else does. Exit statuses that are waited for are not taken away: what we have started ourselves is
    /// known, or has been reaped between two looks.
    pub(super) fn reap_strangers(&mut self) {
        self.strangers.look_at = None;
        let Ok(zombies) = proctree::zombies(&self.known_children()) else {
            // Short of descriptors or memory for a moment.
            self.strangers.look_soon();
            return;
        };
        let (old, new) = zombies
            .into_iter()
            .partition(|pid| self.strangers.seen.contains(pid));
        let old: HashSet<Pid> = old;
        for pid in old {
            tracing::debug!(%pid, "reaped a process that was not ours");
            proctree::reap(pid);
        }
        self.strangers.seen = new;
        if !self.strangers.seen.is_empty() {
            self.strangers.look_soon();
        }
    }

    /// Keepers and proxies: somebody waits for each of them.
    pub(super) fn known_children(&self) -> Vec<u32> {
        let keepers = self.apps.values().flat_map(super::app::AppRun::keepers);
        keepers.chain(self.proxies.pids()).collect()
    }
}
