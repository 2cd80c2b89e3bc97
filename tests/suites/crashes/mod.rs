//! Every death that nobody asked for leaves a report, which survives paster itself.

mod deaths;
mod kept;

use crate::harness::{Paster, Site};
use serde_json::Value;

/// What `paster crashes --json` prints.
#[track_caller]
fn reports(paster: &Paster, words: &[&str]) -> Vec<Value> {
    let words = [&["crashes", "--json"], words].concat();
    let listed = paster.command(&words).succeeded();
    assert_eq!(listed.stderr, "");
    serde_json::from_str(&listed.stdout).expect("a JSON list")
}

/// Waits for `count` reports of `app`; an older one may have been repeated meanwhile.
#[track_caller]
fn wait_for_reports(paster: &Paster, app: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    paster.wait_for(&format!("{count} reports of {app}"), || {
        found = reports(paster, &[app]);
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// The only report of `app`.
#[track_caller]
fn the_report(paster: &Paster, app: &str) -> Value {
    wait_for_reports(paster, app, 1).remove(0)
}

#[track_caller]
fn text<'a>(report: &'a Value, field: &str) -> &'a str {
    report[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {report:#}"))
}

fn steps(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().expect("a list");
    steps.iter().map(|s| text(s, "what").to_owned()).collect()
}

/// What was printed on one stream, or on both.
fn output(report: &Value, stream: Option<&str>) -> String {
    let lines = report["output"].as_array().expect("a list");
    lines
        .iter()
        .filter(|line| stream.is_none_or(|stream| line["stream"] == stream))
        .map(|line| format!("{}\n", text(line, "text")))
        .collect()
}

/// `METHOD PATH` of each request, sorted.
fn requests(report: &Value) -> Vec<String> {
    let requests = report["requests"].as_array().expect("a list");
    let mut names: Vec<String> = requests
        .iter()
        .map(|r| format!("{} {}", text(r, "method"), text(r, "path")))
        .collect();
    names.sort();
    names
}

fn one_app() -> Site {
    Site::new()
        .actor("home", "/")
        .policy("home", "restart_delay = 20ms")
}
