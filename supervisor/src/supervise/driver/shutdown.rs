//! The way out: stop accepting, finish, stop the apps, go. Each step has a deadline.

use super::Driver;
use super::app::AppRun;
use crate::control::kinds;
use crate::supervise::bind::Binder;
use crate::supervise::machine::Event;
use std::time::{Duration, Instant};

/// How long a proxy may take beyond the drain time that it was given.
const PROXY_GRACE: Duration = Duration::from_secs(1);
/// How long processes may take to vanish after SIGKILL before we leave without them (their keepers go on).
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Where paster is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// The proxies finish what is in flight.
    Draining {
        deadline: Instant,
    },
    /// The apps stop.
    Stopping,
    /// Everything was killed.
    Killed {
        deadline: Instant,
    },
}

impl Phase {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Phase::Draining { deadline } | Phase::Killed { deadline } => Some(*deadline),
            Phase::Running | Phase::Stopping => None,
        }
    }
}

impl Driver {
    /// The first time: gracefully; the second time: now.
    pub(super) fn stop_signal(&mut self) {
        match self.phase {
            Phase::Running => self.begin_shutdown(),
            _ => self.stop_now(),
        }
    }

    pub(super) fn stop_now(&mut self) {
        tracing::warn!(name: kinds::STOP_BEGUN, "stopping now");
        self.kill_everything();
    }

    pub(super) fn begin_shutdown(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        let drain = self.longest_drain();
        tracing::info!(
            name: kinds::STOP_BEGUN,
            drain_s = drain.as_secs(),
            "stopping: requests in flight finish first"
        );
        self.proxies.shut_down_all(drain);
        // The last copies of the listeners: new clients are refused at once instead of waiting in vain.
        self.listeners.clear();
        self.surroundings.binder = Binder::default();
        self.phase = Phase::Draining {
            deadline: Instant::now() + drain + PROXY_GRACE,
        };
    }

    pub(super) fn longest_drain(&self) -> Duration {
        self.apps
            .values()
            .map(|app| app.spec.settings.drain_timeout)
            .max()
            .unwrap_or_default()
    }

    fn kill_everything(&mut self) {
        self.proxies.drop_all();
        for app in self.apps.values_mut() {
            for live in app.live.values() {
                live.kill();
            }
            app.end_templates();
        }
        let numbers: Vec<u64> = self.apps.keys().copied().collect();
        for number in numbers {
            self.step(number, Event::Stop);
        }
        self.phase = Phase::Killed {
            deadline: Instant::now() + LAST_WAIT,
        };
    }

    pub(super) fn proceed_with_shutdown(&mut self) {
        if let Phase::Draining { deadline } = self.phase
            && (self.proxies.is_empty() || deadline <= Instant::now())
        {
            self.proxies.drop_all();
            self.phase = Phase::Stopping;
            let numbers: Vec<u64> = self.apps.keys().copied().collect();
            for number in numbers {
                self.step(number, Event::Stop);
            }
            self.release_drained();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        match self.phase {
            Phase::Running | Phase::Draining { .. } => false,
            Phase::Stopping => self.apps.values().all(AppRun::is_gone),
            Phase::Killed { deadline } => {
                self.apps.values().all(AppRun::is_gone) || deadline <= Instant::now()
            }
        }
    }
}
