//! Apps that are closed to clients while their workers live on: `paster maintenance`, and `maintenance` in the file.
//!
//! What was asked for counts until paster ends, or a reload changes `maintenance` of the app.

use super::Driver;
use super::app::AppRun;
use super::waiters::{Cause, Waiter, result};
use crate::control::kinds;
use crate::control::protocol::Answer;
use crate::plan::spec::Plan;
use crate::router::message::Maintenance;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// For a page that somebody reads; more belongs into a file (`error_pages`).
const LONGEST_MESSAGE: usize = 1000;

/// What somebody has asked for, whatever the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ordered {
    pub(super) on: bool,
    /// For clients.
    pub(super) message: Option<String>,
}

/// What is the case for an app of `plan`; none: it is open.
pub(super) fn maintenance(plan: &Plan, app: &AppRun) -> Option<Maintenance> {
    let settings = &plan.apps.get(&app.spec.name)?.settings;
    let (on, message) = match &app.maintenance {
        Some(ordered) => (ordered.on, ordered.message.clone()),
        None => (settings.maintenance, None),
    };
    on.then(|| Maintenance {
        message,
        // In whole seconds, as the field has it.
        retry_after_s: settings.maintenance_retry_after.as_millis().div_ceil(1000) as u64,
        allow: settings.maintenance_allow.clone(),
    })
}

impl Driver {
    pub(super) fn maintenance_command(
        &mut self,
        name: String,
        ordered: Ordered,
        reply: oneshot::Sender<Answer>,
    ) {
        let errors = self.unknown_apps(std::slice::from_ref(&name));
        if !errors.is_empty() {
            let _ = reply.send(Answer::Refused { errors });
            return;
        }
        let length = ordered.message.as_ref().map_or(0, String::len);
        if length > LONGEST_MESSAGE {
            let why = format!("the message has {length} bytes, more than {LONGEST_MESSAGE}");
            let _ = reply.send(Answer::refused(why));
            return;
        }
        let Some(app) = self.numbers.get(&name).and_then(|n| self.apps.get_mut(n)) else {
            return;
        };
        let before = maintenance(&self.plan, app);
        let by_file = self
            .plan
            .apps
            .get(&name)
            .map(|app| app.settings.maintenance);
        let is_the_files = by_file == Some(ordered.on) && ordered.message.is_none();
        app.maintenance = (!is_the_files).then_some(ordered);
        let after = maintenance(&self.plan, app);
        let action = match (&before, &after) {
            _ if before == after => "unchanged",
            (_, Some(_)) => "maintenance on",
            (_, None) => "maintenance off",
        };
        if before != after {
            self.dirty = true;
            tracing::info!(name: kinds::APP_MAINTENANCE, app = %name, "{action}");
        }
        self.waiters.push(Waiter {
            replies: vec![reply],
            pending: BTreeMap::new(),
            results: vec![result(&name, action, app.machine.generation())],
            table: None,
            until_exit: false,
            cause: Cause::Command,
        });
    }

    /// A file that says something else than before overrules what was asked for.
    pub(super) fn forget_maintenance(&mut self, new: &Plan) {
        for (name, number) in &self.numbers {
            let by_file = |plan: &Plan| plan.apps.get(name).map(|app| app.settings.maintenance);
            if by_file(&self.plan) != by_file(new)
                && let Some(app) = self.apps.get_mut(number)
            {
                app.maintenance = None;
            }
        }
    }
}
