//! What a reference resolves to while resolution goes on.
//!
//! Paste Deploy's contexts share dictionaries, and a `use` line updates them afterwards; who sees
//! such an update follows from the sharing. So the dictionaries here are shared in the same places,
//! and become plain data only at the end (`snapshot`, `oracle_format`).

use super::document::Document;
use super::interpolate::{Defaults, Scope};
use super::problem::Problem;
use super::tree::{Conf, Factory, ObjectType, Origin};
use indexmap::IndexMap;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Problems; never empty in an `Err`. The first is the one that Paste Deploy would raise.
pub(crate) type Problems = Vec<Problem>;

/// `global_conf`, shared as in Paste Deploy.
pub(crate) type Globals = Rc<RefCell<Conf>>;

/// `local_conf`, shared as in Paste Deploy, with the place of each value.
pub(crate) type Locals = Rc<RefCell<IndexMap<String, Setting>>>;

/// One local option.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) site: Site,
}

/// Where a reference is written; line 0 means on no line of any file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    pub(crate) file: Rc<str>,
    pub(crate) line: usize,
}

impl Site {
    /// Gives the problem this place, unless it has one.
    pub(crate) fn mark(&self, problem: Problem) -> Problem {
        if problem.place.is_none() && self.line > 0 {
            problem.at(&*self.file, self.line)
        } else {
            problem
        }
    }
}

/// An opened file with its parser defaults.
#[derive(Debug)]
pub(crate) struct ConfigLoader {
    /// As opened.
    pub(crate) file: Rc<str>,
    pub(crate) document: Arc<Document>,
    pub(crate) ini: ini::Ini,
    pub(crate) defaults: Defaults,
    /// The caller's values that became defaults.
    pub(crate) added: Conf,
    pub(crate) expanded: OnceCell<Conf>,
}

impl ConfigLoader {
    /// What values of the section called `section` are read in; the defaults are section `DEFAULT`.
    pub(crate) fn scope<'a>(&'a self, section: &'a str) -> Scope<'a> {
        let options = if section == super::document::DEFAULT {
            None
        } else {
            self.ini.section(Some(section))
        };
        Scope {
            file: &self.file,
            section,
            options,
            defaults: &self.defaults,
        }
    }
}

/// Who resolves the names that a composite asks for.
#[derive(Debug, Clone)]
pub(crate) enum Loader {
    Config(Rc<ConfigLoader>),
    Egg { spec: String },
    Call { spec: String },
}

/// A resolved object, before anything is called.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) object_type: ObjectType,
    pub(crate) protocol: Option<String>,
    /// The protocol that the position implies where Paste Deploy has none.
    pub(crate) implied: &'static str,
    pub(crate) factory: Option<Factory>,
    pub(crate) loader: Loader,
    pub(crate) globals: Globals,
    pub(crate) locals: Locals,
    pub(crate) parts: Parts,
    pub(crate) origin: Origin,
}

/// What a context is made of.
#[derive(Debug)]
pub(crate) enum Parts {
    Leaf,
    Pipeline {
        filters: Vec<Context>,
        app: Box<Context>,
    },
    Filtered {
        filter: Box<Context>,
        next: Box<Context>,
    },
    /// Members are resolved last (`composite`), and their problems stay here.
    Urlmap(Result<Routes, Problems>),
    Cascade(Result<Cascade, Problems>),
    Opaque,
}

/// Members of a urlmap, in matching order.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    pub(crate) routes: Vec<Route>,
    pub(crate) not_found_app: Option<(String, Box<Context>)>,
}

/// One member of a urlmap.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) domain: Option<String>,
    pub(crate) prefix: String,
    pub(crate) name: String,
    pub(crate) app: Box<Context>,
    pub(crate) line: usize,
}

/// Members of a cascade, in the order in which they are tried.
#[derive(Debug, Default)]
pub(crate) struct Cascade {
    pub(crate) catch: Vec<u16>,
    pub(crate) apps: Vec<(String, Context)>,
}
