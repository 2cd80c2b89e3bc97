//! Hand-written configurations: `tests/fixtures/paste/CASE/` with a `case.json` beside its files.

use crate::compare::class;
use crate::eggs::{self, Eggs};
use crate::environment;
use crate::judge::{self, Query};
use indexmap::IndexMap;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What a `case.json` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The rule that the case is about, for people.
    #[expect(
        dead_code,
        reason = "documentation beside the files; required, so that no case goes without"
    )]
    rule: String,
    /// `tree`, or the class of the error: what the original is known to answer.
    expect: String,
    #[serde(default = "main_file")]
    uri: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default = "app")]
    kind: String,
    #[serde(default)]
    global_conf: IndexMap<String, String>,
    /// Distributions besides those in `tests/fixtures/paste/eggs.json`.
    #[serde(default)]
    eggs: Eggs,
}

fn main_file() -> String {
    "main.ini".to_owned()
}

fn app() -> String {
    "app".to_owned()
}

/// All fixtures as queries, and what the original is known to answer.
pub(crate) struct Fixtures {
    pub(crate) queries: Vec<Query>,
    pub(crate) expected: Vec<String>,
    /// Holds the distributions.
    pub(crate) scratch: TempDir,
}

pub(crate) fn directory() -> PathBuf {
    environment::root().join("tests/fixtures/paste")
}

pub(crate) fn standard_eggs(scratch: &Path) -> Vec<PathBuf> {
    let text = fs::read(directory().join("eggs.json")).expect("read eggs.json");
    eggs::write(
        &scratch.join("standard-eggs"),
        &serde_json::from_slice(&text).expect("eggs.json is in order"),
    )
}

pub(crate) fn load() -> Fixtures {
    let scratch = TempDir::new().expect("create a temporary directory");
    let standard = standard_eggs(scratch.path());
    let mut cases: Vec<PathBuf> = fs::read_dir(directory())
        .expect("read the fixtures")
        .map(|entry| entry.expect("read the fixtures").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    let mut fixtures = Fixtures {
        queries: Vec::new(),
        expected: Vec::new(),
        scratch,
    };
    for case in cases {
        let label = case
            .file_name()
            .expect("it was listed by name")
            .to_string_lossy()
            .into_owned();
        let text = fs::read(case.join("case.json"))
            .unwrap_or_else(|error| panic!("{label}/case.json: {error}"));
        let manifest: Manifest = serde_json::from_slice(&text)
            .unwrap_or_else(|error| panic!("{label}/case.json: {error}"));
        let mut path = standard.clone();
        if !manifest.eggs.is_empty() {
            path.extend(eggs::write(
                &fixtures.scratch.path().join(&label),
                &manifest.eggs,
            ));
        }
        fixtures.expected.push(manifest.expect);
        fixtures.queries.push(Query {
            label,
            directory: case,
            uri: manifest.uri,
            name: manifest.name,
            kind: manifest.kind,
            global_conf: manifest.global_conf,
            path,
        });
    }
    fixtures
}

#[test]
fn every_fixture_resolves_as_with_the_original() {
    let fixtures = load();
    assert!(
        fixtures.queries.len() >= 150,
        "only {} fixtures were found",
        fixtures.queries.len()
    );
    let answers = judge::agree("fixtures", &fixtures.queries);
    let found = answers
        .iter()
        .map(|answer| class(&answer["context"]).unwrap_or("tree"));
    let strays: Vec<String> = fixtures
        .queries
        .iter()
        .zip(fixtures.expected.iter().zip(found))
        .filter(|(_, (expected, found))| expected != found)
        .map(|(query, (expected, found))| format!("{}: {found}, not {expected}", query.label))
        .collect();
    assert!(
        strays.is_empty(),
        "these are not about what they say:\n{}",
        strays.join("\n")
    );
}
