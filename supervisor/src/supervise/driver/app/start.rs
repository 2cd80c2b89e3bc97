//! Starts that somebody waits for, and that fail.

use super::AppRun;
use crate::supervise::machine::{Report, describe};

impl AppRun {
    /// Notes whether those who wait for a start of the generation that serves, or should, have waited in vain. A failure
    /// after which nothing is started belongs to a rollout, which has an end of its own.
    pub(in super::super) fn note_start(&mut self, report: &Report) {
        let what = match report {
            Report::SpawnFailed {
                error,
                next: Some(_),
                ..
            } => error.clone(),
            Report::Crashed {
                exit,
                next: Some(next),
                ..
            } => match self.last_ending.as_ref().is_some_and(|e| e.was_ready()) {
                true if next.failed => describe(*exit),
                true => return,
                false => format!("{} before it was ready", describe(*exit)),
            },
            Report::StartTimeout {
                timeout,
                was_ready,
                next: Some(_),
                ..
            } => {
                let what = if *was_ready { "healthy" } else { "ready" };
                format!("was not {what} within {timeout:?}")
            }
            Report::GaveUp { exit, .. } => {
                format!("{}; it is not started again", describe(*exit))
            }
            _ => return,
        };
        self.start_failure = Some(format!("a worker {what}"));
    }
}
