//! `paster resolve`

use super::args::{Kind, ResolveArgs};
use super::exit::Exit;
use super::output;
use crate::config::{self, Query, python::Machine, tree::Conf, uri};
use serde_json::json;

pub(crate) fn run(args: &ResolveArgs) -> Exit {
    let global_conf = match variables(&args.vars) {
        Ok(global_conf) => global_conf,
        Err(message) => {
            output::message(&message);
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

/// Splits `KEY=VALUE` arguments at the first `=`; later ones win.
pub(crate) fn variables(items: &[String]) -> Result<Conf, String> {
    let mut conf = Conf::new();
    for item in items {
        let Some((name, value)) = item.split_once('=') else {
            return Err(format!("error: `{item}` is not of the form KEY=VALUE"));
        };
        conf.insert(name.to_owned(), value.to_owned());
    }
    Ok(conf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_split_at_the_first_equals_sign() {
        let conf =
            variables(&["a=b=c".to_owned(), "d=".to_owned(), "a=x".to_owned()]).expect("variables");
        assert_eq!(
            conf.into_iter().collect::<Vec<_>>(),
            [("a".into(), "x".into()), ("d".into(), String::new())]
        );
        assert!(variables(&["start".to_owned()]).is_err());
    }
}
