//! The whole site at rest: every conversation frozen, as plain data and descriptors, and going on again.

use super::app::{AppRun, FrozenApp};
use super::proxies::FrozenProxies;
use super::{Driver, Inputs, Order};
use crate::control::feed::Feed;
use crate::control::journal;
use crate::control::protocol::Event as ControlEvent;
use crate::logs::FrozenLogs;
use crate::manager::Inherited;
use crate::plan::spec::Plan;
use crate::supervise::bind::{Binder, Bound, FrozenListener, FrozenSocket};
use crate::supervise::launch::News;
use crate::supervise::machine::WorkerId;
use crate::supervise::proxy_link::{Instance, ProxyNews};
use crate::supervise::upgrade::{Descriptors, moment};
use crate::sys::pidfile::PidFile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the conversations may take to come to rest: as long as what ends just then.
const REST: Duration = Duration::from_secs(3);

/// What belongs to the supervisor and is no business of the driver, but must be handed over with the rest.
pub struct Surroundings {
    pub run_dir: PathBuf,
    /// Holds the lock on it.
    pub lock: OwnedFd,
    /// The listening control socket.
    pub control: OwnedFd,
    pub events: Feed<Arc<ControlEvent>>,
    pub inherited: Inherited,
    /// Makes listeners of the addresses of later plans.
    pub binder: Binder,
    pub pid_file: Option<PidFile>,
}

/// The same at rest; descriptors are given by their numbers.
#[derive(Default, Serialize, Deserialize)]
pub struct FrozenSurroundings {
    pub run_dir: PathBuf,
    pub lock: RawFd,
    pub control: RawFd,
    events: (u64, Vec<ControlEvent>),
    pub inherited: Inherited,
    pub passed: Vec<FrozenSocket>,
    /// What holds the lock on the pid file.
    pub pid_file: Option<RawFd>,
    /// What apps have printed; only in the state that is handed over, not in the one that is looked at.
    pub logs: FrozenLogs,
}

impl FrozenSurroundings {
    /// The journal, to go on with.
    pub fn events(&self) -> Feed<Arc<ControlEvent>> {
        let (pushed, kept) = self.events.clone();
        Feed::resume(
            journal::KEPT,
            pushed,
            kept.into_iter().map(Arc::new).collect(),
        )
    }
}

impl Surroundings {
    fn freeze(&self, descriptors: &mut Descriptors) -> io::Result<FrozenSurroundings> {
        let (pushed, kept) = self.events.state();
        Ok(FrozenSurroundings {
            run_dir: self.run_dir.clone(),
            lock: descriptors.put(self.lock.try_clone()?),
            control: descriptors.put(self.control.try_clone()?),
            events: (pushed, kept.iter().map(|event| (**event).clone()).collect()),
            inherited: self.inherited.clone(),
            passed: self.binder.freeze(descriptors)?,
            pid_file: match &self.pid_file {
                Some(file) => Some(descriptors.put(file.lock()?)),
                None => None,
            },
            logs: FrozenLogs::default(),
        })
    }
}

/// Desired and actual state of the whole site, without what the configuration says.
#[derive(Serialize, Deserialize)]
pub struct FrozenDriver {
    pub surroundings: FrozenSurroundings,
    #[serde(with = "moment")]
    started: Instant,
    upgrades: u64,
    apps: BTreeMap<u64, FrozenApp>,
    next_number: u64,
    listeners: Vec<FrozenListener>,
    proxies: FrozenProxies,
    table_version: u64,
    came_up: bool,
    announced_ready: bool,
    /// What was said while everything came to rest.
    unheard: Unheard,
}

/// Messages that nobody has acted on yet.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Unheard {
    news: Vec<(WorkerId, News)>,
    proxy_news: Vec<(Instance, ProxyNews)>,
    orders: Vec<Order>,
}

impl Driver {
    /// Goes on from our own state of a moment ago.
    pub fn resume(&mut self, state: FrozenDriver, descriptors: Descriptors) {
        if let Err(error) = self.thaw(state, descriptors) {
            // They are our own descriptors: that one is gone means that nothing can be relied upon.
            tracing::error!(%error, "cannot go on after a pause; stopping");
            self.stop_now();
        }
    }

    /// Brings every conversation to rest and gives what another program needs to go on. What is said meanwhile is kept.
    ///
    /// # Errors
    /// Something does not come to rest; then everything goes on as before.
    pub async fn freeze(
        &mut self,
        inputs: &mut Inputs,
    ) -> Result<(FrozenDriver, Descriptors), String> {
        let mut pause = Pause {
            inputs,
            deadline: Instant::now() + REST,
            descriptors: Descriptors::default(),
            unheard: Unheard::default(),
            late: false,
        };
        // All are asked before the first is waited for.
        let workers = self.apps.values().flat_map(AppRun::rest).collect();
        let proxies = self.proxies.rest();
        let mut conversations = pause.all(workers).await;
        let links = pause.all(proxies).await;
        let Pause {
            inputs,
            mut descriptors,
            mut unheard,
            late,
            ..
        } = pause;
        unheard.take_rest(inputs);
        let proxies = self.proxies.freeze(links);
        let apps = self.apps.iter();
        let apps = apps.map(|(number, app)| (*number, app.freeze(&mut conversations)));
        let mut state = FrozenDriver {
            surroundings: FrozenSurroundings::default(),
            started: self.started,
            upgrades: self.upgrades,
            apps: apps.collect(),
            next_number: self.next_number,
            listeners: Vec::new(),
            proxies,
            table_version: self.table_version,
            came_up: self.came_up,
            announced_ready: self.announced_ready,
            unheard,
        };
        let copied = self.copy_descriptors(&mut state, &mut descriptors);
        let failed = match copied {
            Ok(()) if late => {
                Some("something is just ending and does not come to rest; try again".to_owned())
            }
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        };
        match failed {
            None => Ok((state, descriptors)),
            Some(error) => {
                self.resume(state, descriptors);
                Err(error)
            }
        }
    }

    /// What we keep ourselves and a successor needs too.
    fn copy_descriptors(
        &self,
        state: &mut FrozenDriver,
        descriptors: &mut Descriptors,
    ) -> io::Result<()> {
        state.surroundings = self.surroundings.freeze(descriptors)?;
        for bound in &self.listeners {
            state.listeners.push(bound.freeze(descriptors)?);
        }
        Ok(())
    }

    /// Goes on from a state: our own, or that of the program that was in our place.
    ///
    /// # Errors
    /// A descriptor that was not handed over, or an app that the configuration does not have.
    pub fn thaw(&mut self, state: FrozenDriver, mut descriptors: Descriptors) -> io::Result<()> {
        let mut before = std::mem::take(&mut self.apps);
        for (number, app) in state.apps {
            let spec = match before.remove(&number) {
                Some(app) => Some(app.spec),
                None => self.plan.apps.get(&app.name).cloned(),
            };
            let spec = spec.ok_or_else(|| io::Error::other(unknown(&app.name)))?;
            self.numbers.insert(app.name.clone(), number);
            let app = AppRun::thaw(&self.site, spec, app, &mut descriptors)?;
            self.apps.insert(number, app);
        }
        self.started = state.started;
        self.upgrades = state.upgrades;
        self.next_number = state.next_number;
        self.table_version = state.table_version;
        self.came_up = state.came_up;
        self.announced_ready = state.announced_ready;
        self.proxies.thaw(state.proxies, &mut descriptors)?;
        if self.listeners.is_empty() {
            for listener in state.listeners {
                self.listeners
                    .push(Bound::thaw(listener, &mut descriptors)?);
            }
        }
        self.unheard = state.unheard;
        Ok(())
    }

    /// What was said while everything was at rest.
    pub(super) fn hear_the_unheard(&mut self) {
        let Unheard {
            news,
            proxy_news,
            orders,
        } = std::mem::take(&mut self.unheard);
        for (id, news) in news {
            self.worker_news(id, news);
        }
        for (instance, news) in proxy_news {
            self.proxy_news(instance, news);
        }
        for order in orders {
            self.order(order);
        }
    }
}

impl FrozenDriver {
    /// Whether the state is about the apps of `plan`.
    ///
    /// # Errors
    /// In words.
    pub fn fits(&self, plan: &Plan) -> Result<(), String> {
        let names: Vec<&String> = self.apps.values().map(|app| &app.name).collect();
        if let Some(name) = names.iter().find(|name| !plan.apps.contains_key(**name)) {
            return Err(unknown(name));
        }
        match plan.apps.keys().find(|name| !names.contains(name)) {
            Some(name) => Err(format!(
                "it reads an app `{name}` in the configuration that does not run"
            )),
            None => Ok(()),
        }
    }
}

fn unknown(app: &str) -> String {
    format!("it does not find the running app `{app}` in the configuration")
}

/// The time in which everything comes to rest.
struct Pause<'a> {
    inputs: &'a mut Inputs,
    deadline: Instant,
    /// Of those that rest.
    descriptors: Descriptors,
    unheard: Unheard,
    /// Something has not come to rest in time.
    late: bool,
}

impl Pause<'_> {
    /// Waits for all that were asked to rest, and gives those that do.
    async fn all<I: Ord, F>(
        &mut self,
        asked: Vec<(I, oneshot::Receiver<(F, Descriptors)>)>,
    ) -> BTreeMap<I, F> {
        let mut resting = BTreeMap::new();
        for (id, conversation) in asked {
            let (unheard, deadline) = (&mut self.unheard, self.deadline);
            match unheard
                .while_waiting(self.inputs, conversation, deadline)
                .await
            {
                Some(Ok((frozen, held))) => {
                    self.descriptors.extend(held);
                    resting.insert(id, frozen);
                }
                // It has ended, and its last news is there.
                Some(Err(_)) => {}
                None => self.late = true,
            }
        }
        resting
    }
}

impl Unheard {
    /// Waits for an answer without letting the channels fill up. None: it is too late.
    async fn while_waiting<T>(
        &mut self,
        inputs: &mut Inputs,
        mut answer: oneshot::Receiver<T>,
        deadline: Instant,
    ) -> Option<Result<T, oneshot::error::RecvError>> {
        loop {
            tokio::select! {
                answer = &mut answer => return Some(answer),
                Some(news) = inputs.news.recv() => self.news.push(news),
                Some(news) = inputs.proxy_news.recv() => self.proxy_news.push(news),
                () = tokio::time::sleep_until(deadline.into()) => {
                    // From here on it is refused; one that came in this very moment is taken.
                    answer.close();
                    return answer.try_recv().ok().map(Ok);
                }
            }
        }
    }

    fn take_rest(&mut self, inputs: &mut Inputs) {
        while let Ok(news) = inputs.news.try_recv() {
            self.news.push(news);
        }
        while let Ok(news) = inputs.proxy_news.try_recv() {
            self.proxy_news.push(news);
        }
        while let Ok(order) = inputs.orders.try_recv() {
            self.orders.push(order);
        }
    }
}
