//! Where to listen: the section that is served, and those that `[isolate]` names besides.

use super::Builder;
use crate::config::document::Document;
use crate::config::problem::{Place, Problem};
use crate::config::server_types;
use crate::config::{Kind, Query};
use crate::plan::listen::{Listening, listening, without_server};
use crate::plan::settings::Sheet;

impl Builder<'_> {
    /// Where to listen. None with a problem pushed, or where the file itself
    /// cannot be read.
    pub(super) fn server(&mut self, document: Option<&Document>) -> Option<Listening> {
        if let Some(name) = &self.request.server {
            if !server_types().any(|known| known == name) {
                let known: Vec<&str> = server_types().collect();
                let problem =
                    Problem::new("LookupError", format!("there is no server type `{name}`"));
                let hint = format!("egg:PasteScript has {}", known.join(", "));
                self.problems.push(problem.hint(hint));
                return None;
            }
            let query = Query {
                uri: format!("egg:PasteScript#{name}"),
                ..self.request.query(Kind::Server, None)
            };
            return self.listen_as(&query);
        }
        let explicit = self.request.server_name.is_some() || self.request.config.contains('#');
        let Some(document) = document else {
            return Some(without_server(&self.request.passed));
        };
        let is_main = |name: &str| {
            name.split_once(':')
                .is_some_and(|(kind, name)| kind == "server" && name.trim() == "main")
        };
        if !explicit
            && !document
                .sections
                .iter()
                .any(|section| is_main(&section.name))
        {
            let passed = &self.request.passed;
            if passed.is_empty() {
                self.warnings.push(
                    Problem::new(
                        "Warning",
                        "there is no [server:main]: paster listens on 127.0.0.1:8080",
                    )
                    .hint("add [server:main] with `use = egg:Paste#http`, `host` and `port`"),
                );
            }
            return Some(without_server(passed));
        }
        let name = self.request.server_name.as_ref();
        self.listen_as(&self.request.query(Kind::Server, name))
    }

    /// Where the server that `query` names would listen.
    fn listen_as(&mut self, query: &Query) -> Option<Listening> {
        let server = self.resolve(query)?;
        let place = |key: &str, of_value: usize| {
            let option = server.document.option(&server.node.origin.section, key)?;
            let value = server.node.local_conf.get(key);
            let lines = value.map(|value| option.lines(value)).unwrap_or_default();
            let line = lines.get(of_value).copied().unwrap_or(option.line);
            (server.document.path == server.node.origin.file).then(|| Place {
                file: server.document.path.clone(),
                line,
            })
        };
        let read = listening(&server.node, &place)
            .map_err(|problems| self.problems.extend(problems))
            .ok();
        if let Some(listening) = &read {
            self.warnings.extend(listening.warnings.iter().cloned());
        }
        read
    }

    /// What the served section says, with the addresses of all `servers`. None with a problem pushed.
    pub(super) fn all_servers(&mut self, first: Listening, sheet: &Sheet) -> Option<Listening> {
        let mut all = vec![first];
        for name in &sheet.site().servers {
            let query = self.request.query(Kind::Server, Some(name));
            all.push(self.listen_as(&query)?);
        }
        let joined = Listening::join(all, sheet.site().trusted_proxy.clone());
        joined
            .map_err(|problems| self.problems.extend(problems))
            .ok()
    }
}
