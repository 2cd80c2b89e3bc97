//! What a reload has to touch: the difference of two plans. Pure.
//!
//! Positions in files do not count: a comment above a section restarts nothing.

use super::spec::{AppKind, AppSpec, Endpoint, Manner, Plan, Settings};
use crate::config::tree::{Node, Origin, Parts};

/// The difference, in names of apps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    /// What their workers are, or were told at their start, is different: they need new processes.
    pub changed: Vec<String>,
    /// Only how they are supervised or proxied is different: the processes stay.
    pub policy_changed: Vec<String>,
    pub listeners_changed: bool,
    pub routes_changed: bool,
    /// Only files of certificates and keys are different.
    pub certificates_changed: bool,
    /// Something that the proxy was told when it started (the access log) is different.
    pub access_log_changed: bool,
    /// The directories that the proxy may read files from are others.
    pub directories_changed: bool,
    /// Something else that each table carries (trusted proxies, debug) is different.
    pub table_changed: bool,
}

impl Changes {
    /// Whether a reload has nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// What differs besides apps, in words for programs.
    pub fn of_the_site(&self) -> Vec<&'static str> {
        let all = [
            (self.listeners_changed, "listeners"),
            (self.certificates_changed, "certificates"),
            (self.routes_changed, "routes"),
            (self.access_log_changed, "access_log"),
            (self.directories_changed, "directories"),
            (self.table_changed, "settings"),
        ];
        let changed = all.into_iter().filter(|(changed, _)| *changed);
        changed.map(|(_, what)| what).collect()
    }
}

/// Compares two plans of the same site.
pub fn diff(old: &Plan, new: &Plan) -> Changes {
    let mut changes = Changes {
        added: new
            .apps
            .keys()
            .filter(|name| !old.apps.contains_key(*name))
            .cloned()
            .collect(),
        removed: old
            .apps
            .keys()
            .filter(|name| !new.apps.contains_key(*name))
            .cloned()
            .collect(),
        listeners_changed: shapes(&old.listen) != shapes(&new.listen),
        certificates_changed: old.listen != new.listen
            && shapes(&old.listen) == shapes(&new.listen),
        routes_changed: old.root != new.root,
        access_log_changed: old.access_log != new.access_log,
        directories_changed: old.directories() != new.directories(),
        table_changed: old.debug != new.debug
            || old.trusted_proxy != new.trusted_proxy
            || old.limits != new.limits
            || old.redirects != new.redirects
            || old.answers != new.answers
            || old.pages != new.pages,
        ..Changes::default()
    };
    for (name, after) in &new.apps {
        let Some(before) = old.apps.get(name) else {
            continue;
        };
        // A worker is told which file is served.
        if old.config != new.config || needs_new_processes(before, after) {
            changes.changed.push(name.clone());
        } else if policy(before) != policy(after) {
            changes.policy_changed.push(name.clone());
        }
    }
    changes
}

/// What listeners are but for their certificates.
fn shapes(listen: &[Endpoint]) -> Vec<impl PartialEq + '_> {
    let shape = |endpoint: &'_ Endpoint| {
        let Endpoint { listen, manner } = endpoint.clone();
        let certified = manner.tls.is_some();
        (
            listen,
            certified,
            Manner {
                tls: None,
                ..manner
            },
        )
    };
    listen.iter().map(shape).collect()
}

/// Whether a running worker of `old` would not do as a worker of `new`.
fn needs_new_processes(old: &AppSpec, new: &AppSpec) -> bool {
    old.mounts != new.mounts
        || old.debug != new.debug
        || told(&old.settings) != told(&new.settings)
        || old.confined.confinement != new.confined.confinement
        || without_places(&old.kind) != without_places(&new.kind)
}

/// The settings that shape a process at its start; all others concern only those who look after it.
fn told(settings: &Settings) -> impl PartialEq + '_ {
    // Naming every field makes the compiler ask where a new one belongs.
    let Settings {
        threads,
        preload,
        directory,
        watch: _,
        environment,
        user,
        umask,
        nice,
        limits,
        no_new_privileges,
        watchdog,
        // What it has become on this machine is compared instead.
        wanted: _,
        isolation: _,
        health_path: _,
        health_interval: _,
        idle_timeout: _,
        max_lifetime: _,
        max_requests: _,
        max_requests_jitter: _,
        max_memory: _,
        processes: _,
        max_processes: _,
        scale_down_after: _,
        ready: _,
        start_timeout: _,
        min_healthy: _,
        drain_timeout: _,
        stop_timeout: _,
        request_timeout: _,
        request_buffering: _,
        max_body: _,
        // The kind of app, and with it the tree, is compared instead.
        filters: _,
        native_static: _,
        sendfile: _,
        answers: _,
        traced: _,
        unlogged: _,
        maintenance: _,
        maintenance_allow: _,
        maintenance_retry_after: _,
        queue: _,
        queue_timeout: _,
        restart: _,
        restart_delay: _,
        restart_max_delay: _,
        crash_limit: _,
        crash_window: _,
        deadly_requests: _,
        deadly_pause: _,
        keep_reports: _,
        log: _,
    } = settings;
    (
        threads,
        preload,
        directory,
        environment,
        user,
        umask,
        nice,
        limits,
        no_new_privileges,
        watchdog,
    )
}

/// What runs as `running` does, looked after as `wanted` says: the settings that a process was told at its start stay.
pub fn looked_after(running: &AppSpec, wanted: &AppSpec) -> AppSpec {
    let told = running.settings.clone();
    AppSpec {
        handover: wanted.handover,
        settings: Settings {
            threads: told.threads,
            preload: told.preload,
            directory: told.directory,
            environment: told.environment,
            user: told.user,
            umask: told.umask,
            nice: told.nice,
            limits: told.limits,
            no_new_privileges: told.no_new_privileges,
            watchdog: told.watchdog,
            ..wanted.settings.clone()
        },
        ..running.clone()
    }
}

/// What the supervisor and the proxy go by.
fn policy(app: &AppSpec) -> impl PartialEq + '_ {
    (&app.settings, app.handover)
}

fn without_places(kind: &AppKind) -> AppKind {
    let mut kind = kind.clone();
    match &mut kind {
        AppKind::Python { tree, .. } => forget_places(tree),
        AppKind::Exec { node, .. } => forget_places(node),
        AppKind::Upstream { .. } | AppKind::Static(_) => {}
    }
    kind
}

fn forget_places(node: &mut Node) {
    let Origin {
        line,
        factory_line,
        file: _,
        section: _,
    } = &mut node.origin;
    (*line, *factory_line) = (0, 0);
    match &mut node.parts {
        Parts::Leaf | Parts::Opaque => {}
        Parts::Pipeline { filters, app } => {
            filters.iter_mut().for_each(forget_places);
            forget_places(app);
        }
        Parts::Filtered { filter, next } => {
            forget_places(filter);
            forget_places(next);
        }
        Parts::Cascade { apps, .. } => apps
            .iter_mut()
            .for_each(|member| forget_places(&mut member.app)),
        Parts::Urlmap(map) => {
            for route in &mut map.routes {
                route.line = 0;
                forget_places(&mut route.app);
            }
            if let Some(member) = &mut map.not_found_app {
                forget_places(&mut member.app);
            }
        }
    }
}

#[cfg(test)]
mod tests;
