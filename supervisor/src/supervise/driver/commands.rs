//! Commands change what is wanted; their answers wait until that is so ([`super::waiters`]).

use super::Driver;
use super::app::AppRun;
use super::maintenance::Ordered;
use super::shutdown::Phase;
use super::waiters::{Cause, Goal, GoalKind, Waiter, result};
use crate::config::problem::Problem;
use crate::control::protocol::{Answer, Command};
use crate::plan::spec::AppSpec;
use crate::supervise::machine::{AppState, Event};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;

/// What a command means for one app.
pub(super) enum Decision {
    /// Bring up a new generation.
    RollOut {
        spec: Box<AppSpec>,
        action: &'static str,
    },
    /// Apply settings that need no new process.
    Update(Box<AppSpec>),
    /// Wait for the start that is under way.
    Await {
        action: &'static str,
    },
    Stop,
    Remove,
    /// End a stop by hand.
    Resume,
    Nothing,
}

/// What whoever asked is told, and when.
enum Expected {
    /// That this was done, when the goal has been reached.
    Goal(&'static str, GoalKind),
    /// That this was done, without a wait for any process.
    AtOnce(&'static str),
}

fn expected(decision: &Decision, app: &AppRun) -> Expected {
    match decision {
        Decision::RollOut { action, .. } => {
            Expected::Goal(action, GoalKind::Generation(app.next_generation()))
        }
        Decision::Await { action } => Expected::Goal(action, GoalKind::Up),
        Decision::Stop => Expected::Goal("stopped", GoalKind::Gone),
        Decision::Remove => Expected::Goal("removed", GoalKind::Gone),
        Decision::Resume if app.machine.state() == AppState::Stopped => Expected::AtOnce("started"),
        Decision::Resume | Decision::Nothing => Expected::AtOnce("unchanged"),
        Decision::Update(_) => Expected::AtOnce("updated"),
    }
}

/// On the way out nothing is started any more.
fn wants_something_to_run(command: &Command) -> bool {
    match command {
        Command::Restart { .. }
        | Command::Start { .. }
        | Command::Reload
        | Command::Upgrade { .. }
        | Command::Scale { .. } => true,
        Command::Status
        | Command::Stop { .. }
        | Command::Maintenance { .. }
        | Command::Wait { .. }
        | Command::Find { .. } => false,
    }
}

impl Driver {
    pub(super) fn command(&mut self, command: Command, reply: oneshot::Sender<Answer>) {
        if self.phase != Phase::Running && wants_something_to_run(&command) {
            let _ = reply.send(Answer::refused("paster is stopping"));
            return;
        }
        match command {
            Command::Status => self.tell_status(reply),
            Command::Restart { apps } => self.with_apps(apps, true, reply, Driver::restart),
            Command::Start { apps } => self.with_apps(apps, true, reply, Driver::start),
            Command::Stop { apps } if apps.is_empty() => {
                self.begin_shutdown();
                let (pending, results) = (BTreeMap::new(), Vec::new());
                self.waiters.push(Waiter {
                    replies: vec![reply],
                    pending,
                    results,
                    table: None,
                    until_exit: true,
                    cause: Cause::Command,
                });
            }
            Command::Stop { apps } => self.with_apps(apps, false, reply, |_, _| Decision::Stop),
            Command::Reload => self.reload(Some(reply)),
            Command::Upgrade { program } => self.upgrade(program, Some(reply)),
            Command::Scale { apps } => self.scale_command(apps, reply),
            Command::Maintenance { app, on, message } => {
                self.maintenance_command(app, Ordered { on, message }, reply);
            }
            Command::Wait {
                apps,
                state,
                timeout_ms,
            } => self.wait_command(apps, state, timeout_ms, reply),
            Command::Find { apps } => {
                let unknown = self.unknown_apps(&apps);
                let _ = reply.send(match unknown.is_empty() {
                    true => Answer::done(Vec::new()),
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
        // A name that was given twice counts once.
        let names: BTreeSet<String> = names.into_iter().collect();
        let decisions = names
            .into_iter()
            .map(|name| {
                let decision = decide(self, &name);
                (name, decision)
            })
            .collect();
        self.carry_out_decisions(decisions, vec![reply], Cause::Command);
    }

    /// First notes what is waited for, then acts: a step may reach its goal at once.
    pub(super) fn carry_out_decisions(
        &mut self,
        decisions: Vec<(String, Decision)>,
        replies: Vec<oneshot::Sender<Answer>>,
        cause: Cause,
    ) {
        let (mut pending, mut results) = (BTreeMap::new(), Vec::new());
        for (name, decision) in &decisions {
            let Some((number, app)) = self
                .numbers
                .get(name)
                .and_then(|n| Some((*n, self.apps.get(n)?)))
            else {
                continue;
            };
            match expected(decision, app) {
                Expected::Goal(action, kind) => {
                    let name = name.clone();
                    pending.insert(number, Goal { name, action, kind });
                }
                Expected::AtOnce(action) => {
                    results.push(result(name, action, app.machine.generation()));
                }
            }
        }
        self.waiters.push(Waiter {
            replies,
            pending,
            results,
            table: None,
            until_exit: false,
            cause,
        });
        for (name, decision) in decisions {
            self.act(&name, decision);
        }
    }

    fn act(&mut self, name: &str, decision: Decision) {
        let Some(number) = self.numbers.get(name).copied() else {
            return;
        };
        match decision {
            Decision::RollOut { spec, .. } => self.roll_out(number, *spec),
            Decision::Update(spec) => self.update_policy(number, &spec),
            Decision::Stop => self.step(number, Event::Stop),
            Decision::Remove => self.remove_app(name),
            Decision::Resume => {
                self.step(number, Event::Start);
                self.dirty = true;
            }
            Decision::Await { .. } | Decision::Nothing => {}
        }
    }

    /// A sentence for each name that is no app of this site.
    pub(super) fn unknown_apps(&self, names: &[String]) -> Vec<Problem> {
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
            Some(app) => match app.machine.state() {
                AppState::Ready | AppState::Degraded | AppState::Idle => Decision::Nothing,
                AppState::Starting => Decision::Await { action: "started" },
                AppState::Backoff | AppState::Failed | AppState::Stopped => {
                    self.roll_out_planned(name, "started")
                }
            },
            None => self.roll_out_planned(name, "started"),
        }
    }

    pub(super) fn is_stopped(&self, name: &str) -> bool {
        let app = self
            .numbers
            .get(name)
            .and_then(|number| self.apps.get(number));
        app.is_some_and(|app| app.machine.state() == AppState::Stopped)
    }

    /// What the plan says now: also after a reload whose rollout failed.
    pub(super) fn roll_out_planned(&self, name: &str, action: &'static str) -> Decision {
        match self.wanted_spec(name) {
            // Nothing of it runs here; only a stop by hand can be ended.
            Some(spec) if !spec.kind.has_workers() => Decision::Resume,
            Some(spec) => Decision::RollOut {
                spec: Box::new(spec),
                action,
            },
            None => Decision::Nothing,
        }
    }
}
