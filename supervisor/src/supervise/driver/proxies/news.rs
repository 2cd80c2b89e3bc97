//! What proxies say, and their ends.

use super::super::{Driver, IDS_PER_APP};
use super::{FIRST_DELAY, SHORT_LIFE};
use crate::control::kinds;
use crate::router::message::FromProxy;
use crate::supervise::machine::Event;
use crate::supervise::proxy_link::{Instance, ProxyNews};
use std::time::Instant;

impl Driver {
    pub(in super::super) fn proxy_news(&mut self, instance: Instance, news: ProxyNews) {
        match news {
            ProxyNews::Said(said) => self.proxy_said(instance, said),
            ProxyNews::Exited(exit) => self.proxy_exited(instance, exit),
        }
    }

    fn proxy_said(&mut self, instance: Instance, said: FromProxy) {
        // What is said of a worker that is long gone is not kept.
        let known = matches!(said, FromProxy::Drained { worker } if self.is_known(worker));
        let Some(proxy) = self.proxies.running.get_mut(&instance) else {
            return;
        };
        match said {
            FromProxy::Ready => {
                proxy.ready = true;
                self.proxies.delay = FIRST_DELAY;
            }
            FromProxy::Applied { version } => {
                proxy.applied = version;
                self.proxies.ever_applied = self.proxies.ever_applied.max(version);
            }
            FromProxy::Drained { worker } => {
                if known {
                    proxy.drained.insert(worker);
                }
            }
            FromProxy::Stats(mut stats) => {
                let told = std::mem::take(&mut stats.traffic).into_iter();
                // What is said of apps that are not there is not kept.
                let known = told.filter(|(name, _)| self.numbers.contains_key(name));
                proxy.traffic.extend(known);
                if let Some(without_app) = stats.without_app.take() {
                    proxy.without_app = *without_app;
                }
                proxy.counted = Some(Instant::now());
                let before = std::mem::replace(&mut proxy.stats, stats.clone());
                self.note_traffic(&before, &stats);
            }
            FromProxy::Unreachable { worker, error } => {
                self.note_unreachable(worker, &error);
            }
            FromProxy::TimedOut { worker, request } => self.request_timed_out(worker, &request),
            FromProxy::Lost { worker, request } => self.request_lost(worker, &request),
            FromProxy::Answered { app, method, path } => {
                self.request_answered(&app, &method, &path);
            }
            FromProxy::DirectoryReplaced { directory } => {
                // It is told again if this comes too soon.
                if !proxy.retiring && proxy.started.elapsed() >= SHORT_LIFE {
                    tracing::info!(
                        directory = %directory.display(),
                        "a directory of static files was replaced; so is the proxy, to be let into the new one"
                    );
                    self.replace_proxy();
                }
            }
            FromProxy::Wanted { app } => {
                if let Some(number) = self.numbers.get(&app).copied() {
                    self.step(number, Event::Wanted);
                }
            }
        }
    }

    fn proxy_exited(&mut self, instance: Instance, exit: Option<String>) {
        let Some(proxy) = self.proxies.running.remove(&instance) else {
            return;
        };
        for (name, traffic) in proxy.traffic {
            let number = self.numbers.get(&name);
            if let Some(app) = number.and_then(|number| self.apps.get_mut(number)) {
                app.traffic_before.add(&traffic.ended());
            }
        }
        let without_app = proxy.without_app.ended();
        self.proxies.without_app_before.add(&without_app);
        for (name, number) in &self.numbers {
            if let (Some(app), Some(stats)) =
                (self.apps.get_mut(number), proxy.stats.apps.get(name))
            {
                app.requests_before += stats.requests;
            }
        }
        for worker in &proxy.stats.workers {
            let app = self.apps.get_mut(&(worker.id / IDS_PER_APP));
            if let Some(live) = app.and_then(|app| app.live.get_mut(&worker.id)) {
                live.requests_before += worker.requests;
            }
        }
        if proxy.retiring {
            tracing::debug!(name: kinds::PROXY_FINISHED, pid = proxy.link.pid, "proxy finished");
            return;
        }
        tracing::error!(
            name: kinds::PROXY_DIED,
            pid = proxy.link.pid,
            exit,
            "the proxy ended; it is replaced"
        );
        if proxy.started.elapsed() < SHORT_LIFE {
            self.schedule_proxy();
        } else {
            self.start_proxy();
        }
    }
}
