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
    /// What a reload has changed besides.
    site: Option<&'a [String]>,
}

/// Why a command failed.
#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    /// For programs: `not_running`, `not_allowed`, `not_found`, `refused`, `failed`, `timeout`, `lost`, `protocol`.
    class: &'a str,
    message: String,
    hint: Option<&'a str>,
    /// All that is wrong, where several things may be.
    problems: &'a [Problem],
}

impl<'a> ErrorObject<'a> {
    fn new(class: &'a str, message: String) -> ErrorObject<'a> {
        ErrorObject {
            class,
            message,
            hint: None,
            problems: &[],
        }
    }
}

/// Results for apps, and of a reload what has changed of the `site`: the command has done what it could.
pub(crate) fn done(apps: &[AppResult], site: Option<&[String]>, as_json: bool) -> Exit {
    let failed: Vec<&str> = apps
        .iter()
        .filter(|app| app.error.is_some())
        .map(|app| app.app.as_str())
        .collect();
    if as_json {
        let message = format!("it did not work for {}", failed.join(", "));
        let error = (!failed.is_empty()).then(|| ErrorObject::new("failed", message));
        print(error, apps, site);
    } else {
        apps.iter().for_each(print_result);
        match site {
            Some([]) if apps.is_empty() => output::answer("nothing has changed"),
            None | Some([]) => {}
            Some(changed) => {
                output::answer(&format!("site: updated ({})", changed.join(", ")));
            }
        }
    }
    match failed.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    }
}

/// What was waited for did not come in time: `message`, and what each app is instead.
pub(crate) fn timed_out(message: String, apps: &[AppResult], as_json: bool) -> Exit {
    if as_json {
        print(Some(ErrorObject::new("timeout", message)), apps, None);
    } else {
        output::message(&format!("error: {}", printable(&message)));
        for app in apps {
            if let Some(failure) = &app.error {
                output::message(&format!("  {}: {}", app.app, reason(failure)));
            }
        }
    }
    Exit::TimedOut
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
        ControlError::Cut => (
            "lost",
            Exit::Failed,
            Some(
                "`paster serve` starts it again; its log, or that of the kernel (`dmesg`), may say what killed it",
            ),
        ),
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
        print(Some(error), &[], None);
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
        print(Some(error), &[], None);
    } else {
        output::message(&format!("error: {}", printable(message)));
        if let Some(hint) = hint {
            output::message(&format!("hint: {hint}"));
        }
    }
    Exit::Failed
}

const AS_WHOM: &str = "run it as the user who runs `paster serve`, or as root";

fn print(error: Option<ErrorObject<'_>>, apps: &[AppResult], site: Option<&[String]>) {
    output::answer(&json(&Outcome {
        schema_version: SCHEMA_VERSION,
        ok: error.is_none(),
        error,
        apps,
        site,
    }));
}

fn print_result(result: &AppResult) {
    let AppResult {
        app,
        action,
        generation,
        processes,
        error,
    } = result;
    match (error, processes, generation) {
        (Some(failure), ..) => {
            let failure = render_failure(app, action, failure);
            output::message(&format!("error: {failure}"));
        }
        (None, Some(1), _) => output::answer(&format!("{app}: {action} (1 process)")),
        (None, Some(n), _) => output::answer(&format!("{app}: {action} ({n} processes)")),
        (None, None, 0) => output::answer(&format!("{app}: {action}")),
        (None, None, n) => output::answer(&format!("{app}: {action} (generation {n})")),
    }
}

fn render_failure(app: &str, action: &str, failure: &Failure) -> String {
    let mut text = match action {
        "added" => format!("`{app}` was added, but does not serve: "),
        _ => format!("`{app}` was not {action}: "),
    };
    text.push_str(&reason(failure));
    if failure.step.is_some() || !failure.last_output.is_empty() {
        text.push_str("\nhint: if the app was serving, its old workers still are; correct the cause and repeat the command");
    }
    text
}

/// What happened, with what the worker said last.
fn reason(failure: &Failure) -> String {
    let mut text = failure.what.clone();
    if let Some(step) = &failure.step {
        text.push_str(&format!("\n   = last step: {step}"));
    }
    for (n, line) in failure.last_output.iter().enumerate() {
        let label = match n {
            0 => "last output:",
            _ => "            ",
        };
        text.push_str(&format!("\n   = {label} {line}"));
    }
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_was_not_done_why_and_what_the_worker_said() {
        let failure = Failure {
            what: "a worker exited with status 1 before it was ready".to_owned(),
            step: Some("importing blog".to_owned()),
            last_output: vec!["Traceback".to_owned(), "No module\u{1b}[2J".to_owned()],
        };
        let expected = "\
`blog` was not restarted: a worker exited with status 1 before it was ready
   = last step: importing blog
   = last output: Traceback
   =              No module\u{fffd}[2J
hint: if the app was serving, its old workers still are; correct the cause and repeat the command";
        assert_eq!(render_failure("blog", "restarted", &failure), expected);
    }

    #[test]
    fn nothing_is_said_of_workers_where_none_is_to_blame() {
        let failure = Failure::new("the app was stopped");
        assert_eq!(
            render_failure("blog", "restarted", &failure),
            "`blog` was not restarted: the app was stopped"
        );
    }
}
