//! An INI file as parsed: sections and options in file order, raw values, and the line of each.

use super::grammar;
use super::problem::Problem;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The section whose options are seen by every other section.
pub const DEFAULT: &str = "DEFAULT";

/// One parsed INI file. Values are raw: nothing is interpolated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Document {
    pub path: PathBuf,
    /// In file order; `[DEFAULT]` is among them, merged if it is repeated.
    pub sections: Vec<Section>,
}

/// A section as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// All text between the brackets.
    pub name: String,
    /// Line of the (first) header, from 1.
    pub line: usize,
    pub options: Vec<OptionLine>,
}

/// An option as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionLine {
    pub name: String,
    /// The raw value; the lines of a continued value are joined with `\n`.
    pub value: String,
    /// From 1.
    pub line: usize,
    /// Where the other lines of a continued value stand: comments between them are not part of it.
    pub more: Vec<usize>,
}

impl OptionLine {
    /// Where each line of its interpolated `value` stands; empty where what was expanded has lines of its own.
    pub fn lines(&self, value: &str) -> Vec<usize> {
        let count = |text: &str| text.matches('\n').count();
        match count(value) == count(&self.value) {
            true => iter::once(self.line)
                .chain(self.more.iter().copied())
                .collect(),
            false => Vec::new(),
        }
    }
}

impl Section {
    /// The option called exactly `name`.
    pub fn option(&self, name: &str) -> Option<&OptionLine> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// The files of one configuration, each read once: all that is resolved with them sees the same text.
#[derive(Debug, Default)]
pub struct Documents(HashMap<String, Arc<Document>>);

impl Documents {
    /// A file by its name as opened; what could not be read is tried again.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn read(&mut self, file: &str) -> Result<Arc<Document>, Vec<Problem>> {
        if let Some(document) = self.0.get(file) {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(Document::read(file)?);
        self.0.insert(file.to_owned(), Arc::clone(&document));
        Ok(document)
    }
}

impl Document {
    /// Reads and parses a file. All problems of the file are reported together; the first is the
    /// one that Paste Deploy would stop at.
    pub fn read(path: impl AsRef<Path>) -> Result<Document, Vec<Problem>> {
        let path = path.as_ref();
        match std::fs::read(path) {
            Ok(bytes) => Document::parse(path, &bytes),
            Err(error) => Err(vec![unreadable(path, &error)]),
        }
    }

    /// Parses the contents of a file; `path` is only remembered.
    pub fn parse(path: impl Into<PathBuf>, bytes: &[u8]) -> Result<Document, Vec<Problem>> {
        let path = path.into();
        match grammar::parse(&path, bytes) {
            Ok(sections) => Ok(Document { path, sections }),
            Err(problems) => Err(problems),
        }
    }

    /// The section called exactly `name`.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The option called exactly `option` of the section called exactly `section`.
    pub fn option(&self, section: &str, option: &str) -> Option<&OptionLine> {
        self.section(section)?.option(option)
    }

    /// The raw values in rust-ini's model, for lookups by name.
    pub fn to_ini(&self) -> ini::Ini {
        let mut ini = ini::Ini::new();
        for section in &self.sections {
            let properties = ini
                .entry(Some(section.name.clone()))
                .or_insert_with(ini::Properties::new);
            for option in &section.options {
                properties.insert(option.name.clone(), option.value.clone());
            }
        }
        ini
    }
}

/// Python's exception class for an error of the operating system.
fn class_of(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "FileNotFoundError",
        ErrorKind::PermissionDenied => "PermissionError",
        ErrorKind::IsADirectory => "IsADirectoryError",
        ErrorKind::NotADirectory => "NotADirectoryError",
        // A NUL byte in the path never reaches the system.
        ErrorKind::InvalidInput => "ValueError",
        _ => "OSError",
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let problem = Problem::new(
        class_of(error),
        format!("cannot read {}: {error}", path.display()),
    );
    match error.kind() {
        ErrorKind::NotFound => match similar_file(path) {
            Some(name) => problem.hint(format!("did you mean `{name}`?")),
            None => problem.hint(
                "check the path; relative ones start at the directory of the file that names them",
            ),
        },
        _ => problem,
    }
}

/// An INI file in the same directory with nearly the same name.
fn similar_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let names: Vec<String> = std::fs::read_dir(path.parent()?)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".ini"))
        .collect();
    super::text::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse("site.ini", text.as_bytes()).expect("a valid document")
    }

    #[test]
    fn options_know_their_value_and_line() {
        let document = parse("# site\n[app:main]\nuse = egg:X\n\nkey = v\n");
        let option = document.option("app:main", "key").expect("key");
        assert_eq!((option.value.as_str(), option.line), ("v", 5));
        assert_eq!(document.section("app:main").expect("section").line, 2);
        assert!(document.option("app:main", "Key").is_none());
    }

    #[test]
    fn rust_ini_sees_the_raw_values() {
        let ini = parse("[DEFAULT]\na = %(b)s\n[x]\nc = 'q\\n'\n").to_ini();
        assert_eq!(ini.get_from(Some("DEFAULT"), "a"), Some("%(b)s"));
        assert_eq!(ini.get_from(Some("x"), "c"), Some("'q\\n'"));
    }

    #[test]
    fn a_missing_file_suggests_its_neighbour() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("start.ini"), "").expect("written");
        let problems = Document::read(dir.path().join("strat.ini")).expect_err("missing");
        assert_eq!(problems[0].class, "FileNotFoundError");
        assert_eq!(
            problems[0].hint.as_deref(),
            Some("did you mean `start.ini`?")
        );
    }

    #[test]
    fn a_directory_is_not_a_file() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(
            Document::read(dir.path()).expect_err("a directory")[0].class,
            "IsADirectoryError"
        );
    }
}
