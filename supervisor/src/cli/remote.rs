//! The commands that talk to a running `paster serve`.

use super::args::{AppsArgs, SiteArgs, StatusArgs};
use super::exit::Exit;
use super::{outcome, site};
use crate::control::client::{self, ControlError};
use crate::control::protocol::{Answer, Command};
use crate::sys::rundir;
use std::path::{Path, PathBuf};

/// Time between two tries while paster is being upgraded.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

pub(crate) fn restart(args: &AppsArgs) -> Exit {
    finish(
        call(
            &args.site,
            &Command::Restart {
                apps: args.apps.clone(),
            },
        ),
        args.json,
    )
}

pub(crate) fn start(args: &AppsArgs) -> Exit {
    finish(
        call(
            &args.site,
            &Command::Start {
                apps: args.apps.clone(),
            },
        ),
        args.json,
    )
}

pub(crate) fn stop(args: &AppsArgs) -> Exit {
    finish(
        call(
            &args.site,
            &Command::Stop {
                apps: args.apps.clone(),
            },
        ),
        args.json,
    )
}

pub(crate) fn reload(args: &StatusArgs) -> Exit {
    finish(call(&args.site, &Command::Reload), args.json)
}

/// Where the paster listens that serves this site.
pub(crate) fn socket(site: &SiteArgs) -> PathBuf {
    let run_dir = rundir::locate(&site::config_path(&site.config), site.run_dir.as_deref());
    rundir::control_socket(&run_dir)
}

/// Runs what waits for paster.
pub(crate) fn block_on<T>(
    socket: &Path,
    work: impl Future<Output = Result<T, ControlError>>,
) -> Result<T, ControlError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| ControlError::Connect {
        path: socket.to_path_buf(),
        error,
    })?;
    runtime.block_on(work)
}

pub(crate) fn call(site: &SiteArgs, command: &Command) -> Result<Answer, ControlError> {
    let socket = socket(site);
    block_on(&socket, ask(&socket, command))
}

pub(crate) async fn ask(socket: &Path, command: &Command) -> Result<Answer, ControlError> {
    loop {
        match client::call(socket, command).await {
            // A new version is just taking over.
            Ok(Answer::Again) => tokio::time::sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

pub(crate) fn finish(answer: Result<Answer, ControlError>, json: bool) -> Exit {
    match answer {
        Ok(Answer::Done { apps, site }) => outcome::done(&apps, site.as_deref(), json),
        Ok(Answer::Refused { errors }) => outcome::fail(&ControlError::Refused(errors), json),
        Ok(Answer::Status(_) | Answer::Upgrading { .. } | Answer::Again) => {
            let error = "what nobody asked for".to_owned();
            outcome::fail(&ControlError::Strange(error), json)
        }
        Err(error) => outcome::fail(&error, json),
    }
}
