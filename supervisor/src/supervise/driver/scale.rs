//! More workers, or fewer: `paster scale`, SIGTTIN and SIGTTOU.
//!
//! The number that was asked for counts until paster ends, or a reload changes `processes` of the app. If the new workers
//! do not come up, it is taken back: a scale that fails changes nothing.

use super::Driver;
use super::app::AppRun;
use super::waiters::{Cause, Goal, GoalKind, Waiter, result};
use crate::config::problem::Problem;
use crate::control::kinds;
use crate::control::protocol::{Answer, AppResult, Failure};
use crate::plan::keys::MOST_PROCESSES;
use crate::plan::spec::AppKind;
use crate::supervise::machine::AppState;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

impl AppRun {
    /// How many workers are wanted, be there load or not.
    pub(super) fn processes(&self) -> u32 {
        self.newest_spec().settings.processes
    }

    /// As many workers serve as are wanted, and those that are not have gone.
    fn has_its_size(&self) -> bool {
        let size = self.machine.size(self.machine.generation());
        self.machine.is_settled() && self.machine.workers().all(|(_, worker)| worker.slot < size)
    }
}

impl Driver {
    pub(super) fn scale_command(
        &mut self,
        wanted: BTreeMap<String, u32>,
        reply: oneshot::Sender<Answer>,
    ) {
        let errors = self.objections(&wanted);
        if !errors.is_empty() {
            let _ = reply.send(Answer::Refused { errors });
            return;
        }
        let (mut pending, mut results) = (BTreeMap::new(), Vec::new());
        let mut numbers = Vec::new();
        for (name, processes) in wanted {
            let Some((number, app)) = self.numbers.get(&name).and_then(|number| {
                let app = self.apps.get(number)?;
                Some((*number, app))
            }) else {
                continue;
            };
            numbers.push((number, processes));
            let noted = |error| AppResult {
                processes: Some(processes),
                error,
                ..result(&name, "scaled", app.machine.generation())
            };
            match app.machine.state() {
                AppState::Stopped | AppState::Idle => results.push(noted(None)),
                AppState::Failed | AppState::Backoff => {
                    let why =
                        "none of its workers serves; the number counts from its next start on";
                    results.push(noted(Some(Failure::new(why))));
                }
                AppState::Starting | AppState::Ready | AppState::Degraded => {
                    let (action, kind) = ("scaled", GoalKind::Scaled);
                    pending.insert(number, Goal { name, action, kind });
                }
            }
        }
        let goals: Vec<u64> = pending.keys().copied().collect();
        self.waiters.push(Waiter {
            replies: vec![reply],
            pending,
            results,
            table: None,
            until_exit: false,
            cause: Cause::Command,
        });
        for (number, processes) in numbers {
            self.scale(number, processes, goals.contains(&number));
        }
    }

    /// Why this cannot be.
    fn objections(&self, wanted: &BTreeMap<String, u32>) -> Vec<Problem> {
        let names: Vec<String> = wanted.keys().cloned().collect();
        let mut errors = self.unknown_apps(&names);
        let refused = |message: String| Problem::new("Refused", message);
        for (name, processes) in wanted {
            let Some(spec) = self.plan.apps.get(name) else {
                continue;
            };
            if matches!(spec.kind, AppKind::Upstream { .. }) {
                let why = format!("`{name}` runs elsewhere: it has no workers here");
                errors.push(refused(why));
            } else if !spec.kind.has_workers() {
                let why = format!("`{name}` is served by the proxy itself: it has no workers");
                errors.push(refused(why));
            } else if *processes == 0 {
                let why = format!("`{name}` cannot be scaled to no worker at all");
                errors.push(refused(why).hint(format!("`paster stop CONFIG {name}` stops it")));
            } else if *processes > MOST_PROCESSES {
                let why = format!("{processes} workers of `{name}` are more than {MOST_PROCESSES}");
                errors.push(refused(why));
            }
        }
        errors
    }

    /// One worker more or fewer for every app that has any.
    pub(super) fn scale_all(&mut self, by: i32) {
        let sizes: Vec<(u64, u32, bool)> = self
            .numbers
            .values()
            .filter_map(|number| Some((*number, self.apps.get(number)?)))
            .filter(|(_, app)| app.spec.kind.has_workers())
            .map(|(number, app)| {
                let wanted = app.processes().saturating_add_signed(by);
                let serves = matches!(app.machine.state(), AppState::Ready | AppState::Degraded);
                (number, wanted.clamp(1, MOST_PROCESSES), serves)
            })
            .collect();
        for (number, processes, serves) in sizes {
            self.scale(number, processes, serves);
        }
    }

    /// Wants so many workers. Where the app `serves`, the number is taken back if they do not come up.
    fn scale(&mut self, number: u64, processes: u32, serves: bool) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let before = app.processes();
        if before == processes {
            return;
        }
        tracing::info!(
            name: kinds::APP_SCALED,
            app = %app.spec.name,
            from = before,
            to = processes,
            "another number of workers is wanted"
        );
        if processes <= app.scaled_from.unwrap_or(before) {
            app.scaled_from = None;
        } else if serves {
            app.scaled_from.get_or_insert(before);
        }
        self.set_processes(number, processes);
    }

    fn set_processes(&mut self, number: u64, processes: u32) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let configured = self.plan.apps.get(&app.spec.name);
        let configured = configured.map(|spec| spec.settings.processes);
        app.scale = Some(processes).filter(|processes| configured != Some(*processes));
        self.adjust(number, |spec| spec.settings.processes = processes);
    }

    /// Ends what has come to its end: the workers serve, or one of them did not come up.
    pub(super) fn proceed_with_scales(&mut self) {
        let numbers: Vec<u64> = self.apps.keys().copied().collect();
        for number in numbers {
            self.proceed_with_scale(number);
        }
    }

    fn proceed_with_scale(&mut self, number: u64) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let outcome = if app.has_its_size() {
            app.scaled_from = None;
            Ok(())
        } else if app.machine.state() == AppState::Stopped {
            app.scaled_from = None;
            Err(Failure::new("the app was stopped"))
        } else if let Some(what) = app.start_failure.clone() {
            let failure = app.failure(what.clone());
            self.take_back(number, &what);
            Err(failure)
        } else {
            return;
        };
        self.resolve(number, |kind| kind == GoalKind::Scaled, &outcome);
    }

    /// The new workers, if there were to be any, did not come up.
    fn take_back(&mut self, number: u64, error: &str) {
        let Some((to, app)) = self
            .apps
            .get_mut(&number)
            .and_then(|app| Some((app.scaled_from.take()?, app)))
        else {
            return;
        };
        tracing::error!(
            name: kinds::SCALE_GIVEN_UP,
            app = %app.spec.name,
            from = app.processes(),
            to,
            error,
            "new workers did not come up; their number is taken back"
        );
        self.set_processes(number, to);
    }
}
