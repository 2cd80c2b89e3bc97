//! No bytes make planning panic, hang or eat memory: each file ends as a plan or as problems.

use paster::config::python::{Environments, SearchPath};
use paster::confine::probe::Here;
use paster::plan::build::{PlanRequest, build_with};
use paster::plan::identity::System;
use proptest::prelude::*;
use std::path::Path;

/// A machine without Python: nothing is started or searched.
struct Bare;

impl Environments for Bare {
    fn search_path(&self, _: Option<&str>, directory: &Path) -> SearchPath {
        SearchPath {
            directories: Vec::new(),
            described: "nowhere".to_owned(),
            interpreter: directory.join("python"),
        }
    }
}

/// Plans the bytes as a file; either outcome is fine, but a failure must say something.
fn plan(bytes: &[u8], isolate: bool) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("site.ini"), bytes).unwrap();
    let request = PlanRequest {
        config: "site.ini".to_owned(),
        app_name: None,
        server_name: None,
        global_conf: Default::default(),
        isolate,
        identity: None,
        passed: Vec::new(),
        server: None,
        relative_to: dir.path().to_owned(),
    };
    match build_with(&request, &Bare, &System, &Here::default()) {
        Ok(plan) => assert_eq!(paster::plan::diff::diff(&plan, &plan), Default::default()),
        Err(problems) => assert!(!problems.is_empty()),
    }
}

/// The good and bad files of this suite, as ground for mutations.
fn files() -> Vec<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/check");
    let entries = std::fs::read_dir(fixtures)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "ini"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[derive(Debug, Clone)]
enum Edit {
    Remove(usize, usize),
    Insert(usize, Vec<u8>),
    /// Copies a line to another place.
    Copy(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let words = prop::sample::select(vec![
        "=",
        ":",
        "[",
        "]",
        "%",
        "%(here)s",
        "%(x)s",
        "\n",
        " ",
        "\t",
        "use = ",
        "main",
        "config:site.ini",
        "egg:Paste#urlmap",
        "exec:",
        "unix:",
        "http://",
        "{port}",
        "{",
        "filter-with = ",
        "isolate",
        "set ",
        "get ",
        "domain ",
        "port ",
        "é",
        "\u{ff}",
        "99999999999999999999",
        "-1",
        "ms",
        "off",
        "'",
        "\"",
        "\\",
        "\0",
        "\r",
        "#",
        ";",
    ]);
    let bytes = prop_oneof![
        words.prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop_oneof![
        (any::<usize>(), 1..20_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<usize>(), bytes).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Edit::Copy(from, to)),
    ]
}

fn apply(mut bytes: Vec<u8>, edit: &Edit) -> Vec<u8> {
    let length = bytes.len() + 1;
    match edit {
        Edit::Remove(at, count) => {
            let start = at % length;
            let end = (start + count).min(bytes.len());
            bytes.drain(start..end);
        }
        Edit::Insert(at, more) => {
            let at = at % length;
            bytes.splice(at..at, more.iter().copied());
        }
        Edit::Copy(from, to) => {
            let mut lines: Vec<Vec<u8>> = bytes
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            let line = lines[from % lines.len()].clone();
            lines.insert(to % (lines.len() + 1), line);
            bytes = lines.join(&b'\n');
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_planned_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        plan(&bytes, true);
    }

    #[test]
    fn damaged_files_are_planned_or_refused(
        file in any::<usize>(),
        edits in prop::collection::vec(edit(), 1..8),
        isolate in any::<bool>(),
    ) {
        let files = files();
        let bytes = edits.iter().fold(files[file % files.len()].clone(), apply);
        plan(&bytes, isolate);
    }

    #[test]
    fn any_setting_is_read_or_refused(key in 0..1000_usize, value in "\\PC{0,12}|[0-9]{1,20}(ms|s|m|h|K|G)?") {
        let keys: Vec<&str> = paster::plan::keys::all().map(|key| key.name).collect();
        let key = keys[key % keys.len()];
        let text = format!("[app:main]\nuse = a:b\n[isolate]\n{key} = {value}\n[isolate:main]\n{key} = {value}\n");
        plan(text.as_bytes(), true);
    }
}
