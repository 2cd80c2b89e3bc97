//! The original, as a server: one Python process answers all questions of a test.

use crate::environment;
use crate::judge::Query;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(crate) struct Oracle {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    pub(crate) fn start() -> Oracle {
        let mut child = Command::new(environment::python())
            .args(["-X", "utf8"])
            .arg(environment::root().join("tests/differential/oracle.py"))
            .env_remove("PYTHONPATH")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the original");
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        Oracle {
            child,
            questions,
            answers,
        }
    }

    /// `{"context": NODE or ERROR}`
    pub(crate) fn resolve(&mut self, query: &Query) -> Value {
        self.ask(&json!({ "resolve": {
            "uri": query.uri, "directory": query.directory, "name": query.name, "kind": query.kind,
            "global_conf": query.global_conf, "path": query.path,
        }}))
    }

    /// One question of the protocol in `oracle.py`.
    pub(crate) fn ask(&mut self, question: &Value) -> Value {
        let questions = self.questions.as_mut().expect("open until dropped");
        writeln!(questions, "{question}").expect("the original reads questions");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the original answers");
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{error} in the answer {answer:?} to {question}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // End of file on its questions ends it.
        drop(self.questions.take());
        let _ = self.child.wait();
    }
}
