//! `[isolate]` and `[isolate:NAME]`: read once, overlaid per app, checked as a whole.

mod contradictions;

use super::error_pages;
use super::foreign;
use super::identity::{Accounts, identity};
use super::keys::{self, Draft, LogTarget, Scope, Wrong, key};
use super::names;
use super::spec::Settings;
use super::suggest::nearest;
use crate::config::problem::{Place, Problem};
use crate::router::access_log::AccessLog;
use contradictions::contradictions;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One option with its interpolated value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub place: Place,
    /// Where each line of the value stands; empty where that is not known.
    pub lines: Vec<usize>,
}

impl Entry {
    /// Where a line of the value stands, counted from 0.
    fn line(&self, of_value: usize) -> usize {
        self.lines.get(of_value).copied().unwrap_or(self.place.line)
    }
}

/// One of our sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The app that it is about; none for `[isolate]`.
    pub app: Option<String>,
    pub place: Place,
    pub entries: Vec<Entry>,
}

/// The app that a section name speaks of: `Some(None)` for `isolate`, `Some(Some("blog"))` for `isolate:blog`;
/// none for all other sections.
pub fn subject(section: &str) -> Option<Option<String>> {
    match section.split_once(':') {
        None => (section == "isolate").then_some(None),
        Some((prefix, name)) => (prefix == "isolate").then(|| Some(name.trim().to_owned())),
    }
}

/// Settings of the file, read but not yet applied to apps.
#[derive(Debug)]
pub struct Sheet {
    base: Sourced,
    parts: Vec<Part>,
    here: std::path::PathBuf,
}

/// A draft that remembers where each key was set last.
#[derive(Debug, Clone, Default)]
struct Sourced {
    draft: Draft,
    places: BTreeMap<String, Place>,
    /// Where `error_pages` names each file.
    pages: BTreeMap<String, Place>,
}

/// Settings of one app, complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub settings: Settings,
    pub python: Option<std::path::PathBuf>,
    pub strip_prefix: bool,
    /// Where each key was set last.
    pub places: BTreeMap<String, Place>,
    /// Where `error_pages` names each file.
    pub pages: BTreeMap<String, Place>,
    /// The keys that `[isolate:NAME]` sets.
    pub own: BTreeSet<String>,
    /// Where the app's own section asks for `preload`.
    pub own_preload: Option<Place>,
}

impl Sheet {
    /// Reads all sections. `defaults` holds what `[server:main]` says about threads and processes; `here` is the
    /// directory of the file, for relative paths.
    ///
    /// Unknown keys, keys in the wrong kind of section and two sections for the same app are problems; reading goes on
    /// behind each, so that all are reported.
    pub fn read(
        parts: Vec<Part>,
        defaults: Settings,
        here: &Path,
        problems: &mut Vec<Problem>,
    ) -> Sheet {
        let mut base = Sourced {
            draft: Draft {
                settings: defaults,
                ..Draft::default()
            },
            ..Sourced::default()
        };
        for part in parts.iter().filter(|part| part.app.is_none()) {
            base.apply(part, here, problems);
        }
        let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
        for part in &parts {
            let Some(app) = part.app.as_deref() else {
                continue;
            };
            // Values are checked here, once, whether or not there is such an app.
            base.clone().apply(part, here, problems);
            if let Some(first) = seen.insert(app, &part.place) {
                problems.push(
                    setting(format!("app `{app}` has two sections of settings"))
                        .at(&part.place.file, part.place.line)
                        .hint(format!(
                            "move the options to the section at {}:{}",
                            first.file.display(),
                            first.line
                        )),
                );
            }
        }
        Sheet {
            base,
            parts,
            here: here.to_owned(),
        }
    }

    /// What `[isolate]` says about the site.
    pub fn site(&self) -> &Draft {
        &self.base.draft
    }

    /// Where `[isolate]` sets a key.
    pub fn site_place(&self, key: &str) -> Option<&Place> {
        self.base.places.get(key)
    }

    /// Where `error_pages` of `[isolate]` names each file.
    pub fn site_pages(&self) -> &BTreeMap<String, Place> {
        &self.base.pages
    }

    /// The access log with its format.
    pub fn access_log(&self) -> AccessLog {
        let format = self.base.draft.access_log_format.clone();
        match &self.base.draft.access_log {
            LogTarget::Off => AccessLog::Off,
            LogTarget::Stdout => AccessLog::Stdout { format },
            LogTarget::File(path) => AccessLog::File {
                path: path.clone(),
                format,
                rotation: self.base.draft.access_log_rotation.0.clone(),
            },
        }
    }

    /// The settings of the app called `name`. Combinations that make no sense are problems.
    pub fn app(&self, name: &str, accounts: &dyn Accounts, problems: &mut Vec<Problem>) -> Policy {
        let mut sourced = self.base.clone();
        let mut own = BTreeSet::new();
        for part in self.parts.iter().filter(|part| {
            part.app
                .as_deref()
                .is_some_and(|app| names::safe(app) == name)
        }) {
            sourced.apply(part, &self.here, &mut Vec::new());
            own.extend(part.entries.iter().map(|entry| entry.key.clone()));
        }
        let site = &self.base.draft.access_log;
        let of_all = self.base.places.get("preload");
        let own_preload = sourced.places.get("preload").cloned();
        let own_preload =
            own_preload.filter(|place| sourced.draft.settings.preload && Some(place) != of_all);
        Policy {
            own,
            own_preload,
            ..sourced.finish(site, accounts, problems)
        }
    }

    /// Warnings for sections about apps that are not in `apps`.
    pub fn strangers(&self, apps: &[&str]) -> Vec<Problem> {
        let strange = |part: &&Part| {
            part.app
                .as_deref()
                .is_some_and(|app| !apps.contains(&names::safe(app).as_str()))
        };
        self.parts
            .iter()
            .filter(strange)
            .map(|part| {
                let app = part.app.as_deref().unwrap_or_default();
                let warning = Problem::new(
                    "Warning",
                    format!("[isolate:{app}] is about no app that is served here"),
                )
                .at(&part.place.file, part.place.line);
                match nearest(app, apps.iter().copied()) {
                    Some(name) => warning.hint(format!("did you mean [isolate:{name}]?")),
                    None if apps.is_empty() => warning,
                    None => warning.hint(format!(
                        "the apps are {}; leave it as it is if it belongs to another --app-name",
                        apps.join(", ")
                    )),
                }
            })
            .collect()
    }
}

impl Sourced {
    fn apply(&mut self, part: &Part, here: &Path, problems: &mut Vec<Problem>) {
        let entry = |key: &str| part.entries.iter().find(|entry| entry.key == key);
        // Both say where lines go; the later section wins, but within one nobody could tell.
        if let (Some(log), Some(file)) = (entry("log"), entry("log_file")) {
            let later = if log.place.line > file.place.line {
                log
            } else {
                file
            };
            problems.push(
                setting("`log` and `log_file` both say where the output goes")
                    .at(&later.place.file, later.place.line)
                    .hint("remove one of them"),
            );
        }
        for entry in &part.entries {
            match self.set(part, entry, here) {
                Ok(()) => {
                    self.places.insert(entry.key.clone(), entry.place.clone());
                    if entry.key == "error_pages" {
                        let named = error_pages::lines(&entry.value, here).into_iter();
                        let place = |of_value| Place {
                            line: entry.line(of_value),
                            ..entry.place.clone()
                        };
                        self.pages = named.map(|(page, line)| (page, place(line))).collect();
                    }
                }
                Err((problem, line)) => problems.push(problem.at(&entry.place.file, line)),
            }
        }
    }

    /// # Errors
    /// What is wrong, and in which line of the file.
    fn set(&mut self, part: &Part, entry: &Entry, here: &Path) -> Result<(), (Problem, usize)> {
        let option = |problem: Problem| (problem, entry.place.line);
        let Some(row) = key(&entry.key) else {
            let unknown = setting(format!("unknown setting `{}`", entry.key));
            let fitting = keys::all()
                .filter(|row| part.app.is_none() || row.scope == Scope::App)
                .map(|row| row.name);
            let meant = || Some(format!("did you mean `{}`?", nearest(&entry.key, fitting)?));
            let hint = foreign::hint(&entry.key).or_else(meant);
            return Err(option(unknown.hint(hint.unwrap_or_else(|| {
                "docs/settings.md lists all settings".to_owned()
            }))));
        };
        if part.app.is_some() && row.scope == Scope::Site {
            let problem = setting(format!("`{}` is no setting of a single app", row.name));
            return Err(option(problem.hint("move it to [isolate]")));
        }
        (row.set)(&mut self.draft, &entry.value, here).map_err(|Wrong { expected, line }| {
            let problem = setting(format!(
                "`{} = {}`: {expected}",
                row.name,
                brief(&entry.value)
            ));
            (problem, entry.line(line.unwrap_or(0)))
        })
    }

    /// `access_log` is that of the site: there is one for all apps.
    fn finish(
        mut self,
        access_log: &LogTarget,
        accounts: &dyn Accounts,
        problems: &mut Vec<Problem>,
    ) -> Policy {
        let settings = &mut self.draft.settings;
        let mut refuse = |key: &str, message: String, hint: String| {
            let problem = setting(message).hint(hint);
            problems.push(match self.places.get(key) {
                Some(place) => problem.at(&place.file, place.line),
                None => problem,
            });
        };
        match identity(
            self.draft.user.as_deref(),
            self.draft.group.as_deref(),
            accounts,
        ) {
            Ok(user) => settings.user = user,
            Err(refusal) => refuse(refusal.key, refusal.message, refusal.hint),
        }
        if self.draft.access_log != *access_log {
            match self.draft.access_log {
                LogTarget::Off => settings.unlogged = true,
                LogTarget::Stdout | LogTarget::File(_) => refuse(
                    "access_log",
                    "an app has no access log of its own".to_owned(),
                    "write `off` here, or move it to [isolate]: a line can say which `$app` it is about".to_owned(),
                ),
            }
        }
        for refusal in contradictions(settings, |key| self.places.contains_key(key)) {
            refuse(refusal.key, refusal.message, refusal.hint);
        }
        Policy {
            settings: self.draft.settings,
            python: self.draft.python,
            strip_prefix: self.draft.strip_prefix.0,
            places: self.places,
            pages: self.pages,
            own: BTreeSet::new(),
            own_preload: None,
        }
    }
}

fn setting(message: impl Into<String>) -> Problem {
    Problem::new("SettingError", message)
}

/// The first line of a value, shortened; settings hold no secrets but an environment may.
pub(super) fn brief(value: &str) -> String {
    const LONGEST: usize = 40;
    let line = value.trim().lines().next().unwrap_or_default();
    let short: String = line.chars().take(LONGEST).collect();
    if short.len() < value.trim().len() {
        format!("{short}…")
    } else {
        short
    }
}

#[cfg(test)]
mod tests;
