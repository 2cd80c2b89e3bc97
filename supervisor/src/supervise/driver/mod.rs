//! The loop that owns everything: it feeds events to the state machines and carries out their effects.
//!
//! One task, no locks. Everything outside (workers, proxies, commands, signals, time) arrives as a message;
//! nothing here waits for anything but the next message.

mod app;
mod commands;
mod deaths;
mod ending;
mod health;
mod maintenance;
mod manager;
mod proxies;
mod reload;
mod rest;
mod scale;
mod shutdown;
mod status;
mod strangers;
mod upgrade;
mod upkeep;
mod waiters;
mod waits;
mod watch;

use super::bind::Bound;
use super::certificates::SelfSigned;
use super::launch::{News, Site};
use super::machine::{AppState, Event, WorkerId};
use super::proxy_link::{Instance, ProxyNews};
use super::report_writer::ReportWriter;
use super::watch::{Changed, Watcher};
use crate::config::problem::Problem;
use crate::control::kinds;
use crate::control::server::Call;
use crate::plan::spec::Plan;
use crate::reports::store::Store;
use app::AppRun;
use manager::Manager;
use proxies::Proxies;
use reload::{Reading, Replanned};
use rest::Unheard;
use serde::{Deserialize, Serialize};
use shutdown::Phase;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use strangers::Strangers;
use tokio::sync::mpsc;
use upgrade::{Finding, Upgrade};
use waiters::Waiter;
use waits::Wait;

pub use rest::{FrozenDriver, Surroundings};

/// What the user told us by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// TERM, INT: graceful stop; the second time at once.
    Stop,
    /// QUIT: at once.
    StopNow,
    /// HUP.
    Reload,
    /// USR1.
    ReopenLogs,
    /// USR2.
    Upgrade,
    /// TTIN, TTOU: one worker more or fewer for every app.
    Scale(i32),
    /// CHLD: perhaps one that we have not started.
    LookForStrangers,
}

/// Reads the configuration again.
pub type Replan = Arc<dyn Fn() -> Result<Plan, Vec<Problem>> + Send + Sync>;

/// Called once, when every app has had its chance to start, with words for people about those that did not come up.
pub type WhenUp = Box<dyn FnOnce(&str) + Send>;

/// The receiving ends of everything that reaches the driver.
pub struct Inputs {
    pub news: mpsc::Receiver<(WorkerId, News)>,
    pub proxy_news: mpsc::Receiver<(Instance, ProxyNews)>,
    pub calls: mpsc::Receiver<Call>,
    pub orders: mpsc::Receiver<Order>,
}

/// Desired and actual state of the whole site.
pub struct Driver {
    site: Site,
    plan: Plan,
    replan: Replan,
    manager: Option<Manager>,
    strangers: Strangers,
    started: Instant,
    /// The same by the clock of files.
    began: SystemTime,
    /// By number; a removed app stays until its last process has gone.
    apps: BTreeMap<u64, AppRun>,
    /// The apps of the plan.
    numbers: BTreeMap<String, u64>,
    next_number: u64,
    surroundings: Surroundings,
    listeners: Vec<Bound>,
    self_signed: SelfSigned,
    proxies: Proxies,
    table_version: u64,
    /// The table no longer says what is.
    dirty: bool,
    waiters: Vec<Waiter>,
    waits: Vec<Wait>,
    plans: Channel<Replanned>,
    /// Configurations that are being read.
    reading: Reading,
    phase: Phase,
    /// Every app has had its chance to start.
    came_up: bool,
    when_up: Option<WhenUp>,
    announced_ready: bool,
    memory_looked_at: Instant,
    upgrade: Option<Upgrade>,
    /// How often another program has taken over.
    upgrades: u64,
    /// Why the last one did not.
    last_upgrade_error: Option<String>,
    findings: Channel<Finding>,
    /// Where files are watched.
    watcher: Option<Watcher>,
    changes: Channel<Changed>,
    unheard: Unheard,
    /// Crash reports that wait for what the proxies know.
    pending: Vec<deaths::Pending>,
    writer: ReportWriter,
    /// When to look again for what a lost keeper has left, and its worker.
    sweep_due: Option<(Instant, Option<u32>)>,
}

type Channel<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// Why [`Driver::run`] has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything has stopped.
    Finished,
    /// [`Driver::successor`] is to be executed.
    Upgrade,
}

/// Worker ids of one app lie within this distance of its first one.
const IDS_PER_APP: u64 = 1 << 32;

impl Driver {
    /// A driver that runs nothing yet: see [`Driver::start_all`] and [`Driver::take_over`].
    pub fn new(
        site: Site,
        plan: Plan,
        surroundings: Surroundings,
        listeners: Vec<Bound>,
        proxy_news: mpsc::Sender<(Instance, ProxyNews)>,
        replan: Replan,
    ) -> Driver {
        Driver {
            writer: ReportWriter::new(Store::new(&site.state_dir)),
            pending: Vec::new(),
            site,
            replan,
            manager: Manager::open(&surroundings.inherited),
            strangers: Strangers::new(),
            started: Instant::now(),
            began: SystemTime::now(),
            apps: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 1,
            surroundings,
            listeners,
            self_signed: SelfSigned::default(),
            proxies: Proxies::new(proxy_news),
            table_version: 0,
            dirty: true,
            waiters: Vec::new(),
            waits: Vec::new(),
            plans: mpsc::channel(4),
            reading: Reading::None,
            phase: Phase::Running,
            came_up: false,
            when_up: None,
            announced_ready: false,
            memory_looked_at: Instant::now(),
            upgrade: None,
            upgrades: 0,
            last_upgrade_error: None,
            findings: mpsc::channel(4),
            watcher: None,
            changes: mpsc::channel(16),
            unheard: Unheard::default(),
            sweep_due: None,
            plan,
        }
    }

    /// Has somebody told when the start is over.
    pub fn when_up(&mut self, tell: WhenUp) {
        self.when_up = Some(tell);
    }

    /// Starts the proxy and all apps.
    pub fn start_all(&mut self) {
        self.configure_logs();
        for name in self.plan.apps.keys().cloned().collect::<Vec<_>>() {
            self.add_app(&name);
        }
        self.tell_listeners();
        self.start_proxy();
        self.watch_everything(self.began);
    }

    /// Serves until it is told to stop, or to let another program take over.
    pub async fn run(&mut self, inputs: &mut Inputs) -> Outcome {
        self.hear_the_unheard();
        loop {
            self.settle();
            if self.is_finished() {
                self.answer_at_exit();
                self.flush_reports().await;
                return Outcome::Finished;
            }
            if self.proceed_with_upgrade() {
                self.flush_reports().await;
                return Outcome::Upgrade;
            }
            if self.wants_to_ask() {
                self.ask(inputs).await;
                self.hear_the_unheard();
                continue;
            }
            let wake = self
                .deadline()
                .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                Some((id, news)) = inputs.news.recv() => self.worker_news(id, news),
                Some((instance, news)) = inputs.proxy_news.recv() => self.proxy_news(instance, news),
                Some((command, reply)) = inputs.calls.recv() => self.command(command, reply),
                Some(order) = inputs.orders.recv() => self.order(order),
                Some(replanned) = self.plans.1.recv() => self.replanned(replanned),
                Some(finding) = self.findings.1.recv() => self.found(finding),
                Some(changed) = self.changes.1.recv() => self.files_changed(&changed),
                () = tokio::time::sleep_until(wake.into()) => self.tick(),
            }
        }
    }

    /// After each message: the table, the commands that wait, the stop that is under way.
    fn settle(&mut self) {
        self.proceed_with_scales();
        self.end_unneeded_templates();
        self.remove_gone_apps();
        self.publish();
        self.release_drained();
        self.finish_reports();
        self.answer_waiters();
        self.proceed_with_shutdown();
        // Releasing and stopping may have changed what the table should say.
        self.publish();
        for app in self.apps.values_mut() {
            app.start_failure = None;
        }
        self.tell_states();
        self.answer_waits();
        self.note_start();
        self.tell_manager();
    }

    fn deadline(&self) -> Option<Instant> {
        let apps = self.apps.values().filter_map(|app| app.machine.deadline());
        apps.chain(self.proxies.deadline())
            .chain(self.memory_due())
            .chain(self.health_due())
            .chain(self.sweep_due.map(|(at, _)| at))
            .chain(self.phase.deadline())
            .chain(self.manager.as_ref().and_then(Manager::deadline))
            .chain(self.strangers.deadline())
            .chain(self.reports_due())
            .chain(self.waits_due())
            .min()
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let due: Vec<u64> = self
            .apps
            .iter()
            .filter(|(_, app)| app.machine.deadline().is_some_and(|at| at <= now))
            .map(|(number, _)| *number)
            .collect();
        for number in due {
            // What is in use does not fall asleep.
            if self.is_busy(number) {
                self.step(number, Event::Active);
            } else {
                self.step(number, Event::Tick);
            }
        }
        if self.memory_due().is_some_and(|at| at <= now) {
            self.look_at_memory();
        }
        if self.health_due().is_some_and(|at| at <= now) {
            self.check_health();
        }
        if self.proxies.deadline().is_some_and(|at| at <= now) {
            self.start_proxy();
        }
        if self.strangers.deadline().is_some_and(|at| at <= now) {
            self.reap_strangers();
        }
        if let Some((_, worker)) = self.sweep_due.filter(|(at, _)| *at <= now) {
            self.sweep_orphans(worker);
        }
    }

    fn order(&mut self, order: Order) {
        if self.phase != Phase::Running && matches!(order, Order::Reload | Order::Scale(_)) {
            return;
        }
        match order {
            Order::Stop => self.stop_signal(),
            Order::StopNow => self.stop_now(),
            Order::Reload => self.reload(None),
            Order::Upgrade => self.upgrade(self.site.invoked_as.clone(), None),
            Order::ReopenLogs => self.reopen_logs(),
            Order::Scale(by) => self.scale_all(by),
            Order::LookForStrangers => self.strangers.look_soon(),
        }
    }

    fn tell_listeners(&self) {
        let addresses = self.listeners.iter().map(|bound| bound.info.url());
        let addresses: Vec<String> = addresses.collect();
        tracing::info!(
            name: kinds::LISTENERS_CHANGED,
            addresses = addresses.join(" "),
            "listening"
        );
    }

    /// Who looks at the events sees each state that an app had after a message.
    fn tell_states(&mut self) {
        let states: Vec<(u64, AppState)> = self
            .apps
            .iter()
            .map(|(number, app)| (*number, self.shown_state(app)))
            .collect();
        for (number, state) in states {
            if let Some(app) = self.apps.get_mut(&number) {
                app.tell_state(state);
            }
        }
    }

    /// Notes the end of the start: each app serves, or has failed at least once. One that fails holds up nobody who waits for
    /// the service.
    fn note_start(&mut self) {
        if !self.came_up {
            for app in self.apps.values_mut() {
                app.had_its_chance |= app.has_had_its_chance();
            }
            self.came_up =
                self.proxies.accepts() && self.apps.values().all(|app| app.had_its_chance);
            if self.came_up
                && let Some(tell) = self.when_up.take()
            {
                tell(&self.what_did_not_come_up());
            }
        }
        if self.came_up
            && self.phase == Phase::Running
            && !self.announced_ready
            && self
                .apps
                .values()
                .all(|app| app.machine.is_settled() && self.shown_state(app) == app.machine.state())
        {
            self.announced_ready = true;
            tracing::info!(
                name: kinds::ALL_READY,
                apps = self.apps.len(),
                duration_ms = millis(self.started.elapsed()),
                "all apps are ready"
            );
        }
    }

    fn what_did_not_come_up(&self) -> String {
        let failed = self.apps.values().filter(|app| !app.machine.is_settled());
        let lines = failed.map(|app| {
            let why = app.why_it_failed();
            format!("warning: app `{}` has not come up: {why}\n", app.spec.name)
        });
        lines.collect()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
