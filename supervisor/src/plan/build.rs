//! All of planning together: a configuration in, a plan out, or every problem that it has.

mod app;
mod files;
mod filtered;
mod log_files;
mod servers;

use super::cut::{self, Cutting, Options};
use super::domains;
use super::error_pages;
use super::identity::{Accounts, Becoming, System};
use super::listen::Listening;
use super::log;
use super::loggers::Loggers;
use super::sections;
use super::settings::Sheet;
use super::spec::{AppSpec, Plan, Settings, User};
use super::units::switch;
use crate::config::document::{Document, Documents};
use crate::config::problem::{Place, Problem};
use crate::config::python::{Environments, Machine};
use crate::config::tree::{Conf, Node};
use crate::config::{Kind, Query, Resolved, resolve, uri};
use crate::confine::probe::Here;
use crate::confine::verdict::Kernel;
use crate::router::answers::{Answers, Page};
use indexmap::IndexSet;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRequest {
    /// A path, or a URI that Paste Deploy takes; `#name` names app and server.
    pub config: String,
    /// Wins over the fragment.
    pub app_name: Option<String>,
    /// Wins over the fragment.
    pub server_name: Option<String>,
    /// Name of a server of PasteScript that stands for the server section.
    pub server: Option<String>,
    /// `KEY=VALUE` of the command line.
    pub global_conf: Conf,
    /// Without it the whole tree is one app.
    pub isolate: bool,
    /// Whom paster is to become when the addresses are bound: planned as for that user, whoever plans.
    pub identity: Option<User>,
    /// Names of listening sockets that were passed to us; used where no server section says where to listen.
    pub passed: Vec<String>,
    /// Working directory; absolute.
    pub relative_to: PathBuf,
}

impl PlanRequest {
    /// An isolating request for `config`, relative to the current directory.
    ///
    /// # Errors
    /// A message for people, when there is no current directory.
    pub fn new(config: &str) -> Result<PlanRequest, String> {
        let relative_to = std::env::current_dir()
            .map_err(|error| format!("there is no current directory: {error}"))?;
        Ok(PlanRequest {
            config: config.to_owned(),
            app_name: None,
            server_name: None,
            server: None,
            global_conf: Conf::new(),
            isolate: true,
            identity: None,
            passed: Vec::new(),
            relative_to,
        })
    }

    fn query(&self, kind: Kind, name: Option<&String>) -> Query {
        Query {
            uri: uri::from_argument(&self.config),
            name: name.cloned(),
            kind,
            global_conf: self.global_conf.clone(),
            relative_to: self.relative_to.clone(),
        }
    }
}

/// Plans a configuration on this machine. The server is resolved before the app, as in the original.
///
/// # Errors
/// All problems of the server, the app and the settings, in this order, each once; never empty.
pub fn build(request: &PlanRequest) -> Result<Plan, Vec<Problem>> {
    let becoming = request.identity.as_ref().map(Becoming);
    let accounts = becoming
        .as_ref()
        .map_or(&System as &dyn Accounts, |user| user);
    build_with(request, &Machine::default(), accounts, &Here::default())
}

/// [`build`] with the machine's answers given.
///
/// # Errors
/// As [`build`].
pub fn build_with(
    request: &PlanRequest,
    environments: &dyn Environments,
    accounts: &dyn Accounts,
    kernel: &dyn Kernel,
) -> Result<Plan, Vec<Problem>> {
    let mut builder = Builder {
        request,
        environments,
        accounts,
        kernel,
        documents: Documents::default(),
        files: IndexSet::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
        pages: BTreeMap::new(),
    };
    let plan = builder.build();
    let Builder {
        problems, warnings, ..
    } = builder;
    match plan {
        Some(plan) if problems.is_empty() => Ok(Plan {
            warnings: once(warnings),
            ..plan
        }),
        _ => Err(once(problems)),
    }
}

struct Builder<'a> {
    request: &'a PlanRequest,
    environments: &'a dyn Environments,
    accounts: &'a dyn Accounts,
    kernel: &'a dyn Kernel,
    documents: Documents,
    /// All that was read, the configuration first.
    files: IndexSet<PathBuf>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Files of `error_pages`.
    pages: BTreeMap<String, Page>,
}

impl Builder<'_> {
    /// None only with a problem pushed.
    fn build(&mut self) -> Option<Plan> {
        let document = self.document();
        let listening = self.server(document.as_deref());
        let app = self.resolve(
            &self
                .request
                .query(Kind::App, self.request.app_name.as_ref()),
        );
        let document = app
            .as_ref()
            .map(|app| Arc::clone(&app.document))
            .or(document)
            .unwrap_or_default();
        let here = directory_of(&document, &self.request.relative_to);
        let sheet = self.sheet(&document, listening.as_ref(), &here);
        let mut app = app?;
        domains::lower(&mut app.node);
        let config = app.files.first().cloned().unwrap_or_else(|| here.clone());
        let options = Options {
            isolate: self.request.isolate,
            fan_out: sheet.site().fan_out,
            root: &config,
        };
        let cutting = self.cut(&app.node, options)?;
        let names: Vec<&str> = cutting
            .pieces
            .iter()
            .map(|piece| piece.name.as_str())
            .collect();
        self.warnings.extend(sheet.strangers(&names));
        let logging = Loggers::of(&document, &config);
        let Cutting {
            root,
            pieces,
            mut cuts,
        } = cutting;
        let answers = sheet.site().settings.answers.clone();
        self.read_pages(&answers, sheet.site_pages());
        self.look_at_access_log(&sheet);
        let apps = pieces.into_iter().map(|piece| {
            let policy = sheet.app(&piece.name, self.accounts, &mut self.problems);
            let spec = self.app(piece, policy, &here, logging.as_ref(), &mut cuts);
            (spec.name.clone(), spec)
        });
        let apps: BTreeMap<String, AppSpec> = apps.collect();
        let access_log = sheet.access_log();
        self.problems.extend(log::conflicts(&apps, &access_log));
        let listening = self.all_servers(listening?, &sheet)?;
        self.files.extend(listening.files);
        self.files.extend(self.pages.keys().map(PathBuf::from));
        Some(Plan {
            config,
            listen: listening.listen,
            root,
            apps,
            debug: debug(&app.node.global_conf),
            trusted_proxy: listening.trusted_proxy,
            limits: sheet.site().limits,
            redirects: sheet.site().redirects.clone(),
            answers,
            pages: Arc::new(std::mem::take(&mut self.pages)),
            access_log,
            cuts,
            warnings: Vec::new(),
            files: std::mem::take(&mut self.files).into_iter().collect(),
        })
    }

    /// The file that was given, if the request names one. None with a problem pushed where it cannot be read: it may be for a
    /// moment only, and what is resolved then would have the app and not where to listen.
    fn document(&mut self) -> Option<Arc<Document>> {
        let uri = uri::from_argument(&self.request.config);
        let (scheme, rest) = uri.split_once(':')?;
        if !scheme.eq_ignore_ascii_case("config") {
            return None;
        }
        let (path, _) = uri::split_fragment(rest);
        let path = uri::config_path(path, Some(&self.request.relative_to.to_string_lossy()))?;
        self.documents
            .read(&path)
            .map_err(|problems| self.problems.extend(problems))
            .ok()
    }

    fn resolve(&mut self, query: &Query) -> Option<Resolved> {
        match resolve(query, &mut self.documents, self.environments) {
            Ok(resolved) => {
                self.files.extend(resolved.files.iter().cloned());
                self.warnings.extend(resolved.warnings.iter().cloned());
                Some(resolved)
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn sheet(&mut self, document: &Document, listening: Option<&Listening>, here: &Path) -> Sheet {
        let mut defaults = Settings::default();
        if let Some(listening) = listening {
            defaults.threads = listening.threads.unwrap_or(defaults.threads);
            defaults.processes = listening.processes.unwrap_or(defaults.processes);
        }
        let conf = &self.request.global_conf;
        let directory = &self.request.relative_to;
        let mut parts = sections::parts(
            document,
            conf,
            directory,
            &mut self.documents,
            self.environments,
            &mut self.problems,
        );
        self.warnings.extend(sections::lookalikes(document));
        // What the server's options say comes first: [isolate] overrules it.
        if let Some(listening) = listening {
            parts.splice(0..0, listening.part());
        }
        Sheet::read(parts, defaults, here, &mut self.problems)
    }

    fn cut(&mut self, node: &Node, options: Options<'_>) -> Option<Cutting> {
        cut::cut(node, options)
            .map_err(|problems| self.problems.extend(problems))
            .ok()
    }

    fn read_pages(&mut self, answers: &Answers, places: &BTreeMap<String, Place>) {
        error_pages::read(&answers.pages, &mut self.pages, places, &mut self.problems);
    }
}

/// Each problem once, in order.
fn once(problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().fold(Vec::new(), |mut known, problem| {
        if !known.contains(&problem) {
            known.push(problem);
        }
        known
    })
}

fn directory_of(document: &Document, relative_to: &Path) -> PathBuf {
    relative_to.join(document.path.parent().unwrap_or(Path::new("")))
}

/// `debug` as `asbool` reads it; anything else is off.
fn debug(globals: &Conf) -> bool {
    globals
        .get("debug")
        .is_some_and(|text| switch(text) == Ok(true))
}
