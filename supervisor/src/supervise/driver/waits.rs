//! `paster wait`: those who wait for what is, without wishing for it.

use super::Driver;
use super::waiters::result;
use crate::control::protocol::{Answer, AppResult, Failure, WaitFor};
use crate::supervise::machine::AppState;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Someone who waits until apps are in a state.
pub(super) struct Wait {
    reply: oneshot::Sender<Answer>,
    apps: Vec<String>,
    state: WaitFor,
    deadline: Instant,
}

impl Driver {
    /// Waits for these apps; for all, if none is named.
    pub(super) fn wait_command(
        &mut self,
        apps: Vec<String>,
        state: WaitFor,
        timeout_ms: u64,
        reply: oneshot::Sender<Answer>,
    ) {
        let errors = self.unknown_apps(&apps);
        if !errors.is_empty() {
            let _ = reply.send(Answer::Refused { errors });
            return;
        }
        // Longer than any paster runs, short enough to be added.
        const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        let timeout = Duration::from_millis(timeout_ms).min(LONGEST);
        self.waits.push(Wait {
            reply,
            apps,
            state,
            deadline: Instant::now() + timeout,
        });
    }

    pub(super) fn waits_due(&self) -> Option<Instant> {
        self.waits.iter().map(|wait| wait.deadline).min()
    }

    /// Answers those whose state is there or whose time is over; forgets those who have gone.
    pub(super) fn answer_waits(&mut self) {
        let now = Instant::now();
        for wait in std::mem::take(&mut self.waits) {
            if wait.reply.is_closed() {
                continue;
            }
            let apps = self.look(&wait);
            let is_there = apps.iter().all(|app| app.error.is_none());
            if is_there || wait.deadline <= now {
                let _ = wait.reply.send(Answer::done(apps));
            } else {
                self.waits.push(wait);
            }
        }
    }

    /// Another program goes on: they shall ask it.
    pub(super) fn send_waits_away(&mut self) {
        for wait in self.waits.drain(..) {
            let _ = wait.reply.send(Answer::Again);
        }
    }

    fn look(&self, wait: &Wait) -> Vec<AppResult> {
        let names: Vec<&String> = match wait.apps.is_empty() {
            true => self.numbers.keys().collect(),
            false => wait.apps.iter().collect(),
        };
        names
            .into_iter()
            .map(|name| self.look_at(name, wait.state))
            .collect()
    }

    fn look_at(&self, name: &str, wanted: WaitFor) -> AppResult {
        let app = self.numbers.get(name).and_then(|n| self.apps.get(n));
        let Some(app) = app else {
            return AppResult {
                error: Some(Failure::new("a reload has removed it")),
                ..result(name, wanted.name(), 0)
            };
        };
        let state = self.shown_state(app);
        let is_there = match wanted {
            // On demand and asleep, it would answer too.
            WaitFor::Ready => matches!(state, AppState::Ready | AppState::Idle),
            WaitFor::Stopped => state == AppState::Stopped && app.is_gone(),
            WaitFor::Idle => state == AppState::Idle && app.is_gone(),
            WaitFor::Failed => state == AppState::Failed,
        };
        let error = (!is_there).then(|| {
            let mut why = format!("it is {}", state.name());
            if let Some(step) = app.live.values().find_map(|live| live.status.as_ref()) {
                why.push_str(&format!(", its worker says `{step}`"));
            }
            match (&app.last_death, state) {
                (Some(death), AppState::Backoff | AppState::Failed | AppState::Starting) => {
                    Failure {
                        step: None,
                        last_output: death.last_output.clone(),
                        ..Failure::new(format!("{why}; {}", death.what))
                    }
                }
                _ => Failure::new(why),
            }
        });
        AppResult {
            error,
            ..result(name, wanted.name(), app.machine.generation())
        }
    }
}
