//! `paster status`.

use super::args::StatusArgs;
use super::exit::Exit;
use super::problems::printable;
use super::table::headed;
use super::{check, output, remote, units};
use crate::control::protocol::{Answer, AppStatus, Command, Status, WorkerStatus};
use std::fmt::Write;

pub(crate) fn run(args: &StatusArgs) -> Exit {
    match remote::call(&args.site, &Command::Status) {
        Ok(Answer::Status(status)) => {
            if args.json {
                output::answer(&check::json(&status));
            } else {
                output::answer(&render(&status));
            }
            Exit::Ok
        }
        other => remote::finish(other, args.json),
    }
}

fn render(status: &Status) -> String {
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
        "paster {} (pid {}, proxy {proxy}) serves {} on {}, up {}\n{}",
        status.version,
        status.pid,
        status.config,
        listen.join(" "),
        units::age(status.uptime_s),
        table(&status.apps)
    );
    status.apps.iter().for_each(|app| notes(&mut text, app));
    printable(&text)
}

fn table(apps: &[AppStatus]) -> String {
    let head = [
        "APP", "STATE", "MOUNTS", "GEN", "WORKERS", "RESTARTS", "REQUESTS", "QUEUED",
    ];
    let rows = apps.iter().map(|app| {
        let workers: Vec<String> = app.workers.iter().map(worker).collect();
        let scale = if app.max_processes > app.processes {
            format!(" ({} of up to {})", app.processes, app.max_processes)
        } else {
            String::new()
        };
        [
            app.name.clone(),
            shown_state(app),
            app.mounts.join(" "),
            app.generation.to_string(),
            workers.join(", ") + &scale,
            app.restarts.to_string(),
            app.requests.to_string(),
            app.queued.to_string(),
        ]
    });
    headed(head, 5, rows)
}

/// `21137 16 MB`; one that is not ready with its state instead of its memory.
fn worker(worker: &WorkerStatus) -> String {
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
}

/// What clients of the app meet.
fn shown_state(app: &AppStatus) -> String {
    let state = match app.unreachable {
        Some(_) => "unreachable",
        None => &app.state,
    };
    match app.maintenance {
        true => format!("{state} (maintenance)"),
        false => state.to_owned(),
    }
}

/// What else is to be known of an app, a line for each.
fn notes(text: &mut String, app: &AppStatus) {
    let name = &app.name;
    if let Some(message) = &app.maintenance_message {
        let _ = write!(text, "\nmaintenance of {name}: {message}");
    }
    if let Some(why) = &app.unreachable {
        let _ = write!(text, "\n{name} cannot be reached: {why}");
    }
    if let Some(death) = &app.last_death {
        let _ = write!(text, "\nlast death of {name}: {death}");
        if let Some(report) = &app.last_report {
            let _ = write!(text, " (report {report})");
        }
    }
    for refused in &app.refused {
        let _ = write!(
            text,
            "\nrefused by {name}: {} {} for another {:.0}s; it was in flight at {} deaths",
            refused.method,
            refused.path,
            refused.left_s.ceil(),
            refused.deaths
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_that_a_terminal_would_obey_is_shown() {
        let app = json!({
            "name": "bl\u{1b}og", "state": "failed", "mounts": ["/"], "generation": 1, "restarts": 0, "queued": 0, "requests": 0,
            "workers": [], "last_death": "worker 0 \u{1b}[2J", "maintenance_message": "soon\u{7}",
        });
        let status = json!({
            "schema_version": 1, "pid": 42, "version": "1.0", "config": "/srv/\u{1b}.ini", "uptime_s": 1.0, "upgrades": 0,
            "upgrade_error": null, "cpu_s": null, "rss_bytes": null, "listen": ["127.0.0.1:80"],
            "proxy": {"pid": null, "cpu_s": null, "rss_bytes": null, "connections": 0, "table_version": 0},
            "apps": [app],
        });
        let text = render(&serde_json::from_value(status).expect("a status"));
        let is_harmless = |c: char| !c.is_control() || c == '\n';
        assert!(text.chars().all(is_harmless), "{text:?}");
        assert!(text.contains("last death of bl\u{fffd}og"), "{text}");
    }
}
