//! What was used between two looks at the status. Pure.

use crate::control::protocol::{AppStatus, Status, WorkerStatus};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Add;

/// Version of the JSON form; fields are only ever added.
const SCHEMA_VERSION: u32 = 1;
/// A worker that is younger than the interval, by this inexactness, has used all its CPU time in it.
const INEXACT: f64 = 0.1;

/// Shares of CPUs are in percent of one; null where two looks were not enough.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figures {
    schema_version: u32,
    pub(super) interval_s: Option<f64>,
    pub(super) pid: u32,
    pub(super) version: String,
    pub(super) config: String,
    pub(super) uptime_s: f64,
    pub(super) listen: Vec<String>,
    pub(super) cpu_percent: Option<f64>,
    pub(super) rss_bytes: Option<u64>,
    pub(super) proxy: ProxyFigures,
    pub(super) apps: Vec<AppFigures>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ProxyFigures {
    pub(super) pid: Option<u32>,
    pub(super) cpu_percent: Option<f64>,
    pub(super) rss_bytes: Option<u64>,
    pub(super) connections: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct AppFigures {
    pub(super) name: String,
    pub(super) state: String,
    /// Of all its workers.
    pub(super) cpu_percent: Option<f64>,
    pub(super) rss_bytes: u64,
    pub(super) requests_per_s: Option<f64>,
    /// Answers with a status of 500 or more.
    pub(super) errors_per_s: Option<f64>,
    /// Of those requests that were over in the last second or so 99 % took no longer.
    pub(super) p99_ms: Option<f64>,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    pub(super) restarts: u64,
    pub(super) workers: Vec<WorkerFigures>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct WorkerFigures {
    pub(super) slot: u32,
    pub(super) generation: u64,
    pub(super) pid: Option<u32>,
    pub(super) state: String,
    pub(super) cpu_percent: Option<f64>,
    pub(super) rss_bytes: Option<u64>,
    pub(super) in_flight: u64,
    pub(super) uptime_s: f64,
}

impl Figures {
    /// Whether the proxy has counted between two looks.
    pub(super) fn has_rates(&self) -> bool {
        self.apps.iter().all(|app| app.requests_per_s.is_some())
    }
}

/// Compares each status with the one before it.
#[derive(Debug, Default)]
pub(super) struct Meter {
    before: Option<Status>,
    /// By app, as they were counted last.
    rates: BTreeMap<String, Rates>,
}

/// What the proxy has counted of an app between two of its counts.
#[derive(Debug, Clone, Copy)]
struct Rates {
    requests_per_s: f64,
    errors_per_s: f64,
    p99_ms: Option<f64>,
}

impl Meter {
    pub(super) fn take(&mut self, now: Status) -> Figures {
        let is_later = |before: &Status| before.pid == now.pid && before.uptime_s < now.uptime_s;
        let before = self.before.take().filter(is_later);
        if before.is_none() {
            self.rates.clear();
        }
        if let Some(before) = &before {
            self.count(before, &now);
        }
        let interval = before.as_ref().map(|before| now.uptime_s - before.uptime_s);
        let past = Past {
            before: before.as_ref(),
            interval,
        };
        let proxy = ProxyFigures {
            pid: now.proxy.pid,
            cpu_percent: past.share(now.proxy.cpu_s, |before| {
                let same = before.proxy.pid == now.proxy.pid;
                before.proxy.cpu_s.filter(|_| same)
            }),
            rss_bytes: now.proxy.rss_bytes,
            connections: now.proxy.connections,
        };
        let apps = now.apps.iter();
        let figures = Figures {
            schema_version: SCHEMA_VERSION,
            interval_s: interval,
            pid: now.pid,
            version: now.version.clone(),
            config: now.config.clone(),
            uptime_s: now.uptime_s,
            listen: now.listen.clone(),
            cpu_percent: past.share(now.cpu_s, |before| before.cpu_s),
            rss_bytes: now.rss_bytes,
            proxy,
            apps: apps
                .map(|app| past.app(app, self.rates.get(&app.name).copied()))
                .collect(),
        };
        self.before = Some(now);
        figures
    }

    /// The proxy counts about once a second, and not when we look: what counts is the time between its counts.
    fn count(&mut self, before: &Status, now: &Status) {
        let (Some(from), Some(to)) = (before.proxy.counted_s, now.proxy.counted_s) else {
            return;
        };
        if to <= from {
            return;
        }
        self.rates.clear();
        for app in &now.apps {
            if let Some(earlier) = before.apps.iter().find(|other| other.name == app.name) {
                let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / (to - from);
                let errors = |app: &AppStatus| app.traffic.responses.server_errors;
                let times = app.traffic.duration.since(&earlier.traffic.duration);
                let rates = Rates {
                    requests_per_s: rate(app.requests, earlier.requests),
                    errors_per_s: rate(errors(app), errors(earlier)),
                    p99_ms: times.quantile(0.99).map(|micros| micros / 1000.0),
                };
                self.rates.insert(app.name.clone(), rates);
            }
        }
    }
}

/// The status before this one.
struct Past<'a> {
    before: Option<&'a Status>,
    interval: Option<f64>,
}

impl Past<'_> {
    fn share(&self, now: Option<f64>, before: impl Fn(&Status) -> Option<f64>) -> Option<f64> {
        percent(before(self.before?)?, now?, self.interval?)
    }

    fn app(&self, app: &AppStatus, rates: Option<Rates>) -> AppFigures {
        let before = |status: &Status| {
            let apps = status.apps.iter();
            let same = apps.filter(|other| other.name == app.name);
            same.flat_map(|app| app.workers.clone()).collect()
        };
        let before: Vec<WorkerStatus> = self.before.map(before).unwrap_or_default();
        let workers: Vec<WorkerFigures> = app
            .workers
            .iter()
            .map(|worker| self.worker(worker, before.iter().find(|other| other.pid == worker.pid)))
            .collect();
        let shares = workers.iter().filter_map(|worker| worker.cpu_percent);
        AppFigures {
            name: app.name.clone(),
            state: app.state.clone(),
            cpu_percent: self.interval.map(|_| shares.fold(0.0, f64::add)),
            rss_bytes: workers.iter().filter_map(|worker| worker.rss_bytes).sum(),
            requests_per_s: rates.map(|rates| rates.requests_per_s),
            errors_per_s: rates.map(|rates| rates.errors_per_s),
            p99_ms: rates.and_then(|rates| rates.p99_ms),
            in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
            queued: app.queued,
            restarts: app.restarts,
            workers,
        }
    }

    fn worker(&self, worker: &WorkerStatus, before: Option<&WorkerStatus>) -> WorkerFigures {
        let is_new = |interval: &f64| worker.uptime_s <= interval + INEXACT;
        let earlier = match before.filter(|before| before.pid.is_some()) {
            Some(before) => before.cpu_s,
            None => self.interval.filter(is_new).map(|_| 0.0),
        };
        let share = |interval| percent(earlier?, worker.cpu_s?, interval);
        WorkerFigures {
            slot: worker.slot,
            generation: worker.generation,
            pid: worker.pid,
            state: worker.state.clone(),
            cpu_percent: self.interval.and_then(share),
            rss_bytes: worker.rss_bytes,
            in_flight: worker.in_flight,
            uptime_s: worker.uptime_s,
        }
    }
}

/// None where time ran backwards: a pid that another process has now.
fn percent(before: f64, now: f64, interval: f64) -> Option<f64> {
    (now >= before).then(|| (now - before) / interval * 100.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// Two apps; `blog` has two workers.
    pub(in super::super) fn status(second: f64, cpu: f64, requests: u64, counted: f64) -> Status {
        let worker = |slot: u32, uptime: f64| {
            json!({"slot": slot, "generation": 1, "pid": 100 + slot, "state": "ready", "in_flight": slot, "uptime_s": uptime,
                   "rss_bytes": 20_000_000, "cpu_s": cpu})
        };
        let app = |name: &str, workers| {
            json!({"name": name, "state": "ready", "mounts": ["/"], "generation": 1, "restarts": 2, "queued": 3,
                   "requests": requests, "workers": workers, "last_death": null})
        };
        let blog = app("blog", vec![worker(0, second), worker(1, second)]);
        let wiki = app("wiki", vec![worker(7, 0.5)]);
        serde_json::from_value(json!({
            "schema_version": 1, "pid": 42, "version": "1.0", "config": "/srv/site.ini", "uptime_s": second, "upgrades": 0,
            "upgrade_error": null, "cpu_s": 1.0, "rss_bytes": 1_000_000, "listen": ["127.0.0.1:80"],
            "proxy": {"pid": 43, "cpu_s": cpu, "rss_bytes": 2_000_000, "connections": 5, "table_version": 1,
                      "counted_s": counted},
            "apps": [blog, wiki]
        }))
        .expect("a status")
    }

    #[test]
    fn one_look_shows_what_is_and_two_what_is_used() {
        let mut meter = Meter::default();
        let first = meter.take(status(10.0, 1.0, 100, 9.5));
        assert!(!first.has_rates());
        assert_eq!((first.interval_s, first.apps[0].cpu_percent), (None, None));
        assert_eq!((first.apps[0].in_flight, first.apps[0].queued), (1, 3));
        assert_eq!(first.apps[0].rss_bytes, 40_000_000);

        let second = meter.take(status(12.0, 1.5, 160, 11.0));
        assert_eq!(second.interval_s, Some(2.0));
        assert_eq!(second.proxy.cpu_percent, Some(25.0));
        assert_eq!(second.cpu_percent, Some(0.0));
        let blog = &second.apps[0];
        assert_eq!(blog.cpu_percent, Some(50.0));
        assert_eq!(blog.workers[1].cpu_percent, Some(25.0));
        assert_eq!(blog.requests_per_s, Some(40.0), "in the proxy's 1.5 s");
    }

    #[test]
    fn a_rate_stands_until_the_proxy_has_counted_again() {
        let mut meter = Meter::default();
        meter.take(status(10.0, 1.0, 100, 9.0));
        meter.take(status(11.0, 1.0, 150, 10.0));
        let again = meter.take(status(12.0, 1.0, 150, 10.0));
        assert_eq!(again.apps[0].requests_per_s, Some(50.0));
        let idle = meter.take(status(13.0, 1.0, 150, 11.0));
        assert_eq!(idle.apps[0].requests_per_s, Some(0.0));
    }

    #[test]
    fn a_worker_that_was_not_there_has_used_all_its_time_now() {
        let mut meter = Meter::default();
        let mut before = status(10.0, 1.0, 0, 9.0);
        before.apps[1].workers[0].pid = Some(6);
        before.apps[0].workers.remove(1);
        meter.take(before);
        let figures = meter.take(status(11.0, 0.25, 0, 10.0));
        assert_eq!(figures.apps[1].workers[0].cpu_percent, Some(25.0));
        let old = &figures.apps[0].workers[1];
        assert_eq!(old.cpu_percent, None, "it lived before, unseen");
    }

    #[test]
    fn another_paster_is_measured_anew() {
        let mut meter = Meter::default();
        meter.take(status(10.0, 1.0, 100, 9.0));
        let mut other = status(12.0, 1.0, 100, 11.0);
        other.pid = 44;
        assert_eq!(meter.take(other).interval_s, None);
        let younger = meter.take(status(1.0, 1.0, 100, 0.5));
        assert_eq!(younger.interval_s, None);
        assert!(!younger.has_rates());
    }
}
