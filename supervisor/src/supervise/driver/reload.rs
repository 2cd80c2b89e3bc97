//! Reading the configuration again, and applying what has changed.
//!
//! One reading at a time: whoever asks meanwhile gets the next one, together, so that the newest file always wins.

use super::Driver;
use super::commands::Decision;
use super::shutdown::Phase;
use super::waiters::Cause;
use crate::config::problem::Problem;
use crate::control::kinds;
use crate::control::protocol::Answer;
use crate::logs;
use crate::plan::diff::{self, Changes};
use crate::plan::spec::{AppSpec, Endpoint, Listen, Plan};
use crate::supervise::access_log;
use crate::supervise::bind::{Bound, Hosts, equip};
use crate::supervise::machine::Event;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// A configuration that was read again, and whose log files can be written; with the addresses of what is new in it to listen on.
pub(super) type Replanned = Result<(Plan, Hosts), Vec<Problem>>;

/// Who waits for which reading. A signal reloads without anybody who waits.
#[derive(Default)]
pub(super) enum Reading {
    #[default]
    None,
    Now {
        asked: Vec<oneshot::Sender<Answer>>,
        /// Those who came when the file may have been read already.
        next: Option<Vec<oneshot::Sender<Answer>>>,
        /// A file that is modified after this may have been read as it was before.
        began: SystemTime,
    },
}

/// Errors of the start are texts with their hint on a line of its own.
fn setup_problem(error: &str) -> Problem {
    match error.split_once("\nhint: ") {
        Some((what, hint)) => Problem::new("Refused", what).hint(hint),
        None => Problem::new("Refused", error),
    }
}

impl Reading {
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self, Reading::Now { .. })
    }
}

impl Driver {
    /// Reads the configuration again, beside this loop.
    pub(super) fn reload(&mut self, reply: Option<oneshot::Sender<Answer>>) {
        match &mut self.reading {
            Reading::Now { next, .. } => next.get_or_insert_default().extend(reply),
            Reading::None => self.read_again(reply.into_iter().collect()),
        }
    }

    fn read_again(&mut self, asked: Vec<oneshot::Sender<Answer>>) {
        self.reading = Reading::Now {
            asked,
            next: None,
            began: SystemTime::now(),
        };
        self.reload_began();
        let (replan, plans) = (self.replan.clone(), self.plans.0.clone());
        let known = self.listeners.iter().map(|bound| bound.listen.clone());
        let known: Vec<Listen> = known.collect();
        tokio::task::spawn_blocking(move || {
            let plan = replan().and_then(|plan| {
                logs::check(&plan).map_err(|error| vec![setup_problem(&error)])?;
                let wanted = plan.listen.iter().map(|endpoint| &endpoint.listen);
                let hosts = Hosts::look_up(wanted.filter(|listen| !known.contains(listen)));
                Ok((plan, hosts))
            });
            let _ = plans.blocking_send(plan);
        });
    }

    pub(super) fn replanned(&mut self, plan: Replanned) {
        let Reading::Now { asked, next, began } = std::mem::take(&mut self.reading) else {
            return;
        };
        if self.phase != Phase::Running {
            let why = "paster is stopping";
            self.reload_ended(Some(why.to_owned()));
            for reply in asked.into_iter().chain(next.into_iter().flatten()) {
                let _ = reply.send(Answer::refused(why));
            }
            return;
        }
        match plan.and_then(|(plan, hosts)| Ok((self.prepare(&plan, &hosts)?, plan))) {
            Ok((listeners, plan)) => {
                let known = &self.plan.warnings;
                for warning in plan.warnings.iter().filter(|one| !known.contains(one)) {
                    tracing::warn!(hint = warning.hint, "{warning}");
                }
                self.apply(plan, listeners, asked);
                self.watch_everything(began);
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(hint = problem.hint, "{problem}");
                }
                tracing::error!(
                    name: kinds::RELOAD_REFUSED,
                    "the configuration is invalid; nothing was changed"
                );
                self.watch_problems(&problems, began);
                self.reload_ended(problems.first().map(ToString::to_string));
                for reply in asked {
                    let errors = problems.clone();
                    let _ = reply.send(Answer::Refused { errors });
                }
            }
        }
        if let Some(next) = next {
            self.read_again(next);
        }
    }

    /// Does what a new plan needs and what may fail, before anything is touched: its new listeners.
    fn prepare(&mut self, plan: &Plan, hosts: &Hosts) -> Result<Vec<Bound>, Vec<Problem>> {
        let mut listeners = Vec::new();
        for Endpoint { listen, .. } in &plan.listen {
            if !self.listeners.iter().any(|bound| bound.listen == *listen) {
                let bound = self.surroundings.binder.bind(listen, hosts);
                let bound = bound.map_err(|error| vec![setup_problem(&error)])?;
                listeners.extend(bound);
            }
        }
        access_log::prepare(&plan.access_log, self.site.proxy_uid)
            .map_err(|error| vec![setup_problem(&error)])?;
        Ok(listeners)
    }

    /// Touches exactly what differs between what runs and the new plan.
    fn apply(
        &mut self,
        plan: Plan,
        new_listeners: Vec<Bound>,
        asked: Vec<oneshot::Sender<Answer>>,
    ) {
        let changes = diff::diff(&self.running_plan(), &plan);
        self.forget_scales(&plan);
        self.forget_maintenance(&plan);
        self.plan = plan;
        self.dirty = true;
        self.configure_logs();
        let mut decisions = self.decide(&changes);
        self.change_front(&changes, new_listeners);
        tell(&changes);
        for name in &changes.added {
            self.add_app(name);
            let action = "added";
            decisions.push((name.clone(), Decision::Await { action }));
        }
        self.carry_out_decisions(decisions, asked, Cause::Reload(changes));
    }

    /// What becomes of the apps that there are.
    fn decide(&mut self, changes: &Changes) -> Vec<(String, Decision)> {
        let mut decisions = Vec::new();
        for name in changes.removed.iter().cloned() {
            decisions.push((name, Decision::Remove));
        }
        for name in changes.changed.iter().cloned() {
            let decision = match self.wanted_spec(&name) {
                Some(spec) if !self.has_workers(&name) || !spec.kind.has_workers() => {
                    let stopped = self.is_stopped(&name);
                    self.exchange(&name, stopped);
                    match stopped {
                        true => Decision::Update(Box::new(spec)),
                        false => Decision::Await { action: "updated" },
                    }
                }
                // A stopped app stays stopped; its next start uses what the plan says then.
                Some(spec) if self.is_stopped(&name) => Decision::Update(Box::new(spec)),
                _ => self.roll_out_planned(&name, "restarted"),
            };
            decisions.push((name, decision));
        }
        for name in changes.policy_changed.iter().cloned() {
            if let Some(spec) = self.wanted_spec(&name) {
                decisions.push((name, Decision::Update(Box::new(spec))));
            }
        }
        decisions
    }

    /// What clients meet: addresses, certificates, and what a proxy is told at its start.
    fn change_front(&mut self, changes: &Changes, new_listeners: Vec<Bound>) {
        if changes.listeners_changed || changes.access_log_changed || changes.directories_changed {
            let wanted = &self.plan.listen;
            let is_wanted =
                |listen: &Listen| wanted.iter().any(|endpoint| endpoint.listen == *listen);
            let gone = self
                .listeners
                .extract_if(.., |bound| !is_wanted(&bound.listen))
                .collect::<Vec<Bound>>();
            gone.into_iter().for_each(|bound| self.let_go(bound));
            self.listeners.extend(new_listeners);
            equip(&mut self.listeners, &self.plan.listen);
            if changes.listeners_changed {
                self.tell_listeners();
            }
            self.replace_proxy();
        } else if changes.certificates_changed {
            self.tell_certificates();
        }
    }

    fn has_workers(&self, name: &str) -> bool {
        let app = self.numbers.get(name).and_then(|n| self.apps.get(n));
        app.is_none_or(|app| app.newest_spec().kind.has_workers())
    }

    /// A server that runs elsewhere has nothing that could be rolled out, nor have files, and proxies know an upstream by its
    /// number: another address, or workers instead, are another app of the same name.
    fn exchange(&mut self, name: &str, stopped: bool) {
        let number = self.numbers.get(name).copied();
        let before = number.and_then(|number| self.apps.get_mut(&number));
        let maintenance = before.and_then(|app| app.maintenance.take());
        self.remove_app(name);
        self.add_app(name);
        if let Some(app) = self.numbers.get(name).and_then(|n| self.apps.get_mut(n)) {
            app.maintenance = maintenance;
        }
        if let Some(number) = self.numbers.get(name).copied().filter(|_| stopped) {
            self.step(number, Event::Stop);
        }
    }

    /// The plan, but with what each app really runs: a reload tries again what did not come up before.
    fn running_plan(&self) -> Plan {
        let mut plan = self.plan.clone();
        for (name, number) in &self.numbers {
            if let (Some(app), Some(spec)) = (self.apps.get(number), plan.apps.get_mut(name)) {
                let configured = spec.settings.processes;
                *spec = app.newest_spec().clone();
                spec.settings.processes = configured;
            }
        }
        plan
    }

    /// A file that says another number than before overrules `paster scale`.
    fn forget_scales(&mut self, new: &Plan) {
        for (name, number) in &self.numbers {
            let processes = |plan: &Plan| plan.apps.get(name).map(|app| app.settings.processes);
            if processes(&self.plan) != processes(new)
                && let Some(app) = self.apps.get_mut(number)
            {
                app.scale = None;
                app.scaled_from = None;
            }
        }
    }

    /// What the plan says of an app, in the number that was asked for.
    pub(super) fn wanted_spec(&self, name: &str) -> Option<AppSpec> {
        let mut spec = self.plan.apps.get(name)?.clone();
        let app = self.numbers.get(name).and_then(|n| self.apps.get(n));
        if let Some(processes) = app.and_then(|app| app.scale) {
            spec.settings.processes = processes;
        }
        Some(spec)
    }
}

fn tell(changes: &Changes) {
    if changes.is_empty() {
        tracing::info!(
            name: kinds::RELOADED,
            "configuration read again: nothing has changed"
        );
    } else {
        tracing::info!(
            name: kinds::RELOADED,
            routes_changed = changes.routes_changed,
            table_changed = changes.table_changed,
            certificates_changed = changes.certificates_changed,
            added = changes.added.len(),
            removed = changes.removed.len(),
            restarted = changes.changed.len(),
            updated = changes.policy_changed.len(),
            "configuration reloaded"
        );
    }
}
