//! docs/settings.md holds the tables that the code holds.

use super::keys::{self, Key, Scope};
use super::stock::FANS_OUT;

const SETTINGS: &str = include_str!("../../../docs/settings.md");

fn row(key: &Key) -> String {
    let default = match key.default.starts_with('(') {
        true => key.default.to_owned(),
        false => format!("`{}`", key.default),
    };
    format!("| `{}` | {default} | {} |", key.name, key.about)
}

fn table(scope: Scope) -> String {
    let rows = keys::all().filter(|key| key.scope == scope).map(row);
    let head = ["| key | default | |", "|---|---|---|"].map(str::to_owned);
    head.into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn documented(table: &str) {
    assert!(
        SETTINGS.contains(table),
        "docs/settings.md should contain\n\n{table}\n"
    );
}

#[test]
fn every_key_is_documented() {
    documented(&table(Scope::App));
    documented(&table(Scope::Site));
}

#[test]
fn every_filter_that_fans_out_is_documented() {
    let rows: Vec<String> = FANS_OUT
        .iter()
        .map(|(target, uri)| format!("| `{uri}` | `{target}` |"))
        .collect();
    documented(&format!(
        "| filter | factory |\n|---|---|\n{}",
        rows.join("\n")
    ));
}
