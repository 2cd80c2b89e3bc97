//! `paster wait`: returns when apps are in a state, also if paster is not there yet.

use super::args::{WaitArgs, WaitState};
use super::exit::Exit;
use super::{outcome, remote};
use crate::control::client::{self, ControlError};
use crate::control::protocol::{Answer, AppResult, Command};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often is looked whether paster is there, or still there.
const AGAIN: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &WaitArgs) -> Exit {
    let socket = remote::socket(&args.site);
    let waits_for_the_end = args.state == WaitState::Stopped && args.apps.is_empty();
    let waited = remote::block_on(&socket, async {
        let deadline = Instant::now() + args.timeout;
        Ok(match waits_for_the_end {
            true => end(&socket, deadline).await,
            false => state(&socket, args, deadline).await,
        })
    });
    let after = args.timeout;
    match waited {
        Ok(Ok(apps)) => outcome::done(&apps, None, args.json),
        Ok(Err(Missing::Apps(apps))) => {
            let wanted = crate::control::protocol::WaitFor::from(args.state).name();
            let names: Vec<&str> = apps
                .iter()
                .filter(|app| app.error.is_some())
                .map(|app| app.app.as_str())
                .collect();
            let message = format!("after {after:?} not {wanted}: {}", names.join(", "));
            outcome::timed_out(message, &apps, args.json)
        }
        Ok(Err(Missing::End)) => {
            let message = format!("after {after:?} paster still runs");
            outcome::timed_out(message, &[], args.json)
        }
        Ok(Err(Missing::Paster(error))) => {
            outcome::timed_out(format!("after {after:?} {error}"), &[], args.json)
        }
        Ok(Err(Missing::Chance(error))) | Err(error) => outcome::fail(&error, args.json),
    }
}

/// What was not there in time.
enum Missing {
    Apps(Vec<AppResult>),
    Paster(ControlError),
    End,
    /// It cannot ever be there: there is no such app.
    Chance(ControlError),
}

async fn state(
    socket: &Path,
    args: &WaitArgs,
    deadline: Instant,
) -> Result<Vec<AppResult>, Missing> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let command = Command::Wait {
            apps: args.apps.clone(),
            state: args.state.into(),
            timeout_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        };
        match client::call(socket, &command).await {
            Ok(Answer::Done { apps, .. }) if apps.iter().all(|app| app.error.is_none()) => {
                return Ok(apps);
            }
            Ok(Answer::Done { apps, .. }) => return Err(Missing::Apps(apps)),
            // Another version takes over.
            Ok(Answer::Again) => tokio::time::sleep(AGAIN).await,
            // It comes, or comes back.
            Err(error @ (ControlError::NotRunning(_) | ControlError::Lost)) => {
                if left.is_zero() {
                    return Err(Missing::Paster(error));
                }
                tokio::time::sleep(AGAIN.min(left)).await;
            }
            Ok(Answer::Refused { errors }) => {
                return Err(Missing::Chance(ControlError::Refused(errors)));
            }
            Ok(Answer::Status(_) | Answer::Upgrading { .. }) => {
                let what = "something that nobody asked for".to_owned();
                return Err(Missing::Chance(ControlError::Strange(what)));
            }
            Err(error) => return Err(Missing::Chance(error)),
        }
    }
}

/// Until nobody listens on the control socket.
async fn end(socket: &Path, deadline: Instant) -> Result<Vec<AppResult>, Missing> {
    loop {
        match client::connect(socket).await {
            Err(ControlError::NotRunning(_)) => return Ok(Vec::new()),
            Err(error) => return Err(Missing::Chance(error)),
            Ok(_) => {}
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Missing::End);
        }
        tokio::time::sleep(AGAIN.min(left)).await;
    }
}
