//! The output of `paster resolve`: what Paste Deploy itself resolves, in a form that can be
//! compared with it. A composite whose members fail is shown with the error in their place.

use super::context::{Context, Loader, Parts, Problems};
use super::problem::Problem;
use super::snapshot;
use super::tree::{Conf, Factory, ObjectType};
use serde_json::{Map, Value, json};

/// `{"error": CLASS, "message": TEXT}` for the first problem; the text has all of them.
pub(crate) fn error(problems: &[Problem]) -> Value {
    let class = problems
        .first()
        .map_or("Exception", |problem| problem.class.as_str());
    let message: Vec<String> = problems.iter().map(Problem::to_string).collect();
    json!({"error": class, "message": message.join("\n")})
}

/// A context with everything below it.
pub(crate) fn node(context: &Context) -> Value {
    let mut out = Map::new();
    out.insert(
        "object_type".to_owned(),
        object_type(context.object_type).into(),
    );
    out.insert("protocol".to_owned(), context.protocol.clone().into());
    out.insert(
        "factory".to_owned(),
        context.factory.as_ref().map_or(Value::Null, factory),
    );
    out.insert("loader".to_owned(), loader(&context.loader));
    out.insert("global_conf".to_owned(), conf(&context.globals.borrow()));
    out.insert("local_conf".to_owned(), conf(&snapshot::locals(context)));
    match &context.parts {
        Parts::Leaf => {}
        Parts::Opaque => {
            out.insert("opaque".to_owned(), true.into());
        }
        Parts::Pipeline { filters, app } => {
            out.insert("filters".to_owned(), filters.iter().map(node).collect());
            out.insert("app".to_owned(), node(app));
        }
        Parts::Filtered { filter, next } => {
            out.insert("filter".to_owned(), node(filter));
            out.insert("next".to_owned(), node(next));
        }
        Parts::Urlmap(members) => {
            let shown = members.as_ref().map(|members| {
                let routes: Vec<Value> = members
                    .routes
                    .iter()
                    .map(|route| json!({"domain": route.domain, "prefix": route.prefix, "name": route.name, "app": node(&route.app)}))
                    .collect();
                let not_found = members.not_found_app.as_ref().map(|(name, app)| member(name, app));
                json!({"routes": routes, "not_found_app": not_found})
            });
            out.insert("urlmap".to_owned(), shown.unwrap_or_else(broken));
        }
        Parts::Cascade(members) => {
            let shown = members.as_ref().map(|members| {
                let apps: Vec<Value> = members
                    .apps
                    .iter()
                    .map(|(name, app)| member(name, app))
                    .collect();
                json!({"catch": members.catch, "apps": apps})
            });
            out.insert("cascade".to_owned(), shown.unwrap_or_else(broken));
        }
    }
    Value::Object(out)
}

fn broken(problems: &Problems) -> Value {
    error(problems)
}

fn member(name: &str, app: &Context) -> Value {
    json!({"name": name, "app": node(app)})
}

fn object_type(object_type: ObjectType) -> &'static str {
    match object_type {
        ObjectType::Application => "application",
        ObjectType::Filter => "filter",
        ObjectType::Server => "server",
        ObjectType::Pipeline => "pipeline",
        ObjectType::FilterApp => "filter_app",
        ObjectType::FilteredWith => "filtered_with",
    }
}

fn factory(factory: &Factory) -> Value {
    serde_json::to_value(factory).unwrap_or(Value::Null)
}

fn loader(loader: &Loader) -> Value {
    match loader {
        Loader::Config(config) => json!({"kind": "config", "file": &*config.file}),
        Loader::Egg { spec } => json!({"kind": "egg", "spec": spec}),
        Loader::Call { spec } => json!({"kind": "call", "spec": spec}),
    }
}

fn conf(conf: &Conf) -> Value {
    conf.iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect::<Map<_, _>>()
        .into()
}
