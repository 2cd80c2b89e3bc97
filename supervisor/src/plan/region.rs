//! Fan-out: filters above a urlmap are built again in each app below, around maps reduced to that app's routes.
//!
//! The apps of such a region see the request as it enters the region: the proxy chooses the app, the maps inside the
//! worker shift.

use super::cut::{Branch, Cutter, Draft, Mount, title};
use super::filters::{self, Verdict, layer};
use crate::config::tree::{Conf, Node, Parts, Urlmap, UrlmapRoute};
use std::collections::HashMap;

/// One step from a map to what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Route(usize),
    NotFound,
    /// The map's own 404.
    Miss,
}

/// A place in the region where mapping ends.
struct End<'a> {
    /// None for the 404 of a map without not-found app.
    node: Option<&'a Node>,
    why: Option<String>,
    at: Vec<Vec<Step>>,
    mounts: Vec<Mount>,
}

/// Routes of the region, by number of [`End`].
enum Shape {
    End(usize),
    Map {
        routes: Vec<(Option<String>, String, Shape)>,
        not_found: Box<Shape>,
    },
}

/// Cuts the region that begins at `root`, which [`filters::above_a_map`] has allowed.
pub(super) fn fan_out(cutter: &mut Cutter<'_>, root: &Node, mount: &Mount) -> Branch {
    cutter.note(
        root,
        "filters above a urlmap fan out: each app below builds them again, around its own routes",
    );
    let mut walk = Walk {
        fan_out: cutter.options.fan_out,
        ends: Vec::new(),
        alike: HashMap::new(),
    };
    let shape = walk.walk(root, &mut Vec::new(), mount);
    let branches: Vec<Branch> = walk
        .ends
        .iter()
        .map(|end| piece(cutter, root, end))
        .collect();
    branch(shape, &branches)
}

struct Walk<'a> {
    fan_out: super::keys::FanOut,
    ends: Vec<End<'a>>,
    /// Ends by title: only those are worth comparing.
    alike: HashMap<Option<String>, Vec<usize>>,
}

impl<'a> Walk<'a> {
    fn walk(&mut self, node: &'a Node, at: &mut Vec<Step>, mount: &Mount) -> Shape {
        if let Parts::Urlmap(map) = &node.parts {
            return self.map(map, at, mount);
        }
        match filters::above_a_map(node, self.fan_out) {
            Verdict::FansOut => {
                let inner = layer(node).map_or(node, |(_, inner)| inner);
                self.walk(inner, at, mount)
            }
            Verdict::Blocked { why } => self.end(Some(node), Some(why), at, mount),
            Verdict::NoMap => self.end(Some(node), None, at, mount),
        }
    }

    fn map(&mut self, map: &'a Urlmap, at: &mut Vec<Step>, mount: &Mount) -> Shape {
        let mut routes = Vec::with_capacity(map.routes.len());
        for (index, route) in map.routes.iter().enumerate() {
            let below = mount.below(route.domain.as_deref(), &route.prefix);
            at.push(Step::Route(index));
            let to = self.walk(&route.app, at, &below);
            at.pop();
            routes.push((route.domain.clone(), route.prefix.clone(), to));
        }
        let not_found = match &map.not_found_app {
            Some(member) => {
                at.push(Step::NotFound);
                let to = self.walk(&member.app, at, &mount.missed());
                at.pop();
                to
            }
            None => {
                at.push(Step::Miss);
                let to = self.end(None, None, at, &mount.missed());
                at.pop();
                to
            }
        };
        Shape::Map {
            routes,
            not_found: Box::new(not_found),
        }
    }

    fn end(
        &mut self,
        node: Option<&'a Node>,
        why: Option<String>,
        at: &[Step],
        mount: &Mount,
    ) -> Shape {
        let alike = self.alike.entry(node.map(title)).or_default();
        let known = alike.iter().find(|end| self.ends[**end].node == node);
        let index = known.copied().unwrap_or_else(|| {
            alike.push(self.ends.len());
            self.ends.push(End {
                node,
                why,
                at: Vec::new(),
                mounts: Vec::new(),
            });
            self.ends.len() - 1
        });
        self.ends[index].at.push(at.to_vec());
        self.ends[index].mounts.push(mount.clone());
        Shape::End(index)
    }
}

/// Makes the piece of an end.
fn piece(cutter: &mut Cutter<'_>, root: &Node, end: &End<'_>) -> Branch {
    let subject = end.node.unwrap_or(root);
    let why = match (&end.node, &end.why) {
        (None, _) => format!(
            "requests that no route matches, with the filters of `{}`",
            title(root)
        ),
        (Some(_), Some(why)) => why.clone(),
        (Some(_), None) => format!("with the filters of `{}` built around it", title(root)),
    };
    let positions: Vec<&[Step]> = end.at.iter().map(Vec::as_slice).collect();
    let draft = Draft::wrapped(subject, reduced(root, &positions), &cutter.options).because(why);
    cutter.leaf(draft, &end.mounts)
}

fn branch(shape: Shape, pieces: &[Branch]) -> Branch {
    match shape {
        Shape::End(index) => pieces[index].clone(),
        Shape::Map { routes, not_found } => Branch::Map {
            routes: routes
                .into_iter()
                .map(|(domain, prefix, to)| (domain, prefix, branch(to, pieces)))
                .collect(),
            not_found: Some(Box::new(branch(*not_found, pieces))),
            shift: false,
        },
    }
}

/// The node with its maps reduced to what leads to `kept`. Order is kept, so a request that the full tree sends to one of
/// the places is sent there by the reduced tree too.
fn reduced(node: &Node, kept: &[&[Step]]) -> Node {
    if kept.iter().any(|steps| steps.is_empty()) {
        return node.clone();
    }
    let parts = match &node.parts {
        Parts::Pipeline { filters, app } => Parts::Pipeline {
            filters: filters.clone(),
            app: Box::new(reduced(app, kept)),
        },
        Parts::Filtered { filter, next } => Parts::Filtered {
            filter: filter.clone(),
            next: Box::new(reduced(next, kept)),
        },
        Parts::Urlmap(map) => Parts::Urlmap(reduced_map(map, kept)),
        other => other.clone(),
    };
    // The options of a urlmap are its routes, all of them; a route that is added must not change the apps of the others.
    let local_conf = match &parts {
        Parts::Urlmap(_) => Conf::new(),
        _ => node.local_conf.clone(),
    };
    // Field by field, since a clone of the node would be one of the whole region.
    Node {
        object_type: node.object_type,
        protocol: node.protocol.clone(),
        factory: node.factory.clone(),
        loader: node.loader.clone(),
        global_conf: node.global_conf.clone(),
        local_conf,
        parts,
        origin: node.origin.clone(),
    }
}

fn reduced_map(map: &Urlmap, kept: &[&[Step]]) -> Urlmap {
    let below = |step: Step| -> Vec<&[Step]> {
        kept.iter()
            .filter(|steps| steps.first() == Some(&step))
            .map(|steps| &steps[1..])
            .collect()
    };
    let routes = map.routes.iter().enumerate().filter_map(|(index, route)| {
        let kept = below(Step::Route(index));
        (!kept.is_empty()).then(|| UrlmapRoute {
            domain: route.domain.clone(),
            prefix: route.prefix.clone(),
            name: route.name.clone(),
            app: Box::new(reduced(&route.app, &kept)),
            line: route.line,
        })
    });
    let not_found = below(Step::NotFound);
    let not_found_app = map
        .not_found_app
        .as_ref()
        .filter(|_| !not_found.is_empty())
        .map(|member| {
            let mut member = member.clone();
            *member.app = reduced(&member.app, &not_found);
            member
        });
    Urlmap {
        routes: routes.collect(),
        not_found_app,
    }
}
