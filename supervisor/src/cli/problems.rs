//! Problems for people: what, where with the line itself, what next. All at once.

use crate::config::problem::{Place, Problem};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    Error,
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// Renders problems one after the other, with the lines that they are about. Files that cannot be read any more are
/// named without their line.
pub(crate) fn render(problems: &[Problem], severity: Severity) -> String {
    let mut sources = Sources::default();
    let rendered: Vec<String> = problems
        .iter()
        .map(|problem| one(problem, severity, &mut sources))
        .collect();
    rendered.join("\n\n")
}

fn one(problem: &Problem, severity: Severity, sources: &mut Sources) -> String {
    let mut text = format!("{}: {}", severity.word(), printable(&problem.message));
    if let Some(place) = &problem.place {
        let _ = write!(
            text,
            "\n  --> {}:{}",
            printable(&shown(&place.file)),
            place.line
        );
        if let Some(line) = sources.line(place) {
            text.push_str(&excerpt(place.line, &line, &problem.message));
        }
    }
    if let Some(hint) = &problem.hint {
        let _ = write!(text, "\nhint: {}", printable(hint));
    }
    text
}

/// The line with carets below what the message speaks of.
fn excerpt(number: usize, line: &str, message: &str) -> String {
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let (start, length) = span(line, message);
    // A tab in the line is a tab in front of the carets, so that they stand below.
    let lead: String = line
        .chars()
        .take(start)
        .map(|c| if c == '\t' { '\t' } else { ' ' })
        .collect();
    let carets = "^".repeat(length.max(1));
    format!(
        "\n {margin} |\n {number} | {}\n {margin} | {lead}{carets}",
        printable(line)
    )
}

/// First character and length of what to point at: the last quoted text of the message that the line contains, else the
/// whole line without its surrounding space.
fn span(line: &str, message: &str) -> (usize, usize) {
    let quoted = message
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| !text.trim().is_empty());
    let found = quoted
        .filter_map(|text| line.rfind(text).map(|at| (at, text)))
        .last();
    let (at, text) = found.unwrap_or_else(|| {
        let text = line.trim();
        (line.find(text).unwrap_or(0), text)
    });
    (line[..at].chars().count(), text.chars().count())
}

/// Lines of the files that problems are about; each file is read once.
#[derive(Default)]
struct Sources(HashMap<PathBuf, Vec<String>>);

impl Sources {
    fn line(&mut self, place: &Place) -> Option<String> {
        let lines = self.0.entry(place.file.clone()).or_insert_with(|| {
            let text = std::fs::read(&place.file).unwrap_or_default();
            // CR LF, LF and a lone CR all end a line of a Paste Deploy file.
            let text = String::from_utf8_lossy(&text)
                .replace("\r\n", "\n")
                .replace('\r', "\n");
            text.split('\n').map(str::to_owned).collect()
        });
        let line = lines.get(place.line.checked_sub(1)?)?;
        (!line.trim().is_empty()).then(|| line.clone())
    }
}

/// A path as people would write it: relative where it is below the current directory.
pub(crate) fn shown(path: &Path) -> String {
    let below = std::env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    let path = below
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or_else(|| path.to_owned());
    path.display().to_string()
}

/// Text from a file, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\t' && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_what_it_is_about() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("site.ini");
        std::fs::write(&file, "[composite:main]\r\n/blog = blgo\r\n").expect("written");
        let problem = Problem::new(
            "LookupError",
            "mount `/blog` refers to app `blgo`, which is not defined",
        )
        .at(&file, 2)
        .hint("did you mean `blog`?");
        let expected = format!(
            "error: mount `/blog` refers to app `blgo`, which is not defined\n  --> {}:2\n   |\n 2 | /blog = blgo\n   |         \
             ^^^^\nhint: did you mean `blog`?",
            file.display()
        );
        assert_eq!(render(&[problem], Severity::Error), expected);
    }

    #[test]
    fn without_a_quoted_text_the_whole_line_is_meant() {
        assert_eq!(span("  use = x ", "something else"), (2, 7));
        assert_eq!(span("é = ab", "bad `ab`"), (4, 2));
        assert_eq!(span("", "bad `` `"), (0, 0));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }

    #[test]
    fn a_file_that_is_gone_is_named_all_the_same() {
        let problem = Problem::new("Warning", "odd").at("/nowhere/site.ini", 3);
        assert_eq!(
            render(&[problem], Severity::Warning),
            "warning: odd\n  --> /nowhere/site.ini:3"
        );
    }
}
