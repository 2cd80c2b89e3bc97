//! What an INI file says about Python's `logging`: read by `logging.config.fileConfig` in each worker, so that a change of
//! it concerns them all.

use crate::config::document::{DEFAULT, Document, Section};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file with a `[loggers]` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loggers {
    pub file: PathBuf,
    /// The raw options of all sections that `fileConfig` looks at, by section: two of them differ if workers would log
    /// differently.
    sections: BTreeMap<String, BTreeMap<String, String>>,
}

impl Loggers {
    /// None without `[loggers]`.
    pub(super) fn of(document: &Document, file: &Path) -> Option<Loggers> {
        document.section("loggers")?;
        let sections = document.sections.iter().filter(|s| concerns(&s.name));
        Some(Loggers {
            file: file.to_path_buf(),
            sections: sections.map(raw).collect(),
        })
    }
}

/// `[DEFAULT]` is there for the interpolation of the others.
fn concerns(section: &str) -> bool {
    const WHOLE: [&str; 4] = [DEFAULT, "loggers", "handlers", "formatters"];
    const PREFIXES: [&str; 3] = ["logger_", "handler_", "formatter_"];
    WHOLE.contains(&section) || PREFIXES.iter().any(|prefix| section.starts_with(prefix))
}

fn raw(section: &Section) -> (String, BTreeMap<String, String>) {
    let options = section.options.iter();
    let options = options.map(|option| (option.name.clone(), option.value.clone()));
    (section.name.clone(), options.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Loggers> {
        let document = Document::parse("site.ini", text.as_bytes()).expect("valid");
        Loggers::of(&document, Path::new("site.ini"))
    }

    #[test]
    fn what_workers_log_by_differs_and_nothing_else() {
        let before = "[loggers]\nkeys = root\n[logger_root]\nlevel = INFO\n[app:a]\nx = 1\n";
        assert!(of(before).is_some());
        assert_eq!(of(before), of(&before.replace("x = 1", "x = 2")));
        assert_eq!(of(before), of(&format!("# moved\n\n{before}")));
        for (from, to) in [("INFO", "DEBUG"), ("root\n", "root, blog\n")] {
            assert_ne!(of(before), of(&before.replace(from, to)), "{to}");
        }
        assert_ne!(of(before), of(&format!("[DEFAULT]\nlog = a\n{before}")));
        assert_eq!(of("[logger_root]\nlevel = INFO\n"), None);
    }
}
