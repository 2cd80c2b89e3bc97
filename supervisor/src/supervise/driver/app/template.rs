//! Templates: with `preload = on`, the workers of a generation are forked from a process that has loaded the app.
//!
//! The machine of the app knows nothing of them. A template is started when a worker of its generation is to be, workers wait
//! for it as for any start that takes its time, and if it fails they have failed. It ends when no worker of its generation will
//! be started any more; its keeper, which is that of the workers, ends with the last of them.

use super::super::{Driver, millis};
use super::AppRun;
use crate::control::kinds;
use crate::keeper::message::{Ended, Exit, FromKeeper, ToKeeper};
use crate::logs::Source;
use crate::router::message::WorkerId;
use crate::supervise::contract::Seat;
use crate::supervise::driver::IDS_PER_APP;
use crate::supervise::keeper_link::{self, Launched};
use crate::supervise::launch::{self, ForkOrder, LaunchError, News, Site, Worker};
use crate::supervise::machine::{AppState, Event, describe};
use crate::supervise::upgrade::{Descriptors, moment};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;
use tokio::sync::oneshot;

/// Templates of an app have numbers from here on, workers those below.
const FIRST_ID: u64 = IDS_PER_APP / 2;

/// A process that loads, or has loaded, the app; or at last only its keeper.
pub(super) struct Template {
    launched: Launched,
    generation: u64,
    slot: u32,
    pid: Option<u32>,
    started: Instant,
    state: State,
    /// To be forked when it has loaded the app.
    waiting: BTreeMap<WorkerId, ForkOrder>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Loading,
    Loaded,
    /// It was killed by us.
    Dismissed,
    /// Its keeper may still be there.
    Ended,
}

/// A template at rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct FrozenTemplate {
    pub(super) id: WorkerId,
    keeper_pid: Option<u32>,
    conversation: Option<keeper_link::Frozen>,
    generation: u64,
    slot: u32,
    pid: Option<u32>,
    #[serde(with = "moment")]
    started: Instant,
    state: State,
}

impl Template {
    /// Asks its conversation to rest.
    pub(super) fn rest(&self) -> oneshot::Receiver<(keeper_link::Frozen, Descriptors)> {
        self.launched.freeze()
    }

    /// Nobody waits for one that is frozen.
    pub(super) fn freeze(
        &self,
        id: WorkerId,
        conversation: Option<keeper_link::Frozen>,
    ) -> FrozenTemplate {
        FrozenTemplate {
            id,
            keeper_pid: self.launched.keeper_pid,
            conversation,
            generation: self.generation,
            slot: self.slot,
            pid: self.pid,
            started: self.started,
            state: self.state,
        }
    }

    fn is_usable(&self) -> bool {
        matches!(self.state, State::Loading | State::Loaded)
    }

    fn fork(&mut self, id: WorkerId, order: ForkOrder) {
        match self.state {
            State::Loaded => order.give(&self.launched),
            _ => {
                self.waiting.insert(id, order);
            }
        }
    }

    fn dismiss(&mut self) {
        if self.is_usable() {
            self.state = State::Dismissed;
            self.launched.order(ToKeeper::Kill);
        }
    }
}

impl FrozenTemplate {
    pub(super) fn thaw(
        self,
        site: &Site,
        app: &str,
        descriptors: &mut Descriptors,
    ) -> io::Result<Template> {
        let source = Source::new(self.id, self.slot, self.generation, self.pid);
        let who = (self.keeper_pid, None);
        let launched = keeper_link::thaw(site, app, source, who, self.conversation, descriptors)?;
        Ok(Template {
            launched,
            generation: self.generation,
            slot: self.slot,
            pid: self.pid,
            started: self.started,
            state: self.state,
            waiting: BTreeMap::new(),
        })
    }
}

impl AppRun {
    /// Starts a worker by the template of its generation, which is started if there is none.
    pub(super) fn fork(
        &mut self,
        site: &Site,
        number: u64,
        id: WorkerId,
        slot: u32,
        generation: u64,
    ) -> Result<Worker, LaunchError> {
        let spec = self.spec_of(generation).clone();
        let seat = Seat {
            app: &spec,
            slot,
            generation,
        };
        let (worker, order) = launch::prepare_fork(site, seat, id)?;
        let found = self
            .templates
            .values_mut()
            .find(|template| template.generation == generation && template.is_usable());
        if let Some(template) = found {
            template.fork(id, order);
            return Ok(worker);
        }
        let template_id = number * IDS_PER_APP + FIRST_ID + self.next_template;
        self.next_template += 1;
        let mut template = Template {
            launched: launch::launch_template(site, seat, template_id)?,
            generation,
            slot,
            pid: None,
            started: Instant::now(),
            state: State::Loading,
            waiting: BTreeMap::new(),
        };
        template.fork(id, order);
        self.templates.insert(template_id, template);
        Ok(worker)
    }

    /// A worker that is to end, perhaps before it was forked.
    pub(super) fn call_off(&mut self, id: WorkerId, signal: Signal) {
        let order = self.templates.values_mut();
        let order = order
            .filter_map(|template| template.waiting.remove(&id))
            .next();
        if let Some(order) = order {
            order.call_off(&FromKeeper::Exited(Ended {
                exit: Exit::Signal(signal as i32),
                core_dumped: false,
                usage: None,
            }));
        }
    }

    /// Those who wait for this template have failed as it has, and what it has printed is theirs.
    fn fail_waiting(&mut self, id: WorkerId, why: &FromKeeper) {
        let Some(template) = self.templates.get_mut(&id) else {
            return;
        };
        for (worker, order) in std::mem::take(&mut template.waiting) {
            if let Some(live) = self.live.get_mut(&worker) {
                live.launched.output = template.launched.output.clone();
            }
            order.call_off(why);
        }
    }

    fn tell_template_end(&self, id: WorkerId, was: State, exit: Exit) {
        let Some(template) = self.templates.get(&id) else {
            return;
        };
        let (app, generation, pid) = (&self.spec.name, template.generation, template.pid);
        let exit = describe(exit);
        match was {
            State::Loading => tracing::error!(
                name: kinds::TEMPLATE_FAILED,
                %app,
                generation,
                pid,
                "the app is not loaded: the process that was to do it {exit}"
            ),
            State::Loaded => tracing::warn!(
                name: kinds::TEMPLATE_DIED,
                %app,
                generation,
                pid,
                "the process that workers are forked from {exit}; the workers go on, and another is started when one is needed"
            ),
            State::Dismissed | State::Ended => {}
        }
    }

    pub(super) fn has_template(&self, id: WorkerId) -> bool {
        self.templates.contains_key(&id)
    }

    /// When this worker or template was started.
    pub(in super::super) fn started(&self, id: WorkerId) -> Option<Instant> {
        let worker = self.live.get(&id).map(|live| live.started);
        worker.or_else(|| Some(self.templates.get(&id)?.started))
    }

    /// A worker waits until its template has loaded the app.
    pub(in super::super) fn waits_for_template(&self) -> bool {
        let mut templates = self.templates.values();
        templates.any(|template| !template.waiting.is_empty())
    }

    /// All keepers.
    pub(in super::super) fn keepers(&self) -> impl Iterator<Item = u32> {
        let workers = self.live.values().filter_map(super::Live::keeper_pid);
        let templates = self.templates.values();
        workers.chain(templates.filter_map(|template| template.launched.keeper_pid))
    }

    pub(in super::super) fn end_templates(&mut self) {
        self.templates.values_mut().for_each(Template::dismiss);
    }

    /// Ends those from which no worker will be forked any more.
    fn end_unneeded_templates(&mut self) {
        let serving = self.machine.generation();
        let next = self.next.as_ref().map(|(generation, _)| *generation);
        let state = self.machine.state();
        let is_off = self.removed || matches!(state, AppState::Stopped | AppState::Idle);
        for template in self.templates.values_mut() {
            let generation = template.generation;
            let is_current = generation == serving || next == Some(generation);
            let has_workers = self.live.values().any(|live| live.generation == generation);
            // The cause of a crash loop may be what was loaded: each attempt loads it again.
            let may_be_ill = state == AppState::Failed && !has_workers;
            // Those who waited have given up: it may never come to an end.
            let may_hang = template.state == State::Loading;
            let is_needed = is_current && !is_off && !may_be_ill && !may_hang;
            if !is_needed && template.waiting.is_empty() {
                template.dismiss();
            }
        }
    }
}

impl Driver {
    pub(in super::super) fn end_unneeded_templates(&mut self) {
        self.apps
            .values_mut()
            .for_each(AppRun::end_unneeded_templates);
    }

    /// News of a template.
    pub(super) fn template_news(&mut self, number: u64, id: WorkerId, news: News) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let Some(template) = app.templates.get_mut(&id) else {
            return;
        };
        let waiting: Vec<WorkerId> = template.waiting.keys().copied().collect();
        match news {
            News::Spawned { pid, .. } => template.pid = Some(pid),
            // What it says of its start is said of those that wait for it.
            News::Status(status) => {
                for id in waiting {
                    self.worker_news(id, News::Status(status.clone()));
                }
            }
            News::Extend(by) => {
                for id in waiting {
                    self.step(number, Event::Extend(id, by));
                }
            }
            News::Files(files) => self.files_told(number, id, files),
            News::Ready => {
                if template.state == State::Loading {
                    template.state = State::Loaded;
                    tracing::info!(
                        name: kinds::TEMPLATE_READY,
                        app = %app.spec.name,
                        generation = template.generation,
                        pid = template.pid,
                        duration_ms = millis(template.started.elapsed()),
                        "the app is loaded; its workers are forked from there"
                    );
                    for order in std::mem::take(&mut template.waiting).into_values() {
                        order.give(&template.launched);
                    }
                }
            }
            News::Failed { step, error } => {
                app.fail_waiting(id, &FromKeeper::Failed { step, error });
                app.templates.remove(&id);
            }
            News::Exited { ended, .. } => {
                let was = std::mem::replace(&mut template.state, State::Ended);
                app.tell_template_end(id, was, ended.exit);
                app.fail_waiting(id, &FromKeeper::Exited(ended));
                if ended.exit == Exit::Unknown {
                    let template = app.templates.remove(&id);
                    self.sweep_orphans(template.and_then(|template| template.pid));
                }
            }
            News::Gone => {
                app.templates.remove(&id);
            }
            News::Alive | News::Checked(_) => {}
        }
    }
}
