//! Those who wait for the effect of a command, and when they are answered.
//!
//! Whoever waits hears the truth about the app, not about their own command alone: a restart that a newer one replaces
//! has done its work when the newer one serves, a stop that a later start undoes has not.

use super::Driver;
use super::app::AppRun;
use crate::control::protocol::{Answer, AppResult, Failure};
use crate::plan::diff::Changes;
use crate::supervise::machine::AppState;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Someone who waits for an effect, or several who wait for the same.
pub(super) struct Waiter {
    pub(super) replies: Vec<oneshot::Sender<Answer>>,
    /// By app number.
    pub(super) pending: BTreeMap<u64, Goal>,
    pub(super) results: Vec<AppResult>,
    /// The table that shows the effect, once there is one: clients see it when the proxy has it.
    pub(super) table: Option<u64>,
    /// It asked paster to stop: answered last.
    pub(super) until_exit: bool,
    pub(super) cause: Cause,
}

/// Why there is something to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    Command,
    /// The service manager is to hear of the end as well.
    Reload(Changes),
}

pub(super) struct Goal {
    pub(super) name: String,
    pub(super) action: &'static str,
    pub(super) kind: GoalKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GoalKind {
    /// This generation, or a later one, serves or has failed.
    Generation(u64),
    /// The app serves, or a start of it has failed.
    Up,
    /// As many workers serve as are wanted and no more are left, or a start has failed.
    Scaled,
    /// No process is left.
    Gone,
}

/// What became of a goal.
pub(super) type Outcome = Result<(), Failure>;

pub(super) fn result(name: &str, action: &str, generation: u64) -> AppResult {
    AppResult {
        app: name.to_owned(),
        action: action.to_owned(),
        generation,
        processes: None,
        error: None,
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

impl Driver {
    /// Ends the wait for all goals of this app that `reached` knows.
    pub(super) fn resolve(
        &mut self,
        number: u64,
        reached: impl Fn(GoalKind) -> bool,
        outcome: &Outcome,
    ) {
        // None where it was removed, and has gone.
        let app = self.apps.get(&number);
        for waiter in &mut self.waiters {
            let found = waiter.pending.get(&number);
            if !found.is_some_and(|goal| reached(goal.kind)) {
                continue;
            }
            let Some(goal) = waiter.pending.remove(&number) else {
                continue;
            };
            let generation = match goal.kind {
                GoalKind::Gone => 0,
                _ => app.map_or(0, |app| app.machine.generation()),
            };
            let processes = app
                .filter(|_| goal.kind == GoalKind::Scaled)
                .map(AppRun::processes);
            waiter.results.push(AppResult {
                processes,
                error: outcome.clone().err(),
                ..result(&goal.name, goal.action, generation)
            });
        }
    }

    /// Answers those whose last goal has been reached.
    pub(super) fn answer_waiters(&mut self) {
        self.judge_stops();
        self.judge_starts();
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
            let site = match waiter.cause {
                Cause::Command => None,
                Cause::Reload(changes) => {
                    self.reload_ended(failure_of(&waiter.results));
                    let changed = changes.of_the_site().into_iter();
                    Some(changed.map(str::to_owned).collect())
                }
            };
            let apps = waiter.results;
            let answer = Answer::Done { apps, site };
            for reply in waiter.replies {
                let _ = reply.send(answer.clone());
            }
        }
    }

    /// Apps that were to stop: have they, or are they wanted again?
    fn judge_stops(&mut self) {
        for number in self.awaited(GoalKind::Gone) {
            let outcome = match self.apps.get(&number) {
                Some(app) if app.machine.state() != AppState::Stopped => {
                    Err(Failure::new("a later command has started it again"))
                }
                Some(app) if !app.is_gone() => continue,
                _ => Ok(()),
            };
            self.resolve(number, |kind| kind == GoalKind::Gone, &outcome);
        }
    }

    /// Apps that were to come up.
    fn judge_starts(&mut self) {
        for number in self.awaited(GoalKind::Up) {
            let Some(app) = self.apps.get(&number) else {
                continue;
            };
            let outcome = match (app.machine.state(), app.start_failure.clone()) {
                (AppState::Ready | AppState::Idle, _) => Ok(()),
                (AppState::Stopped, _) => Err(Failure::new("the app was stopped")),
                (_, Some(what)) => Err(app.failure(what)),
                _ => continue,
            };
            self.resolve(number, |kind| kind == GoalKind::Up, &outcome);
        }
    }

    /// The apps for which somebody has this goal.
    fn awaited(&self, kind: GoalKind) -> Vec<u64> {
        let goals = self.waiters.iter().flat_map(|waiter| &waiter.pending);
        goals
            .filter(|(_, goal)| goal.kind == kind)
            .map(|(number, _)| *number)
            .collect()
    }

    /// The last answers, when everything has stopped.
    pub(super) fn answer_at_exit(&mut self) {
        for waiter in self.waiters.drain(..).filter(|waiter| waiter.until_exit) {
            for reply in waiter.replies {
                let _ = reply.send(Answer::done(Vec::new()));
            }
        }
    }
}
