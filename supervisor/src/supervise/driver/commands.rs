//! Commands change what is wanted; their answers wait until that is so.

use super::Driver;
use super::shutdown::Phase;
use crate::config::problem::Problem;
use crate::control::kinds;
use crate::control::protocol::{Answer, AppResult, Command};
use crate::plan::diff;
use crate::plan::spec::{AppKind, AppSpec, Plan};
use crate::supervise::access_log;
use crate::supervise::bind::Bound;
use crate::supervise::machine::{AppState, Event};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Someone who waits for an effect.
pub(super) struct Waiter {
    reply: oneshot::Sender<Answer>,
    /// By app number.
    pending: BTreeMap<u64, Goal>,
    results: Vec<AppResult>,
    /// The table that shows the effect, once there is one: clients see it when the proxy has it.
    table: Option<u64>,
    /// It asked paster to stop: answered last.
    until_exit: bool,
    is_reload: bool,
}

struct Goal {
    name: String,
    action: &'static str,
    kind: GoalKind,
}

enum GoalKind {
    /// This generation, or a later one, serves or has failed.
    Generation(u64),
    /// No process is left.
    Gone,
}

/// A configuration that was read again, and who asked.
pub(super) struct Replanned {
    plan: Result<Plan, Vec<Problem>>,
    reply: Option<oneshot::Sender<Answer>>,
}

/// On the way out nothing is started any more.
const STOPPING: &str = "paster is stopping; nothing was changed";

/// What a command means for one app.
enum Decision {
    /// Bring up a new generation.
    RollOut {
        spec: Box<AppSpec>,
        action: &'static str,
    },
    /// Apply settings that need no new process.
    Update(Box<AppSpec>),
    Stop,
    Remove,
    /// End a stop by hand.
    Resume,
    Nothing,
}

/// Errors of the start are texts with their hint on a line of its own.
fn setup_problem(error: &str) -> Problem {
    match error.split_once("\nhint: ") {
        Some((what, hint)) => Problem::new("Refused", what).hint(hint),
        None => Problem::new("Refused", error),
    }
}

/// What a reload could not do, in words.
fn failure_of(results: &[AppResult]) -> Option<String> {
    let failed = |result: &&AppResult| result.error.is_some();
    let names: Vec<&str> = results
        .iter()
        .filter(failed)
        .map(|result| result.app.as_str())
        .collect();
    (!names.is_empty()).then(|| format!("new workers of {} did not come up", names.join(", ")))
}

fn result(name: &str, action: &str, generation: u64) -> AppResult {
    AppResult {
        app: name.to_owned(),
        action: action.to_owned(),
        generation,
        error: None,
    }
}

impl Driver {
    pub(super) fn command(&mut self, command: Command, reply: oneshot::Sender<Answer>) {
        let starts = matches!(command, Command::Restart { .. } | Command::Start { .. });
        if starts && self.phase != Phase::Running {
            return self.refuse(Some(reply), vec![Problem::new("Stopping", STOPPING)]);
        }
        match command {
            Command::Status => {
                let _ = reply.send(Answer::Status(self.status()));
            }
            Command::Restart { apps } => self.with_apps(apps, true, reply, Driver::restart),
            Command::Start { apps } => self.with_apps(apps, true, reply, Driver::start),
            Command::Stop { apps } if apps.is_empty() => {
                self.begin_shutdown();
                let (pending, results) = (BTreeMap::new(), Vec::new());
                self.waiters.push(Waiter {
                    reply,
                    pending,
                    results,
                    table: None,
                    until_exit: true,
                    is_reload: false,
                });
            }
            Command::Stop { apps } => self.with_apps(apps, false, reply, |_, _| Decision::Stop),
            Command::Reload => self.reload(Some(reply)),
            Command::Upgrade { program } => self.upgrade(program, Some(reply)),
            Command::Find { apps } => {
                let unknown = self.unknown_apps(&apps);
                let _ = reply.send(match unknown.is_empty() {
                    true => Answer::Done { apps: Vec::new() },
                    false => Answer::Refused { errors: unknown },
                });
            }
        }
    }

    fn with_apps(
        &mut self,
        names: Vec<String>,
        none_means_all: bool,
        reply: oneshot::Sender<Answer>,
        decide: fn(&Driver, &str) -> Decision,
    ) {
        let unknown = self.unknown_apps(&names);
        if !unknown.is_empty() {
            let _ = reply.send(Answer::Refused { errors: unknown });
            return;
        }
        let names = if names.is_empty() && none_means_all {
            self.numbers.keys().cloned().collect()
        } else {
            names
        };
        let decisions = names
            .iter()
            .map(|name| (name.clone(), decide(self, name)))
            .collect();
        self.carry_out_decisions(decisions, Vec::new(), reply, false);
    }

    /// First notes what is waited for, then acts: a step may reach its goal at once.
    fn carry_out_decisions(
        &mut self,
        decisions: Vec<(String, Decision)>,
        mut results: Vec<AppResult>,
        reply: oneshot::Sender<Answer>,
        is_reload: bool,
    ) {
        let mut pending = BTreeMap::new();
        for (name, decision) in &decisions {
            let Some((number, app)) = self
                .numbers
                .get(name)
                .and_then(|n| Some((*n, self.apps.get(n)?)))
            else {
                continue;
            };
            let goal = |action, kind| Goal {
                name: name.clone(),
                action,
                kind,
            };
            match decision {
                Decision::RollOut { action, .. } => {
                    pending.insert(
                        number,
                        goal(action, GoalKind::Generation(app.next_generation())),
                    );
                }
                Decision::Stop => {
                    pending.insert(number, goal("stopped", GoalKind::Gone));
                }
                Decision::Remove => {
                    pending.insert(number, goal("removed", GoalKind::Gone));
                }
                Decision::Resume | Decision::Nothing => {
                    results.push(result(name, "unchanged", app.machine.generation()));
                }
                Decision::Update(_) => {
                    results.push(result(name, "updated", app.machine.generation()))
                }
            }
        }
        self.waiters.push(Waiter {
            reply,
            pending,
            results,
            table: None,
            until_exit: false,
            is_reload,
        });
        for (name, decision) in decisions {
            let Some(number) = self.numbers.get(&name).copied() else {
                continue;
            };
            match decision {
                Decision::RollOut { spec, .. } => self.roll_out(number, *spec),
                Decision::Update(spec) => self.update_policy(number, &spec),
                Decision::Stop => self.step(number, Event::Stop),
                Decision::Remove => self.remove_app(&name),
                Decision::Resume => {
                    self.step(number, Event::Start);
                    self.dirty = true;
                }
                Decision::Nothing => {}
            }
        }
    }

    /// A sentence for each name that is no app of this site.
    fn unknown_apps(&self, names: &[String]) -> Vec<Problem> {
        let known: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
        let known = known.join(", ");
        names
            .iter()
            .filter(|name| !self.numbers.contains_key(*name))
            .map(|name| {
                let message = format!("there is no app `{name}`; this site has {known}");
                Problem::new("Refused", message)
            })
            .collect()
    }

    fn restart(&self, name: &str) -> Decision {
        self.roll_out_planned(name, "restarted")
    }

    fn start(&self, name: &str) -> Decision {
        match self
            .numbers
            .get(name)
            .and_then(|number| self.apps.get(number))
        {
            Some(app) if matches!(app.machine.state(), AppState::Ready | AppState::Degraded) => {
                Decision::Nothing
            }
            _ => self.roll_out_planned(name, "started"),
        }
    }

    fn is_stopped(&self, name: &str) -> bool {
        let app = self
            .numbers
            .get(name)
            .and_then(|number| self.apps.get(number));
        app.is_some_and(|app| app.machine.state() == AppState::Stopped)
    }

    /// What the plan says now: also after a reload whose rollout failed.
    fn roll_out_planned(&self, name: &str, action: &'static str) -> Decision {
        match self.plan.apps.get(name) {
            // Nothing of an upstream runs here; only a stop by hand can be ended.
            Some(spec) if matches!(spec.kind, AppKind::Upstream { .. }) => Decision::Resume,
            Some(spec) => Decision::RollOut {
                spec: Box::new(spec.clone()),
                action,
            },
            None => Decision::Nothing,
        }
    }

    /// A rollout has ended: tells those who wait for it.
    pub(super) fn resolve_rollout(
        &mut self,
        number: u64,
        generation: u64,
        outcome: &Result<(), String>,
    ) {
        let Some(app) = self.apps.get(&number) else {
            return;
        };
        for waiter in &mut self.waiters {
            let reached = matches!(
                waiter.pending.get(&number),
                Some(Goal { kind: GoalKind::Generation(wanted), .. }) if *wanted <= generation
            );
            if !reached {
                continue;
            }
            if let Some(goal) = waiter.pending.remove(&number) {
                let error = outcome.clone().err().map(|what| app.failure(what));
                waiter.results.push(AppResult {
                    error,
                    ..result(&goal.name, goal.action, generation)
                });
            }
        }
    }

    /// Answers those whose last goal has been reached.
    pub(super) fn answer_waiters(&mut self) {
        for waiter in &mut self.waiters {
            let gone: Vec<u64> = waiter
                .pending
                .iter()
                .filter(|(number, goal)| {
                    matches!(goal.kind, GoalKind::Gone)
                        && self
                            .apps
                            .get(number)
                            .is_none_or(|app| app.machine.is_gone())
                })
                .map(|(number, _)| *number)
                .collect();
            for number in gone {
                if let Some(goal) = waiter.pending.remove(&number) {
                    waiter.results.push(result(&goal.name, goal.action, 0));
                }
            }
        }
        for waiter in &mut self.waiters {
            if waiter.pending.is_empty() && !waiter.until_exit {
                waiter.table.get_or_insert(self.table_version);
            }
        }
        let (done, waiting) =
            std::mem::take(&mut self.waiters)
                .into_iter()
                .partition(|waiter: &Waiter| {
                    waiter
                        .table
                        .is_some_and(|table| self.proxies.have_applied(table))
                });
        self.waiters = waiting;
        for waiter in done {
            if waiter.is_reload {
                self.reload_ended(failure_of(&waiter.results));
            }
            let _ = waiter.reply.send(Answer::Done {
                apps: waiter.results,
            });
        }
    }

    /// The last answers, when everything has stopped.
    pub(super) fn answer_at_exit(&mut self) {
        for waiter in self.waiters.drain(..).filter(|waiter| waiter.until_exit) {
            let _ = waiter.reply.send(Answer::Done { apps: Vec::new() });
        }
    }

    /// Reads the configuration again, beside this loop.
    pub(super) fn reload(&mut self, reply: Option<oneshot::Sender<Answer>>) {
        let (replan, plans) = (self.replan.clone(), self.plans.0.clone());
        self.replanning += 1;
        self.reload_began();
        tokio::task::spawn_blocking(move || {
            let plan = replan();
            let _ = plans.blocking_send(Replanned { plan, reply });
        });
    }

    pub(super) fn replanned(&mut self, Replanned { plan, reply }: Replanned) {
        self.replanning -= 1;
        if self.phase != Phase::Running {
            return self.refuse(reply, vec![Problem::new("Stopping", STOPPING)]);
        }
        let plan = match plan {
            Ok(plan) => plan,
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(hint = problem.hint, "{problem}");
                }
                tracing::error!(
                    name: kinds::RELOAD_REFUSED,
                    "the configuration is invalid; nothing was changed"
                );
                self.refuse(reply, problems);
                return;
            }
        };
        let mut listeners = Vec::new();
        for listen in &plan.listen {
            if self.listeners.iter().any(|bound| bound.listen == *listen) {
                continue;
            }
            match self.surroundings.binder.bind(listen) {
                Ok(bound) => listeners.extend(bound),
                Err(error) => {
                    tracing::error!(name: kinds::RELOAD_REFUSED, "{error}; nothing was changed");
                    self.refuse(reply, vec![setup_problem(&error)]);
                    return;
                }
            }
        }
        if let Err(error) = access_log::prepare(&plan.access_log, self.site.proxy_uid) {
            tracing::error!(name: kinds::RELOAD_REFUSED, "{error}; nothing was changed");
            self.refuse(reply, vec![setup_problem(&error)]);
            return;
        }
        self.apply(plan, listeners, reply);
    }

    fn refuse(&mut self, reply: Option<oneshot::Sender<Answer>>, errors: Vec<Problem>) {
        self.reload_ended(errors.first().map(ToString::to_string));
        if let Some(reply) = reply {
            let _ = reply.send(Answer::Refused { errors });
        }
    }

    /// Touches exactly what differs between the old plan and the new one.
    fn apply(
        &mut self,
        plan: Plan,
        new_listeners: Vec<Bound>,
        reply: Option<oneshot::Sender<Answer>>,
    ) {
        let changes = diff::diff(&self.plan, &plan);
        self.plan = plan;
        self.dirty = true;
        let mut decisions = Vec::new();
        for name in changes.removed.iter().cloned() {
            decisions.push((name, Decision::Remove));
        }
        for name in changes.changed.iter().cloned() {
            let decision = match self.plan.apps.get(&name) {
                // A stopped app stays stopped; its next start uses what the plan says then.
                Some(spec) if self.is_stopped(&name) => Decision::Update(Box::new(spec.clone())),
                _ => self.roll_out_planned(&name, "restarted"),
            };
            decisions.push((name, decision));
        }
        for name in changes.policy_changed.iter().cloned() {
            if let Some(spec) = self.plan.apps.get(&name).cloned() {
                decisions.push((name, Decision::Update(Box::new(spec))));
            }
        }
        if changes.listeners_changed || changes.access_log_changed {
            let wanted = &self.plan.listen;
            let gone = self
                .listeners
                .extract_if(.., |bound| !wanted.contains(&bound.listen))
                .collect::<Vec<Bound>>();
            gone.into_iter().for_each(|bound| self.let_go(bound));
            self.listeners.extend(new_listeners);
            if changes.listeners_changed {
                self.tell_listeners();
            }
            self.replace_proxy();
        }
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
                added = changes.added.len(),
                removed = changes.removed.len(),
                restarted = changes.changed.len(),
                updated = changes.policy_changed.len(),
                "configuration reloaded"
            );
        }
        for name in &changes.added {
            self.add_app(name);
        }
        let added = changes
            .added
            .iter()
            .map(|name| result(name, "added", 1))
            .collect();
        // Without a caller (SIGHUP) nobody reads the answer.
        let reply = reply.unwrap_or_else(|| oneshot::channel().0);
        self.carry_out_decisions(decisions, added, reply, true);
    }
}
