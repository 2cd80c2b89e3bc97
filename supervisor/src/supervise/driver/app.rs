//! One app as the driver holds it, and how the effects of its machine are carried out.

mod frozen;
mod start;
mod told;

pub(super) use frozen::{FrozenApp, Resting};

use super::ending::{Ending, Lost, Sentence};
use super::waiters::GoalKind;
use super::{Driver, IDS_PER_APP};
use crate::control::kinds;
use crate::control::protocol::Failure;
use crate::keeper::message::{Exit, ToKeeper};
use crate::plan::diff;
use crate::plan::spec::{AppKind, AppSpec, Settings};
use crate::reports::report::{OutputLine, RefusedRequest};
use crate::router::message::{Death, WorkerAddress};
use crate::supervise::backoff::BackoffPolicy;
use crate::supervise::deadly::Deadly;
use crate::supervise::journey::Journey;
use crate::supervise::keeper_link::Launched;
use crate::supervise::launch::{self, News};
use crate::supervise::machine::{AppMachine, AppState, Effect, Event, Policy, WorkerId};
use crate::sys::{oom, proctree, shortage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// An app with its processes.
pub(super) struct AppRun {
    /// What the serving generation runs.
    pub(super) spec: AppSpec,
    /// What the generation that is being brought up runs.
    next: Option<(u64, AppSpec)>,
    pub(super) machine: AppMachine,
    pub(super) live: BTreeMap<WorkerId, Live>,
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
    pub(super) removed: bool,
    /// What its workers have told that they are made of.
    pub(super) files: BTreeSet<PathBuf>,
    /// It has served, or failed, since it was added.
    pub(super) had_its_chance: bool,
    /// What the events have last told.
    told_state: Option<AppState>,
    /// The number of workers that was asked for, where it is not the configured one.
    pub(super) scale: Option<u32>,
    /// More workers are on their way: the number to go back to if they do not come up.
    pub(super) scaled_from: Option<u32>,
    /// A worker of the present generation has failed before it was ready, or for good; known until the loop has settled.
    pub(super) start_failure: Option<String>,
    /// The first table that was to name it.
    pub(super) first_table: Option<u64>,
    /// When the log last said that the proxy cannot connect.
    pub(super) unreachable_told: Option<Instant>,
}

/// A launched worker.
pub(super) struct Live {
    launched: Launched,
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
        match &self.launched.address {
            WorkerAddress::Unix(path) => {
                WorkerAddress::Unix(path.strip_prefix(workers_dir).unwrap_or(path).to_path_buf())
            }
            WorkerAddress::Tcp(address) => WorkerAddress::Tcp(address.clone()),
        }
    }

    pub(super) fn address(&self) -> WorkerAddress {
        self.launched.address.clone()
    }

    /// What it was last known to be doing: a health check that failed says more than its own word.
    pub(super) fn last_step(&self) -> Option<String> {
        match &self.health {
            Some(Err(why)) => Some(format!("health check: it {why}")),
            Some(Ok(())) | None => self.status.clone(),
        }
    }

    pub(super) fn keeper_pid(&self) -> u32 {
        self.launched.keeper_pid
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
            next_generation: 2,
            restarts: 0,
            last_death: None,
            last_report: None,
            last_ending: None,
            deadly: Deadly::default(),
            crash_loop_told: false,
            requests_before: 0,
            removed: false,
            files: BTreeSet::new(),
            had_its_chance: false,
            told_state: None,
            scale: None,
            scaled_from: None,
            start_failure: None,
            first_table: None,
            unreachable_told: None,
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

/// What the state machine must know of an app. An upstream has no processes.
fn policy(spec: &AppSpec) -> Policy {
    let Settings {
        processes,
        start_timeout,
        min_healthy,
        drain_timeout,
        stop_timeout,
        restart,
        idle_timeout,
        watchdog,
        max_lifetime,
        threads,
        scale_down_after,
        ..
    } = spec.settings;
    let is_upstream = matches!(spec.kind, AppKind::Upstream { .. });
    let processes_if_any = |processes| if is_upstream { 0 } else { processes };
    Policy {
        processes: processes_if_any(processes),
        health: spec.settings.health_path.is_some(),
        max_processes: processes_if_any(spec.settings.most_processes()),
        threads,
        scale_down_after,
        start_timeout,
        min_healthy,
        drain_timeout,
        stop_timeout,
        restart,
        idle_timeout,
        watchdog,
        max_lifetime,
        backoff: BackoffPolicy {
            delay: spec.settings.restart_delay,
            max_delay: spec.settings.restart_max_delay,
            limit: spec.settings.crash_limit,
            window: spec.settings.crash_window,
        },
    }
}

impl Driver {
    /// Adds an app of the plan and starts it.
    pub(super) fn add_app(&mut self, name: &str) {
        let Some(spec) = self.plan.apps.get(name).cloned() else {
            return;
        };
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(name.to_owned(), number);
        self.apps
            .insert(number, AppRun::new(spec, number * IDS_PER_APP));
        self.dirty = true;
        self.step(number, Event::Tick);
    }

    /// Takes an app out of the plan; its processes drain and stop.
    pub(super) fn remove_app(&mut self, name: &str) {
        if let Some(number) = self.numbers.remove(name) {
            if let Some(app) = self.apps.get_mut(&number) {
                app.removed = true;
            }
            self.dirty = true;
            self.forget_files(number);
            self.step(number, Event::Stop);
        }
    }

    pub(super) fn remove_gone_apps(&mut self) {
        let (logs, numbers) = (&self.site.logs, &self.numbers);
        self.apps.retain(|_, app| {
            let is_gone = app.removed && app.machine.is_gone();
            // Another app may have its name by now.
            if is_gone && !numbers.contains_key(&app.spec.name) {
                logs.remove(&app.spec.name);
            }
            !is_gone
        });
    }

    /// The output of each app goes where the plan says.
    pub(super) fn configure_logs(&self) {
        for (name, app) in &self.plan.apps {
            if !matches!(app.kind, AppKind::Upstream { .. }) {
                self.site.logs.configure(name, &app.settings.log);
            }
        }
    }

    /// Brings up a new generation of `spec` beside the present one.
    pub(super) fn roll_out(&mut self, number: u64, spec: AppSpec) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let generation = app.next_generation;
        app.next_generation += 1;
        let event = Event::Rollout {
            generation,
            policy: policy(&spec),
        };
        tracing::debug!(
            name: kinds::ROLLOUT_BEGUN,
            app = %spec.name,
            generation,
            "a new generation is started"
        );
        app.next = Some((generation, spec));
        app.last_ending = None;
        self.step(number, event);
    }

    /// Applies settings that need no new process.
    pub(super) fn update_policy(&mut self, number: u64, wanted: &AppSpec) {
        let Some(app) = self.apps.get(&number) else {
            return;
        };
        // Nothing of a stopped app runs that could differ from what its next start will run.
        if app.machine.state() == AppState::Stopped {
            self.adjust(number, |spec| *spec = wanted.clone());
        } else {
            self.adjust(number, |spec| *spec = diff::looked_after(spec, wanted));
        }
    }

    /// Changes how an app is looked after, in the generation that serves and in the one that is being brought up.
    pub(super) fn adjust(&mut self, number: u64, change: impl Fn(&mut AppSpec)) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let rule = app.spec.settings.deadly_requests;
        change(&mut app.spec);
        if app.spec.settings.deadly_requests != rule {
            app.deadly.forget();
        }
        let mut events = vec![Event::NewPolicy {
            generation: app.machine.generation(),
            policy: policy(&app.spec),
        }];
        if let Some((generation, spec)) = &mut app.next {
            change(spec);
            events.push(Event::NewPolicy {
                generation: *generation,
                policy: policy(spec),
            });
        }
        self.dirty = true;
        for event in events {
            self.step(number, event);
        }
    }

    /// Feeds one event to a machine and carries out what follows.
    pub(super) fn step(&mut self, number: u64, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let Some(app) = self.apps.get_mut(&number) else {
                return;
            };
            let effects = app.machine.step(event, Instant::now(), fastrand::f64());
            // A rollout that has nothing to protect takes over at once.
            if app
                .next
                .as_ref()
                .is_some_and(|(generation, _)| *generation == app.machine.generation())
            {
                app.spec = app.next.take().expect("just seen").1;
            }
            for effect in effects {
                if let Some(failed) = self.carry_out(number, effect) {
                    events.push(failed);
                }
            }
        }
    }

    fn carry_out(&mut self, number: u64, effect: Effect) -> Option<Event> {
        let app = self.apps.get_mut(&number)?;
        match effect {
            Effect::Spawn {
                id,
                slot,
                generation,
            } => {
                let spec = app.spec_of(generation);
                match launch::launch(&self.site, spec, id, slot, generation) {
                    Ok(launched) => {
                        let started = Instant::now();
                        let live = Live {
                            launched,
                            pid: None,
                            started,
                            status: None,
                            first_named: None,
                            last_named: 0,
                            requests_before: 0,
                            share: fastrand::f64(),
                            sentence: None,
                            asked: None,
                            is_asked: false,
                            health: None,
                            slot,
                            generation,
                            journey: Journey::default(),
                            lost: Lost::default(),
                            refused: Vec::new(),
                            oom_kills: oom::oom_kills(),
                        };
                        app.live.insert(id, live);
                    }
                    Err(error) => {
                        let error = format!("could not be started: {error}");
                        app.last_ending = Some(Ending::unborn(id, slot, generation, &error));
                        return Some(Event::SpawnFailed(id, error));
                    }
                }
            }
            Effect::Terminate(id) => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.note("SIGTERM was sent");
                    live.launched.order(ToKeeper::Terminate);
                }
            }
            Effect::Kill(id) => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.note("SIGKILL was sent");
                    live.kill();
                }
            }
            Effect::Dump(id) => {
                // SIGQUIT ends programs that do not expect it; only our own host is known to.
                if let (AppKind::Python { .. }, Some(live)) = (&app.spec.kind, app.live.get(&id)) {
                    live.launched.order(ToKeeper::Dump);
                }
            }
            Effect::Publish => self.dirty = true,
            Effect::Report(report) => {
                let draft = app.draft(&report);
                app.tell(&report, draft.as_ref());
                app.note_start(&report);
                self.dirty |= draft.is_some();
                if let Some(draft) = draft {
                    self.await_requests(number, draft);
                }
            }
            Effect::RolloutDone { generation, result } => {
                self.rollout_done(number, generation, result)
            }
        }
        None
    }

    fn rollout_done(&mut self, number: u64, generation: u64, result: Result<(), String>) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let name = &app.spec.name;
        match &result {
            Ok(()) => {
                app.deadly.forget();
                tracing::info!(
                    name: kinds::ROLLOUT_DONE,
                    app = %name,
                    generation,
                    "new generation serves"
                );
            }
            Err(error) => {
                let is_ours = |next: &mut (u64, AppSpec)| next.0 == generation;
                match (app.next.take_if(is_ours), app.machine.state()) {
                    (None, _) => {}
                    (Some(_), AppState::Stopped) => tracing::info!(
                        name: kinds::ROLLOUT_GIVEN_UP,
                        app = %name,
                        generation,
                        "new generation given up: {error}"
                    ),
                    (Some(_), _) => tracing::error!(
                        name: kinds::ROLLOUT_GIVEN_UP,
                        app = %name,
                        generation,
                        %error,
                        hint = self.site.reload.map(|_| "mend the file: each change is tried"),
                        "new generation given up; the old one serves on"
                    ),
                }
            }
        }
        self.dirty = true;
        let outcome = result.map_err(|what| app.failure(what));
        let reached = |kind| matches!(kind, GoalKind::Generation(wanted) if wanted <= generation);
        self.resolve(number, reached, &outcome);
    }

    /// A keeper was lost, so what its worker had started is ours now (subreaper): it is ended here.
    pub(super) fn sweep_orphans(&mut self, worker: Option<u32>) {
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

    pub(super) fn live_mut(&mut self, id: WorkerId) -> Option<&mut Live> {
        let app = self.apps.get_mut(&(id / IDS_PER_APP))?;
        app.live.get_mut(&id)
    }

    /// News of a worker.
    pub(super) fn worker_news(&mut self, id: WorkerId, news: News) {
        let number = id / IDS_PER_APP;
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let name = app.spec.name.clone();
        match news {
            News::Spawned { pid } => {
                if let Some(live) = app.live.get_mut(&id) {
                    live.pid = Some(pid);
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
