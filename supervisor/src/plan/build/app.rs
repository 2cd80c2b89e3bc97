//! One app of the plan: what runs, how a request is handed to it, and what is missing for that.

use super::Builder;
use super::debug;
use crate::config::problem::Problem;
use crate::config::python;
use crate::config::tree::Node;
use crate::plan::confined::{self, Asking};
use crate::plan::cut::{self, Piece, Work};
use crate::plan::loggers::Loggers;
use crate::plan::settings::Policy;
use crate::plan::spec::{AppKind, AppSpec, Cut};
use crate::plan::static_files;
use crate::router::message::Handover;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

impl Builder<'_> {
    pub(super) fn app(
        &mut self,
        piece: Piece,
        policy: Policy,
        here: &Path,
        logging: Option<&Loggers>,
        cuts: &mut [Cut],
    ) -> AppSpec {
        let Piece {
            name,
            node,
            origin,
            work,
            mounts,
        } = piece;
        let node = match work {
            Work::Python => self.filtered(node, &policy),
            Work::Exec { .. } | Work::Upstream { .. } => node,
        };
        let debug = debug(&node.global_conf);
        self.look_at_sendfile(&name, &policy);
        self.look_at_log_file(&name, &policy);
        self.read_pages(&policy.settings.answers, &policy.pages);
        let files = matches!(work, Work::Python) && static_files::is_one(&node);
        let files = files.then(|| self.files(&name, &node, &policy, cuts));
        let kind = match (work, files) {
            (Work::Python, Some(Some(files))) => AppKind::Static(files),
            (Work::Python, _) => self.python(&name, node, &policy, here, logging),
            (Work::Exec { argv }, _) => self.program(argv, node),
            (Work::Upstream { address }, _) => AppKind::Upstream { address },
        };
        let handover = match kind {
            AppKind::Python { .. } => Handover::Environ,
            _ if policy.strip_prefix => Handover::Strip,
            _ => Handover::Keep,
        };
        if handover != Handover::Environ {
            self.refuse_preload(&name, &policy);
            self.refuse_filters(&name, &policy);
        }
        let asking = Asking {
            app: &name,
            policy: &policy,
            kind: &kind,
            here,
            root: self.runs_as_root(&policy),
        };
        let confined =
            confined::confine(&asking, self.kernel, &mut self.problems, &mut self.warnings);
        AppSpec {
            name,
            origin,
            kind,
            mounts,
            handover,
            settings: policy.settings,
            confined,
            debug,
        }
    }

    /// An app of our Python host.
    fn python(
        &mut self,
        name: &str,
        node: Node,
        policy: &Policy,
        here: &Path,
        logging: Option<&Loggers>,
    ) -> AppKind {
        self.look_for_paste(&node, policy, here);
        AppKind::Python {
            interpreter: self.interpreter(name, policy, here),
            python_path: python_path(&node, here),
            logging: logging.cloned(),
            tree: Box::new(node),
        }
    }

    fn program(&mut self, argv: Vec<String>, node: Node) -> AppKind {
        if let Some(program) = argv.first() {
            self.look_for(program, &node);
        }
        let node = Box::new(node);
        AppKind::Exec { argv, node }
    }

    /// Only the Python host can fork workers from a template.
    fn refuse_preload(&mut self, app: &str, policy: &Policy) {
        if let Some(place) = &policy.own_preload {
            let message =
                format!("app `{app}` is not run by paster's Python host: `preload` cannot be had");
            let hint = "remove it; in [isolate] it is for the Python apps alone";
            let problem = Problem::new("SettingError", message);
            self.problems
                .push(problem.at(&place.file, place.line).hint(hint));
        }
    }

    fn runs_as_root(&self, policy: &Policy) -> bool {
        let user = policy.settings.user.as_ref();
        user.map_or_else(|| self.accounts.own().uid, |user| user.uid) == 0
    }

    /// Warns of a program that is not there; it may still be built or mounted before the start.
    fn look_for(&mut self, program: &str, node: &Node) {
        if program.contains('/') && !program.contains('{') && !Path::new(program).is_file() {
            let warning = Problem::new("Warning", format!("there is no program {program}"))
                .at(&node.origin.file, node.origin.factory_line)
                .hint("build it, or correct the path; relative ones start at the directory of the INI file");
            self.warnings.push(warning);
        }
    }

    fn interpreter(&mut self, app: &str, policy: &Policy, here: &Path) -> PathBuf {
        let written = policy
            .python
            .as_ref()
            .map(|python| python.to_string_lossy());
        let found = python::interpreter(written.as_deref(), here).program;
        if !found.is_file() {
            let message = format!(
                "app `{app}` has no Python interpreter: there is no {}",
                found.display()
            );
            let hint = "install one, or name it with `python` in [isolate]";
            match written {
                Some(_) => self
                    .problems
                    .push(Problem::new("SettingError", message).hint(hint)),
                None => self
                    .warnings
                    .push(Problem::new("Warning", message).hint(hint)),
            }
        }
        found
    }
}

/// The directories of the INI files that a tree comes from, the served one first.
fn python_path(node: &Node, here: &Path) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    files_of(node, &mut files);
    let others = files
        .into_iter()
        .filter_map(Path::parent)
        .filter(|directory| *directory != here);
    let mut path = vec![here.to_owned()];
    for directory in others.filter(|directory| directory.is_absolute()) {
        if !path.iter().any(|known| known == directory) {
            path.push(directory.to_owned());
        }
    }
    path
}

fn files_of<'n>(node: &'n Node, files: &mut BTreeSet<&'n Path>) {
    files.insert(&node.origin.file);
    for child in cut::children(node) {
        files_of(child, files);
    }
}
