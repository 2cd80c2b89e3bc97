//! The commands that talk to a running `paster serve`.

use super::args::{AppsArgs, SiteArgs, StatusArgs};
use super::exit::Exit;
use super::{output, site};
use crate::control::client::{self, ControlError};
use crate::control::protocol::{Answer, AppResult, Command, Failure, Status};
use crate::sys::rundir;

/// Time between two tries while paster is being upgraded.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

pub(crate) fn status(args: &StatusArgs) -> Exit {
    match call(&args.site, &Command::Status) {
        Ok(Answer::Status(status)) => {
            if args.json {
                print_json(&status);
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

pub(crate) fn call(site: &SiteArgs, command: &Command) -> Result<Answer, ControlError> {
    let run_dir = rundir::locate(&site::config_path(&site.config), site.run_dir.as_deref());
    let socket = rundir::control_socket(&run_dir);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| ControlError::Connect {
        path: socket.clone(),
        error,
    })?;
    runtime.block_on(async {
        loop {
            match client::call(&socket, command).await {
                // A new version is just taking over.
                Ok(Answer::Again) => tokio::time::sleep(AGAIN).await,
                answer => return answer,
            }
        }
    })
}

pub(crate) fn finish(answer: Result<Answer, ControlError>, json: bool) -> Exit {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            output::message(&format!("error: {error}"));
            return match error {
                ControlError::NotRunning(_) => {
                    output::message(
                        "hint: start it with `paster serve --isolate CONFIG`; if it runs, give the same CONFIG and --run-dir, as the same user",
                    );
                    Exit::NotRunning
                }
                ControlError::Connect { error, .. }
                    if error.kind() == std::io::ErrorKind::PermissionDenied =>
                {
                    output::message("hint: run it as the user who runs `paster serve`, or as root");
                    Exit::Failed
                }
                _ => Exit::Failed,
            };
        }
    };
    if json {
        print_json(&answer);
    }
    match answer {
        Answer::Refused { errors } => {
            if !json {
                for error in errors {
                    output::message(&format!("error: {error}"));
                }
            }
            Exit::Failed
        }
        Answer::Done { apps } => {
            if !json {
                apps.iter().for_each(print_result);
            }
            if apps.iter().any(|app| app.error.is_some()) {
                Exit::Failed
            } else {
                Exit::Ok
            }
        }
        Answer::Status(_) | Answer::Upgrading { .. } => Exit::Ok,
        Answer::Again => Exit::Failed,
    }
}

pub(crate) fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => output::answer(&text),
        Err(error) => output::message(&format!("error: {error}")),
    }
}

fn print_result(result: &AppResult) {
    match &result.error {
        None if result.generation > 0 => {
            output::answer(&format!(
                "{}: {} (generation {})",
                result.app, result.action, result.generation
            ));
        }
        None => output::answer(&format!("{}: {}", result.app, result.action)),
        Some(failure) => output::message(&render_failure(&result.app, failure)),
    }
}

fn render_failure(app: &str, failure: &Failure) -> String {
    let mut text = format!(
        "error: the new workers of `{app}` did not come up: a worker {}",
        failure.what
    );
    if let Some(step) = &failure.step {
        text.push_str(&format!("\n   = last step: {step}"));
    }
    for (n, line) in failure.last_output.iter().enumerate() {
        let label = if n == 0 {
            "last output:"
        } else {
            "            "
        };
        text.push_str(&format!("\n   = {label} {line}"));
    }
    text.push_str("\nhint: if the app was serving, its old workers still are; correct the cause and repeat the command");
    text
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
        table.add_row([
            app.name.clone(),
            app.state.clone(),
            app.mounts.join(" "),
            app.generation.to_string(),
            workers.join(", "),
            app.restarts.to_string(),
            app.requests.to_string(),
            app.queued.to_string(),
        ]);
    }
    let proxy = status
        .proxy
        .pid
        .map_or_else(|| "none".to_owned(), |pid| pid.to_string());
    let mut text = format!(
        "paster {} (pid {}, proxy {proxy}) serves {} on {}, up {:.0}s\n{table}",
        status.version,
        status.pid,
        status.config,
        status.listen.join(" "),
        status.uptime_s,
    );
    for app in status.apps.iter() {
        if let Some(death) = &app.last_death {
            text.push_str(&format!("\nlast death of {}: {death}", app.name));
        }
    }
    text
}
