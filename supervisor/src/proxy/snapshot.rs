//! The table in force, ready for use: compiled routes, apps with their workers, trusted peers.

use super::answers::Answers;
use super::error_pages::Pages;
use super::forwarded::Trust;
use super::queue::AppQueue;
use super::redirects::Redirects;
use super::suspects::Suspects;
use super::upstream::{Lease, Upstream};
use crate::router::limits::ClientLimits;
use crate::router::message::{App as Spec, Table};
use crate::router::urlmap::Router;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Immutable, replaced whole.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) router: Router,
    pub(super) apps: HashMap<String, Arc<App>>,
    pub(super) debug: bool,
    pub(super) trust: Trust,
    pub(super) limits: ClientLimits,
    pub(super) redirects: Redirects,
    /// Of the site, where no app is concerned.
    pub(super) answers: Answers,
    workers: HashSet<u64>,
}

impl Snapshot {
    pub(super) fn names(&self, worker: u64) -> bool {
        self.workers.contains(&worker)
    }
}

/// An app in one table.
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: Arc<str>,
    pub(super) spec: Spec,
    pub(super) answers: Answers,
    /// Whose clients are served in spite of `spec.maintenance`.
    pub(super) let_in: Trust,
    pub(super) workers: Vec<Arc<Upstream>>,
    pub(super) suspects: Suspects,
    pub(super) queue: Arc<AppQueue>,
    /// Of the table that this is a part of.
    pub(super) version: u64,
}

impl App {
    pub(super) fn names(&self, worker: u64) -> bool {
        self.workers.iter().any(|known| known.id() == worker)
    }

    /// It runs elsewhere, and has not been reached for as long as a request may wait for it.
    pub(super) fn is_down(&self) -> bool {
        let after = self.spec.queue_timeout_ms;
        let mut workers = self.workers.iter();
        !self.workers.is_empty() && workers.all(|worker| worker.is_down(after))
    }

    /// The free worker with the least in flight; among equals each in turn.
    pub(super) fn pick(&self) -> Option<Lease> {
        if let [only] = self.workers.as_slice() {
            return only.lease();
        }
        let count = self.workers.len();
        if count == 0 {
            return None;
        }
        let start = self.queue.next_turn() % count;
        let mut tried: u64 = 0;
        // Another thread may take the last place of the chosen one, so choose again, but not for ever.
        for _ in 0..count {
            let best = (0..count)
                .map(|offset| (start + offset) % count)
                .filter(|&at| at >= 64 || tried & (1 << at) == 0)
                .min_by_key(|&at| self.workers[at].in_flight())?;
            if let Some(lease) = self.workers[best].lease() {
                return Some(lease);
            }
            if best < 64 {
                tried |= 1 << best;
            } else {
                return self.workers.iter().find_map(Upstream::lease);
            }
        }
        None
    }
}

fn roots(table: &Table) -> HashMap<String, PathBuf> {
    let apps = table.apps.iter();
    apps.filter_map(|(name, spec)| Some((name.clone(), spec.files.as_ref()?.root.clone())))
        .collect()
}

/// Keeps what outlives a table: queues by name of the app, workers by id.
#[derive(Debug)]
pub(super) struct Keeper {
    outbox: super::outbox::Outbox,
    queues: HashMap<String, Arc<AppQueue>>,
    upstreams: HashMap<u64, Arc<Upstream>>,
    /// Directories of apps in the first table: those that this process may read. None before it.
    roots: Option<HashMap<String, PathBuf>>,
}

impl Keeper {
    pub(super) fn new(outbox: super::outbox::Outbox) -> Self {
        Self {
            outbox,
            queues: HashMap::new(),
            upstreams: HashMap::new(),
            roots: None,
        }
    }

    /// Builds the snapshot of `table`. Nothing is in force yet.
    pub(super) fn prepare(&mut self, table: Table) -> Snapshot {
        let router = Router::new(&table.root);
        let mut apps = HashMap::with_capacity(table.apps.len());
        let now = Instant::now();
        let pages = Pages::new(&table.pages);
        let roots = self.roots.get_or_insert_with(|| roots(&table));
        for (name, mut spec) in table.apps {
            if let Some(files) = &mut spec.files
                && !roots.values().any(|root| *root == files.root)
                && let Some(before) = roots.get(&name)
            {
                // The next proxy has been let into the new directory, and takes over; until then this one serves what it can.
                files.root.clone_from(before);
            }
            let queue = Arc::clone(self.queues.entry(name.clone()).or_default());
            let workers = spec
                .workers
                .iter()
                .map(|worker| {
                    let upstream = self.upstreams.entry(worker.id).or_insert_with(|| {
                        let (queue, outbox) = (Arc::clone(&queue), self.outbox.clone());
                        Arc::new(Upstream::new(worker.clone(), queue, outbox))
                    });
                    upstream.set_limit(worker);
                    Arc::clone(upstream)
                })
                .collect();
            let suspects = Suspects::new(std::mem::take(&mut spec.suspects), now);
            let answers = Answers::new(std::mem::take(&mut spec.answers), &pages);
            let let_in = match &spec.maintenance {
                Some(maintenance) => Trust::parse(&maintenance.allow),
                None => Trust::default(),
            };
            let app = App {
                name: Arc::from(name.as_str()),
                spec,
                answers,
                let_in,
                suspects,
                workers,
                queue,
                version: table.version,
            };
            apps.insert(name, Arc::new(app));
        }
        let workers = apps
            .values()
            .flat_map(|app: &Arc<App>| app.workers.iter().map(|worker| worker.id()))
            .collect();
        Snapshot {
            router,
            apps,
            debug: table.debug,
            trust: Trust::parse(&table.trusted_proxy),
            limits: table.limits,
            redirects: Redirects::new(table.redirects),
            answers: Answers::new(*table.answers, &pages),
            workers,
        }
    }

    /// `snapshot` is in force (stored where all threads read it): let the queues use it and withdraw the workers
    /// that it does not name. When this returns, no new request goes to one of those.
    pub(super) fn enforce(&mut self, snapshot: &Snapshot) {
        for (name, queue) in &self.queues {
            queue.replace(snapshot.apps.get(name).cloned());
        }
        self.queues
            .retain(|name, _| snapshot.apps.contains_key(name));
        self.upstreams.retain(|id, upstream| {
            let keep = snapshot.names(*id);
            if !keep {
                upstream.withdraw();
            }
            keep
        });
    }

    /// Workers of the table in force.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (&String, &Arc<AppQueue>)> {
        self.queues.iter()
    }
}
