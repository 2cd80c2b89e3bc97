//! Random configurations, the same on both sides.

use crate::compare::class;
use crate::fixtures::standard_eggs;
use crate::generate::{ini, tree};
use crate::judge::{self, Query};
use fastrand::Rng;
use indexmap::IndexMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Cases of each test; `PASTER_CASES` for a longer hunt.
fn cases() -> usize {
    match std::env::var("PASTER_CASES") {
        Ok(text) => text.parse().expect("PASTER_CASES is a number"),
        Err(_) => 500,
    }
}

#[test]
fn random_texts_are_read_as_by_the_original() {
    let scratch = TempDir::new().expect("create a temporary directory");
    let eggs = standard_eggs(scratch.path());
    let queries: Vec<Query> = (0..cases())
        .map(|number| {
            let text = ini::text(&mut Rng::with_seed(
                judge::seed().wrapping_add(number as u64),
            ));
            let directory = case(scratch.path(), number);
            fs::write(directory.join("main.ini"), &text.bytes).expect("write a generated file");
            query(number, directory, text.global_conf, &eggs)
        })
        .collect();
    let answers = judge::agree("texts", &queries);
    about_half_resolve(&answers);
}

#[test]
fn random_structures_resolve_as_with_the_original() {
    let scratch = TempDir::new().expect("create a temporary directory");
    let eggs = standard_eggs(scratch.path());
    let queries: Vec<Query> = (0..cases())
        .map(|number| {
            let site = tree::site(&mut Rng::with_seed(
                judge::seed().wrapping_add(number as u64),
            ));
            let directory = case(scratch.path(), number);
            for (path, text) in &site.files {
                let path = directory.join(path);
                fs::create_dir_all(path.parent().expect("it is below the case"))
                    .expect("create a directory");
                fs::write(path, text).expect("write a generated file");
            }
            let query = query(number, directory, site.global_conf, &eggs);
            Query {
                uri: site.uri,
                name: site.name,
                kind: site.kind.to_owned(),
                ..query
            }
        })
        .collect();
    let answers = judge::agree("structures", &queries);
    about_half_resolve(&answers);
}

fn case(scratch: &Path, number: usize) -> PathBuf {
    let directory = scratch.join(format!("case-{number}"));
    fs::create_dir(&directory).expect("create the directory of a case");
    directory
}

fn query(
    number: usize,
    directory: PathBuf,
    global_conf: IndexMap<String, String>,
    eggs: &[PathBuf],
) -> Query {
    Query {
        label: format!("PASTER_SEED={} case {number}", judge::seed()),
        directory,
        uri: "main.ini".to_owned(),
        name: None,
        kind: "app".to_owned(),
        global_conf,
        path: eggs.to_vec(),
    }
}

/// Guards the generators: cases that all fail, or all succeed, would prove little.
fn about_half_resolve(answers: &[Value]) {
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in answers {
        *classes
            .entry(class(&answer["context"]).unwrap_or("tree"))
            .or_default() += 1;
    }
    let share = classes.get("tree").copied().unwrap_or(0) * 100 / answers.len();
    assert!(
        (35..=70).contains(&share),
        "{share} % of the cases resolve: {classes:?}"
    );
}
