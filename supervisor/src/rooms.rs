//! docs/architecture.md says which module uses which; this holds the page against the code, tests aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/architecture.md");

/// By the name of a module, those that it uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// The words in backquotes of a cell.
fn names(cell: &str) -> BTreeSet<String> {
    let words = cell.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The table of modules.
fn documented() -> Uses {
    let rows = PAGE
        .lines()
        .skip_while(|line| *line != "| module | what | uses |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        let module = names(cells[1]).pop_first().expect("a row names a module");
        (module, names(cells[3]))
    })
    .collect()
}

/// Whether nothing but tests are in this file or directory.
fn is_test(name: &str) -> bool {
    let stem = name.trim_end_matches(".rs");
    matches!(stem, "tests" | "testing" | "simulation" | "fuzz")
        || stem.ends_with("_tests")
        || stem.ends_with("_fuzz")
}

/// What the code below `path` uses of the crate.
fn used(path: &Path, found: &mut BTreeSet<String>) {
    if is_test(&path.file_name().expect("below `src`").to_string_lossy()) {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("our own sources") {
            used(&entry.expect("our own sources").path(), found);
        }
        return;
    }
    let text = fs::read_to_string(path).expect("our own sources");
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = code.unwrap_or_default().lines();
    for line in lines.filter(|line| !line.trim_start().starts_with("//")) {
        for part in line.split("crate::").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_');
            found.insert(part[..end.unwrap_or(part.len())].to_owned());
        }
    }
}

#[test]
fn modules_use_each_other_as_the_page_on_architecture_says() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let documented = documented();
    let mut real = Uses::new();
    for module in documented.keys() {
        let mut found = BTreeSet::new();
        let paths = [sources.join(module), sources.join(format!("{module}.rs"))];
        for path in paths.iter().filter(|path| path.exists()) {
            used(path, &mut found);
        }
        found.remove(module);
        real.insert(module.clone(), found);
    }
    let all: BTreeSet<_> = fs::read_dir(&sources)
        .expect("our own sources")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(documented.keys().cloned().collect::<BTreeSet<_>>(), all);
    assert_eq!(documented, real);
}
