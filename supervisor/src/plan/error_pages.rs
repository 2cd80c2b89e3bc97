//! Pages that stand for the proxy's own: `STATUS… = FILE`, one rule a line. The files are read here, so that the proxy needs none.

use super::keys::Wrong;
use super::units::show_size;
use super::values::each_line;
use crate::config::problem::{Place, Problem};
use crate::router::answers::{ErrorPage, Page, When};
use nix::libc::O_NONBLOCK;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const EXPECTED: &str = "expected lines such as `502 503 504 = errors/down.html`";
/// A page is told to the proxy with every table.
const LARGEST: u64 = 64 * 1024;

/// Reads rules; `here` is where relative paths start.
///
/// # Errors
/// What was expected, with the line that is none.
pub(super) fn rules(text: &str, here: &Path) -> Result<Vec<ErrorPage>, Wrong> {
    let mut rules: Vec<ErrorPage> = Vec::new();
    each_line(text, |line| {
        let wrong = |why: &str| format!("{why}, found `{line}`");
        let (statuses, file) = parts(line).ok_or_else(|| wrong(EXPECTED))?;
        if content_type(Path::new(file)).is_none() {
            return Err(wrong("a page ends with .html, .htm, .txt, .json or .xml"));
        }
        for status in statuses.split_whitespace() {
            let when =
                when(status).ok_or_else(|| wrong("a status is 400 to 599, or `maintenance`"))?;
            if rules.iter().any(|rule| rule.when == when) {
                return Err(wrong("there are two pages for a status"));
            }
            let page = absolute(file, here);
            rules.push(ErrorPage { when, page });
        }
        Ok(())
    })?;
    match rules.is_empty() {
        true => Err(EXPECTED.into()),
        false => Ok(rules),
    }
}

/// The statuses and the file of a line.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (statuses, file) = line.split_once('=')?;
    let (statuses, file) = (statuses.trim(), file.trim());
    (!statuses.is_empty() && !file.is_empty()).then_some((statuses, file))
}

fn absolute(file: &str, here: &Path) -> String {
    here.join(file).to_string_lossy().into_owned()
}

/// The line of the value that names each file first, counted from 0.
pub(super) fn lines(text: &str, here: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if let Some((_, file)) = parts(line) {
            lines.entry(absolute(file, here)).or_insert(number);
        }
    }
    lines
}

fn when(word: &str) -> Option<When> {
    match word {
        "maintenance" => Some(When::Maintenance),
        _ => {
            let status = word.parse().ok()?;
            (400..600).contains(&status).then_some(When::Status(status))
        }
    }
}

/// As [`rules`] reads them, on one line.
pub(super) fn show(rules: &[ErrorPage]) -> String {
    let shown = rules.iter().map(|rule| match rule.when {
        When::Status(status) => format!("{status} = {}", rule.page),
        When::Maintenance => format!("maintenance = {}", rule.page),
    });
    match rules.is_empty() {
        true => "(none)".to_owned(),
        false => shown.collect::<Vec<_>>().join(" | "),
    }
}

fn content_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        _ => return None,
    })
}

/// Reads the files of `rules` that are not in `pages` yet. What cannot be read is a problem where `places` has it named.
pub(super) fn read(
    rules: &[ErrorPage],
    pages: &mut BTreeMap<String, Page>,
    places: &BTreeMap<String, Place>,
    problems: &mut Vec<Problem>,
) {
    for rule in rules {
        if pages.contains_key(&rule.page) {
            continue;
        }
        match page(Path::new(&rule.page)) {
            Ok(page) => {
                pages.insert(rule.page.clone(), page);
            }
            Err(why) => {
                let problem = Problem::new("SettingError", format!("`error_pages`: {why}"))
                    .hint("correct the path; relative ones start at the directory of the INI file");
                let problem = match places.get(&rule.page) {
                    Some(place) => problem.at(&place.file, place.line),
                    None => problem,
                };
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
    }
}

fn page(path: &Path) -> Result<Page, String> {
    let shown = path.display();
    let body = contents(path).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => format!("{shown} is larger than {}", show_size(LARGEST)),
        io::ErrorKind::InvalidData => format!("{shown} is not UTF-8"),
        _ => format!("{shown} cannot be read: {error}"),
    })?;
    Ok(Page {
        content_type: content_type(path).unwrap_or_default().to_owned(),
        body,
    })
}

fn contents(path: &Path) -> io::Result<String> {
    // A pipe would be waited for.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut body = String::new();
    file.take(LARGEST + 1).read_to_string(&mut body)?;
    match body.len() as u64 > LARGEST {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(dir: &Path, text: &str) -> (BTreeMap<String, Page>, Vec<Problem>) {
        let (mut pages, mut problems) = (BTreeMap::new(), Vec::new());
        let rules = rules(text, dir).unwrap();
        read(&rules, &mut pages, &BTreeMap::new(), &mut problems);
        (pages, problems)
    }

    #[test]
    fn each_status_has_its_page() {
        let read = rules(
            "\n502 503 = down.html\n404 maintenance = /srv/a = b.txt",
            Path::new("/here"),
        )
        .unwrap();
        let shown = "502 = /here/down.html | 503 = /here/down.html | 404 = /srv/a = b.txt | maintenance = /srv/a = b.txt";
        assert_eq!(show(&read), shown);
        for text in [
            "",
            "404",
            "404 =",
            "= a.html",
            "200 = a.html",
            "600 = a.html",
            "4xx = a.html",
            "404 = a.png",
            "404 = a",
            "404 404 = a.html",
            "404 = a.html\n404 = b.html",
        ] {
            assert!(rules(text, Path::new("/here")).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_read_once_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.html"), "<p>é").unwrap();
        let (pages, problems) = read_from(dir.path(), "502 503 = a.html");
        assert!(problems.is_empty(), "{problems:?}");
        let page = pages.values().next().unwrap();
        assert_eq!((&*page.body, pages.len()), ("<p>é", 1));
        assert_eq!(page.content_type, "text/html; charset=utf-8");
        std::fs::write(dir.path().join("big.txt"), "x".repeat(64 * 1024 + 1)).unwrap();
        std::fs::write(dir.path().join("bytes.txt"), b"\xff").unwrap();
        std::fs::create_dir(dir.path().join("dir.txt")).unwrap();
        for (file, why) in [
            ("big.txt", "larger than 64K"),
            ("bytes.txt", "not UTF-8"),
            ("dir.txt", "no file"),
            ("none.txt", "cannot be read"),
        ] {
            let (pages, problems) = read_from(dir.path(), &format!("404 = {file}"));
            assert!(pages.is_empty(), "{file}");
            assert!(problems[0].message.contains(why), "{problems:?}");
        }
    }
}
