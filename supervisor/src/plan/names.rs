//! Names of apps: after the section, safe in paths and command lines, unique.

use super::values::normal;
use crate::config::tree::{Node, Via};
use std::collections::BTreeSet;
use std::path::Path;

/// The name that a node asks for: its section's name after the colon; for `main` of another file than `root` (which has no `..`) that
/// file's stem; for a bare URI what it names (`egg:Foo#bar` is `foo.bar`, `egg:Foo` is `foo`, `call:m:f` is `m.f`).
pub(super) fn wanted(node: &Node, root: &Path) -> String {
    let section = node.origin.section.as_str();
    let name = section
        .split_once(':')
        .map_or(section, |(_, name)| name)
        .trim();
    if !node.origin.file.as_os_str().is_empty() && !name.is_empty() {
        let foreign = name == "main" && normal(&node.origin.file) != root;
        let stem = node
            .origin
            .file
            .file_stem()
            .filter(|_| foreign)
            .and_then(|stem| stem.to_str());
        return safe(stem.unwrap_or(name));
    }
    let Some(factory) = &node.factory else {
        return safe(name);
    };
    match (factory.via, &factory.distribution) {
        (Via::Egg, Some(distribution)) => {
            let distribution = distribution.to_lowercase();
            match factory.name.as_deref() {
                None | Some("main") => safe(&distribution),
                Some(name) => safe(&format!("{distribution}.{name}")),
            }
        }
        _ => safe(&factory.target.replace(':', ".")),
    }
}

/// A name that can be a file name and a word of a command line: white space, control characters and slashes become
/// dashes, as does a dash or dot in front (an option, a hidden file); an empty name is `app`.
pub(super) fn safe(name: &str) -> String {
    let mut safe: String = name
        .trim()
        .chars()
        .map(|c| {
            if c.is_whitespace() || c.is_control() || c == '/' || c == '\\' {
                '-'
            } else {
                c
            }
        })
        .collect();
    if safe.starts_with(['.', '-']) {
        safe.insert_str(0, "app");
    }
    if safe.is_empty() {
        "app".to_owned()
    } else {
        safe
    }
}

/// Makes names unique in order: the first keeps its name, later ones get `-2`, `-3` …, but never a name that another
/// one asks for.
pub(super) fn unique(wanted: &[String]) -> Vec<String> {
    let mut taken: BTreeSet<String> = wanted.iter().cloned().collect();
    let mut given: BTreeSet<&str> = BTreeSet::new();
    wanted
        .iter()
        .map(|name| {
            if given.insert(name) {
                return name.clone();
            }
            let free = (2_u64..)
                .map(|number| format!("{name}-{number}"))
                .find(|candidate| !taken.contains(candidate))
                .expect("there are more numbers than names");
            taken.insert(free.clone());
            free
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(names: &[&str]) -> Vec<String> {
        unique(
            &names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn collisions_are_numbered_around_names_that_are_asked_for() {
        assert_eq!(
            given(&["blog", "wiki", "blog", "blog"]),
            ["blog", "wiki", "blog-2", "blog-3"]
        );
        assert_eq!(
            given(&["blog", "blog", "blog-2"]),
            ["blog", "blog-3", "blog-2"]
        );
    }

    #[test]
    fn a_name_is_one_word_and_one_file() {
        assert_eq!(safe("a/b c"), "a-b-c");
        assert_eq!(safe(".."), "app..");
        assert_eq!(safe("-x"), "app-x");
        assert_eq!(safe("\n"), "app");
        assert_eq!(safe("café.v1"), "café.v1");
    }
}
