//! What is heard of workers.

use super::super::ending::Ending;
use super::super::{Driver, IDS_PER_APP};
use super::{AppRun, Live};
use crate::control::kinds;
use crate::keeper::message::{Ended, Exit};
use crate::supervise::launch::News;
use crate::supervise::machine::{Event, WorkerId};
use crate::sys::{proctree, shortage};
use std::time::Instant;

impl Driver {
    /// A keeper was lost, so what its worker had started is ours now (subreaper): it is ended here.
    pub(in super::super) fn sweep_orphans(&mut self, worker: Option<u32>) {
        self.sweep_due = None;
        let marker = format!("NOTIFY_SOCKET={}/", self.site.workers_dir.display());
        let mut known = self.known_children();
        known.extend(self.strangers.there_before_us());
        // Looked for at once, before anything else is started; ended beside this loop.
        match proctree::orphans(&known, worker, &marker) {
            Ok(orphans) => {
                tokio::task::spawn_blocking(move || proctree::end_orphans(&marker, orphans));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot look for what a lost keeper has left; trying again");
                self.sweep_due = Some((Instant::now() + shortage::PAUSE, worker));
            }
        }
    }

    pub(in super::super) fn live_mut(&mut self, id: WorkerId) -> Option<&mut Live> {
        let app = self.apps.get_mut(&(id / IDS_PER_APP))?;
        app.live.get_mut(&id)
    }

    /// News of a worker.
    pub(in super::super) fn worker_news(&mut self, id: WorkerId, news: News) {
        let number = id / IDS_PER_APP;
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        if app.has_template(id) {
            return self.template_news(number, id, news);
        }
        match news {
            News::Spawned { pid, root } => app.spawned(id, pid, root),
            News::Status(status) => app.told_status(id, status),
            News::Ready => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.note("ready");
                }
                self.step(number, Event::Ready(id));
            }
            News::Extend(by) => self.step(number, Event::Extend(id, by)),
            News::Files(files) => self.files_told(number, id, files),
            News::Checked(answer) => self.checked(id, answer),
            News::Alive => self.step(number, Event::Alive(id)),
            News::Failed { step, error } => {
                let error = format!("could not be started: {step}: {error}");
                app.not_started(id, step, &error);
                self.step(number, Event::SpawnFailed(id, error));
            }
            // Of templates.
            News::Gone => {}
            News::Exited { ended, at } => {
                let pid = app.ended(id, ended, at);
                if ended.exit == Exit::Unknown {
                    self.sweep_orphans(pid);
                }
                self.step(number, Event::Exited(id, ended.exit));
                if !self.is_known(id) {
                    self.proxies.forget(id);
                }
            }
        }
    }
}

/// What is noted of a worker; what follows from it the machine decides.
impl AppRun {
    fn spawned(&mut self, id: WorkerId, pid: u32, root: Option<u32>) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.pid = Some(pid);
        live.root = root;
        live.note(&format!("spawned (pid {pid})"));
        tracing::debug!(
            name: kinds::WORKER_SPAWNED,
            app = %self.spec.name,
            slot = live.slot,
            generation = live.generation,
            pid,
            "worker spawned"
        );
    }

    fn told_status(&mut self, id: WorkerId, status: String) {
        if let Some(live) = self.live.get_mut(&id) {
            tracing::debug!(app = %self.spec.name, slot = live.slot, status, "worker status");
            live.note(&format!("STATUS={status}"));
            live.status = Some(status);
        }
    }

    /// Its start has failed at this step.
    fn not_started(&mut self, id: WorkerId, step: String, error: &str) {
        if let Some(mut live) = self.live.remove(&id) {
            live.note(error);
            live.status = Some(step);
            self.last_ending = Some(Ending::of(id, &live, None, None, Instant::now()));
        }
    }

    /// Its pid, as far as it was known.
    fn ended(&mut self, id: WorkerId, ended: Ended, at: Instant) -> Option<u32> {
        let state = self.machine.worker(id).map(|worker| worker.state);
        let live = self.live.remove(&id)?;
        self.last_ending = Some(Ending::of(id, &live, Some(ended), state, at));
        live.pid
    }
}
