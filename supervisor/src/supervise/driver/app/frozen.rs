//! An app at rest: as it is handed to the program that takes the place of this one.

use super::template::{FrozenTemplate, Template};
use super::{AppRun, Live};
use crate::logs::Source;
use crate::plan::spec::AppSpec;
use crate::reports::report::RefusedRequest;
use crate::router::message::{Death, WorkerAddress, WorkerId};
use crate::router::traffic::Traffic;
use crate::supervise::deadly::Deadly;
use crate::supervise::driver::ending::{Ending, Lost, Sentence};
use crate::supervise::driver::maintenance::Ordered;
use crate::supervise::journey::Journey;
use crate::supervise::keeper_link;
use crate::supervise::launch::Site;
use crate::supervise::machine::{AppMachine, AppState};
use crate::supervise::upgrade::{Descriptors, moment};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Instant;
use tokio::sync::oneshot;

/// The conversation with a worker that is about to rest.
type Resting = oneshot::Receiver<(keeper_link::Frozen, Descriptors)>;

/// An app of the plan, without what the plan says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct FrozenApp {
    pub(in super::super) name: String,
    machine: AppMachine,
    workers: Vec<FrozenWorker>,
    #[serde(default)]
    templates: Vec<FrozenTemplate>,
    #[serde(default)]
    next_template: u64,
    processes: u32,
    scale: Option<u32>,
    #[serde(default)]
    maintenance: Option<Ordered>,
    scaled_from: Option<u32>,
    first_table: Option<u64>,
    next_generation: u64,
    restarts: u64,
    last_death: Option<Death>,
    last_report: Option<String>,
    last_ending: Option<Ending>,
    deadly: Deadly,
    crash_loop_told: bool,
    requests_before: u64,
    #[serde(default)]
    traffic_before: Traffic,
    had_its_chance: bool,
    files: BTreeSet<PathBuf>,
    told_state: Option<AppState>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct FrozenWorker {
    id: WorkerId,
    keeper_pid: Option<u32>,
    #[serde(default)]
    root: Option<u32>,
    /// None when it is over and its last news waits to be heard.
    conversation: Option<keeper_link::Frozen>,
    address: WorkerAddress,
    pid: Option<u32>,
    #[serde(with = "moment")]
    started: Instant,
    status: Option<String>,
    first_named: Option<u64>,
    last_named: u64,
    requests_before: u64,
    share: f64,
    sentence: Option<Sentence>,
    slot: u32,
    generation: u64,
    journey: Journey,
    lost: Lost,
    refused: Vec<RefusedRequest>,
    oom_kills: Option<u64>,
}

impl AppRun {
    /// Asks all conversations to rest.
    pub(in super::super) fn rest(&self) -> impl Iterator<Item = (WorkerId, Resting)> {
        let workers = self.live.iter();
        let workers = workers.map(|(id, live)| (*id, live.launched.freeze()));
        let templates = self.templates.iter();
        workers.chain(templates.map(|(id, template)| (*id, template.rest())))
    }

    /// The app as data; `conversations` are those that rest.
    pub(in super::super) fn freeze(
        &self,
        conversations: &mut BTreeMap<WorkerId, keeper_link::Frozen>,
    ) -> FrozenApp {
        let worker = |(id, live): (&WorkerId, &Live)| FrozenWorker {
            id: *id,
            keeper_pid: live.launched.keeper_pid,
            root: live.root,
            conversation: conversations.remove(id),
            address: live.address.clone(),
            pid: live.pid,
            started: live.started,
            status: live.status.clone(),
            first_named: live.first_named,
            last_named: live.last_named,
            requests_before: live.requests_before,
            share: live.share,
            sentence: live.sentence.clone(),
            slot: live.slot,
            generation: live.generation,
            journey: live.journey.clone(),
            lost: live.lost.clone(),
            refused: live.refused.clone(),
            oom_kills: live.oom_kills,
        };
        let workers = self.live.iter().map(worker).collect();
        let template =
            |(id, template): (&WorkerId, &Template)| template.freeze(*id, conversations.remove(id));
        FrozenApp {
            name: self.spec.name.clone(),
            machine: self.machine.clone(),
            workers,
            templates: self.templates.iter().map(template).collect(),
            next_template: self.next_template,
            processes: self.spec.settings.processes,
            scale: self.scale,
            maintenance: self.maintenance.clone(),
            scaled_from: self.scaled_from,
            first_table: self.first_table,
            next_generation: self.next_generation,
            restarts: self.restarts,
            last_death: self.last_death.clone(),
            last_report: self.last_report.clone(),
            last_ending: self.last_ending.clone(),
            deadly: self.deadly.clone(),
            crash_loop_told: self.crash_loop_told,
            requests_before: self.requests_before,
            traffic_before: self.traffic_before.clone(),
            had_its_chance: self.had_its_chance,
            files: self.files.clone(),
            told_state: self.told_state,
        }
    }

    /// The app again, as `spec` says it is.
    ///
    /// # Errors
    /// A descriptor that was not handed over.
    pub(in super::super) fn thaw(
        site: &Site,
        mut spec: AppSpec,
        frozen: FrozenApp,
        descriptors: &mut Descriptors,
    ) -> io::Result<AppRun> {
        spec.settings.processes = frozen.processes;
        let mut live = BTreeMap::new();
        for worker in frozen.workers {
            let id = worker.id;
            live.insert(id, worker.thaw(site, &spec.name, descriptors)?);
        }
        let mut templates = BTreeMap::new();
        for template in frozen.templates {
            let id = template.id;
            templates.insert(id, template.thaw(site, &spec.name, descriptors)?);
        }
        Ok(AppRun {
            templates,
            next_template: frozen.next_template,
            spec,
            next: None,
            machine: frozen.machine,
            live,
            next_generation: frozen.next_generation,
            restarts: frozen.restarts,
            last_death: frozen.last_death,
            last_report: frozen.last_report,
            last_ending: frozen.last_ending,
            deadly: frozen.deadly,
            crash_loop_told: frozen.crash_loop_told,
            requests_before: frozen.requests_before,
            traffic_before: frozen.traffic_before,
            removed: false,
            files: frozen.files,
            had_its_chance: frozen.had_its_chance,
            told_state: frozen.told_state,
            scale: frozen.scale,
            maintenance: frozen.maintenance,
            scaled_from: frozen.scaled_from,
            start_failure: None,
            first_table: frozen.first_table,
            unreachable_told: None,
            unreachable_why: None,
        })
    }
}

impl FrozenWorker {
    fn thaw(self, site: &Site, app: &str, descriptors: &mut Descriptors) -> io::Result<Live> {
        let source = Source::new(self.id, self.slot, self.generation, self.pid);
        let who = (self.keeper_pid, Some(self.address.clone()));
        let launched = keeper_link::thaw(site, app, source, who, self.conversation, descriptors)?;
        Ok(Live {
            launched,
            address: self.address,
            root: self.root,
            pid: self.pid,
            started: self.started,
            status: self.status,
            first_named: self.first_named,
            last_named: self.last_named,
            requests_before: self.requests_before,
            share: self.share,
            sentence: self.sentence,
            asked: None,
            is_asked: false,
            health: None,
            slot: self.slot,
            generation: self.generation,
            journey: self.journey,
            lost: self.lost,
            refused: self.refused,
            oom_kills: self.oom_kills,
        })
    }
}
