//! Values of sections that Paste Deploy ignores, read as it would read them.

use super::document::{Document, Documents};
use super::problem::Problem;
use super::python::Environments;
use super::resolve::Resolver;
use super::tree::Conf;
use std::path::Path;

/// One option of a section, interpolated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    pub name: String,
    /// From 1.
    pub line: usize,
    pub value: Result<String, Problem>,
    /// Where each line of the value stands; empty where what was expanded has lines of its own.
    pub lines: Vec<usize>,
}

/// The options of the section called exactly `section`, in file order, with `%(name)s` expanded as in any other section
/// of the file: from the section itself, `[DEFAULT]`, `here`, `__file__` and `caller`. Nothing is hidden by defaults.
///
/// # Errors
/// The file cannot be opened any more.
pub fn values(
    document: &Document,
    section: &str,
    caller: &Conf,
    working_directory: &Path,
    documents: &mut Documents,
    environments: &dyn Environments,
) -> Result<Vec<Value>, Vec<Problem>> {
    let mut resolver = Resolver::new(
        environments,
        documents,
        working_directory.to_string_lossy().into_owned(),
    );
    let file = document.path.to_string_lossy();
    let loader = resolver.open(&file, Some(caller))?;
    let scope = loader.scope(section);
    let options = loader
        .document
        .section(section)
        .map(|section| &section.options[..])
        .unwrap_or_default();
    Ok(options
        .iter()
        .map(|option| {
            let value = scope
                .get(&option.name)
                .map_err(|failed| failed.at(&file, option.line));
            Value {
                name: option.name.clone(),
                line: option.line,
                lines: option.lines(value.as_deref().unwrap_or_default()),
                value,
            }
        })
        .collect())
}
