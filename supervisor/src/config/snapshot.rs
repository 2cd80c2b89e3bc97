//! From contexts to plain data: the tree that the rest of the program works with.

use super::context::{Context, Loader, Parts, Problems, Setting};
use super::problem::Problem;
use super::tree::{self, Conf, Member, Node, ObjectType, Urlmap, UrlmapRoute};
use std::path::PathBuf;

/// All problems of composites in and below `context`, in the order in which they would be met.
pub(crate) fn problems(context: &Context, out: &mut Problems) {
    match &context.parts {
        Parts::Leaf | Parts::Opaque => {}
        Parts::Pipeline { filters, app } => filters
            .iter()
            .chain([&**app])
            .for_each(|part| problems(part, out)),
        Parts::Filtered { filter, next } => [filter, next]
            .into_iter()
            .for_each(|part| problems(part, out)),
        Parts::Urlmap(Err(own)) | Parts::Cascade(Err(own)) => add(own, out),
        Parts::Urlmap(Ok(members)) => {
            members
                .routes
                .iter()
                .for_each(|route| problems(&route.app, out));
            members
                .not_found_app
                .iter()
                .for_each(|(_, app)| problems(app, out));
        }
        Parts::Cascade(Ok(members)) => members.apps.iter().for_each(|(_, app)| problems(app, out)),
    }
}

/// Two members that share a section share its problems; say each once.
fn add(own: &[Problem], out: &mut Problems) {
    for problem in own {
        if !out.contains(problem) {
            out.push(problem.clone());
        }
    }
}

/// The tree, or all the problems in it.
pub(crate) fn node(context: &Context) -> Result<Node, Problems> {
    let mut found = Vec::new();
    problems(context, &mut found);
    if found.is_empty() {
        Ok(plain(context))
    } else {
        Err(found)
    }
}

fn plain(context: &Context) -> Node {
    Node {
        object_type: context.object_type,
        protocol: protocol(context),
        factory: context.factory.clone(),
        loader: loader(&context.loader),
        global_conf: context.globals.borrow().clone(),
        local_conf: locals(context),
        parts: parts(context),
        origin: context.origin.clone(),
    }
}

/// The protocol to call the factory with. Where Paste Deploy resolves an object but has no usable
/// protocol for it (`call:` outside a `use` line), the position implies one.
fn protocol(context: &Context) -> Option<String> {
    let stands_for_itself = matches!(
        context.object_type,
        ObjectType::Application | ObjectType::Filter | ObjectType::Server
    );
    match context.protocol.as_deref() {
        None | Some("paste.filter-app_factory") if stands_for_itself => {
            Some(context.implied.to_owned())
        }
        protocol => protocol.map(str::to_owned),
    }
}

/// `local_conf` without the places.
pub(crate) fn locals(context: &Context) -> Conf {
    let plain = |(name, setting): (&String, &Setting)| (name.clone(), setting.value.clone());
    context.locals.borrow().iter().map(plain).collect()
}

fn loader(loader: &Loader) -> tree::Loader {
    match loader {
        Loader::Config(config) => tree::Loader::Config {
            file: PathBuf::from(&*config.file),
            defaults: config.added.clone(),
        },
        Loader::Egg { spec } => tree::Loader::Egg { spec: spec.clone() },
        Loader::Call { spec } => tree::Loader::Call { spec: spec.clone() },
    }
}

fn parts(context: &Context) -> tree::Parts {
    let boxed = |context: &Context| Box::new(plain(context));
    let member = |name: &String, app: &Context| Member {
        name: name.clone(),
        app: boxed(app),
    };
    match &context.parts {
        Parts::Leaf => tree::Parts::Leaf,
        // `node` has made sure that there is no broken composite.
        Parts::Opaque | Parts::Urlmap(Err(_)) | Parts::Cascade(Err(_)) => tree::Parts::Opaque,
        Parts::Pipeline { filters, app } => tree::Parts::Pipeline {
            filters: filters.iter().map(plain).collect(),
            app: boxed(app),
        },
        Parts::Filtered { filter, next } => tree::Parts::Filtered {
            filter: boxed(filter),
            next: boxed(next),
        },
        Parts::Urlmap(Ok(members)) => {
            let routes = members.routes.iter().map(|route| UrlmapRoute {
                domain: route.domain.clone(),
                prefix: route.prefix.clone(),
                name: route.name.clone(),
                app: boxed(&route.app),
                line: route.line,
            });
            let not_found_app = members
                .not_found_app
                .as_ref()
                .map(|(name, app)| member(name, app));
            tree::Parts::Urlmap(Urlmap {
                routes: routes.collect(),
                not_found_app,
            })
        }
        Parts::Cascade(Ok(members)) => tree::Parts::Cascade {
            catch: members.catch.clone(),
            apps: members
                .apps
                .iter()
                .map(|(name, app)| member(name, app))
                .collect(),
        },
    }
}
