//! `paster check`: where it listens, what goes where, where the tree was cut and why, and every warning.

use super::args::CheckArgs;
use super::exit::Exit;
use super::output::{answer, message};
use super::problems::{Severity, printable, render, shown};
use super::report::{App, Failure, Report};
use super::site;
use super::table::columns;
use crate::config::problem::Problem;
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
        let changed = app
            .settings
            .iter()
            .filter(|setting| setting.value != setting.default);
        let changed: Vec<&Effective> = changed.collect();
        let width = value_width(&changed);
        let rows: Vec<Vec<String>> = changed
            .iter()
            .map(|setting| {
                let (value, default) = (&setting.value, &setting.default);
                vec![
                    format!("* {}", setting.key),
                    format!("{value:width$}  (not {default})"),
                ]
            })
            .collect();
        if !rows.is_empty() {
            section(
                &mut text,
                &format!("settings of {} that are not the default", app.name),
                rows,
            );
        }
    }
    for app in report.apps.iter().filter(|app| !app.guarantees.is_empty()) {
        let rows = app.guarantees.iter().map(|guarantee| {
            let holds = if guarantee.holds {
                "holds"
            } else {
                "does not hold here"
            };
            let hint = guarantee.hint.as_ref();
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            vec![
                guarantee.key.to_owned(),
                holds.to_owned(),
                format!("{}{hint}", guarantee.why),
            ]
        });
        section(&mut text, &format!("isolation of {}", app.name), rows);
    }
    let _ = write!(text, "\nall settings are in the output of --json");
    text
}

/// A long value (rules for fields, pages) does not push what stands behind the others out of sight.
fn value_width(settings: &[&Effective]) -> usize {
    const LONG: usize = 40;
    let widths = settings.iter().map(|setting| setting.value.chars().count());
    widths.filter(|width| *width <= LONG).max().unwrap_or(0)
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
