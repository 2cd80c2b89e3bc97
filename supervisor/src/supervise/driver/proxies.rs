//! The proxy processes: the one that accepts, and those that finish what they have.

mod frozen;
mod news;

pub(super) use frozen::FrozenProxies;

use super::Driver;
use super::maintenance::maintenance;
use super::shutdown::Phase;
use crate::background;
use crate::control::kinds;
use crate::router::access_log::AccessLog;
use crate::router::message::{Hello, RunAs, Stats, Table, ToProxy, WorkerId};
use crate::router::traffic::Traffic;
use crate::supervise::access_log;
use crate::supervise::machine::{Event, WorkerState};
use crate::supervise::proxy_link::{Instance, ProxyLink, ProxyNews};
use crate::supervise::table::{self, AppView};
use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A proxy that lived for less than this is not replaced at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(5);

struct Proxy {
    link: ProxyLink,
    started: Instant,
    /// It never heard of a worker that only earlier tables named.
    first_version: u64,
    applied: u64,
    ready: bool,
    /// Told to finish.
    retiring: bool,
    drained: HashSet<WorkerId>,
    stats: Stats,
    /// By app, as it was told last.
    traffic: BTreeMap<String, Traffic>,
    /// Of requests that have reached none.
    without_app: Traffic,
    /// When it has told them.
    counted: Option<Instant>,
}

/// All proxies that run.
pub(super) struct Proxies {
    running: BTreeMap<Instance, Proxy>,
    /// What those that are gone have counted of requests that have reached no app.
    without_app_before: Traffic,
    next_instance: Instance,
    /// The newest table that any proxy has ever applied.
    ever_applied: u64,
    news: mpsc::Sender<(Instance, ProxyNews)>,
    respawn_at: Option<Instant>,
    delay: Duration,
}

impl Proxies {
    pub(super) fn new(news: mpsc::Sender<(Instance, ProxyNews)>) -> Proxies {
        Proxies {
            running: BTreeMap::new(),
            without_app_before: Traffic::default(),
            next_instance: 1,
            ever_applied: 0,
            news,
            respawn_at: None,
            delay: FIRST_DELAY,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.respawn_at
    }

    pub(super) fn accepts(&self) -> bool {
        self.current().is_some_and(|proxy| proxy.ready)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    fn reopen_logs(&self) {
        for proxy in self.running.values() {
            proxy.link.send(ToProxy::ReopenLogs);
        }
    }

    fn current(&self) -> Option<&Proxy> {
        self.running.values().rfind(|proxy| !proxy.retiring)
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.current().map(|proxy| proxy.link.pid)
    }

    /// All that run, also those that finish.
    pub(super) fn pids(&self) -> impl Iterator<Item = u32> {
        self.running.values().map(|proxy| proxy.link.pid)
    }

    pub(super) fn applied(&self) -> u64 {
        self.current().map_or(0, |proxy| proxy.applied)
    }

    /// A proxy knows this table, or has known it: what it names has been within reach of clients.
    pub(super) fn has_been_applied(&self, version: u64) -> bool {
        self.ever_applied >= version
    }

    /// Requests that come now are answered by this table or a later one; also when nobody answers any.
    pub(super) fn have_applied(&self, version: u64) -> bool {
        self.current().is_none_or(|proxy| proxy.applied >= version)
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = &Stats> {
        self.running.values().map(|proxy| &proxy.stats)
    }

    /// What the requests of an app came to, as the proxies that run have told.
    pub(super) fn traffic_of(&self, app: &str) -> impl Iterator<Item = &Traffic> {
        let told = self.running.values();
        told.filter_map(move |proxy| proxy.traffic.get(app))
    }

    /// What became of requests that have reached no app.
    pub(super) fn without_app(&self) -> Traffic {
        let told = self.running.values().map(|proxy| &proxy.without_app);
        told.fold(self.without_app_before.clone(), |mut sum, traffic| {
            sum.add(traffic);
            sum
        })
    }

    /// There is no such app any more; if there is one later, the proxies count it anew.
    pub(super) fn forget_traffic(&mut self, app: &str) {
        for proxy in self.running.values_mut() {
            proxy.traffic.remove(app);
        }
    }

    /// When the present one has last told its statistics.
    pub(super) fn counted(&self) -> Option<Instant> {
        self.current()?.counted
    }

    /// Requests that worker `id` was given by the proxies that run.
    pub(super) fn requests_of(&self, id: WorkerId) -> u64 {
        let counted = self.stats().flat_map(|stats| &stats.workers);
        counted.filter(|w| w.id == id).map(|w| w.requests).sum()
    }

    /// Requests that worker `id` has now.
    pub(super) fn in_flight_of(&self, id: WorkerId) -> u64 {
        let counted = self.stats().flat_map(|stats| &stats.workers);
        counted.filter(|w| w.id == id).map(|w| w.in_flight).sum()
    }

    /// A proxy has found nobody there when it last tried.
    pub(super) fn cannot_reach(&self, id: WorkerId) -> bool {
        let mut told = self.stats().flat_map(|stats| &stats.workers);
        told.any(|worker| worker.id == id && worker.unreachable)
    }

    /// No running proxy has anything in flight on a worker that the table `last_named` was the last to name.
    pub(super) fn have_drained(&self, id: WorkerId, last_named: u64) -> bool {
        self.running
            .values()
            .all(|proxy| proxy.first_version > last_named || proxy.drained.contains(&id))
    }

    /// Nothing more is to be heard of this worker.
    pub(super) fn forget(&mut self, id: WorkerId) {
        for proxy in self.running.values_mut() {
            proxy.drained.remove(&id);
        }
    }

    /// Another proxy accepts from now on; these end with their last connection.
    fn retire_all(&mut self) {
        self.respawn_at = None;
        for proxy in self.running.values_mut() {
            proxy.retiring = true;
            proxy.link.send(ToProxy::Retire);
        }
    }

    /// Tells all proxies to stop accepting and to finish.
    pub(super) fn shut_down_all(&mut self, drain: Duration) {
        self.respawn_at = None;
        for proxy in self.running.values_mut() {
            proxy.retiring = true;
            proxy.link.send(ToProxy::Shutdown {
                drain_ms: super::millis(drain),
            });
        }
    }

    /// Ends all proxies now.
    pub(super) fn drop_all(&mut self) {
        self.respawn_at = None;
        self.running.clear();
    }
}

impl Driver {
    /// After a rotation: the log files of apps, our own, and the proxy's, which may have to be made for it.
    pub(super) fn reopen_logs(&mut self) {
        self.site.logs.reopen();
        if let Some(path) = &self.surroundings.inherited.log_file {
            let opened = background::open_log(path)
                .and_then(|log| background::to_log(&log).map_err(|error| error.to_string()));
            if let Err(error) = opened {
                tracing::error!("{error}; the old one is used further");
            }
            // The standard output of a proxy is what ours was at its start. On the way out no other one is started.
            let is_ours = matches!(self.plan.access_log, AccessLog::Stdout { .. });
            if is_ours && self.phase == Phase::Running {
                self.replace_proxy();
            }
        }
        if let Err(error) = access_log::prepare(&self.plan.access_log, self.site.proxy_uid) {
            tracing::error!("{error}");
        }
        self.proxies.reopen_logs();
    }

    /// Starts a proxy beside those that run.
    pub(super) fn start_proxy(&mut self) {
        self.proxies.respawn_at = None;
        let table = self.next_table();
        let hello = Hello {
            listeners: self
                .listeners
                .iter()
                .map(|bound| bound.info.clone())
                .collect(),
            run_as: self.site.proxy_uid.map(|uid| RunAs { uid, gid: uid }),
            access_log: self.plan.access_log.clone(),
            directories: self.plan.directories(),
        };
        let instance = self.proxies.next_instance;
        self.proxies.next_instance += 1;
        let sockets: std::io::Result<Vec<OwnedFd>> = self
            .listeners
            .iter()
            .map(|b| b.socket.try_clone())
            .collect();
        let first_version = table.version;
        let first = [ToProxy::Hello(hello)].into_iter();
        let first: Vec<ToProxy> = first.chain(self.certificates()).collect();
        let started = sockets.and_then(|sockets| {
            let news = self.proxies.news.clone();
            ProxyLink::start(&self.site, instance, first, &sockets, table, news)
        });
        match started {
            Ok(link) => {
                tracing::debug!(name: kinds::PROXY_STARTED, pid = link.pid, "proxy started");
                let proxy = Proxy {
                    link,
                    started: Instant::now(),
                    first_version,
                    applied: 0,
                    ready: false,
                    retiring: false,
                    drained: HashSet::new(),
                    stats: Stats::default(),
                    traffic: BTreeMap::new(),
                    without_app: Traffic::default(),
                    counted: None,
                };
                self.proxies.running.insert(instance, proxy);
            }
            Err(error) => {
                tracing::error!(%error, "cannot start the proxy");
                self.schedule_proxy();
            }
        }
    }

    /// What a proxy must know to speak TLS.
    fn certificates(&mut self) -> Option<ToProxy> {
        self.self_signed.message(&self.plan).unwrap_or_else(|error| {
            tracing::error!(%error, "no certificate could be made: nobody can connect with TLS");
            None
        })
    }

    /// New connections are shown these certificates; what is open stays.
    pub(super) fn tell_certificates(&mut self) {
        if let Some(certificates) = self.certificates() {
            // Those that finish take nobody in any more, and may be of a version that does not know this message.
            let taking = self
                .proxies
                .running
                .values()
                .filter(|proxy| !proxy.retiring);
            for proxy in taking {
                proxy.link.send(certificates.clone());
            }
        }
    }

    /// Starts a proxy with the present listeners and lets the others finish.
    pub(super) fn replace_proxy(&mut self) {
        self.proxies.retire_all();
        self.start_proxy();
    }

    fn schedule_proxy(&mut self) {
        self.proxies.respawn_at = Some(Instant::now() + self.proxies.delay);
        self.proxies.delay = (self.proxies.delay * 2).min(MAX_DELAY);
    }

    /// A table of this moment under a new version; notes which workers it names.
    fn next_table(&mut self) -> Table {
        self.table_version += 1;
        let table = {
            let views = self
                .apps
                .values()
                .filter(|app| !app.removed)
                .map(|app| AppLookup {
                    app,
                    launched: |id| {
                        let live = app.live.get(&id)?;
                        Some((
                            live.address_from(&self.site.workers_dir),
                            live.pid.unwrap_or(0),
                        ))
                    },
                });
            let views: Vec<_> = views.collect();
            table::table(
                self.table_version,
                &self.plan,
                views.iter().map(|view| AppView {
                    spec: &view.app.spec,
                    machine: &view.app.machine,
                    launched: &view.launched,
                    last_death: view.app.last_death.as_ref(),
                    maintenance: maintenance(&self.plan, view.app),
                    suspects: view.app.deadly.suspects(Instant::now()),
                }),
            )
        };
        let named: HashSet<WorkerId> = table
            .apps
            .values()
            .flat_map(|app| app.workers.iter().map(|w| w.id))
            .collect();
        for app in self.apps.values_mut() {
            app.first_table.get_or_insert(self.table_version);
            for (id, live) in &mut app.live {
                if named.contains(id) {
                    live.first_named.get_or_insert(self.table_version);
                    live.last_named = self.table_version;
                }
            }
        }
        table
    }

    /// Sends the table if it has changed.
    pub(super) fn publish(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let table = self.next_table();
        for proxy in self.proxies.running.values() {
            proxy.link.send(ToProxy::Table(table.clone()));
        }
    }

    /// Stops the drained workers.
    pub(super) fn release_drained(&mut self) {
        let mut drained = Vec::new();
        for (number, app) in &self.apps {
            for (id, worker) in app.machine.workers() {
                let last_named = app.live.get(&id).map_or(0, |live| live.last_named);
                if matches!(worker.state, WorkerState::Draining { .. })
                    && self.proxies.have_drained(id, last_named)
                {
                    drained.push((*number, id));
                }
            }
        }
        for (number, id) in drained {
            self.step(number, Event::Drained(id));
        }
    }
}

struct AppLookup<'a, F> {
    app: &'a super::AppRun,
    launched: F,
}
