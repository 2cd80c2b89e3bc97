//! The same questions to both, and what to say when they disagree.

use crate::compare::difference;
use crate::oracle::Oracle;
use crate::{environment, program};
use indexmap::IndexMap;
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// "What does this resolve to?"
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// For people: the fixture's name, or the seed and number of a generated case.
    pub(crate) label: String,
    /// Where relative URIs start.
    pub(crate) directory: PathBuf,
    pub(crate) uri: String,
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    pub(crate) global_conf: IndexMap<String, String>,
    /// Directories with distributions.
    pub(crate) path: Vec<PathBuf>,
}

/// How many reports a failing test prints in full; all of them are in files.
const PRINTED: usize = 5;

/// `PASTER_SEED`, or always the same one, so that a failure is never a surprise.
pub(crate) fn seed() -> u64 {
    match std::env::var("PASTER_SEED") {
        Ok(text) => text.parse().expect("PASTER_SEED is a number"),
        Err(_) => 2026,
    }
}

/// Fails, with a report for each disagreement, unless both agree on every query. Returns the original's answers.
pub(crate) fn agree(suite: &str, queries: &[Query]) -> Vec<Value> {
    environment::directory();
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| program::resolve_all(queries));
        let mut oracle = Oracle::start();
        let theirs: Vec<Value> = queries.iter().map(|query| oracle.resolve(query)).collect();
        (
            ours.join().expect("the processes of paster were run"),
            theirs,
        )
    });
    let reports: Vec<String> = queries
        .iter()
        .zip(ours.iter().zip(&theirs))
        .filter_map(|(query, (ours, theirs))| {
            let what = difference(&ours["context"], &theirs["context"])?;
            Some(report(query, &what, ours, theirs))
        })
        .collect();
    fail_with(suite, &reports, queries.len());
    theirs
}

/// Panics if there are reports; leaves each in `target/tmp/differential/SUITE-NNN.txt`.
pub(crate) fn fail_with(suite: &str, reports: &[String], cases: usize) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("differential")
        .join(suite);
    let _ = fs::remove_dir_all(&directory);
    if reports.is_empty() {
        return;
    }
    fs::create_dir_all(&directory).expect("create the directory for reports");
    for (number, report) in reports.iter().enumerate() {
        fs::write(directory.join(format!("{number:03}.txt")), report).expect("write a report");
    }
    panic!(
        "{} of {cases} cases differ; all reports are in {}\n\n{}",
        reports.len(),
        directory.display(),
        reports[..reports.len().min(PRINTED)].join("\n\n")
    );
}

fn report(query: &Query, what: &str, ours: &Value, theirs: &Value) -> String {
    let mut text = format!("== {}\n{what}\n", query.label);
    let _ = writeln!(
        text,
        "uri {:?} name {:?} kind {} globals {:?}",
        query.uri, query.name, query.kind, query.global_conf
    );
    for (file, content) in files(&query.directory) {
        let _ = writeln!(text, "-- {}\n{content}", file.display());
    }
    let _ = writeln!(text, "-- ours\n{ours:#}\n-- the original\n{theirs:#}");
    text
}

/// The files of a case, escaped where that is needed to see what is in them.
fn files(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if let Ok(bytes) = fs::read(&path) {
            let plain = bytes.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~'));
            let text = String::from_utf8_lossy(&bytes);
            found.push((
                path,
                if plain {
                    text.into_owned()
                } else {
                    format!("{text:?}").replace("\\n", "\\n\n")
                },
            ));
        }
    }
    found.sort();
    found
}
