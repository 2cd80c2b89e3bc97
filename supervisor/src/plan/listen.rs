//! `[server:main]`: where the proxy listens, read with the named server's meaning.

mod addresses;

pub use addresses::named_twice;

use super::address::join;
use super::keys::Wrong;
use super::networks::networks;
use super::servers::{Server, Speech, server};
use super::settings::{Entry, Part, brief};
use super::spec::{Endpoint, Listen, Manner, Redirect};
use super::synonyms::instead;
use super::units::number;
use crate::config::problem::{Place, Problem};
use crate::config::tree::Node;
use std::path::{Path, PathBuf};

/// What a server section says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    pub listen: Vec<Endpoint>,
    /// Defaults for the settings of the same meaning.
    pub threads: Option<u32>,
    pub processes: Option<u32>,
    pub trusted_proxy: Vec<String>,
    /// More of them, as `[isolate]` would have them.
    pub settings: Vec<Entry>,
    pub warnings: Vec<Problem>,
    /// Of certificates and keys.
    pub files: Vec<PathBuf>,
    /// A problem where the site trusts no proxy at all.
    pub unless_trusted: Option<Problem>,
    /// A problem where nothing listens with TLS.
    pub unless_tls: Option<Problem>,
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listen::Tcp { host, port } => f.write_str(&join(host, *port)),
            Listen::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Listen::Passed { name } => write!(f, "fd:{name}"),
        }
    }
}

impl Listening {
    /// All server sections of a site as one; the first says how many threads and processes, and what else is a setting. `trusted` is what the site says,
    /// which goes before the sections.
    ///
    /// # Errors
    /// An address that two of them name, and what one of them needs and no other gives.
    pub(super) fn join(
        all: Vec<Listening>,
        trusted: Vec<String>,
    ) -> Result<Listening, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut all = all.into_iter();
        let mut joined = all.next().unwrap_or_else(|| without_server(&[]));
        for more in all {
            for endpoint in more.listen {
                let at = |known: &&Endpoint| known.listen == endpoint.listen;
                if let Some(known) = joined.listen.iter().find(at) {
                    problems.push(Problem::new(
                        "SettingError",
                        format!(
                            "[{}] and [{}] both listen on {}",
                            known.manner.server, endpoint.manner.server, endpoint.listen
                        ),
                    ));
                } else {
                    joined.listen.push(endpoint);
                }
            }
            joined.trusted_proxy.extend(more.trusted_proxy);
            joined.files.extend(more.files);
            joined.unless_trusted = joined.unless_trusted.or(more.unless_trusted);
            joined.unless_tls = joined.unless_tls.or(more.unless_tls);
        }
        if !trusted.is_empty() {
            joined.trusted_proxy = trusted;
        }
        if joined.trusted_proxy.is_empty() {
            problems.extend(joined.unless_trusted.take());
        }
        let tls = |endpoint: &Endpoint| endpoint.manner.tls.is_some();
        if !joined.listen.iter().any(tls) {
            problems.extend(joined.unless_tls.take());
        }
        if problems.is_empty() {
            Ok(joined)
        } else {
            Err(problems)
        }
    }
}

impl Listening {
    /// What the section says of settings, as a section of ours would say it.
    pub(super) fn part(&self) -> Option<Part> {
        Some(Part {
            app: None,
            place: self.settings.first()?.place.clone(),
            entries: self.settings.clone(),
        })
    }
}

/// Where to listen without a server section: on what was `passed` to us, by name; else on loopback only, port 8080, as the
/// original's own server does.
pub fn without_server(passed: &[String]) -> Listening {
    let mut listen = Vec::new();
    for name in passed.iter().cloned() {
        let socket = Listen::Passed { name };
        if !listen.contains(&socket) {
            listen.push(socket);
        }
    }
    if listen.is_empty() {
        listen.push(Listen::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 8080,
        });
    }
    Listening {
        listen: plain(listen),
        threads: None,
        processes: None,
        trusted_proxy: Vec::new(),
        settings: Vec::new(),
        warnings: Vec::new(),
        files: Vec::new(),
        unless_trusted: None,
        unless_tls: None,
    }
}

/// Reads a resolved server. `place` says where a line of an option was written, counted from 0.
///
/// # Errors
/// All bad values; certificates that cannot be used; a server that does not speak HTTP.
pub fn listening(
    node: &Node,
    place: &dyn Fn(&str, usize) -> Option<Place>,
) -> Result<Listening, Vec<Problem>> {
    let mut reader = Reader {
        node,
        server: server(node),
        place,
        used: Vec::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
        files: Vec::new(),
    };
    let listening = reader.read();
    if reader.problems.is_empty() {
        Ok(listening)
    } else {
        Err(reader.problems)
    }
}

pub(super) struct Reader<'a> {
    pub(super) node: &'a Node,
    pub(super) server: Server,
    pub(super) place: &'a dyn Fn(&str, usize) -> Option<Place>,
    pub(super) used: Vec<&'static str>,
    problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) files: Vec<PathBuf>,
}

/// All in the clear, as without a server section.
fn plain(listen: Vec<Listen>) -> Vec<Endpoint> {
    let endpoint = |listen| Endpoint {
        listen,
        manner: Manner::default(),
    };
    listen.into_iter().map(endpoint).collect()
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Listening {
        if let Speech::Foreign(protocol) = self.server.speech {
            let problem = Problem::new(
                "SettingError",
                format!("`{}` speaks {protocol}, and paster serves HTTP only", self.server.name),
            )
            .hint("name an HTTP server, such as `use = egg:Paste#http`, and let the front end speak HTTP to it");
            self.refuse("use", problem);
        }
        let manner = self.manner();
        let unless_trusted = manner.proxy_protocol.then(|| {
            let problem = Problem::new(
                "SettingError",
                "`proxy_protocol` lets nobody in who is not in `trusted_proxy`, and that is empty",
            )
            .hint("name the addresses of the load balancer in `trusted_proxy` of [isolate]");
            self.placed("proxy_protocol", problem)
        });
        let unless_tls = (manner.redirect == Some(Redirect::Ours)).then(|| {
            let problem = Problem::new("SettingError", "`https_redirect = on`, but nothing listens with TLS")
                .hint("name the server section that does in `servers` of [isolate], or give the port of the TLS server");
            self.placed("https_redirect", problem)
        });
        let listen = self.addresses().into_iter().map(|listen| Endpoint {
            listen,
            manner: manner.clone(),
        });
        let listen = listen.collect();
        let threads = self
            .server
            .threads
            .and_then(|key| self.take(key, |text| number(text, 1, 4096)));
        let workers = matches!(self.server.speech, Speech::Gunicorn | Speech::Unknown);
        let processes = if workers {
            self.take("workers", |text| number(text, 1, 1024))
        } else {
            None
        };
        let trusts = matches!(self.server.speech, Speech::Waitress | Speech::Unknown);
        let trusted = if trusts {
            self.take("trusted_proxy", networks)
        } else {
            None
        };
        let gunicorn = self.server.speech == Speech::Gunicorn;
        let forwarded = if gunicorn {
            self.take("forwarded_allow_ips", networks)
        } else {
            None
        };
        Listening {
            listen,
            threads,
            processes,
            trusted_proxy: trusted.or(forwarded).unwrap_or_default(),
            settings: self.settings(),
            warnings: self.all_warnings(),
            files: std::mem::take(&mut self.files),
            unless_trusted,
            unless_tls,
        }
    }

    /// Whether an option is there and not empty.
    pub(super) fn says(&self, key: &str) -> bool {
        let value = self.node.local_conf.get(key);
        value.is_some_and(|value| !value.trim().is_empty())
    }

    pub(super) fn here(&self) -> std::path::PathBuf {
        self.node
            .origin
            .file
            .parent()
            .unwrap_or(Path::new("/"))
            .to_owned()
    }

    /// Reads an option if it is there; a bad value is a problem.
    pub(super) fn take<T, E: Into<Wrong>>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.used.push(key);
        let text = self.node.local_conf.get(key)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(wrong) => {
                let Wrong { expected, line } = wrong.into();
                let shown = brief(text);
                let problem =
                    Problem::new("SettingError", format!("`{key} = {shown}`: {expected}"));
                self.refuse_line(key, line.unwrap_or(0), problem);
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, key: &str, problem: Problem) {
        self.refuse_line(key, 0, problem);
    }

    pub(super) fn refuse_line(&mut self, key: &str, line: usize, problem: Problem) {
        let problem = self.placed_line(key, line, problem);
        self.problems.push(problem);
    }

    pub(super) fn placed(&self, key: &str, problem: Problem) -> Problem {
        self.placed_line(key, 0, problem)
    }

    /// With the place of a line of an option, counted from 0.
    pub(super) fn placed_line(&self, key: &str, line: usize, problem: Problem) -> Problem {
        let origin = &self.node.origin;
        match (self.place)(key, line) {
            Some(place) => problem.at(place.file, place.line),
            None if origin.line > 0 => problem.at(&origin.file, origin.line),
            None => problem,
        }
    }

    fn all_warnings(&mut self) -> Vec<Problem> {
        let mut warnings = std::mem::take(&mut self.warnings);
        if self.server.speech == Speech::Unknown {
            let target = self
                .node
                .factory
                .as_ref()
                .map_or("?", |factory| factory.target.as_str());
            let warning = Problem::new(
                "Warning",
                format!(
                    "server `{target}` is not known: its address is read from host, port, listen or bind"
                ),
            );
            warnings.push(self.placed("use", warning));
        }
        for key in self.node.local_conf.keys() {
            if self.used.contains(&key.as_str()) {
                continue;
            }
            let meant = match self.server.name {
                "" => "the server",
                name => name,
            };
            let hint = match instead(self.server.speech, key) {
                Some(hint) => hint.to_owned(),
                None => format!(
                    "paster listens itself and does not run {meant}; see docs/settings.md for what it honours"
                ),
            };
            let warning = Problem::new("Warning", format!("`{key}` is not honoured")).hint(hint);
            warnings.push(self.placed(key, warning));
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
