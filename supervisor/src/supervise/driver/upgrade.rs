//! `paster upgrade`: when it can be done, and what the new program is asked.

use super::rest::FrozenDriver;
use super::shutdown::Phase;
use super::{Driver, Inputs};
use crate::config::problem::Problem;
use crate::control::kinds;
use crate::control::protocol::Answer;
use crate::plan::diff;
use crate::plan::spec::Plan;
use crate::supervise::bind::equip;
use crate::supervise::upgrade::{self, Consent, Descriptors, State};
use std::io;
use std::path::PathBuf;
use tokio::sync::oneshot;

/// An upgrade that somebody asked for.
pub(super) struct Upgrade {
    program: PathBuf,
    replies: Vec<oneshot::Sender<Answer>>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// For the end of what is under way.
    Waiting,
    /// Reading the configuration again, which must not have changed.
    Comparing,
    /// The program is to be asked.
    Asking,
    /// It is thinking.
    Asked,
    /// It has said yes.
    Agreed,
}

/// What is found out beside the loop.
pub(super) enum Finding {
    Plan(Box<Result<Plan, Vec<Problem>>>),
    Consent(Result<Consent, String>),
}

impl Driver {
    /// Someone wants another program in our place.
    pub(super) fn upgrade(&mut self, program: PathBuf, reply: Option<oneshot::Sender<Answer>>) {
        match &mut self.upgrade {
            // One is under way: its result is that of the second wish too.
            Some(upgrade) => upgrade.replies.extend(reply),
            None => {
                tracing::info!(program = %program.display(), "upgrade: asking the new program whether it can take over");
                self.last_upgrade_error = None;
                self.upgrade = Some(Upgrade {
                    program,
                    replies: reply.into_iter().collect(),
                    step: Step::Waiting,
                });
            }
        }
    }

    /// Nothing is under way that an upgrade would have to interrupt: no command waits, no app is being removed.
    fn is_calm(&self) -> bool {
        self.phase == Phase::Running
            && self.waiters.is_empty()
            && !self.reading.is_under_way()
            && self.came_up
            && self.proxies.accepts()
            && self
                .apps
                .values()
                .all(|app| !app.removed && !app.is_rolling_out() && !app.waits_for_template())
    }

    /// Goes on with an upgrade; true when it is time to execute the program.
    pub(super) fn proceed_with_upgrade(&mut self) -> bool {
        if self.upgrade.is_some() && self.phase != Phase::Running {
            self.refuse_upgrade("paster is stopping");
        }
        let calm = self.is_calm();
        let Some(upgrade) = &mut self.upgrade else {
            return false;
        };
        match upgrade.step {
            Step::Waiting if calm => {
                upgrade.step = Step::Comparing;
                let (replan, findings) = (self.replan.clone(), self.findings.0.clone());
                tokio::task::spawn_blocking(move || {
                    let _ = findings.blocking_send(Finding::Plan(Box::new(replan())));
                });
                false
            }
            Step::Agreed => calm,
            _ => false,
        }
    }

    /// The program that is to be executed.
    pub fn successor(&self) -> Option<PathBuf> {
        self.upgrade.as_ref().map(|upgrade| upgrade.program.clone())
    }

    /// True when the program is to be asked: then the state that it gets must be taken.
    pub(super) fn wants_to_ask(&self) -> bool {
        let is_asking = |upgrade: &Upgrade| upgrade.step == Step::Asking;
        self.upgrade.as_ref().is_some_and(is_asking) && self.is_calm()
    }

    /// Shows the program a state as it would get it, and lets it think.
    pub(super) async fn ask(&mut self, inputs: &mut Inputs) {
        let program = self.successor().unwrap_or_default();
        let file = match self.freeze(inputs).await {
            Ok((state, descriptors)) => {
                let state = State::new(state, &descriptors);
                let file = state.write();
                self.resume(state.content, descriptors);
                file.map_err(|error| error.to_string())
            }
            Err(error) => Err(error),
        };
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        match file {
            Ok(file) => {
                upgrade.step = Step::Asked;
                let findings = self.findings.0.clone();
                tokio::spawn(async move {
                    let consent = upgrade::check(&program, file).await;
                    let _ = findings.send(Finding::Consent(consent)).await;
                });
            }
            Err(error) => self.refuse_upgrade(&error),
        }
    }

    pub(super) fn found(&mut self, finding: Finding) {
        let Some(upgrade) = &mut self.upgrade else {
            return;
        };
        match finding {
            Finding::Plan(plan) => match *plan {
                Ok(plan) if diff::diff(&self.plan, &plan).is_empty() => upgrade.step = Step::Asking,
                Ok(_) => self.refuse_upgrade(
                    "the configuration has changed since it was read; `paster reload` first",
                ),
                Err(_) => {
                    self.refuse_upgrade("the configuration is invalid now; `paster check` says why")
                }
            },
            Finding::Consent(Ok(consent)) => {
                tracing::info!(
                    version = consent.version,
                    "upgrade: the new program takes over"
                );
                upgrade.step = Step::Agreed;
            }
            Finding::Consent(Err(error)) => self.refuse_upgrade(&error),
        }
    }

    fn refuse_upgrade(&mut self, why: &str) {
        let Some(upgrade) = self.upgrade.take() else {
            return;
        };
        tracing::error!(name: kinds::UPGRADE_REFUSED, "upgrade: {why}; nothing was changed");
        for reply in upgrade.replies {
            let _ = reply.send(Answer::Refused {
                errors: vec![Problem::new("Upgrade", why)],
            });
        }
    }

    /// Tells who asked that it is about to happen; what comes of it is seen in the status.
    pub fn announce_upgrade(&mut self) {
        let upgrades = self.upgrades;
        for reply in self
            .upgrade
            .iter_mut()
            .flat_map(|upgrade| upgrade.replies.drain(..))
        {
            let _ = reply.send(Answer::Upgrading { upgrades });
        }
        self.send_waits_away();
    }

    /// The program could not be executed: everything goes on.
    pub fn upgrade_failed(&mut self, error: &str) {
        tracing::error!(name: kinds::UPGRADE_REFUSED, "upgrade: {error}; nothing was changed");
        self.upgrade = None;
        self.last_upgrade_error = Some(error.to_owned());
    }

    /// Goes on in the place of another program: as our own version understands the configuration, and with a proxy of our own.
    ///
    /// # Errors
    /// As for [`Driver::thaw`].
    pub fn take_over(
        &mut self,
        from: &str,
        state: FrozenDriver,
        descriptors: Descriptors,
    ) -> io::Result<()> {
        self.configure_logs();
        self.thaw(state, descriptors)?;
        self.upgrades += 1;
        self.manager_went_on();
        let apps: Vec<(u64, _)> = self
            .apps
            .iter()
            .map(|(number, app)| (*number, app.spec.clone()))
            .collect();
        for (number, spec) in apps {
            self.update_policy(number, &spec);
        }
        tracing::info!(
            name: kinds::UPGRADED,
            from,
            to = env!("CARGO_PKG_VERSION"),
            "another version has taken over; its own proxy follows"
        );
        equip(&mut self.listeners, &self.plan.listen);
        self.replace_proxy();
        self.watch_again();
        Ok(())
    }
}
