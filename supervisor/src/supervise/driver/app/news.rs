//! What is heard of workers.

use super::super::ending::Ending;
use super::super::{Driver, IDS_PER_APP};
use super::Live;
use crate::control::kinds;
use crate::keeper::message::Exit;
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
        let name = app.spec.name.clone();
        match news {
            News::Spawned { pid, root } => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.pid = Some(pid);
                    live.root = root;
                    live.note(&format!("spawned (pid {pid})"));
                    let (slot, generation) = (live.slot, live.generation);
                    tracing::debug!(
                        name: kinds::WORKER_SPAWNED,
                        app = %name,
                        slot,
                        generation,
                        pid,
                        "worker spawned"
                    );
                }
            }
            News::Status(status) => {
                if let Some(live) = app.live.get_mut(&id) {
                    tracing::debug!(app = %name, slot = live.slot, status, "worker status");
                    live.note(&format!("STATUS={status}"));
                    live.status = Some(status);
                }
            }
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
                if let Some(mut live) = app.live.remove(&id) {
                    live.note(&error);
                    live.status = Some(step);
                    app.last_ending = Some(Ending::of(id, &live, None, None, Instant::now()));
                }
                self.step(number, Event::SpawnFailed(id, error));
            }
            // Of templates.
            News::Gone => {}
            News::Exited { ended, at } => {
                let state = app.machine.worker(id).map(|worker| worker.state);
                let mut pid = None;
                if let Some(live) = app.live.remove(&id) {
                    pid = live.pid;
                    app.last_ending = Some(Ending::of(id, &live, Some(ended), state, at));
                }
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
