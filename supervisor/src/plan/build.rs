//! All of planning together: a configuration in, a plan out, or every problem that it has.

use super::confined::{self, Asking};
use super::cut::{self, Cutting, Options, Piece, Work};
use super::domains;
use super::error_pages;
use super::identity::{Accounts, System};
use super::listen::{Listening, listening, without_server};
use super::log;
use super::loggers::Loggers;
use super::sections;
use super::settings::{Policy, Sheet};
use super::spec::{AppKind, AppSpec, Cut, Plan, Settings};
use super::static_files;
use super::units::switch;
use crate::config::document::{Document, Documents};
use crate::config::problem::{Place, Problem};
use crate::config::python::{self, Environments, Machine};
use crate::config::server_types;
use crate::config::tree::{Conf, Node, ObjectType, Parts};
use crate::config::{Kind, Query, Resolved, resolve, uri};
use crate::confine::probe::Here;
use crate::confine::verdict::Kernel;
use crate::router::answers::{Answers, Page};
use crate::router::message::{Handover, Sendfile, StaticFiles};
use indexmap::IndexSet;
use std::collections::{BTreeMap, BTreeSet};
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
            .map_err(|error| format!("error: there is no current directory: {error}"))?;
        Ok(PlanRequest {
            config: config.to_owned(),
            app_name: None,
            server_name: None,
            server: None,
            global_conf: Conf::new(),
            isolate: true,
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
    build_with(request, &Machine::default(), &System, &Here::default())
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
        self.read_pages(&answers, sheet.site_place("error_pages"));
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

    /// Where to listen. None with a problem pushed, or where the file itself
    /// cannot be read.
    fn server(&mut self, document: Option<&Document>) -> Option<Listening> {
        if let Some(name) = &self.request.server {
            if !server_types().any(|known| known == name) {
                let known: Vec<&str> = server_types().collect();
                let problem =
                    Problem::new("LookupError", format!("there is no server type `{name}`"));
                let hint = format!("egg:PasteScript has {}", known.join(", "));
                self.problems.push(problem.hint(hint));
                return None;
            }
            let query = Query {
                uri: format!("egg:PasteScript#{name}"),
                ..self.request.query(Kind::Server, None)
            };
            return self.listen_as(&query);
        }
        let explicit = self.request.server_name.is_some() || self.request.config.contains('#');
        let Some(document) = document else {
            return Some(without_server(&self.request.passed));
        };
        let is_main = |name: &str| {
            name.split_once(':')
                .is_some_and(|(kind, name)| kind == "server" && name.trim() == "main")
        };
        if !explicit
            && !document
                .sections
                .iter()
                .any(|section| is_main(&section.name))
        {
            let passed = &self.request.passed;
            if passed.is_empty() {
                self.warnings.push(
                    Problem::new(
                        "Warning",
                        "there is no [server:main]: paster listens on 127.0.0.1:8080",
                    )
                    .hint("add [server:main] with `use = egg:Paste#http`, `host` and `port`"),
                );
            }
            return Some(without_server(passed));
        }
        let name = self.request.server_name.as_ref();
        self.listen_as(&self.request.query(Kind::Server, name))
    }

    /// Where the server that `query` names would listen.
    fn listen_as(&mut self, query: &Query) -> Option<Listening> {
        let server = self.resolve(query)?;
        let place = |key: &str| {
            let line = server
                .document
                .option(&server.node.origin.section, key)?
                .line;
            (server.document.path == server.node.origin.file).then(|| Place {
                file: server.document.path.clone(),
                line,
            })
        };
        let read = listening(&server.node, &place)
            .map_err(|problems| self.problems.extend(problems))
            .ok();
        if let Some(listening) = &read {
            self.warnings.extend(listening.warnings.iter().cloned());
        }
        read
    }

    /// What the served section says, with the addresses of all `servers`. None with a problem pushed.
    fn all_servers(&mut self, first: Listening, sheet: &Sheet) -> Option<Listening> {
        let mut all = vec![first];
        for name in &sheet.site().servers {
            let query = self.request.query(Kind::Server, Some(name));
            all.push(self.listen_as(&query)?);
        }
        let joined = Listening::join(all, sheet.site().trusted_proxy.clone());
        joined
            .map_err(|problems| self.problems.extend(problems))
            .ok()
    }

    fn sheet(&mut self, document: &Document, listening: Option<&Listening>, here: &Path) -> Sheet {
        let mut defaults = Settings::default();
        if let Some(listening) = listening {
            defaults.threads = listening.threads.unwrap_or(defaults.threads);
            defaults.processes = listening.processes.unwrap_or(defaults.processes);
        }
        let conf = &self.request.global_conf;
        let directory = &self.request.relative_to;
        let parts = sections::parts(
            document,
            conf,
            directory,
            &mut self.documents,
            self.environments,
            &mut self.problems,
        );
        self.warnings.extend(sections::lookalikes(document));
        Sheet::read(parts, defaults, here, &mut self.problems)
    }

    fn cut(&mut self, node: &Node, options: Options<'_>) -> Option<Cutting> {
        cut::cut(node, options)
            .map_err(|problems| self.problems.extend(problems))
            .ok()
    }

    fn app(
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
        let place = policy.places.get("error_pages");
        self.read_pages(&policy.settings.answers, place);
        let other = if policy.strip_prefix {
            Handover::Strip
        } else {
            Handover::Keep
        };
        let files = matches!(work, Work::Python) && static_files::is_one(&node);
        let files = files.then(|| self.files(&name, &node, &policy, cuts));
        let (kind, handover) = match work {
            Work::Python if let Some(Some(files)) = files => (AppKind::Static(files), other),
            Work::Python => {
                self.look_for_paste(&node, &policy, here);
                let kind = AppKind::Python {
                    interpreter: self.interpreter(&name, &policy, here),
                    python_path: python_path(&node, here),
                    logging: logging.cloned(),
                    tree: Box::new(node),
                };
                (kind, Handover::Environ)
            }
            Work::Exec { argv } => {
                argv.first()
                    .into_iter()
                    .for_each(|program| self.look_for(program, &node));
                (
                    AppKind::Exec {
                        argv,
                        node: Box::new(node),
                    },
                    other,
                )
            }
            Work::Upstream { address } => (AppKind::Upstream { address }, other),
        };
        if let (AppKind::Exec { .. } | AppKind::Upstream { .. } | AppKind::Static(_), Some(place)) =
            (&kind, &policy.own_preload)
        {
            let message =
                format!("app `{name}` is not run by paster's Python host: `preload` cannot be had");
            let hint = "remove it; in [isolate] it is for the Python apps alone";
            let problem = Problem::new("SettingError", message);
            self.problems
                .push(problem.at(&place.file, place.line).hint(hint));
        }
        if handover != Handover::Environ
            && policy.own.contains("filters")
            && let (false, Some(place)) = (
                policy.settings.filters.is_empty(),
                policy.places.get("filters"),
            )
        {
            let message =
                format!("app `{name}` is no Python app: `filters` cannot stand around it");
            let hint = "remove it; in [isolate] it is for the Python apps alone";
            let problem = Problem::new("SettingError", message);
            self.problems
                .push(problem.at(&place.file, place.line).hint(hint));
        }
        let asking = Asking {
            app: &name,
            policy: &policy,
            kind: &kind,
            here,
            root: policy
                .settings
                .user
                .as_ref()
                .map_or(self.accounts.own().uid, |user| user.uid)
                == 0,
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

    /// A pipeline of `filters` with the app at its end, if there are any.
    fn filtered(&mut self, app: Node, policy: &Policy) -> Node {
        let mut filters = Vec::new();
        for name in &policy.settings.filters {
            let before = self.problems.len();
            let found = self.resolve(&self.request.query(Kind::Filter, Some(name)));
            filters.extend(found.map(|found| found.node));
            let place = policy.places.get("filters");
            for problem in &mut self.problems[before..] {
                problem.message = format!("`filters` names `{name}`: {}", problem.message);
                if problem.place.is_none() {
                    problem.place = place.cloned();
                }
            }
        }
        if filters.is_empty() {
            return app;
        }
        Node {
            object_type: ObjectType::Pipeline,
            protocol: None,
            factory: None,
            loader: app.loader.clone(),
            global_conf: app.global_conf.clone(),
            local_conf: Conf::new(),
            origin: app.origin.clone(),
            parts: Parts::Pipeline {
                filters,
                app: Box::new(app),
            },
        }
    }

    /// The files that the proxy serves in place of this app, if it may. Either way `cuts` says so.
    fn files(
        &mut self,
        app: &str,
        node: &Node,
        policy: &Policy,
        cuts: &mut [Cut],
    ) -> Option<StaticFiles> {
        let start = policy.settings.directory.as_ref();
        let start = start.unwrap_or(&self.request.relative_to);
        let files = static_files::for_the_proxy(node, policy, start, self.accounts);
        let why = match &files {
            Ok(_) => "static files: the proxy serves them itself".to_owned(),
            Err(why) => format!("static files, but for a worker: {why}"),
        };
        let own = |cut: &&mut Cut| cut.app.as_deref() == Some(app);
        cuts.iter_mut()
            .filter(own)
            .for_each(|cut| cut.why.clone_from(&why));
        if let Ok(StaticFiles { root, .. }) = &files
            && !root.is_dir()
        {
            let message = format!(
                "there is no directory {}, which app `{app}` serves",
                root.display()
            );
            let line = node.origin.line;
            let warning = Problem::new("Warning", message).at(&node.origin.file, line);
            let hint =
                "make it, or correct `document_root`; until then there is nothing to be found";
            self.warnings.push(warning.hint(hint));
        }
        files.ok()
    }

    /// Only the proxy serves files without Paste.
    fn look_for_paste(&mut self, node: &Node, policy: &Policy, here: &Path) {
        let Some(files) = static_files::first_for_python(node) else {
            return;
        };
        let python = policy
            .python
            .as_ref()
            .map(|python| python.to_string_lossy());
        let path = self.environments.search_path(python.as_deref(), here);
        if let Err(problem) = path.has("Paste") {
            let place = (&files.origin.file, files.origin.factory_line);
            self.problems.push(problem.at(place.0, place.1));
        }
    }

    /// Warns of directories whose files cannot be sent; they may still be made or opened before the start.
    fn look_at_sendfile(&mut self, app: &str, policy: &Policy) {
        for Sendfile { directory, .. } in &policy.settings.sendfile {
            let told = match static_files::is_open_to_the_proxy(directory, self.accounts) {
                _ if !directory.is_dir() => Some((
                    format!(
                        "there is no directory {}, which `sendfile` of app `{app}` names",
                        directory.display()
                    ),
                    "make it, or correct `sendfile`",
                )),
                Ok(()) => None,
                Err(why) => Some((
                    format!("files that app `{app}` names cannot be sent: {why}"),
                    "let others search it, and read what is in it",
                )),
            };
            if let Some((message, hint)) = told {
                let warning = Problem::new("Warning", message).hint(hint);
                self.warnings.push(match policy.places.get("sendfile") {
                    Some(place) => warning.at(&place.file, place.line),
                    None => warning,
                });
            }
        }
    }

    fn read_pages(&mut self, answers: &Answers, place: Option<&Place>) {
        error_pages::read(&answers.pages, &mut self.pages, place, &mut self.problems);
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
