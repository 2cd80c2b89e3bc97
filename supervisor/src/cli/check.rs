//! `paster check`: where it listens, what goes where, where the tree was cut and why, and every warning.

use super::args::CheckArgs;
use super::exit::Exit;
use super::output::{answer, message};
use super::problems::{Severity, printable, render, shown};
use super::report::{App, Failure, Report};
use super::site;
use super::table::columns;
use crate::config::problem::Problem;
use crate::confine::verdict::Guarantee;
use crate::plan::build::build;
use crate::plan::keys::Effective;
use std::fmt::Write;

pub(crate) fn run(args: &CheckArgs) -> Exit {
    let request = match site::request(&args.config) {
        Ok(request) => request,
        Err(text) => {
            message(&format!("error: {text}"));
            return Exit::Usage;
        }
    };
    let plan = match build(&request) {
        Ok(plan) => plan,
        Err(errors) => return fail(&errors, args.json),
    };
    let report = Report::new(&plan);
    if args.json {
        answer(&json(&report));
        return Exit::Ok;
    }
    if !plan.warnings.is_empty() {
        message(&render(&plan.warnings, Severity::Warning));
        message("");
    }
    answer(&people(&report));
    Exit::Ok
}

/// Prints errors, all of them, where the reader looks for them.
pub(crate) fn fail(errors: &[Problem], as_json: bool) -> Exit {
    if as_json {
        answer(&json(&Failure::new(errors)));
    } else {
        message(&render(errors, Severity::Error));
    }
    Exit::Failed
}

/// Pretty JSON of something that always has one.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value)
        .unwrap_or_else(|error| format!("{{\"ok\": false, \"error\": \"{error}\"}}"))
}

fn people(report: &Report<'_>) -> String {
    let mut text = format!("{}: good\n", printable(&shown(report.config)));
    section(
        &mut text,
        "listen",
        report
            .listeners
            .iter()
            .map(|listener| vec![listener.address.clone(), listener.words()]),
    );
    let routes = report.routes.iter().map(|row| {
        let app = row.app.clone().unwrap_or_else(|| "404".to_owned());
        vec![row.mount(), app]
    });
    section(&mut text, "routes", routes);
    let apps = report.apps.iter().map(|app| {
        let (kind, what) = app.runs.words();
        vec![app.name.to_owned(), place(app), kind.to_owned(), what]
    });
    section(&mut text, "apps", apps);
    let cuts = report.cuts.iter().map(|cut| {
        let app = cut.app.clone().unwrap_or_else(|| "-".to_owned());
        vec![app, cut.node.clone(), cut.why.clone()]
    });
    section(&mut text, "cut", cuts);
    for app in &report.apps {
        let title = format!("settings of {} that are not the default", app.name);
        section_if_any(&mut text, &title, changed(&app.settings));
    }
    for app in &report.apps {
        let title = format!("isolation of {}", app.name);
        section_if_any(&mut text, &title, app.guarantees.iter().map(guarantee));
    }
    let _ = write!(text, "\nall settings are in the output of --json");
    text
}

/// Settings that do not have their default.
fn changed(settings: &[Effective]) -> impl Iterator<Item = Vec<String>> {
    let changed: Vec<_> = settings
        .iter()
        .filter(|setting| setting.value != setting.default)
        .collect();
    let width = value_width(&changed);
    changed.into_iter().map(move |setting| {
        let (value, default) = (&setting.value, &setting.default);
        vec![
            format!("* {}", setting.key),
            format!("{value:width$}  (not {default})"),
        ]
    })
}

/// A long value (rules for fields, pages) does not push what stands behind the others out of sight.
fn value_width(settings: &[&Effective]) -> usize {
    const LONG: usize = 40;
    let widths = settings.iter().map(|setting| setting.value.chars().count());
    widths.filter(|width| *width <= LONG).max().unwrap_or(0)
}

fn guarantee(guarantee: &Guarantee) -> Vec<String> {
    let holds = match guarantee.holds {
        true => "holds",
        false => "does not hold here",
    };
    let hint = guarantee.hint.as_ref();
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    vec![
        guarantee.key.to_owned(),
        holds.to_owned(),
        format!("{}{hint}", guarantee.why),
    ]
}

fn place(app: &App<'_>) -> String {
    if app.line == 0 {
        "-".to_owned()
    } else {
        format!("{}:{} [{}]", shown(app.file), app.line, app.section)
    }
}

fn section(text: &mut String, title: &str, rows: impl IntoIterator<Item = Vec<String>>) {
    let _ = writeln!(text, "\n{title}\n{}", columns(rows));
}

fn section_if_any(text: &mut String, title: &str, rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_some() {
        section(text, title, rows);
    }
}
