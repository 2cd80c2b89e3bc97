//! `paste.urlmap`, exactly: which route gets a request, with which SCRIPT_NAME and PATH_INFO.
//!
//! A [`Router`] is compiled once per table. A look-up walks the path's segments down a tree of prefixes, at most
//! once for each of "any host", `host` and `host:port`, so its cost depends on the path and the depth of the
//! prefixes, not on how many there are. Among the prefixes that match, the route that comes first in the table
//! wins: the table's order is the original's, whatever sorting led to it.
//!
//! Deviations from the original: prefixes are compared as UTF-8 bytes with the decoded
//! path, a path that is neither empty nor absolute is a bad request instead of an exception.

mod index;
mod path;

#[cfg(test)]
mod tests;

pub use path::{path_info, strip_prefix};

use super::message::RouteNode;
use index::Index;
use std::borrow::Cow;

/// A request as far as routing is concerned.
#[derive(Debug, Clone, Copy)]
pub struct RequestTarget<'q> {
    /// The `Host` field as it came, or what stands in for it (SERVER_NAME); none matches no domain.
    pub host: Option<&'q [u8]>,
    /// `http` or `https`: the port of a host without one.
    pub scheme: &'q str,
    /// Percent-decoded bytes, as [`path_info`] makes them from a request target.
    pub path_info: &'q [u8],
    /// What was matched before this router; empty at the top of a site.
    pub script_name: &'q [u8],
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'r, 'q> {
    App(Matched<'r, 'q>),
    /// No route, and no not-found app on the level that missed: 404.
    NotFound,
    /// A map was asked about a path that is neither empty nor begins with `/`, such as `*`: 400.
    BadRequest,
}

/// The app that gets a request, and what it sees of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched<'r, 'q> {
    pub app: &'r str,
    pub script_name: Cow<'q, [u8]>,
    pub path_info: Cow<'q, [u8]>,
    /// How many bytes of the decoded and collapsed path went into `script_name`; for [`strip_prefix`].
    pub consumed: usize,
}

/// A compiled [`RouteNode`].
#[derive(Debug)]
pub struct Router {
    root: Step,
}

#[derive(Debug)]
enum Step {
    App(Box<str>),
    Map(Box<Map>),
}

#[derive(Debug)]
struct Map {
    index: Index,
    /// By the rank that the index returns.
    targets: Vec<Step>,
    not_found: Option<Step>,
    shift: bool,
}

/// What the node that is reached sees.
#[derive(Clone, Copy)]
enum View {
    /// The pair of the request, not collapsed.
    Untouched,
    /// SCRIPT_NAME extended by this many bytes of the collapsed path, PATH_INFO the rest of it.
    Shifted(usize),
}

impl Router {
    /// Compiles a level and all levels below it. Routes must be in matching order; of two with the same domain and
    /// prefix the first counts.
    pub fn new(root: &RouteNode) -> Router {
        Router {
            root: compile(root),
        }
    }

    /// Finds the app for a request, level by level: a miss on an inner level is final, as in the original.
    pub fn route<'r, 'q>(&'r self, request: &RequestTarget<'q>) -> Outcome<'r, 'q> {
        let mut step = &self.root;
        // A shifted path is collapsed already, so all levels share one normalised path and an offset into it.
        let mut normal: Option<Cow<'q, [u8]>> = None;
        let mut at = 0;
        let mut view = View::Untouched;
        let mut frozen = false;
        loop {
            match step {
                Step::App(app) => return Outcome::App(matched(app, view, request, normal)),
                Step::Map(map) => {
                    let path = match &normal {
                        Some(path) => path,
                        None => match path::normalize(request.path_info) {
                            Some(path) => normal.insert(path),
                            None => return Outcome::BadRequest,
                        },
                    };
                    step = match (
                        map.index.find(request.host, request.scheme, &path[at..]),
                        &map.not_found,
                    ) {
                        (Some(hit), _) => {
                            at += hit.prefix_len;
                            frozen |= !map.shift;
                            if !frozen {
                                view = View::Shifted(at);
                            }
                            &map.targets[hit.rank]
                        }
                        (None, Some(not_found)) => not_found,
                        (None, None) => return Outcome::NotFound,
                    };
                }
            }
        }
    }
}

fn matched<'r, 'q>(
    app: &'r str,
    view: View,
    request: &RequestTarget<'q>,
    normal: Option<Cow<'q, [u8]>>,
) -> Matched<'r, 'q> {
    let (View::Shifted(at), Some(path)) = (view, normal) else {
        let (script_name, path_info) = (request.script_name.into(), request.path_info.into());
        return Matched {
            app,
            script_name,
            path_info,
            consumed: 0,
        };
    };
    let (prefix, path_info) = split(path, at);
    let script_name = match (request.script_name, prefix) {
        ([], prefix) => prefix,
        (outer, prefix) if prefix.is_empty() => outer.into(),
        (outer, prefix) => [outer, &prefix].concat().into(),
    };
    Matched {
        app,
        script_name,
        path_info,
        consumed: at,
    }
}

fn split(path: Cow<'_, [u8]>, at: usize) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    match path {
        Cow::Borrowed(path) => (path[..at].into(), path[at..].into()),
        Cow::Owned(mut path) => {
            let rest = path.split_off(at);
            (path.into(), rest.into())
        }
    }
}

fn compile(node: &RouteNode) -> Step {
    match node {
        RouteNode::App { app } => Step::App(app.as_str().into()),
        RouteNode::Map {
            routes,
            not_found,
            shift,
        } => Step::Map(Box::new(Map {
            index: Index::new(
                routes
                    .iter()
                    .map(|route| (route.domain.as_deref(), route.prefix.as_str())),
            ),
            targets: routes.iter().map(|route| compile(&route.to)).collect(),
            not_found: not_found.as_deref().map(compile),
            shift: *shift,
        })),
    }
}
