//! The Paste Deploy dialect: from INI text to a resolved tree.
//!
//! ```text
//! bytes ─ grammar ─▶ Document ─ lookup, interpolate ─▶ resolve ─▶ contexts ─ snapshot ─▶ tree::Node
//!                                        uri, reference, metadata ─┘ └─ composite    └ oracle_format
//! ```
//!
//! Nothing here imports Python code or knows about workers. Every problem carries its
//! file and line. The specification is the behaviour of PasteDeploy 3.1; `docs/config-dialect.md`
//! lists where we differ.

mod composite;
mod context;
pub mod document;
mod expression;
mod grammar;
mod interpolate;
mod lookup;
pub mod metadata;
mod options;
mod oracle_format;
pub mod problem;
pub mod python;
mod reference;
mod resolve;
mod section;
mod snapshot;
mod stock;
pub(crate) use stock::server_types;
#[cfg(test)]
mod tests;
mod text;
pub mod tree;
pub mod uri;
mod urlmap_key;
pub mod values;

pub use lookup::Kind;

use context::{Context, Globals, Loader, Site};
use document::{Document, Documents};
use problem::Problem;
use python::Environments;
use resolve::Resolver;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tree::{Conf, Node};

/// Nested references are resolved recursively, up to a limit that needs about a tenth of this.
const STACK: usize = 64 << 20;

/// What to resolve.
#[derive(Debug, Clone)]
pub struct Query {
    /// A URI; [`uri::from_argument`] makes one of a path.
    pub uri: String,
    /// Wins over the URI's fragment; `main` if there is neither.
    pub name: Option<String>,
    pub kind: Kind,
    /// Values from outside the files.
    pub global_conf: Conf,
    /// What a relative `config:` URI starts from: the working directory.
    pub relative_to: PathBuf,
}

/// A configuration without errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub node: Node,
    pub warnings: Vec<Problem>,
    /// Every file that was read, the outermost first; absolute.
    pub files: Vec<PathBuf>,
    /// The outermost file; empty for a URI that names no file.
    pub document: Arc<Document>,
}

/// Resolves an object. The problems of all routes are reported together; the first is the one
/// that Paste Deploy would raise. Files that `documents` has are not read again.
pub fn resolve(
    query: &Query,
    documents: &mut Documents,
    environments: &dyn Environments,
) -> Result<Resolved, Vec<Problem>> {
    with_stack(|| {
        let mut resolver = Resolver::new(
            environments,
            documents,
            query.relative_to.to_string_lossy().into_owned(),
        );
        let context = contexts(&mut resolver, query)?;
        let node = snapshot::node(&context)?;
        let document = resolver
            .outermost
            .map(|loader| Arc::clone(&loader.document))
            .unwrap_or_default();
        Ok(Resolved {
            node,
            warnings: resolver.warnings,
            files: resolver.files.into_iter().collect(),
            document,
        })
    })
}

/// Resolves an object as Paste Deploy does, for comparison with it: as JSON, where a composite
/// with a failing member is shown as such.
pub fn describe(
    query: &Query,
    environments: &dyn Environments,
) -> Result<serde_json::Value, Vec<Problem>> {
    with_stack(|| {
        let mut documents = Documents::default();
        let mut resolver = Resolver::new(
            environments,
            &mut documents,
            query.relative_to.to_string_lossy().into_owned(),
        );
        contexts(&mut resolver, query).map(|context| oracle_format::node(&context))
    })
}

/// Problems as Paste Deploy's exception: `{"error": CLASS, "message": TEXT}` with the class of the
/// first and the texts of all.
pub fn describe_error(problems: &[Problem]) -> serde_json::Value {
    oracle_format::error(problems)
}

/// Resolves what a composite asks its loader for at run time; no name means `main`, or a section
/// without a name.
pub fn member(
    loader: &tree::Loader,
    kind: Kind,
    name: Option<&str>,
    global_conf: Option<Conf>,
    environments: &dyn Environments,
) -> Result<Node, Vec<Problem>> {
    with_stack(|| {
        let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let mut documents = Documents::default();
        let mut resolver = Resolver::new(
            environments,
            &mut documents,
            directory.to_string_lossy().into_owned(),
        );
        let loader = match loader {
            tree::Loader::Config { file, defaults } => {
                Loader::Config(resolver.open(&file.to_string_lossy(), Some(defaults))?)
            }
            tree::Loader::Egg { spec } => Loader::Egg { spec: spec.clone() },
            tree::Loader::Call { spec } => Loader::Call { spec: spec.clone() },
        };
        let globals: Option<Globals> = global_conf.map(|conf| Rc::new(RefCell::new(conf)));
        let mut context =
            resolver.member(&loader, kind, name, globals.as_ref(), &Site::default())?;
        resolver.expand(&mut context, 0)?;
        snapshot::node(&context)
    })
}

/// The contexts of a query, composites expanded.
fn contexts(resolver: &mut Resolver<'_>, query: &Query) -> Result<Context, Vec<Problem>> {
    let globals: Globals = Rc::new(RefCell::new(query.global_conf.clone()));
    let base = query.relative_to.to_string_lossy();
    let mut context = resolver.uri(
        query.kind,
        &query.uri,
        query.name.as_deref(),
        Some(&base),
        Some(&globals),
        &Site::default(),
    )?;
    resolver.expand(&mut context, 0)?;
    Ok(context)
}

/// Runs `work` on a thread with a stack that fits the deepest permitted nesting.
fn with_stack<T: Send>(
    work: impl FnOnce() -> Result<T, Vec<Problem>> + Send,
) -> Result<T, Vec<Problem>> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("resolve".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work);
        match thread {
            Ok(thread) => thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(error) => Err(vec![Problem::new(
                "OSError",
                format!("cannot start a thread: {error}"),
            )]),
        }
    })
}
