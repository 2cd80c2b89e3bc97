//! Where the output of an app goes: `log`, `log_file` and what belongs to them.

use super::spec::AppSpec;
use super::values::path;
use crate::config::problem::Problem;
use crate::router::access_log::AccessLog;
pub use crate::router::access_log::Rotation;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The native socket of systemd-journald(8).
const JOURNALD: &str = "/run/systemd/journal/socket";
/// The socket of the local syslog daemon.
const SYSLOG: &str = "/dev/log";

/// The settings `log`, `log_file`, `log_format`, `log_max_size`, `log_max_age`, `log_keep` of one app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LogSettings {
    pub to: LogTo,
    pub format: LineFormat,
    pub rotation: Rotation,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTo {
    /// Paster's own stdout and stderr.
    #[default]
    Inherit,
    /// Only into memory, for reports and `paster logs`.
    Off,
    /// The socket of systemd-journald.
    Journald(PathBuf),
    /// The socket of a syslog daemon.
    Syslog(PathBuf),
    File(Template),
}

/// The path of a log file, in which `{app}` and `{stream}` are still to be replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Template(PathBuf);

/// How a line is written to files and streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineFormat {
    /// As it was printed.
    Plain,
    /// `[app:slot] line`
    #[default]
    Prefix,
    /// `time [app:slot] line`
    Time,
    /// An object with a field for each fact.
    Json,
}

impl Default for Rotation {
    fn default() -> Rotation {
        Rotation {
            max_size: Some(20 << 20),
            max_age: None,
            keep: 10,
        }
    }
}

impl Template {
    /// # Errors
    /// A word in braces that is neither `{app}` nor `{stream}`.
    pub(super) fn read(text: &str, here: &Path) -> Result<Template, String> {
        let path = path(text, here)?;
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('{') {
            let known = ["app}", "stream}"]
                .iter()
                .any(|word| after.starts_with(word));
            if !known {
                return Err(
                    "expected a path, in which only `{app}` and `{stream}` are replaced".to_owned(),
                );
            }
            rest = after;
        }
        Ok(Template(path))
    }

    /// The file for a stream of an app.
    pub fn path(&self, app: &str, stream: &str) -> PathBuf {
        let text = self.0.to_string_lossy();
        PathBuf::from(text.replace("{app}", app).replace("{stream}", stream))
    }

    /// As it is written, with an absolute path.
    pub(super) fn show(&self) -> String {
        self.0.display().to_string()
    }
}

impl LogTo {
    /// Reads the value of `log`; files are the value of `log_file`.
    pub(super) fn read(text: &str, here: &Path) -> Result<LogTo, String> {
        let expected = "expected `inherit`, `off`, `journald` or `syslog`";
        let (word, socket) = match text.trim().split_once(':') {
            Some((word, socket)) => (word, Some(path(socket, here)?)),
            None => (text.trim(), None),
        };
        match (word, socket) {
            ("inherit", None) => Ok(LogTo::Inherit),
            ("off", None) => Ok(LogTo::Off),
            ("journald", socket) => Ok(LogTo::Journald(socket.unwrap_or_else(|| JOURNALD.into()))),
            ("syslog", socket) => Ok(LogTo::Syslog(socket.unwrap_or_else(|| SYSLOG.into()))),
            _ => Err(format!("{expected}; a file is set by `log_file`")),
        }
    }

    /// None for a file, which `log_file` shows.
    pub(super) fn show(&self) -> Option<String> {
        let daemon = |name: &str, socket: &Path, usual: &str| {
            if socket == Path::new(usual) {
                name.to_owned()
            } else {
                format!("{name}:{}", socket.display())
            }
        };
        match self {
            LogTo::Inherit => Some("inherit".to_owned()),
            LogTo::Off => Some("off".to_owned()),
            LogTo::Journald(socket) => Some(daemon("journald", socket, JOURNALD)),
            LogTo::Syslog(socket) => Some(daemon("syslog", socket, SYSLOG)),
            LogTo::File(_) => None,
        }
    }
}

impl LineFormat {
    pub(super) fn read(text: &str) -> Result<LineFormat, String> {
        match text.trim() {
            "plain" => Ok(LineFormat::Plain),
            "prefix" => Ok(LineFormat::Prefix),
            "time" => Ok(LineFormat::Time),
            "json" => Ok(LineFormat::Json),
            _ => Err("expected `prefix`, `time`, `plain` or `json`".to_owned()),
        }
    }

    pub(super) fn show(self) -> &'static str {
        match self {
            LineFormat::Plain => "plain",
            LineFormat::Prefix => "prefix",
            LineFormat::Time => "time",
            LineFormat::Json => "json",
        }
    }
}

/// Files that apps, or an app and the access log, would fight over.
pub(super) fn conflicts(apps: &BTreeMap<String, AppSpec>, access_log: &AccessLog) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<PathBuf, &AppSpec> = BTreeMap::new();
    for app in apps.values() {
        let LogTo::File(template) = &app.settings.log.to else {
            continue;
        };
        let mut refuse = |message: String, hint: &str| {
            let problem = Problem::new("SettingError", message).hint(hint);
            problems.push(problem.at(&app.origin.file, app.origin.line));
        };
        let paths = ["stdout", "stderr"].map(|stream| template.path(&app.name, stream));
        for path in BTreeSet::from(paths) {
            if matches!(access_log, AccessLog::File { path: other, .. } if *other == path) {
                refuse(
                    format!(
                        "the log file of `{}`, {}, is the access log",
                        app.name,
                        path.display()
                    ),
                    "choose another `log_file` or another `access_log`",
                );
            }
            let first = *seen.entry(path.clone()).or_insert(app);
            if first.settings.log.rotation != app.settings.log.rotation {
                refuse(
                    format!(
                        "`{}` and `{}` have the same log file, {}, but rotate it differently",
                        first.name,
                        app.name,
                        path.display()
                    ),
                    "write `{app}` in `log_file` for a file for each app, or set `log_max_size`, `log_max_age` and `log_keep` in [isolate]",
                );
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/srv/site";

    fn to(text: &str) -> Result<LogTo, String> {
        LogTo::read(text, Path::new(HERE))
    }

    #[test]
    fn daemons_may_listen_elsewhere() {
        assert_eq!(to("syslog"), Ok(LogTo::Syslog("/dev/log".into())));
        assert_eq!(to("syslog:/run/log"), Ok(LogTo::Syslog("/run/log".into())));
        assert_eq!(to("journald:j"), Ok(LogTo::Journald("/srv/site/j".into())));
        for text in ["inherit", "off", "journald", "syslog", "journald:/srv/x"] {
            assert_eq!(
                to(text).ok().and_then(|to| to.show()).as_deref(),
                Some(text)
            );
        }
        for text in ["", "stdout", "inherit:/x", "journald:", "blog.log", "file"] {
            assert!(to(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_log_file_may_be_one_for_each_app_and_stream() {
        let read = |text| Template::read(text, Path::new(HERE));
        let template = read("logs/{app}.{stream}.log").expect("known words");
        assert_eq!(
            template.path("blog", "stderr"),
            Path::new("/srv/site/logs/blog.stderr.log")
        );
        assert!(read("{slot}.log").is_err());
        assert!(read("a{").is_err());
        assert!(read("").is_err());
    }
}
