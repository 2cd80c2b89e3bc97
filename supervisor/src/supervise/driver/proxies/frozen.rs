//! The proxies as data, for the program that takes our place.

use super::{Proxies, Proxy};
use crate::router::message::{Stats, WorkerId};
use crate::router::traffic::Traffic;
use crate::supervise::proxy_link::{self, Instance, ProxyLink};
use crate::supervise::upgrade::{Descriptors, moment};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Instant;
use tokio::sync::oneshot;

type Rested = (proxy_link::Frozen, Descriptors);

/// The proxies at rest.
#[derive(Serialize, Deserialize)]
pub(in super::super) struct FrozenProxies {
    running: Vec<FrozenProxy>,
    #[serde(default)]
    without_app_before: Traffic,
    ever_applied: u64,
    next_instance: Instance,
}

#[derive(Serialize, Deserialize)]
struct FrozenProxy {
    instance: Instance,
    pid: u32,
    /// None when it is over and its last news waits to be heard.
    link: Option<proxy_link::Frozen>,
    #[serde(with = "moment")]
    started: Instant,
    first_version: u64,
    applied: u64,
    ready: bool,
    retiring: bool,
    drained: HashSet<WorkerId>,
    stats: Stats,
    #[serde(default)]
    traffic: BTreeMap<String, Traffic>,
    #[serde(default)]
    without_app: Traffic,
    #[serde(with = "moment::option")]
    counted: Option<Instant>,
}

impl Proxies {
    /// Asks all conversations to rest.
    pub(in super::super) fn rest(&self) -> Vec<(Instance, oneshot::Receiver<Rested>)> {
        let running = self.running.iter();
        running
            .map(|(instance, proxy)| (*instance, proxy.link.freeze()))
            .collect()
    }

    /// All of them as data; `links` are the conversations that rest.
    pub(in super::super) fn freeze(
        &self,
        mut links: BTreeMap<Instance, proxy_link::Frozen>,
    ) -> FrozenProxies {
        let running = self.running.iter().map(|(instance, proxy)| FrozenProxy {
            instance: *instance,
            pid: proxy.link.pid,
            link: links.remove(instance),
            started: proxy.started,
            first_version: proxy.first_version,
            applied: proxy.applied,
            ready: proxy.ready,
            retiring: proxy.retiring,
            drained: proxy.drained.clone(),
            stats: proxy.stats.clone(),
            traffic: proxy.traffic.clone(),
            without_app: proxy.without_app.clone(),
            counted: proxy.counted,
        });
        FrozenProxies {
            running: running.collect(),
            without_app_before: self.without_app_before.clone(),
            next_instance: self.next_instance,
            ever_applied: self.ever_applied,
        }
    }

    /// # Errors
    /// A descriptor that was not handed over.
    pub(in super::super) fn thaw(
        &mut self,
        frozen: FrozenProxies,
        descriptors: &mut Descriptors,
    ) -> io::Result<()> {
        self.next_instance = frozen.next_instance;
        self.ever_applied = frozen.ever_applied;
        self.without_app_before = frozen.without_app_before;
        self.running.clear();
        for proxy in frozen.running {
            let (instance, pid) = (proxy.instance, proxy.pid);
            let link = match proxy.link {
                Some(link) => ProxyLink::thaw(instance, pid, link, descriptors, self.news.clone())?,
                None => ProxyLink::ended(pid),
            };
            let proxy = Proxy {
                link,
                started: proxy.started,
                first_version: proxy.first_version,
                applied: proxy.applied,
                ready: proxy.ready,
                retiring: proxy.retiring,
                drained: proxy.drained,
                stats: proxy.stats,
                traffic: proxy.traffic,
                without_app: proxy.without_app,
                counted: proxy.counted,
            };
            self.running.insert(instance, proxy);
        }
        Ok(())
    }
}
