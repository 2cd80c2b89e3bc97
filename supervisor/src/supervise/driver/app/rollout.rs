//! Apps come and go, and get new generations and settings.

use super::super::waiters::GoalKind;
use super::super::{Driver, IDS_PER_APP};
use super::AppRun;
use super::policy::policy;
use crate::control::kinds;
use crate::plan::diff;
use crate::plan::spec::AppSpec;
use crate::supervise::machine::{AppState, Event};

/// It has workers, which may print something.
fn has_log(app: &AppSpec) -> bool {
    app.kind.has_workers()
}

impl Driver {
    /// Adds an app of the plan and starts it.
    pub(in super::super) fn add_app(&mut self, name: &str) {
        let Some(spec) = self.plan.apps.get(name).cloned() else {
            return;
        };
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(name.to_owned(), number);
        self.apps
            .insert(number, AppRun::new(spec, number * IDS_PER_APP));
        self.dirty = true;
        self.step(number, Event::Tick);
    }

    /// Takes an app out of the plan; its processes drain and stop.
    pub(in super::super) fn remove_app(&mut self, name: &str) {
        if let Some(number) = self.numbers.remove(name) {
            if let Some(app) = self.apps.get_mut(&number) {
                app.removed = true;
            }
            self.proxies.forget_traffic(name);
            self.dirty = true;
            self.forget_files(number);
            self.step(number, Event::Stop);
        }
    }

    pub(in super::super) fn remove_gone_apps(&mut self) {
        let (logs, plan) = (&self.site.logs, &self.plan);
        self.apps.retain(|_, app| {
            let is_gone = app.removed && app.is_gone();
            // Another app may have its name by now.
            if is_gone && !plan.apps.get(&app.spec.name).is_some_and(has_log) {
                logs.remove(&app.spec.name);
            }
            !is_gone
        });
    }

    /// The output of each app goes where the plan says.
    pub(in super::super) fn configure_logs(&self) {
        for (name, app) in &self.plan.apps {
            if has_log(app) {
                self.site.logs.configure(name, &app.settings.log);
            }
        }
    }

    /// Brings up a new generation of `spec` beside the present one.
    pub(in super::super) fn roll_out(&mut self, number: u64, spec: AppSpec) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let generation = app.next_generation;
        app.next_generation += 1;
        let event = Event::Rollout {
            generation,
            policy: policy(&spec),
        };
        tracing::debug!(
            name: kinds::ROLLOUT_BEGUN,
            app = %spec.name,
            generation,
            "a new generation is started"
        );
        app.next = Some((generation, spec));
        app.last_ending = None;
        self.step(number, event);
    }

    /// Applies settings that need no new process.
    pub(in super::super) fn update_policy(&mut self, number: u64, wanted: &AppSpec) {
        let Some(app) = self.apps.get(&number) else {
            return;
        };
        // Nothing of a stopped app runs that could differ from what its next start will run.
        if app.machine.state() == AppState::Stopped {
            self.adjust(number, |spec| *spec = wanted.clone());
        } else {
            self.adjust(number, |spec| *spec = diff::looked_after(spec, wanted));
        }
    }

    /// Changes how an app is looked after, in the generation that serves and in the one that is being brought up.
    pub(in super::super) fn adjust(&mut self, number: u64, change: impl Fn(&mut AppSpec)) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let rule = app.spec.settings.deadly_requests;
        change(&mut app.spec);
        if app.spec.settings.deadly_requests != rule {
            app.deadly.forget();
        }
        let mut events = vec![Event::NewPolicy {
            generation: app.machine.generation(),
            policy: policy(&app.spec),
        }];
        if let Some((generation, spec)) = &mut app.next {
            change(spec);
            events.push(Event::NewPolicy {
                generation: *generation,
                policy: policy(spec),
            });
        }
        self.dirty = true;
        for event in events {
            self.step(number, event);
        }
    }

    pub(super) fn rollout_done(
        &mut self,
        number: u64,
        generation: u64,
        result: Result<(), String>,
    ) {
        let Some(app) = self.apps.get_mut(&number) else {
            return;
        };
        let name = &app.spec.name;
        match &result {
            Ok(()) => {
                app.deadly.forget();
                tracing::info!(
                    name: kinds::ROLLOUT_DONE,
                    app = %name,
                    generation,
                    "new generation serves"
                );
            }
            Err(error) => {
                let is_ours = |next: &mut (u64, AppSpec)| next.0 == generation;
                match (app.next.take_if(is_ours), app.machine.state()) {
                    (None, _) => {}
                    (Some(_), AppState::Stopped) => tracing::info!(
                        name: kinds::ROLLOUT_GIVEN_UP,
                        app = %name,
                        generation,
                        "new generation given up: {error}"
                    ),
                    (Some(_), _) => tracing::error!(
                        name: kinds::ROLLOUT_GIVEN_UP,
                        app = %name,
                        generation,
                        %error,
                        hint = self.site.reload.map(|_| "mend the file: each change is tried"),
                        "new generation given up; the old one serves on"
                    ),
                }
            }
        }
        self.dirty = true;
        let outcome = result.map_err(|what| app.failure(what));
        let reached = |kind| matches!(kind, GoalKind::Generation(wanted) if wanted <= generation);
        self.resolve(number, reached, &outcome);
    }
}
