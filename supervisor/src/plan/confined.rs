//! What an app is to be kept from, checked against what it needs and what this machine permits.

use super::needs::needs;
use super::settings::Policy;
use super::spec::{AppKind, Isolation};
use crate::config::problem::Problem;
use crate::confine::verdict::{Circumstances, Kernel, Verdict, verdict};
use std::path::{Path, PathBuf};

/// The app in question.
pub(super) struct Asking<'a> {
    pub(super) app: &'a str,
    pub(super) policy: &'a Policy,
    pub(super) kind: &'a AppKind,
    pub(super) here: &'a Path,
    /// Its workers are root.
    pub(super) root: bool,
}

/// Decides how the app is confined. What cannot be guaranteed is a problem or a warning, as `isolation` says.
pub(super) fn confine(
    asking: &Asking<'_>,
    kernel: &dyn Kernel,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) -> Verdict {
    let settings = &asking.policy.settings;
    if !asking.kind.has_workers() || settings.wanted.is_nothing() {
        return Verdict::default();
    }
    problems.extend(asking.contradictions());
    warnings.extend(asking.missing_paths());
    let app = Circumstances {
        root: asking.root,
        no_new_privileges: settings.no_new_privileges,
    };
    let verdict = verdict(&settings.wanted, kernel, app);
    for guarantee in verdict
        .guarantees
        .iter()
        .filter(|guarantee| !guarantee.holds)
    {
        let (key, why) = (guarantee.key, &guarantee.why);
        let hint = guarantee.hint.clone().unwrap_or_default();
        let app = asking.app;
        match settings.isolation {
            Isolation::Require => {
                let message = format!("`{key}` of app `{app}` does not hold here: {why}");
                let hint = format!("{hint}; `isolation = warn` serves the app without it");
                problems.push(
                    asking
                        .at(key, Problem::new("SettingError", message))
                        .hint(hint),
                );
            }
            Isolation::Warn => {
                let message = format!("app `{app}` is served without `{key}`: {why}");
                warnings.push(asking.at(key, Problem::new("Warning", message)).hint(hint));
            }
        }
    }
    verdict
}

impl Asking<'_> {
    fn at(&self, key: &str, problem: Problem) -> Problem {
        match self.policy.places.get(key) {
            Some(place) => problem.at(&place.file, place.line),
            None => problem,
        }
    }

    /// Paths that are not there; they may still be made before the start.
    fn missing_paths(&self) -> Vec<Problem> {
        let wanted = &self.policy.settings.wanted;
        let lists = [
            ("read_only", &wanted.read_only),
            ("writable", &wanted.writable),
            ("hidden", &wanted.hidden),
        ];
        let missing = lists.into_iter().flat_map(|(key, paths)| {
            let gone = paths.iter().filter(|path| !path.exists());
            gone.map(move |path| (key, path.display()))
        });
        missing
            .map(|(key, path)| {
                let message = format!("there is no {path}, which `{key}` names");
                let hint = "make it, or remove it from the list: the app cannot start without it";
                self.at(key, Problem::new("Warning", message)).hint(hint)
            })
            .collect()
    }

    /// Settings by which the app could not start or be reached.
    fn contradictions(&self) -> Vec<Problem> {
        let wanted = &self.policy.settings.wanted;
        let mut found = Vec::new();
        let mut refuse = |key: &str, message: String, hint: &str| {
            let problem = Problem::new("SettingError", message).hint(hint);
            found.push(self.at(key, problem));
        };
        let needed: Vec<PathBuf> = needs(self.kind, &self.policy.settings, self.here)
            .iter()
            .map(|path| real(path))
            .collect();
        for path in &wanted.hidden {
            let (shown, path) = (path.display(), real(path));
            if path == Path::new("/") {
                let message = "`hidden` cannot contain `/`".to_owned();
                refuse(
                    "hidden",
                    message,
                    "name the directories that the app must not see",
                );
            } else if needed.contains(&path) {
                let message = format!("`hidden` contains {shown}, which app `{}` needs", self.app);
                refuse("hidden", message, "hide what is in it, or what it is in");
            }
        }
        let tmp = ["/tmp", "/var/tmp"].map(|path| real(Path::new(path)));
        if wanted.private_tmp && needed.iter().any(|path| tmp.contains(path)) {
            let message = format!("`private_tmp` would hide the files of app `{}`", self.app);
            refuse(
                "private_tmp",
                message,
                "move them into a directory of their own",
            );
        }
        let asks_for_port = match self.kind {
            AppKind::Exec { argv, .. } => argv.iter().any(|word| word.contains("{port}")),
            AppKind::Python { .. } | AppKind::Upstream { .. } | AppKind::Static(_) => false,
        };
        if wanted.private_network && asks_for_port {
            let message = format!(
                "app `{}` listens on a port, which cannot be reached with `private_network`",
                self.app
            );
            refuse(
                "private_network",
                message,
                "let it listen on descriptor 3 or on {socket}",
            );
        }
        found
    }
}

/// Without symbolic links, if it exists.
fn real(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
