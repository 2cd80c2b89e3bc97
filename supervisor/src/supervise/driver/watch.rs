//! `--reload` and `watch`: files change, and new workers or a new configuration follow.

use super::commands::Decision;
use super::shutdown::Phase;
use super::{Driver, kinds};
use crate::config::problem::Problem;
use crate::plan::spec::AppKind;
use crate::supervise::machine::{AppState, WorkerId};
use crate::supervise::watch::{Changed, INTERVAL, Subject, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// More files than this of one app are not kept.
const MOST_FILES: usize = 20_000;

/// By the clock of files.
fn file_time(moment: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now)
}

impl Driver {
    /// Watches the configuration and all apps, as far as that is wanted; `since` is when the configuration was read.
    pub(super) fn watch_everything(&mut self, since: SystemTime) {
        self.watch_configuration(since);
        let now = SystemTime::now();
        for number in self.apps.keys().copied().collect::<Vec<u64>>() {
            self.watch_app(number, now);
        }
    }

    /// In the place of another program, which may not have seen the last changes: what the workers cannot know has changed.
    pub(super) fn watch_again(&mut self) {
        self.watch_configuration(self.began);
        for number in self.apps.keys().copied().collect::<Vec<u64>>() {
            let app = self.apps.get(&number);
            let oldest = app.and_then(|app| {
                let serving = app.machine.generation();
                let live = app.live.values().filter(|live| live.generation == serving);
                live.map(|live| live.started).min()
            });
            self.watch_app(number, file_time(oldest.unwrap_or_else(Instant::now)));
        }
    }

    fn watch_configuration(&mut self, since: SystemTime) {
        if self.site.reload.is_some() {
            let files = self.plan.files.clone();
            self.watch(|watcher| watcher.files(Subject::Configuration, files, since));
        }
    }

    /// What a configuration that cannot be used speaks of may be files that the one before did not read.
    pub(super) fn watch_problems(&mut self, problems: &[Problem], since: SystemTime) {
        if self.site.reload.is_some() {
            let places = problems.iter().filter_map(|problem| problem.place.as_ref());
            let files = places.map(|place| place.file.clone()).collect();
            self.watch(|watcher| watcher.files(Subject::Configuration, files, since));
        }
    }

    /// The patterns of an app's settings and, with `--reload`, what is known of its files.
    fn watch_app(&mut self, number: u64, since: SystemTime) {
        let Some(app) = self.apps.get(&number).filter(|app| !app.removed) else {
            return;
        };
        let subject = Subject::App(number);
        // As the plan has it: a rollout may be on its way.
        let spec = self.plan.apps.get(&app.spec.name).unwrap_or(&app.spec);
        let patterns = spec.settings.watch.clone();
        let mut files: Vec<PathBuf> = app.files.iter().cloned().collect();
        if let (Some(_), AppKind::Exec { argv, .. }) = (self.site.reload, &spec.kind) {
            // A program that is built anew.
            let program = argv.first().filter(|program| program.starts_with('/'));
            files.extend(program.map(PathBuf::from));
        }
        if patterns.is_empty() && files.is_empty() && self.watcher.is_none() {
            return;
        }
        self.watch(|watcher| {
            watcher.patterns(subject, patterns, since);
            watcher.files(subject, files, since);
        });
    }

    pub(super) fn forget_files(&mut self, number: u64) {
        if let Some(watcher) = &self.watcher {
            watcher.forget(Subject::App(number));
        }
    }

    /// A worker tells what it is made of.
    pub(super) fn files_told(&mut self, number: u64, id: WorkerId, files: Vec<PathBuf>) {
        if self.site.reload.is_none() {
            return;
        }
        let Some(app) = self.apps.get_mut(&number).filter(|app| !app.removed) else {
            return;
        };
        // Modified after the worker began: it may have read what was there before.
        let started = app.started(id);
        let since = file_time(started.unwrap_or_else(Instant::now));
        let room = MOST_FILES.saturating_sub(app.files.len());
        let files: Vec<PathBuf> = files.into_iter().take(room).collect();
        app.files.extend(files.iter().cloned());
        self.watch(|watcher| watcher.files(Subject::App(number), files, since));
    }

    /// Files are not what they were.
    pub(super) fn files_changed(&mut self, changed: &Changed) {
        if self.phase != Phase::Running {
            return;
        }
        let files = self.in_words(&changed.files);
        match changed.subject {
            Subject::Configuration => {
                tracing::info!(
                    name: kinds::FILES_CHANGED,
                    files,
                    "watched files changed: the configuration is read again"
                );
                self.reload(None);
            }
            Subject::App(number) => {
                let Some(app) = self.apps.get(&number) else {
                    return;
                };
                // It has no process that knows the old ones, and is not to be started for this.
                if matches!(app.machine.state(), AppState::Stopped | AppState::Idle) {
                    return;
                }
                let name = app.spec.name.clone();
                if let Decision::RollOut { spec, .. } = self.roll_out_planned(&name, "restarted") {
                    tracing::info!(
                        name: kinds::FILES_CHANGED,
                        app = %name,
                        files,
                        "watched files changed: new workers are started; the old ones serve until they are ready"
                    );
                    self.roll_out(number, *spec);
                }
            }
        }
    }

    /// `hello.py, lib/db.py`: as seen from the configuration.
    fn in_words(&self, files: &[PathBuf]) -> String {
        let here = self.plan.config.parent().unwrap_or(Path::new("/"));
        let names: BTreeSet<String> = files
            .iter()
            .map(|file| {
                file.strip_prefix(here)
                    .unwrap_or(file)
                    .display()
                    .to_string()
            })
            .collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// Nothing is started for a site that watches nothing.
    fn watch(&mut self, tell: impl FnOnce(&Watcher)) {
        if self.watcher.is_none() {
            let interval = self.site.reload.unwrap_or(INTERVAL);
            match Watcher::start(interval, self.changes.0.clone()) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => tracing::error!(%error, "files cannot be watched"),
            }
        }
        if let Some(watcher) = &self.watcher {
            tell(watcher);
        }
    }
}
