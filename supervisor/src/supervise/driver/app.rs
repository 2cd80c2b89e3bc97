//! One app as the driver holds it.

mod effects;
mod frozen;
mod news;
mod policy;
mod rollout;
mod start;
mod template;
mod told;

pub(super) use frozen::FrozenApp;

use super::ending::{Ending, Lost, Sentence};
use super::maintenance::Ordered;
use crate::control::kinds;
use crate::control::protocol::Failure;
use crate::keeper::message::ToKeeper;
use crate::plan::spec::AppSpec;
use crate::reports::report::{OutputLine, RefusedRequest};
use crate::router::message::{Death, WorkerAddress};
use crate::router::traffic::Traffic;
use crate::supervise::deadly::Deadly;
use crate::supervise::journey::Journey;
use crate::supervise::keeper_link::Launched;
use crate::supervise::machine::{AppMachine, AppState, WorkerId};
use policy::policy;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;
use template::Template;

/// An app with its processes.
pub(super) struct AppRun {
    /// What the serving generation runs.
    pub(super) spec: AppSpec,
    /// What the generation that is being brought up runs.
    next: Option<(u64, AppSpec)>,
    pub(super) machine: AppMachine,
    pub(super) live: BTreeMap<WorkerId, Live>,
    /// Those of the generations that run, and keepers of those that have ended; by numbers that are no worker's.
    templates: BTreeMap<WorkerId, Template>,
    next_template: u64,
    next_generation: u64,
    /// Starts after a death that nobody asked for, or after a start that failed.
    pub(super) restarts: u64,
    pub(super) last_death: Option<Death>,
    /// The crash report about it.
    pub(super) last_report: Option<String>,
    /// The end, or the timeout, that a failed rollout is explained with.
    pub(super) last_ending: Option<Ending>,
    /// Requests that were in flight at deaths.
    pub(super) deadly: Deadly,
    /// The log has said that it is in a crash loop.
    crash_loop_told: bool,
    /// Requests that were counted by proxies that are gone.
    pub(super) requests_before: u64,
    pub(super) traffic_before: Traffic,
    pub(super) removed: bool,
    /// What its workers have told that they are made of.
    pub(super) files: BTreeSet<PathBuf>,
    /// It has served, or failed, since it was added.
    pub(super) had_its_chance: bool,
    /// What the events have last told.
    told_state: Option<AppState>,
    /// The number of workers that was asked for, where it is not the configured one.
    pub(super) scale: Option<u32>,
    /// What was asked for, where it is not what the file says.
    pub(super) maintenance: Option<Ordered>,
    /// More workers are on their way: the number to go back to if they do not come up.
    pub(super) scaled_from: Option<u32>,
    /// A worker of the present generation has failed before it was ready, or for good; known until the loop has settled.
    pub(super) start_failure: Option<String>,
    /// The first table that was to name it.
    pub(super) first_table: Option<u64>,
    /// When the log last said that the proxy cannot connect.
    pub(super) unreachable_told: Option<Instant>,
    /// Why it could not, the last time.
    pub(super) unreachable_why: Option<String>,
}

/// A launched worker.
pub(super) struct Live {
    launched: Launched,
    address: WorkerAddress,
    /// The process below which all of it is, where its keeper is that of other workers, too.
    root: Option<u32>,
    pub(super) pid: Option<u32>,
    pub(super) started: Instant,
    pub(super) status: Option<String>,
    /// The first table that named it.
    pub(super) first_named: Option<u64>,
    /// The last table that named it.
    pub(super) last_named: u64,
    /// Requests that were counted by proxies that are gone.
    pub(super) requests_before: u64,
    /// Its place between the fewest and the most requests that it may have: uniform in `0.0..1.0`.
    pub(super) share: f64,
    /// Why we end it, if it hangs or was not ready in time.
    pub(super) sentence: Option<Sentence>,
    /// When its health was last asked for, or an answer came.
    pub(super) asked: Option<Instant>,
    /// It has been asked and the answer has not come.
    pub(super) is_asked: bool,
    /// What came of the last health check.
    pub(super) health: Option<Result<(), String>>,
    pub(super) slot: u32,
    pub(super) generation: u64,
    pub(super) journey: Journey,
    pub(super) lost: Lost,
    /// Requests that are refused because they made it hang.
    pub(super) refused: Vec<RefusedRequest>,
    /// What the kernel had killed for lack of memory by the time it was started.
    pub(super) oom_kills: Option<u64>,
}

impl Live {
    /// Where it listens, for a proxy whose working directory is `workers_dir`.
    pub(super) fn address_from(&self, workers_dir: &Path) -> WorkerAddress {
        match &self.address {
            WorkerAddress::Unix(path) => {
                WorkerAddress::Unix(path.strip_prefix(workers_dir).unwrap_or(path).to_path_buf())
            }
            WorkerAddress::Tcp(address) => WorkerAddress::Tcp(address.clone()),
        }
    }

    pub(super) fn address(&self) -> WorkerAddress {
        self.address.clone()
    }

    /// What it was last known to be doing: a health check that failed says more than its own word.
    pub(super) fn last_step(&self) -> Option<String> {
        match &self.health {
            Some(Err(why)) => Some(format!("health check: it {why}")),
            Some(Ok(())) | None => self.status.clone(),
        }
    }

    /// Its own keeper.
    pub(super) fn keeper_pid(&self) -> Option<u32> {
        self.launched.keeper_pid
    }

    /// All that it has started is below this process.
    pub(super) fn root(&self) -> Option<u32> {
        self.root.or(self.launched.keeper_pid)
    }

    pub(super) fn kill(&self) {
        self.launched.order(ToKeeper::Kill);
    }

    /// Adds a step to what a report shows of its life.
    pub(super) fn note(&mut self, step: &str) {
        self.journey.note(self.started.elapsed(), step);
    }

    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        self.launched.output.last(count)
    }

    pub(super) fn output(&self) -> Vec<OutputLine> {
        self.launched.output.report()
    }
}

impl AppRun {
    fn new(spec: AppSpec, first_id: WorkerId) -> AppRun {
        AppRun {
            machine: AppMachine::new(policy(&spec), first_id),
            spec,
            next: None,
            live: BTreeMap::new(),
            templates: BTreeMap::new(),
            next_template: 0,
            next_generation: 2,
            restarts: 0,
            last_death: None,
            last_report: None,
            last_ending: None,
            deadly: Deadly::default(),
            crash_loop_told: false,
            requests_before: 0,
            traffic_before: Traffic::default(),
            removed: false,
            files: BTreeSet::new(),
            had_its_chance: false,
            told_state: None,
            scale: None,
            maintenance: None,
            scaled_from: None,
            start_failure: None,
            first_table: None,
            unreachable_told: None,
            unreachable_why: None,
        }
    }

    /// Tells the state of the app if it is another one than before.
    pub(super) fn tell_state(&mut self, state: AppState) {
        if self.told_state == Some(state) {
            return;
        }
        tracing::debug!(
            name: kinds::APP_STATE,
            app = %self.spec.name,
            generation = self.machine.generation(),
            from = self.told_state.map(AppState::name),
            to = state.name(),
            "the app is {}",
            state.name()
        );
        self.told_state = Some(state);
    }

    pub(super) fn spec_of(&self, generation: u64) -> &AppSpec {
        match &self.next {
            Some((next, spec)) if *next == generation => spec,
            _ => &self.spec,
        }
    }

    /// None of its processes is left.
    pub(super) fn is_gone(&self) -> bool {
        self.machine.is_gone() && self.templates.is_empty()
    }

    /// A new generation is on its way.
    pub(super) fn is_rolling_out(&self) -> bool {
        self.next.is_some()
    }

    /// What was asked for last, whether or not it serves yet.
    pub(super) fn newest_spec(&self) -> &AppSpec {
        self.next.as_ref().map_or(&self.spec, |(_, spec)| spec)
    }

    /// The number of the next rollout.
    pub(super) fn next_generation(&self) -> u64 {
        self.next_generation
    }

    /// All that is wanted of it serves, or something of it has failed.
    pub(super) fn has_had_its_chance(&self) -> bool {
        let has_failed = self.last_ending.is_some() || self.last_death.is_some();
        match self.machine.state() {
            AppState::Starting => false,
            AppState::Degraded => has_failed,
            AppState::Ready
            | AppState::Backoff
            | AppState::Failed
            | AppState::Stopped
            | AppState::Idle => true,
        }
    }

    /// On one line: what its last worker said, else how it ended.
    pub(super) fn why_it_failed(&self) -> String {
        let said = self.last_ending.as_ref().and_then(|end| end.status.clone());
        let ended = || self.last_death.as_ref().map(|death| death.what.clone());
        said.or_else(ended).unwrap_or_default()
    }

    /// Why the last start failed, for whoever asked for it.
    pub(super) fn failure(&self, what: String) -> Failure {
        let ending = self.last_ending.as_ref();
        Failure {
            what,
            step: ending.and_then(|ending| ending.status.clone()),
            last_output: ending
                .map(|ending| ending.last_output.clone())
                .unwrap_or_default(),
        }
    }
}
