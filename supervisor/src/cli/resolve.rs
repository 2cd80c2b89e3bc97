//! `paster resolve`

use super::args::{Kind, ResolveArgs};
use super::exit::Exit;
use super::{output, site};
use crate::config::{self, Query, python::Machine, uri};
use serde_json::json;

pub(crate) fn run(args: &ResolveArgs) -> Exit {
    let global_conf = match site::variables(&args.vars) {
        Ok(global_conf) => global_conf,
        Err(error) => {
            output::message(&format!("error: {error}"));
            return Exit::Usage;
        }
    };
    let relative_to = match std::env::current_dir() {
        Ok(directory) => directory,
        Err(error) => {
            output::message(&format!(
                "error: the working directory cannot be found: {error}"
            ));
            return Exit::Failed;
        }
    };
    let query = Query {
        uri: uri::from_argument(&args.config),
        name: args.name.clone(),
        kind: kind(args.kind),
        global_conf,
        relative_to,
    };
    match config::describe(&query, &Machine::default()) {
        Ok(node) => {
            output::answer(&format!("{:#}", json!({"context": node})));
            Exit::Ok
        }
        Err(problems) => {
            output::answer(&format!(
                "{:#}",
                json!({"context": config::describe_error(&problems)})
            ));
            for hint in problems
                .iter()
                .filter_map(|problem| problem.hint.as_deref())
            {
                output::message(&format!("hint: {hint}"));
            }
            Exit::Failed
        }
    }
}

fn kind(kind: Kind) -> config::Kind {
    match kind {
        Kind::App => config::Kind::App,
        Kind::Filter => config::Kind::Filter,
        Kind::Server => config::Kind::Server,
    }
}
