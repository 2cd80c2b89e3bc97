//! Finds our own sections in a file and reads their values.

use super::settings::{Entry, Part, subject};
use crate::config::document::{Document, Documents};
use crate::config::problem::{Place, Problem};
use crate::config::python::Environments;
use crate::config::tree::Conf;
use crate::config::values::values;
use std::path::Path;

/// Reads `[isolate]` and all `[isolate:NAME]`, interpolated as any other section of the file.
pub(super) fn parts(
    document: &Document,
    caller: &Conf,
    working_directory: &Path,
    documents: &mut Documents,
    environments: &dyn Environments,
    problems: &mut Vec<Problem>,
) -> Vec<Part> {
    let mut parts = Vec::new();
    for section in &document.sections {
        let Some(app) = subject(&section.name) else {
            continue;
        };
        let place = |line| Place {
            file: document.path.clone(),
            line,
        };
        let read = match values(
            document,
            &section.name,
            caller,
            working_directory,
            documents,
            environments,
        ) {
            Ok(read) => read,
            Err(unreadable) => {
                problems.extend(unreadable);
                continue;
            }
        };
        let mut entries = Vec::with_capacity(read.len());
        for option in read {
            match option.value {
                Ok(value) => entries.push(Entry {
                    key: option.name,
                    value,
                    place: place(option.line),
                    lines: option.lines,
                }),
                Err(problem) => problems.push(problem),
            }
        }
        parts.push(Part {
            app,
            place: place(section.line),
            entries,
        });
    }
    parts
}

/// Warnings for sections that are nearly called like ours, which would otherwise be ignored without a word.
pub(super) fn lookalikes(document: &Document) -> Vec<Problem> {
    let prefix = |name: &str| {
        name.split(':')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase()
    };
    let alike = |name: &str| {
        subject(name).is_none() && strsim::damerau_levenshtein(&prefix(name), "isolate") <= 2
    };
    document
        .sections
        .iter()
        .filter(|section| alike(&section.name))
        .map(|section| {
            Problem::new(
                "Warning",
                format!("section `{}` is not read by paster", section.name),
            )
            .at(&document.path, section.line)
            .hint("did you mean [isolate] or [isolate:NAME]?")
        })
        .collect()
}
