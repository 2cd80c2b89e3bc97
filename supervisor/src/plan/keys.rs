//! The keys of `[isolate]` and `[isolate:NAME]`: one row each.
//!
//! docs/settings.md is checked against this table by a test, `paster check` prints from it.

#[macro_use]
mod macros;
mod answers;
mod clients;
mod failures;
mod isolation;
mod logs;
mod program;
mod requests;
mod site;
#[cfg(test)]
mod tests;
mod workers;

use super::spec::{AppKind, AppSpec, Settings};
use super::values::show_access_log;
use crate::router::access_log::{AccessLog, LogFormat, Rotation};
use crate::router::limits::ClientLimits;
use crate::router::message::Handover;
use crate::router::redirect::Redirect;
use serde::Serialize;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// One key.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub scope: Scope,
    /// As written in a file; `off` or a word in parentheses where there is no value.
    pub default: &'static str,
    /// One line for people: unit and effect.
    pub about: &'static str,
    /// Reads a value; the error says what was expected.
    pub(super) set: fn(&mut Draft, &str, &Path) -> Result<(), Wrong>,
    /// Writes the effective value; none for keys that are shown in another place, or mean nothing to this app.
    pub(super) show: fn(&View<'_>) -> Option<String>,
}

/// Why a value is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) expected: String,
    /// The line of the value that it is about, from 0, where one is to blame.
    pub(super) line: Option<usize>,
}

impl From<String> for Wrong {
    fn from(expected: String) -> Wrong {
        Wrong {
            expected,
            line: None,
        }
    }
}

impl From<&str> for Wrong {
    fn from(expected: &str) -> Wrong {
        expected.to_owned().into()
    }
}

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `[isolate]` for all apps, `[isolate:NAME]` for one.
    App,
    /// Only `[isolate]`: it is about the proxy or the whole file.
    Site,
}

/// Whether filters above a urlmap are built again in each app below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FanOut {
    /// The stock filters for which it changes nothing (see `stock::FANS_OUT`).
    #[default]
    Auto,
    /// All filters.
    On,
    /// None: everything below a filter is one app.
    Off,
}

/// Where the proxy logs requests, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    #[default]
    Off,
    Stdout,
    File(PathBuf),
}

/// Settings while they are being read: those of an app, and of the site.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    pub settings: Settings,
    pub python: Option<PathBuf>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub strip_prefix: StripPrefix,
    pub fan_out: FanOut,
    pub access_log: LogTarget,
    pub access_log_format: LogFormat,
    pub access_log_rotation: AccessLogRotation,
    pub trusted_proxy: Vec<String>,
    pub limits: ClientLimits,
    pub servers: Vec<String>,
    pub redirects: Vec<Redirect>,
}

/// When the access log is put aside; by default somebody else sees to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogRotation(pub Rotation);

impl Default for AccessLogRotation {
    fn default() -> AccessLogRotation {
        AccessLogRotation(Rotation::NEVER)
    }
}

/// Whether programs other than our Python host get the target without the mount prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripPrefix(pub bool);

impl Default for StripPrefix {
    fn default() -> StripPrefix {
        StripPrefix(true)
    }
}

/// What the effective values of an app are read from.
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) handover: Handover,
    /// Where the site logs requests.
    pub(super) access_log: &'a AccessLog,
}

/// A setting that is in effect for an app; values as a file would have them.
#[derive(Debug, Serialize)]
pub struct Effective {
    pub key: &'static str,
    pub value: String,
    /// What holds where nothing is written for the app.
    pub default: Cow<'static, str>,
}

/// The most worker processes of one app; more is a slip of the pen.
pub const MOST_PROCESSES: u32 = 1024;

/// By subject, in the order in which they are shown.
static GROUPS: &[&[Key]] = &[
    workers::KEYS,
    failures::KEYS,
    program::KEYS,
    isolation::KEYS,
    logs::KEYS,
    requests::KEYS,
    answers::KEYS,
    site::KEYS,
    clients::KEYS,
];

/// Every key, in the order in which it is shown.
pub fn all() -> impl Iterator<Item = &'static Key> {
    GROUPS.iter().copied().flatten()
}

/// The row of a key.
pub fn key(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

/// Whether a key says what a worker process is or may do, and so asks for one.
pub fn is_about_processes(name: &str) -> bool {
    let groups = [program::KEYS, isolation::KEYS];
    groups.iter().copied().flatten().any(|key| key.name == name)
}

/// The settings that are in effect for an app of a site with this access log; those that mean nothing to it are left out.
pub fn effective<'a>(
    app: &'a AppSpec,
    access_log: &'a AccessLog,
) -> impl Iterator<Item = Effective> + 'a {
    let view = View {
        settings: &app.settings,
        handover: app.handover,
        access_log,
    };
    // Nearly all are about workers, or requests that wait for one.
    const OF_FILES: [&str; 10] = [
        "access_log",
        "static",
        "maintenance",
        "maintenance_allow",
        "maintenance_retry_after",
        "compress",
        "compress_types",
        "compress_min_length",
        "response_headers",
        "error_pages",
    ];
    let is_static = matches!(app.kind, AppKind::Static(_));
    all()
        .filter(move |key| !is_static || OF_FILES.contains(&key.name))
        .filter_map(move |key| {
            let default = match key.name {
                // There is one for all; an app may only keep out of it.
                "access_log" => show_access_log(access_log).into(),
                _ => key.default.into(),
            };
            Some(Effective {
                key: key.name,
                value: (key.show)(&view)?,
                default,
            })
        })
}
