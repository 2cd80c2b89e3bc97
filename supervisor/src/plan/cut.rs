//! Where the tree is cut into apps, and why there. Pure: a tree in, routes and pieces out.
//!
//! The proxy does the work of stock urlmaps, level by level; the first node on each branch that is anything else becomes
//! an app with its whole subtree. Filters above a urlmap either fan out (`super::region`) or keep all below together.

use super::exec;
use super::filters::{self, Verdict};
use super::keys::FanOut;
use super::names;
use super::region;
use super::spec::Cut;
use crate::config::problem::Problem;
use crate::config::tree::{Node, Origin, Parts, Urlmap, Via};
use crate::router::message::{Route, RouteNode, WorkerAddress};
use std::collections::HashMap;
use std::path::Path;

/// How to cut.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Without it the whole tree is one app.
    pub isolate: bool,
    pub fan_out: FanOut,
    /// The file that is served: `main` of any other file is named after that file.
    pub root: &'a Path,
}

/// The result.
#[derive(Debug, Clone, PartialEq)]
pub struct Cutting {
    pub root: RouteNode,
    /// In the order in which requests are matched.
    pub pieces: Vec<Piece>,
    pub cuts: Vec<Cut>,
}

/// One app to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    pub name: String,
    /// What a worker builds; differs from the section's own node where filters fan out.
    pub node: Node,
    /// Where the app was written.
    pub origin: Origin,
    pub work: Work,
    /// As in `AppSpec::mounts`.
    pub mounts: Vec<String>,
}

/// Who does the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    Python,
    Exec { argv: Vec<String> },
    Upstream { address: WorkerAddress },
}

/// Cuts the tree.
///
/// # Errors
/// All places where a program or an upstream (`exec:`, `unix:`, `http:`) stands where only a Python object can, and all
/// bad texts after these schemes.
pub fn cut(root: &Node, options: Options<'_>) -> Result<Cutting, Vec<Problem>> {
    let mut cutter = Cutter {
        options,
        drafts: Vec::new(),
        alike: HashMap::new(),
        cuts: Vec::new(),
        problems: Vec::new(),
    };
    let branch = if options.isolate {
        cutter.descend(root, &Mount::default())
    } else {
        let whole =
            Draft::whole(root, &options).because("without --isolate the whole tree is one app");
        cutter.leaf(whole, &[Mount::default()])
    };
    cutter.finish(branch)
}

/// Routes whose apps have numbers and no names yet.
#[derive(Clone)]
pub(super) enum Branch {
    App(usize),
    Map {
        routes: Vec<(Option<String>, String, Branch)>,
        not_found: Option<Box<Branch>>,
        shift: bool,
    },
}

/// Where in the space of URLs a node is.
#[derive(Debug, Clone, Default)]
pub(super) struct Mount {
    domain: Option<String>,
    path: String,
    missed: bool,
}

impl Mount {
    pub(super) fn below(&self, domain: Option<&str>, prefix: &str) -> Mount {
        Mount {
            domain: domain.map(str::to_owned).or_else(|| self.domain.clone()),
            path: format!("{}{prefix}", self.path),
            missed: self.missed,
        }
    }

    pub(super) fn missed(&self) -> Mount {
        Mount {
            missed: true,
            ..self.clone()
        }
    }
}

impl std::fmt::Display for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let root = self.domain.is_none() && self.path.is_empty();
        if self.missed && root {
            return f.write_str("(not found)");
        }
        if let Some(domain) = &self.domain {
            write!(f, "//{domain}")?;
        }
        f.write_str(if self.path.is_empty() {
            "/"
        } else {
            &self.path
        })?;
        if self.missed {
            f.write_str(" (not found)")
        } else {
            Ok(())
        }
    }
}

/// A piece before it has its name.
pub(super) struct Draft {
    wanted: String,
    /// For people: the section or URI.
    title: String,
    origin: Origin,
    node: Node,
    /// Whether Python objects are wrapped around it, so that it cannot be anything but Python itself.
    wrapped: bool,
    why: String,
    mounts: Vec<String>,
}

impl Draft {
    /// The node as it stands.
    fn whole(node: &Node, options: &Options<'_>) -> Draft {
        Draft {
            wanted: names::wanted(node, options.root),
            title: title(node),
            origin: node.origin.clone(),
            node: node.clone(),
            wrapped: false,
            why: nature(node).to_owned(),
            mounts: Vec::new(),
        }
    }

    /// `subject` with things around it: named after the one, built as the other.
    pub(super) fn wrapped(subject: &Node, built: Node, options: &Options<'_>) -> Draft {
        Draft {
            node: built,
            wrapped: true,
            ..Draft::whole(subject, options)
        }
    }

    pub(super) fn because(mut self, why: impl Into<String>) -> Draft {
        self.why = why.into();
        self
    }
}

/// The walk.
pub(super) struct Cutter<'a> {
    pub(super) options: Options<'a>,
    drafts: Vec<Draft>,
    /// Drafts by title: only those are worth comparing.
    alike: HashMap<String, Vec<usize>>,
    cuts: Vec<(Cut, Option<usize>)>,
    problems: Vec<Problem>,
}

impl Cutter<'_> {
    fn descend(&mut self, node: &Node, mount: &Mount) -> Branch {
        if let Parts::Urlmap(map) = &node.parts {
            return self.level(node, map, mount);
        }
        match filters::above_a_map(node, self.options.fan_out) {
            Verdict::FansOut => region::fan_out(self, node, mount),
            Verdict::Blocked { why } => {
                let whole = Draft::whole(node, &self.options).because(why);
                self.leaf(whole, std::slice::from_ref(mount))
            }
            Verdict::NoMap => {
                let whole = Draft::whole(node, &self.options);
                self.leaf(whole, std::slice::from_ref(mount))
            }
        }
    }

    fn level(&mut self, node: &Node, map: &Urlmap, mount: &Mount) -> Branch {
        self.note(node, "a stock urlmap: the proxy does the mapping");
        let mut routes = Vec::with_capacity(map.routes.len());
        for route in &map.routes {
            let below = mount.below(route.domain.as_deref(), &route.prefix);
            let to = self.descend(&route.app, &below);
            routes.push((route.domain.clone(), route.prefix.clone(), to));
        }
        let not_found = map
            .not_found_app
            .as_ref()
            .map(|member| Box::new(self.descend(&member.app, &mount.missed())));
        Branch::Map {
            routes,
            not_found,
            shift: true,
        }
    }

    /// Explains a level that became no app.
    pub(super) fn note(&mut self, node: &Node, why: &str) {
        self.cuts.push((
            Cut {
                node: title(node),
                app: None,
                why: why.to_owned(),
            },
            None,
        ));
    }

    /// A piece; the same node at two places is one piece with two mounts.
    pub(super) fn leaf(&mut self, draft: Draft, mounts: &[Mount]) -> Branch {
        let alike = self.alike.entry(draft.title.clone()).or_default();
        let known = alike
            .iter()
            .find(|known| self.drafts[**known].node == draft.node);
        let index = known.copied().unwrap_or_else(|| {
            let cut = Cut {
                node: draft.title.clone(),
                app: None,
                why: draft.why.clone(),
            };
            alike.push(self.drafts.len());
            self.cuts.push((cut, Some(self.drafts.len())));
            self.drafts.push(draft);
            self.drafts.len() - 1
        });
        let known = &mut self.drafts[index].mounts;
        for mount in mounts.iter().map(Mount::to_string) {
            if !known.contains(&mount) {
                known.push(mount);
            }
        }
        Branch::App(index)
    }

    fn finish(mut self, branch: Branch) -> Result<Cutting, Vec<Problem>> {
        let wanted: Vec<String> = self
            .drafts
            .iter()
            .map(|draft| draft.wanted.clone())
            .collect();
        let names = names::unique(&wanted);
        let mut pieces = Vec::with_capacity(self.drafts.len());
        for (draft, name) in std::mem::take(&mut self.drafts).into_iter().zip(&names) {
            let Some(work) = self.work(&draft) else {
                continue;
            };
            let Draft {
                node,
                origin,
                mounts,
                ..
            } = draft;
            pieces.push(Piece {
                name: name.clone(),
                node,
                origin,
                work,
                mounts,
            });
        }
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        let cuts = self.cuts.into_iter().map(|(cut, app)| Cut {
            app: app.map(|index| names[index].clone()),
            ..cut
        });
        Ok(Cutting {
            root: named(branch, &names),
            pieces,
            cuts: cuts.collect(),
        })
    }

    /// What runs a piece; none with a problem pushed.
    fn work(&mut self, draft: &Draft) -> Option<Work> {
        let node = &draft.node;
        if draft.wrapped || !matches!(node.parts, Parts::Leaf) || foreign(node).is_none() {
            let known = self.problems.len();
            self.only_python(node);
            return (self.problems.len() == known).then_some(Work::Python);
        }
        let factory = node.factory.as_ref()?;
        let here = node.origin.file.parent().unwrap_or(Path::new("/"));
        let work = match factory.via {
            Via::Exec => exec::argv(&factory.target, here).map(|argv| Work::Exec { argv }),
            Via::Unix => exec::unix(&factory.target).map(|address| Work::Upstream { address }),
            _ => exec::http(&factory.target).map(|address| Work::Upstream { address }),
        };
        work.map_err(|message| {
            self.problems
                .push(at_factory(node, Problem::new("SettingError", message)))
        })
        .ok()
    }

    /// Reports every program and upstream in a subtree that is built in one Python process.
    fn only_python(&mut self, node: &Node) {
        if let Some(scheme) = foreign(node) {
            let hint = if self.options.isolate {
                "mount it as an app of its own in a urlmap, without filters around it"
            } else {
                "serve with --isolate, where each mounted app has processes of its own"
            };
            let message = format!("`{scheme}:` cannot be part of a Python process");
            let problem = at_factory(node, Problem::new("SettingError", message).hint(hint));
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        for child in children(node) {
            self.only_python(child);
        }
    }
}

/// The scheme of a node that no Python process can build.
fn foreign(node: &Node) -> Option<&'static str> {
    match node.factory.as_ref()?.via {
        Via::Exec => Some("exec"),
        Via::Unix => Some("unix"),
        Via::Http => Some("http"),
        Via::Explicit | Via::Egg | Via::Call | Via::Module => None,
    }
}

fn at_factory(node: &Node, problem: Problem) -> Problem {
    let line = if node.origin.factory_line > 0 {
        node.origin.factory_line
    } else {
        node.origin.line
    };
    if node.origin.file.as_os_str().is_empty() {
        problem
    } else {
        problem.at(&node.origin.file, line)
    }
}

/// The nodes that a node is made of.
pub(super) fn children(node: &Node) -> Vec<&Node> {
    match &node.parts {
        Parts::Leaf | Parts::Opaque => Vec::new(),
        Parts::Pipeline { filters, app } => filters.iter().chain([&**app]).collect(),
        Parts::Filtered { filter, next } => vec![filter, next],
        Parts::Urlmap(map) => {
            let routes = map.routes.iter().map(|route| &*route.app);
            routes
                .chain(map.not_found_app.iter().map(|member| &*member.app))
                .collect()
        }
        Parts::Cascade { apps, .. } => apps.iter().map(|member| &*member.app).collect(),
    }
}

/// The section of a node as written, or the URI that stands for it.
pub(super) fn title(node: &Node) -> String {
    if !node.origin.section.is_empty() {
        return node.origin.section.clone();
    }
    match &node.factory {
        None => "(unnamed)".to_owned(),
        Some(factory) => match (&factory.distribution, &factory.name) {
            (Some(distribution), Some(name)) => format!("egg:{distribution}#{name}"),
            (Some(distribution), None) => format!("egg:{distribution}"),
            _ => factory.target.clone(),
        },
    }
}

/// Why a node that is no urlmap is an app.
fn nature(node: &Node) -> &'static str {
    match (&node.parts, foreign(node)) {
        (Parts::Leaf, Some("exec")) => "a program",
        (Parts::Leaf, Some(_)) => "an upstream that runs elsewhere",
        (Parts::Leaf, _) => "an application",
        (Parts::Pipeline { .. }, _) => "a pipeline: its filters and its app share one process",
        (Parts::Filtered { .. }, _) => "an app with a filter: they share one process",
        (Parts::Cascade { .. }, _) => "a cascade: its members share one process",
        (Parts::Opaque, _) => {
            "a composite that loads its members itself: all of them share one process"
        }
        (Parts::Urlmap(_), _) => "a urlmap",
    }
}

fn named(branch: Branch, names: &[String]) -> RouteNode {
    match branch {
        Branch::App(index) => RouteNode::App {
            app: names[index].clone(),
        },
        Branch::Map {
            routes,
            not_found,
            shift,
        } => RouteNode::Map {
            routes: routes
                .into_iter()
                .map(|(domain, prefix, to)| Route {
                    domain,
                    prefix,
                    to: named(to, names),
                })
                .collect(),
            not_found: not_found.map(|branch| Box::new(named(*branch, names))),
            shift,
        },
    }
}

#[cfg(test)]
#[path = "cut_tests.rs"]
mod tests;
