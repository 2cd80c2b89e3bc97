//! Health checks: which worker is asked when, and what is made of its answer. Each is asked by a task of its own.

use super::app::AppRun;
use super::{Driver, IDS_PER_APP};
use crate::supervise::launch::News;
use crate::supervise::machine::{Event, WorkerId, WorkerState};
use crate::supervise::probe;
use std::time::{Duration, Instant};
use tracing::field::display;

/// A worker that is not serving yet is asked at least so often.
const EAGER: Duration = Duration::from_secs(1);

impl AppRun {
    /// The workers whose health is checked and that are not being asked just now, and when each is to be asked.
    fn checks(&self) -> impl Iterator<Item = (WorkerId, Instant)> {
        self.machine.workers().filter_map(|(id, worker)| {
            let settings = &self.spec_of(worker.generation).settings;
            settings.health_path.as_ref()?;
            let pause = match worker.state {
                WorkerState::Proving { .. } => settings.health_interval.min(EAGER),
                WorkerState::Ready { .. } => settings.health_interval,
                _ => return None,
            };
            let live = self.live.get(&id).filter(|live| !live.is_asked)?;
            Some((id, live.asked.map_or(live.started, |asked| asked + pause)))
        })
    }
}

impl Driver {
    /// When the next worker is to be asked.
    pub(super) fn health_due(&self) -> Option<Instant> {
        let checks = self.apps.values().flat_map(AppRun::checks);
        checks.map(|(_, due)| due).min()
    }

    /// Asks every worker that is due.
    pub(super) fn check_health(&mut self) {
        let now = Instant::now();
        let checks = self.apps.values().flat_map(AppRun::checks);
        let due: Vec<WorkerId> = checks
            .filter(|(_, due)| *due <= now)
            .map(|(id, _)| id)
            .collect();
        for id in due {
            let is_busy = self.is_full(id);
            let Some((app, generation)) = self.apps.get(&(id / IDS_PER_APP)).and_then(|app| {
                let worker = app.machine.worker(id)?;
                Some((app, worker.generation))
            }) else {
                continue;
            };
            let settings = &app.spec_of(generation).settings;
            let (path, timeout) = (settings.health_path.clone(), settings.health_interval);
            let live = self.live_mut(id);
            let (Some(live), Some(path)) = (live, path) else {
                continue;
            };
            live.asked = Some(now);
            if is_busy {
                continue;
            }
            live.is_asked = true;
            let (address, news) = (live.address(), self.site.news.clone());
            tokio::spawn(async move {
                let answer = probe::get(&address, &path, timeout).await;
                let _ = news.send((id, News::Checked(answer))).await;
            });
        }
    }

    /// A worker has answered, or has not.
    pub(super) fn checked(&mut self, id: WorkerId, answer: Result<(), String>) {
        let is_busy = self.is_full(id);
        let Some(live) = self.live_mut(id) else {
            return;
        };
        live.is_asked = false;
        live.asked = Some(Instant::now());
        live.health = Some(answer.clone());
        if let Err(why) = &answer {
            live.note(&format!("health check: it {why}"));
        }
        let event = match answer {
            Ok(()) => Event::Healthy(id),
            // All its places are taken: whether those requests take too long is not for this to judge.
            Err(_) if is_busy => return,
            Err(why) => {
                let app = self.apps.get(&(id / IDS_PER_APP));
                let app = app.map(|app| display(&app.spec.name));
                tracing::debug!(app, worker = id, "health check failed: it {why}");
                Event::Unhealthy(id, why)
            }
        };
        self.step(id / IDS_PER_APP, event);
    }

    /// It has all the requests that it may be given, so one more would have to wait.
    fn is_full(&self, id: WorkerId) -> bool {
        let Some(app) = self.apps.get(&(id / IDS_PER_APP)) else {
            return false;
        };
        self.proxies.in_flight_of(id) >= u64::from(app.spec.settings.threads)
    }
}
