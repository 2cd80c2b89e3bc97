//! The commands that talk to a running `paster serve`.

use super::args::{AppsArgs, SiteArgs, StatusArgs};
use super::exit::Exit;
use super::problems::printable;
use super::{check, outcome, output, site};
use crate::control::client::{self, ControlError};
use crate::control::protocol::{Answer, Command, Status};
use crate::sys::rundir;
use std::path::{Path, PathBuf};

/// Time between two tries while paster is being upgraded.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

pub(crate) fn status(args: &StatusArgs) -> Exit {
    match call(&args.site, &Command::Status) {
        Ok(Answer::Status(status)) => {
            if args.json {
                output::answer(&check::json(&status));
            } else {
                output::answer(&render_status(&status));
            }
            Exit::Ok
        }
        other => finish(other, args.json),
    }
}

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

fn render_status(status: &Status) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "APP", "STATE", "MOUNTS", "GEN", "WORKERS", "RESTARTS", "REQUESTS", "QUEUED",
    ]);
    for app in &status.apps {
        let workers: Vec<String> = app
            .workers
            .iter()
            .map(|worker| {
                let pid = worker
                    .pid
                    .map_or_else(|| "-".to_owned(), |pid| pid.to_string());
                let rss = worker
                    .rss_bytes
                    .map_or_else(String::new, |rss| format!(" {} MB", rss / 1_000_000));
                match worker.state.as_str() {
                    "ready" => format!("{pid}{rss}"),
                    state => format!("{pid} {state}"),
                }
            })
            .collect();
        let scale = if app.max_processes > app.processes {
            format!(" ({} of up to {})", app.processes, app.max_processes)
        } else {
            String::new()
        };
        table.add_row([
            app.name.clone(),
            match app.maintenance {
                true => format!("{} (maintenance)", app.state),
                false => app.state.clone(),
            },
            app.mounts.join(" "),
            app.generation.to_string(),
            workers.join(", ") + &scale,
            app.restarts.to_string(),
            app.requests.to_string(),
            app.queued.to_string(),
        ]);
    }
    let proxy = status
        .proxy
        .pid
        .map_or_else(|| "none".to_owned(), |pid| pid.to_string());
    // An older paster says addresses only.
    let listen = if status.urls.is_empty() {
        &status.listen
    } else {
        &status.urls
    };
    let mut text = format!(
        "paster {} (pid {}, proxy {proxy}) serves {} on {}, up {:.0}s\n{table}",
        status.version,
        status.pid,
        status.config,
        listen.join(" "),
        status.uptime_s,
    );
    for app in status.apps.iter() {
        if let Some(message) = &app.maintenance_message {
            let message = printable(message);
            text.push_str(&format!("\nmaintenance of {}: {message}", app.name));
        }
        if let Some(death) = &app.last_death {
            text.push_str(&format!("\nlast death of {}: {death}", app.name));
            if let Some(report) = &app.last_report {
                text.push_str(&format!(" (report {report})"));
            }
        }
        for refused in &app.refused {
            text.push_str(&format!(
                "\nrefused by {}: {} {} for another {:.0}s; it was in flight at {} deaths",
                app.name,
                refused.method,
                refused.path,
                refused.left_s.ceil(),
                refused.deaths
            ));
        }
    }
    text
}
