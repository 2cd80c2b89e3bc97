//! Nodes and users by hand, for unit tests.

use crate::config::tree::{
    Conf, Factory, Loader, Member, Node, ObjectType, Origin, Parts, URLMAP_TARGET, Urlmap,
    UrlmapRoute, Via,
};
use crate::plan::identity::{Accounts, System};
use crate::plan::spec::User;

/// The file that all nodes come from.
pub(crate) const FILE: &str = "/srv/site.ini";

fn node(object_type: ObjectType, section: &str, via: Via, target: &str, parts: Parts) -> Node {
    let factory = Factory {
        via,
        target: target.to_owned(),
        group: None,
        name: None,
        distribution: None,
    };
    Node {
        object_type,
        protocol: None,
        factory: (!target.is_empty()).then_some(factory),
        loader: Loader::Config {
            file: FILE.into(),
            defaults: Conf::new(),
        },
        global_conf: Conf::new(),
        local_conf: Conf::new(),
        parts,
        origin: Origin {
            file: FILE.into(),
            section: section.to_owned(),
            line: 1,
            factory_line: 2,
        },
    }
}

pub(crate) fn server(target: &str, options: &[(&str, &str)]) -> Node {
    let mut server = node(
        ObjectType::Server,
        "server:main",
        Via::Egg,
        target,
        Parts::Leaf,
    );
    server.local_conf = options
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    server
}

pub(crate) fn app(name: &str) -> Node {
    node(
        ObjectType::Application,
        &format!("app:{name}"),
        Via::Explicit,
        &format!("{name}:make"),
        Parts::Leaf,
    )
}

pub(crate) fn program(name: &str, via: Via, target: &str) -> Node {
    node(
        ObjectType::Application,
        &format!("app:{name}"),
        via,
        target,
        Parts::Leaf,
    )
}

pub(crate) fn filter(name: &str, target: &str) -> Node {
    node(
        ObjectType::Filter,
        &format!("filter:{name}"),
        Via::Egg,
        target,
        Parts::Leaf,
    )
}

pub(crate) fn pipeline(name: &str, filters: Vec<Node>, app: Node) -> Node {
    let parts = Parts::Pipeline {
        filters,
        app: Box::new(app),
    };
    node(
        ObjectType::Pipeline,
        &format!("pipeline:{name}"),
        Via::Explicit,
        "",
        parts,
    )
}

/// Routes are `[domain]/prefix`; `/` is the empty prefix.
pub(crate) fn urlmap(name: &str, routes: Vec<(&str, Node)>, not_found: Option<Node>) -> Node {
    let routes = routes.into_iter().map(|(key, app)| {
        let (domain, prefix) = key.find('/').map_or((key, ""), |at| key.split_at(at));
        UrlmapRoute {
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            prefix: prefix.trim_end_matches('/').to_owned(),
            name: app.origin.section.clone(),
            app: Box::new(app),
            line: 3,
        }
    });
    let not_found_app = not_found.map(|app| Member {
        name: app.origin.section.clone(),
        app: Box::new(app),
    });
    let parts = Parts::Urlmap(Urlmap {
        routes: routes.collect(),
        not_found_app,
    });
    node(
        ObjectType::Application,
        &format!("composite:{name}"),
        Via::Egg,
        URLMAP_TARGET,
        parts,
    )
}

/// A machine on which paster is this user.
pub(crate) struct Own(pub(crate) u32);

impl Accounts for Own {
    fn own(&self) -> User {
        User {
            uid: self.0,
            ..System.own()
        }
    }

    fn user(&self, _: &str) -> Option<User> {
        None
    }

    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}
