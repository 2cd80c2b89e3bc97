//! `paster upgrade`

use super::args::UpgradeArgs;
use super::exit::Exit;
use super::output;
use super::{check, remote};
use crate::config::problem::Problem;
use crate::control::protocol::{Answer, Command, Status};
use std::time::{Duration, Instant};

/// How long the new program may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn run(args: &UpgradeArgs) -> Exit {
    let program = match &args.program {
        Some(program) => std::path::absolute(program),
        None => std::env::current_exe(),
    };
    let program = match program {
        Ok(program) => program,
        Err(error) => {
            output::message(&format!("error: cannot tell which program to use: {error}"));
            return Exit::Failed;
        }
    };
    let before = match remote::call(&args.site, &Command::Status) {
        Ok(Answer::Status(status)) => status,
        other => return remote::finish(other, args.json),
    };
    match remote::call(&args.site, &Command::Upgrade { program }) {
        Ok(Answer::Upgrading { upgrades }) => wait(args, &before, upgrades),
        other => remote::finish(other, args.json),
    }
}

/// Until the new program says that it is there.
fn wait(args: &UpgradeArgs, before: &Status, upgrades: u64) -> Exit {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = remote::call(&args.site, &Command::Status);
        match answer {
            Ok(Answer::Status(status)) if status.upgrades > upgrades => {
                if args.json {
                    output::answer(&check::json(&status));
                } else {
                    output::answer(&format!(
                        "paster {} took over from paster {} (pid {})",
                        status.version, before.version, status.pid
                    ));
                }
                return Exit::Ok;
            }
            Ok(Answer::Status(status)) if status.upgrade_error.is_some() => {
                let error = status.upgrade_error.unwrap_or_default();
                let errors = vec![Problem::new("Upgrade", error)];
                return remote::finish(Ok(Answer::Refused { errors }), args.json);
            }
            other if Instant::now() >= deadline => return remote::finish(other, args.json),
            _ => std::thread::sleep(INTERVAL),
        }
    }
}
