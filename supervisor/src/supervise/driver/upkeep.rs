//! What is noticed beside the events: traffic, requests that took too long, memory.

use super::{Driver, IDS_PER_APP};
use crate::control::kinds;
use crate::plan::spec::AppKind;
use crate::reports::report::{MAX_PATH, clean};
use crate::router::message::{InFlight, Stats, WorkerId};
use crate::supervise::machine::Event;
use crate::supervise::scaling::Load;
use crate::sys::usage;
use std::time::{Duration, Instant};

/// How often the memory of workers is looked at, where it has a limit.
const MEMORY_INTERVAL: Duration = Duration::from_secs(2);

/// How often an app's unreachable worker is worth a line.
const UNREACHABLE_INTERVAL: Duration = Duration::from_secs(10);

/// How many requests a worker may have: `fewest`, and by its luck (in `0.0..1.0`) up to `jitter` more.
fn share(fewest: u64, jitter: u64, luck: f64) -> u64 {
    let more = (luck * (jitter as f64 + 1.0)) as u64;
    fewest.saturating_add(more.min(jitter))
}

impl Driver {
    /// Compares what a proxy says with what it said a second ago.
    pub(super) fn note_traffic(&mut self, before: &Stats, now: &Stats) {
        let active: Vec<u64> = now
            .apps
            .iter()
            .filter(|(name, stats)| stats.queued > 0 || before.apps.get(*name) != Some(*stats))
            .filter_map(|(name, _)| self.numbers.get(name).copied())
            .filter(|number| self.is_on_demand(*number))
            .collect();
        for number in active {
            self.step(number, Event::Active);
        }
        self.note_load();
        let over = now.workers.iter().filter_map(|worker| {
            let (requests, share) = self.count_requests(worker.id)?;
            Some((requests.checked_sub(share)?, requests, worker.id))
        });
        let mut over: Vec<(u64, u64, WorkerId)> = over.collect();
        // One of an app at a time is replaced, so those who are over most come first.
        over.sort_unstable_by(|a, b| b.cmp(a));
        for (_, requests, id) in over {
            let why = format!("has had {requests} requests");
            self.step(id / IDS_PER_APP, Event::Recycle(id, why));
        }
    }

    /// Tells the machines that may change their number of processes what the proxies say of them.
    fn note_load(&mut self) {
        let loads: Vec<(u64, Load)> = self
            .numbers
            .iter()
            .filter(|(_, number)| {
                self.apps.get(number).is_some_and(|app| {
                    let settings = &app.spec.settings;
                    settings.most_processes() > settings.processes
                })
            })
            .map(|(name, number)| (*number, self.load_of(name, *number)))
            .collect();
        for (number, load) in loads {
            self.step(number, Event::Load(load));
        }
    }

    fn load_of(&self, name: &str, number: u64) -> Load {
        let mut load = Load::default();
        for stats in self.proxies.stats() {
            if let Some(app) = stats.apps.get(name) {
                load.queued += app.queued;
                load.waited = load.waited.max(Duration::from_millis(app.waited_ms));
            }
            let own = stats
                .workers
                .iter()
                .filter(|w| w.id / IDS_PER_APP == number);
            load.in_flight += own.map(|w| w.in_flight).sum::<u64>();
        }
        load
    }

    /// How many requests a worker has had, and how many it may have; none without `max_requests`.
    fn count_requests(&self, id: WorkerId) -> Option<(u64, u64)> {
        let app = self.apps.get(&(id / IDS_PER_APP))?;
        let live = app.live.get(&id)?;
        let settings = &app.spec.settings;
        let share = share(
            settings.max_requests?,
            settings.max_requests_jitter,
            live.share,
        );
        Some((live.requests_before + self.proxies.requests_of(id), share))
    }

    fn is_on_demand(&self, number: u64) -> bool {
        self.apps
            .get(&number)
            .is_some_and(|app| app.spec.settings.idle_timeout.is_some())
    }

    /// Requests are waiting or in flight: a proxy that has nothing new to say has not said so for a while.
    pub(super) fn is_busy(&self, number: u64) -> bool {
        let Some(app) = self.apps.get(&number) else {
            return false;
        };
        self.proxies.stats().any(|stats| {
            stats
                .apps
                .get(&app.spec.name)
                .is_some_and(|app| app.queued > 0)
                || stats
                    .workers
                    .iter()
                    .any(|worker| worker.id / IDS_PER_APP == number && worker.in_flight > 0)
        })
    }

    pub(super) fn request_timed_out(&mut self, worker: WorkerId, request: &InFlight) {
        let number = worker / IDS_PER_APP;
        let Some(app) = self.apps.get(&number) else {
            return;
        };
        let limit = app.spec.settings.request_timeout.unwrap_or_default();
        let name = clean(&format!("{} {}", request.method, request.path), MAX_PATH);
        let why = format!("did not answer `{name}` within {limit:?}");
        self.step(number, Event::Hung(worker, why));
        self.request_hung(worker, request);
    }

    /// A worker that has just died, or an upstream that is not there: told now and then, not for each try.
    pub(super) fn note_unreachable(&mut self, worker: WorkerId, error: &str) {
        let Some(app) = self.apps.get_mut(&(worker / IDS_PER_APP)) else {
            return;
        };
        let now = Instant::now();
        app.unreachable_why = Some(clean(error, MAX_PATH));
        if app
            .unreachable_told
            .is_some_and(|told| now < told + UNREACHABLE_INTERVAL)
        {
            return;
        }
        app.unreachable_told = Some(now);
        let name = &app.spec.name;
        let address = match &app.spec.kind {
            AppKind::Upstream { address } => Some(address.to_string()),
            AppKind::Python { .. } | AppKind::Exec { .. } | AppKind::Static(_) => None,
        };
        let live = app.live.get(&worker);
        tracing::warn!(
            name: kinds::WORKER_UNREACHABLE,
            app = %name,
            slot = live.map(|live| live.slot),
            pid = live.and_then(|live| live.pid),
            address,
            error,
            "the proxy cannot connect to a worker"
        );
    }

    /// When [`Driver::look_at_memory`] is due; never, if no app has a limit.
    pub(super) fn memory_due(&self) -> Option<Instant> {
        let limited = self
            .apps
            .values()
            .any(|app| app.spec.settings.max_memory.is_some());
        limited.then_some(self.memory_looked_at + MEMORY_INTERVAL)
    }

    /// Replaces workers that have become too large.
    pub(super) fn look_at_memory(&mut self) {
        self.memory_looked_at = Instant::now();
        let mut large = Vec::new();
        for (number, app) in &self.apps {
            let Some(limit) = app.spec.settings.max_memory else {
                continue;
            };
            for (id, live) in &app.live {
                let rss = live.pid.and_then(usage::rss_bytes).unwrap_or(0);
                if rss > limit {
                    large.push((rss, *number, *id));
                }
            }
        }
        // One of an app at a time is replaced: the largest first.
        large.sort_unstable_by(|a, b| b.cmp(a));
        for (rss, number, id) in large {
            let why = format!("uses {} MB of memory", rss / 1_000_000);
            self.step(number, Event::Recycle(id, why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_spread_evenly_from_the_fewest_to_the_most() {
        let shares: Vec<u64> = [0.0, 0.3, 0.5, 0.7, 0.99]
            .iter()
            .map(|luck| share(100, 3, *luck))
            .collect();
        assert_eq!(shares, [100, 101, 102, 102, 103]);
        assert_eq!(share(100, 0, 0.99), 100);
        assert_eq!(share(u64::MAX, 5, 0.99), u64::MAX);
    }
}
