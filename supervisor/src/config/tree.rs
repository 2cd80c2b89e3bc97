//! The resolved tree: what the configuration means, before anything is called.
//!
//! This is the `context` of Paste Deploy as plain data. It is also what a Python worker receives
//! in its configuration (see `docs/worker-contract.md`), so its serde form is part of contract
//! version 1: fields are only ever added.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Option name to value, in file order. Values are strings, as in the INI file.
pub type Conf = IndexMap<String, String>;

/// Where a node was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Origin {
    /// The INI file; empty for a node that comes from no file (a bare `egg:` URI).
    pub file: PathBuf,
    /// The section as written, e.g. `app:blog`.
    pub section: String,
    /// Line of the section header, from 1; 0 when there is no file.
    pub line: usize,
    /// Line of the option that names the factory (`use = …` or `paste.app_factory = …`), from 1; 0 when there is none.
    pub factory_line: usize,
}

/// The kinds of object that Paste Deploy knows, by the names that it uses for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectType {
    Application,
    Filter,
    Server,
    Pipeline,
    FilterApp,
    FilteredWith,
}

/// How a factory was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// `paste.app_factory = module:attr`
    Explicit,
    /// `use = egg:Dist#name`
    Egg,
    /// `use = call:module:attr`
    Call,
    /// `use = module:attr` (our extension): a Python object, called as a factory of the wanted kind.
    Module,
    /// `use = exec:PROGRAM ARGS…` (our extension): any program that honours the worker contract.
    Exec,
    /// `use = unix:/path` (our extension): an upstream that runs elsewhere.
    Unix,
    /// `use = http://host:port` (our extension): an upstream that runs elsewhere.
    Http,
}

/// The factory that builds a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factory {
    pub via: Via,
    /// `module:attr` for Python factories; for `exec`, `unix` and `http` the text after the scheme
    /// (for `http` with its leading `//`).
    pub target: String,
    /// Entry point group, name and distribution: only with [`Via::Egg`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
}

/// Which loader resolves names that a composite asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Loader {
    Config {
        file: PathBuf,
        /// The values that were added to the parser defaults when this loader opened the file:
        /// a member that is loaded alone would see others. With `file`, name and
        /// `global_conf` this is enough to resolve a member exactly as in the undivided program.
        #[serde(default)]
        defaults: Conf,
    },
    Egg {
        spec: String,
    },
    Call {
        spec: String,
    },
}

/// A resolved object: an application, filter, server or one of the structures made of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub object_type: ObjectType,
    /// e.g. `paste.app_factory`; none for pipelines, filter-apps and filtered objects unless a `use` line went through.
    pub protocol: Option<String>,
    pub factory: Option<Factory>,
    pub loader: Loader,
    pub global_conf: Conf,
    pub local_conf: Conf,
    /// What the node is made of.
    #[serde(flatten)]
    pub parts: Parts,
    pub origin: Origin,
}

/// The children of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "parts", rename_all = "snake_case")]
pub enum Parts {
    /// Built by its factory alone.
    Leaf,
    /// `filters` outermost first.
    Pipeline { filters: Vec<Node>, app: Box<Node> },
    /// `[filter-app:]`, and any object with `filter-with`.
    Filtered { filter: Box<Node>, next: Box<Node> },
    /// The stock `paste.urlmap:urlmap_factory`.
    Urlmap(Urlmap),
    /// The stock `paste.cascade:make_cascade`.
    Cascade { catch: Vec<u16>, apps: Vec<Member> },
    /// Any other composite: its members are not knowable without running it.
    Opaque,
}

/// A stock urlmap with its routes in matching order (`paste.urlmap.URLMap.sort_apps`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Urlmap {
    pub routes: Vec<UrlmapRoute>,
    pub not_found_app: Option<Member>,
}

/// One entry of a urlmap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlmapRoute {
    /// `host` or `host:port`, case kept; none matches every host.
    pub domain: Option<String>,
    /// Normalised prefix without trailing slash; empty for `/`.
    pub prefix: String,
    /// The member as written: a section name or URI.
    pub name: String,
    pub app: Box<Node>,
    /// Line of the route in its section's file, from 1.
    pub line: usize,
}

/// A named member of a composite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub name: String,
    pub app: Box<Node>,
}

/// Factory target of the urlmap that the proxy implements itself.
pub const URLMAP_TARGET: &str = "paste.urlmap:urlmap_factory";
/// Factory target of the stock directory of files:
/// `make_static(global_conf, document_root, cache_max_age=None)`.
pub const STATIC_TARGET: &str = "paste.urlparser:make_static";

/// Factory target of the stock cascade.
pub const CASCADE_TARGET: &str = "paste.cascade:make_cascade";
