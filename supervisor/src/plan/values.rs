//! How the values of single keys are read and written, where `units` is not enough.

use super::keys::Wrong;
use super::spec::Readiness;
use super::suggest::nearest;
use super::units::{decimal, duration, number, size};
use crate::router::access_log::{AccessLog, LogFormat};
use crate::router::log_format::{Format, FormatError, NAMES};
use crate::router::message::Sendfile;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Reads what each line of a value says; an empty one says nothing.
///
/// # Errors
/// The first line that says something else than is expected.
pub(super) fn each_line<T>(
    text: &str,
    mut read: impl FnMut(&str) -> Result<T, String>,
) -> Result<Vec<T>, Wrong> {
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            read(line).map_err(|expected| Wrong {
                expected,
                line: Some(number),
            })
        })
        .collect()
}

pub(super) fn readiness(text: &str) -> Result<Readiness, String> {
    match text.trim() {
        "auto" => Ok(Readiness::Auto),
        "notify" => Ok(Readiness::Notify),
        "accept" => Ok(Readiness::Accept),
        other => match other.strip_prefix("http:") {
            Some(path) if is_request_path(path) => Ok(Readiness::Http(path.to_owned())),
            Some(_) => Err("expected a path after `http:`, such as `http:/health`".to_owned()),
            None => Err("expected `auto`, `notify`, `accept` or `http:/path`".to_owned()),
        },
    }
}

/// A format with a name, or one that is written out.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.trim() {
        "common" => Ok(LogFormat::Common),
        "combined" => Ok(LogFormat::Combined),
        "json" => Ok(LogFormat::Json),
        text if !text.contains('$') => Err(
            "expected `common`, `combined`, `json`, or a text with variables such as `$status`"
                .to_owned(),
        ),
        text => match Format::parse(text) {
            Ok(_) => Ok(LogFormat::Text(text.to_owned())),
            Err(FormatError::Unknown(name)) => Err(unknown_variable(&name)),
            Err(error) => Err(error.to_string()),
        },
    }
}

fn unknown_variable(name: &str) -> String {
    let unknown = FormatError::Unknown(name.to_owned());
    match nearest(name, NAMES.iter().copied()) {
        Some(meant) => format!("{unknown}; did you mean `${meant}`?"),
        None => format!("{unknown}; docs/access-log.md lists all variables"),
    }
}

fn is_request_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What stands in the first line of a request, or `off`.
pub(super) fn optional_request_path(text: &str) -> Result<Option<String>, String> {
    match text.trim() {
        "off" => Ok(None),
        path if is_request_path(path) => Ok(Some(path.to_owned())),
        _ => Err("expected a path such as `/health`, or `off`".to_owned()),
    }
}

pub(super) fn show_readiness(ready: &Readiness) -> String {
    match ready {
        Readiness::Auto => "auto".to_owned(),
        Readiness::Notify => "notify".to_owned(),
        Readiness::Accept => "accept".to_owned(),
        Readiness::Http(path) => format!("http:{path}"),
    }
}

pub(super) fn read_limit(
    text: &str,
    read: fn(&str) -> Result<u64, String>,
) -> Result<Option<u64>, String> {
    if text.trim() == "unlimited" {
        return Ok(None);
    }
    read(text)
        .map(Some)
        .map_err(|expected| format!("{expected}, or `unlimited`"))
}

pub(super) fn show_limit(limit: Option<&Option<u64>>, show: fn(u64) -> String) -> Option<String> {
    Some(match limit {
        None => "(inherited)".to_owned(),
        Some(None) => "unlimited".to_owned(),
        Some(Some(limit)) => show(*limit),
    })
}

pub(super) fn count(text: &str) -> Result<u64, String> {
    number(text, 1, u64::from(u32::MAX))
}

/// CPU time is limited in whole seconds (`setrlimit(2)`); a bare number means seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    if let Ok(seconds) = number(text, 1, u64::from(u32::MAX)) {
        return Ok(seconds);
    }
    match duration(text) {
        Ok(parsed) if parsed >= Duration::from_secs(1) && parsed.subsec_nanos() == 0 => {
            Ok(parsed.as_secs())
        }
        _ => Err("expected whole seconds such as `30s` or `5m`".to_owned()),
    }
}

pub(super) fn word(text: &str, what: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == ':' || c == '\0') {
        return Err(format!("expected {what}"));
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str, here: &Path) -> Result<PathBuf, String> {
    let text = text.trim();
    if text.is_empty() || text.contains(['\n', '\0']) {
        return Err("expected a path".to_owned());
    }
    Ok(here.join(text))
}

/// Words, split as a shell does, that name files or match their names (`*`, `?`, `[…]`, `**` for directories of any depth).
pub(super) fn patterns(text: &str, here: &Path) -> Result<Vec<String>, String> {
    let words = shlex::split(text).ok_or("expected file names; a quote is not closed")?;
    // The directory is meant as it is written.
    let here = glob::Pattern::escape(&here.to_string_lossy());
    let absolute = words.into_iter().map(|word| {
        let pattern = Path::new(&here).join(word);
        let pattern = pattern.to_string_lossy().into_owned();
        match glob::Pattern::new(&pattern) {
            Ok(_) => Ok(pattern),
            Err(error) => Err(format!(
                "expected names of files or patterns: {}",
                error.msg
            )),
        }
    });
    absolute.collect()
}

/// As [`patterns`] reads them: quoted only where that is needed, for `*` needs none.
pub(super) fn show_patterns(patterns: &[String]) -> String {
    let word = |pattern: &String| match shlex::split(pattern) {
        Some(words) if words == [pattern.as_str()] => pattern.clone(),
        _ => quoted(pattern),
    };
    match patterns {
        [] => "(nothing)".to_owned(),
        patterns => patterns.iter().map(word).collect::<Vec<_>>().join(" "),
    }
}

/// A program: a bare name is looked up on PATH later, everything else is a path.
pub(super) fn program(text: &str, here: &Path) -> Result<PathBuf, String> {
    let text = text.trim();
    if text.contains('/') || text.is_empty() {
        path(text, here)
    } else {
        word(text, "an interpreter").map(PathBuf::from)
    }
}

/// `NAME=VALUE` words, split as a shell does, so that a value with spaces is quoted.
pub(super) fn environment(text: &str) -> Result<BTreeMap<String, String>, String> {
    let expected = "expected NAME=VALUE words; a value with spaces is written NAME=\"a b\"";
    let words = shlex::split(text).ok_or_else(|| format!("{expected}; a quote is not closed"))?;
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if is_name(name) && !value.contains('\0') => {
                Ok((name.to_owned(), value.to_owned()))
            }
            _ => Err(format!("{expected}, found `{}`", word.escape_debug())),
        })
        .collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.' || b == b'-')
}

/// A number from 1, or `off`.
pub(super) fn optional_count(text: &str) -> Result<Option<u64>, String> {
    match text {
        "off" => Ok(None),
        text => number(text, 1, u64::MAX)
            .map(Some)
            .map_err(|error| format!("{error}, or `off`")),
    }
}

/// A time that a client may take, in milliseconds; less than a tenth of a second would be a slip of the pen.
pub(super) fn client_time(text: &str) -> Result<u64, String> {
    let time = duration(text)?.as_millis();
    u64::try_from(time)
        .ok()
        .filter(|&time| time >= 100)
        .ok_or_else(|| "expected 100ms or more".to_owned())
}

/// A number of bytes or things between two others.
pub(super) fn within(number: u64, low: usize, high: usize) -> Result<usize, String> {
    usize::try_from(number)
        .ok()
        .filter(|number| (low..=high).contains(number))
        .ok_or_else(|| format!("expected {low} to {high}"))
}

/// A size above zero, or `off`.
pub(super) fn optional_size(text: &str) -> Result<Option<u64>, String> {
    match text {
        "off" => Ok(None),
        text => match size(text).map_err(|error| format!("{error}, or `off`"))? {
            0 => Err("expected a size above zero, or `off`".to_owned()),
            bytes => Ok(Some(bytes)),
        },
    }
}

/// Thousandths of a CPU: `50%`, or `1.5` for one and a half; `off` for none.
pub(super) fn cpus(text: &str) -> Result<Option<u32>, String> {
    let expected =
        || "expected CPUs such as `0.5`, `2` or `150%`, from 0.01 to 1024, or `off`".to_owned();
    let text = text.trim();
    if text == "off" {
        return Ok(None);
    }
    let (number, factor) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 10),
        None => (text, 1000),
    };
    let thousandths = decimal(number, factor).ok_or_else(expected)?;
    match u32::try_from(thousandths) {
        Ok(cpus @ 10..=1_024_000) => Ok(Some(cpus)),
        _ => Err(expected()),
    }
}

/// All of something, in parts of a million.
const ALL: u32 = 1_000_000;

/// `on` for all, `off` for no part in it, or a share from 0 to 1, in parts of a million.
pub(super) fn sampled_share(text: &str) -> Result<Option<u32>, String> {
    let share = |text: &str| {
        let share = u32::try_from(decimal(text, u64::from(ALL))?).ok()?;
        (share <= ALL).then_some(share)
    };
    match text.trim() {
        "off" => Ok(None),
        "on" => Ok(Some(ALL)),
        text => match share(text) {
            Some(share) => Ok(Some(share)),
            None => Err("expected `on`, `off`, or a share from 0 to 1, such as `0.1`".to_owned()),
        },
    }
}

/// As [`sampled_share`] reads it.
pub(super) fn show_sampled_share(share: Option<u32>) -> String {
    match share {
        None => "off".to_owned(),
        Some(ALL) => "on".to_owned(),
        Some(0) => "0".to_owned(),
        Some(share) => format!("0.{share:06}").trim_end_matches('0').to_owned(),
    }
}

/// As [`cpus`] reads it.
pub(super) fn show_cpus(thousandths: u32) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Paths as words, split as a shell does; `off` alone for none. Relative ones start at `here`.
pub(super) fn paths(text: &str, here: &Path) -> Result<Vec<PathBuf>, String> {
    let expected = "expected paths; one with spaces is written \"/a b\"";
    let words = words_or_off(text, expected)?;
    words.iter().map(|word| path(word, here)).collect()
}

/// Words, split as a shell does; none for `off` alone.
fn words_or_off(text: &str, expected: &str) -> Result<Vec<String>, String> {
    let words = shlex::split(text).ok_or_else(|| format!("{expected}; a quote is not closed"))?;
    match words.as_slice() {
        [] => Err(format!("{expected}, or `off`")),
        [word] if word == "off" => Ok(Vec::new()),
        _ => Ok(words),
    }
}

/// As [`words_or_off`] reads them.
fn show_words(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| quoted(&word)).collect();
    match words.is_empty() {
        true => "off".to_owned(),
        false => words.join(" "),
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |quoted| quoted.into_owned())
}

/// `off`, `stdout` or the file.
pub(super) fn show_access_log(log: &AccessLog) -> String {
    match log {
        AccessLog::Off => "off".to_owned(),
        AccessLog::Stdout { .. } => "stdout".to_owned(),
        AccessLog::File { path, .. } => path.display().to_string(),
    }
}

/// As [`paths`] reads them.
pub(super) fn show_paths(paths: &[PathBuf]) -> String {
    show_words(paths.iter().map(|path| path.to_string_lossy().into_owned()))
}

/// Without `.` and `..`, by the text alone, as `os.path.abspath` has it.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// Words, split as a shell does: `DIRECTORY`, or `/PREFIX/=DIRECTORY`; `off` alone for none.
pub(super) fn sendfile(text: &str, here: &Path) -> Result<Vec<Sendfile>, String> {
    let expected =
        "expected directories, or `/PREFIX/=DIRECTORY`; one with spaces is written \"/a b\"";
    let words = words_or_off(text, expected)?;
    let entry = |word: &String| {
        let (prefix, directory) = match word.split_once('=') {
            Some((prefix, _)) if !prefix.starts_with('/') => {
                return Err(format!(
                    "{expected}; `{prefix}` does not begin with a slash"
                ));
            }
            Some((prefix, directory)) => (Some(prefix.to_owned()), directory),
            None => (None, word.as_str()),
        };
        let directory = normal(&path(directory, here)?);
        Ok(Sendfile { prefix, directory })
    };
    words.iter().map(entry).collect()
}

/// As [`sendfile`] reads them.
pub(super) fn show_sendfile(entries: &[Sendfile]) -> String {
    let word = |entry: &Sendfile| {
        let directory = entry.directory.display();
        match &entry.prefix {
            Some(prefix) => format!("{prefix}={directory}"),
            None => directory.to_string(),
        }
    };
    show_words(entries.iter().map(word))
}
