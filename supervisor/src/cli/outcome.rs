//! How a command to a running paster ended: for people, as JSON (one shape for all commands, docs/cli.md), and as exit
//! status.

use super::check::json;
use super::exit::Exit;
use super::output;
use super::problems::{Severity, printable, render};
use crate::config::problem::Problem;
use crate::control::client::ControlError;
use crate::control::protocol::{AppResult, Failure};
use serde::Serialize;

/// Version of the JSON form; fields are only ever added.
const SCHEMA_VERSION: u32 = 1;

/// What `--json` prints for every command that changes something, and for any command that fails.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    schema_version: u32,
    ok: bool,
    error: Option<ErrorObject<'a>>,
    apps: &'a [AppResult],
}

/// Why a command failed.
#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    /// For programs: `not_running`, `not_allowed`, `not_found`, `refused`, `failed`, `lost`, `protocol`.
    class: &'a str,
    message: String,
    hint: Option<&'a str>,
    /// All that is wrong, where several things may be.
    problems: &'a [Problem],
}

/// Results for apps: the command has done what it could.
pub(crate) fn done(apps: &[AppResult], as_json: bool) -> Exit {
    let failed: Vec<&str> = apps
        .iter()
        .filter(|app| app.error.is_some())
        .map(|app| app.app.as_str())
        .collect();
    if as_json {
        let error = (!failed.is_empty()).then(|| ErrorObject {
            class: "failed",
            message: format!("it did not work for {}", failed.join(", ")),
            hint: None,
            problems: &[],
        });
        print(error, apps);
    } else {
        apps.iter().for_each(print_result);
    }
    if failed.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    }
}

/// No answer, or a refusal.
pub(crate) fn fail(error: &ControlError, as_json: bool) -> Exit {
    let (class, exit, hint) = match error {
        ControlError::NotRunning(_) => (
            "not_running",
            Exit::NotRunning,
            Some(
                "start it with `paster serve --isolate CONFIG`; if it runs, give the same CONFIG and --run-dir, as the same user",
            ),
        ),
        ControlError::Connect { error, .. }
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            ("not_allowed", Exit::Failed, Some(AS_WHOM))
        }
        ControlError::NotAllowed(_) => ("not_allowed", Exit::Failed, Some(AS_WHOM)),
        ControlError::Refused(_) => ("refused", Exit::Failed, None),
        ControlError::Lost => ("lost", Exit::Failed, None),
        ControlError::Connect { .. } | ControlError::Strange(_) => ("protocol", Exit::Failed, None),
    };
    let problems = match error {
        ControlError::Refused(problems) => problems.as_slice(),
        _ => &[],
    };
    if as_json {
        let message = match problems {
            [problem] => problem.message.clone(),
            _ => error.to_string(),
        };
        let error = ErrorObject {
            class,
            message,
            hint,
            problems,
        };
        print(Some(error), &[]);
    } else if problems.is_empty() {
        output::message(&format!("error: {}", printable(&error.to_string())));
        if let Some(hint) = hint {
            output::message(&format!("hint: {hint}"));
        }
    } else {
        output::message(&render(problems, Severity::Error));
    }
    exit
}

/// What was asked for is not to be had.
pub(crate) fn not_found(message: &str, hint: &str, as_json: bool) -> Exit {
    complain("not_found", message, Some(hint), as_json)
}

/// Files of paster cannot be read.
pub(crate) fn unreadable(message: &str, error: &std::io::Error, as_json: bool) -> Exit {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            complain("not_allowed", message, Some(AS_WHOM), as_json)
        }
        _ => complain("failed", message, None, as_json),
    }
}

fn complain(class: &str, message: &str, hint: Option<&str>, as_json: bool) -> Exit {
    if as_json {
        let error = ErrorObject {
            class,
            message: message.to_owned(),
            hint,
            problems: &[],
        };
        print(Some(error), &[]);
    } else {
        output::message(&format!("error: {}", printable(message)));
        if let Some(hint) = hint {
            output::message(&format!("hint: {hint}"));
        }
    }
    Exit::Failed
}

const AS_WHOM: &str = "run it as the user who runs `paster serve`, or as root";

fn print(error: Option<ErrorObject<'_>>, apps: &[AppResult]) {
    output::answer(&json(&Outcome {
        schema_version: SCHEMA_VERSION,
        ok: error.is_none(),
        error,
        apps,
    }));
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
