//! Two drivers of the original, written apart from each other, must tell the same.

use crate::compare::difference;
use crate::judge;
use crate::oracle::Oracle;
use crate::{environment, fixtures};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// The other driver is no part of this repository.
fn peer() -> Option<PathBuf> {
    let beside = environment::root().parent()?;
    [
        beside.join("shared/oracle/paste_oracle.py"),
        beside.parent()?.join("shared/oracle/paste_oracle.py"),
    ]
    .into_iter()
    .find(|path| path.exists())
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "says why it proves nothing where there is no peer"
)]
fn our_driver_of_the_original_agrees_with_an_independent_one() {
    let Some(peer) = peer() else {
        eprintln!("skipped: no other driver in ../shared/oracle");
        return;
    };
    let fixtures = fixtures::load();
    let base = fixtures.scratch.path().join("peer");
    fs::create_dir_all(base.join("fixtures")).expect("create the peer's directory");
    let mut by_path: BTreeMap<&[PathBuf], Vec<Value>> = BTreeMap::new();
    for query in &fixtures.queries {
        symlink(&query.directory, base.join("fixtures").join(&query.label))
            .expect("link a fixture");
        by_path.entry(&query.path).or_default().push(json!({
            "id": query.label, "uri": query.uri, "name": query.name, "kind": query.kind,
            "global_conf": query.global_conf,
        }));
    }
    let manifest = base.join("manifest.json");
    for (path, cases) in by_path {
        fs::write(&manifest, json!({ "cases": cases }).to_string())
            .expect("write the peer's manifest");
        let mut command = Command::new(environment::python());
        command
            .args(["-X", "utf8"])
            .arg(&peer)
            .arg("--batch")
            .arg(&manifest)
            .arg("--out")
            .arg(base.join("out"));
        for directory in path {
            command.arg("--path").arg(directory);
        }
        let output = command.output().expect("start the other driver");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    let mut oracle = Oracle::start();
    let mut reports = Vec::new();
    for query in &fixtures.queries {
        let text = fs::read(base.join("out").join(format!("{}.json", query.label)))
            .expect("read the peer's answer");
        let theirs: Value = serde_json::from_slice(&text).expect("the peer prints JSON");
        // Paths are the case's directory there; the peer's are below `$ROOT`.
        let ours = oracle
            .resolve(query)
            .to_string()
            .replace(&query.directory.to_string_lossy()[..], "$ROOT");
        let ours: Value = serde_json::from_str(&ours).expect("it was JSON before");
        if let Some(what) = difference(&ours["context"], &theirs["context"]) {
            reports.push(format!(
                "== {}\n{what}\n-- ours\n{ours:#}\n-- the peer\n{theirs:#}",
                query.label
            ));
        }
    }
    judge::fail_with("peer", &reports, fixtures.queries.len());
}
