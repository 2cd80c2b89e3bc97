//! `paster member`: a question of a worker on standard input, the answer on standard output
//! (docs/worker-contract.md, "resolver").

use super::exit::Exit;
use super::output;
use crate::config::{self, problem::Problem, python::Machine, tree};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::Read;

/// What a worker asks.
#[derive(Debug, Deserialize)]
struct Question {
    loader: tree::Loader,
    kind: Kind,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    global_conf: Option<tree::Conf>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    App,
    Filter,
    Server,
}

pub(crate) fn run() -> Exit {
    let mut text = String::new();
    let answer = match std::io::stdin().lock().read_to_string(&mut text) {
        Ok(_) => answer(&text),
        Err(error) => Err(failure(
            "OSError",
            &format!("cannot read the question: {error}"),
        )),
    };
    match answer {
        Ok(answer) => {
            output::answer(&answer.to_string());
            Exit::Ok
        }
        Err(error) => {
            output::answer(&error.to_string());
            Exit::Failed
        }
    }
}

fn answer(text: &str) -> Result<Value, Value> {
    let question: Question = serde_json::from_str(text)
        .map_err(|error| failure("ValueError", &format!("not a question: {error}")))?;
    let kind = match question.kind {
        Kind::App => config::Kind::App,
        Kind::Filter => config::Kind::Filter,
        Kind::Server => config::Kind::Server,
    };
    let name = question.name.as_deref();
    let node = config::member(
        &question.loader,
        kind,
        name,
        question.global_conf,
        &Machine::default(),
    );
    node.map(|node| json!({"node": node}))
        .map_err(|problems| config::describe_error(&problems))
}

fn failure(class: &str, message: &str) -> Value {
    config::describe_error(&[Problem::new(class, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_answered_with_its_node() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("site.ini");
        std::fs::write(
            &file,
            "[app:blog]\npaste.app_factory = blog:make\nx = %(y)s\n",
        )
        .expect("written");
        let question = json!({"loader": {"kind": "config", "file": file, "defaults": {"y": "1"}}, "kind": "app",
            "name": "blog", "global_conf": {"z": "2"}});
        let node = &answer(&question.to_string()).expect("an answer")["node"];
        assert_eq!(node["local_conf"]["x"], "1");
        assert_eq!(node["global_conf"]["z"], "2");
        assert_eq!(node["origin"]["line"], 1);
    }

    #[test]
    fn errors_have_pythons_class() {
        let question = json!({"loader": {"kind": "call", "spec": "a:b:c"}, "kind": "app", "name": null, "global_conf": null});
        assert_eq!(
            answer(&question.to_string()).expect_err("malformed")["error"],
            "ValueError"
        );
        assert_eq!(answer("{").expect_err("no JSON")["error"], "ValueError");
    }
}
