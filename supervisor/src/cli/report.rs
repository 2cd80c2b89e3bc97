//! What `paster check` says about a plan, as data: rendered for people by `check`, for programs as JSON.

use crate::config::problem::Problem;
use crate::confine::verdict::Guarantee;
use crate::plan::keys::{Effective, effective};
use crate::plan::spec::{AppKind, AppSpec, Cut, Endpoint, Plan, Redirect, Tls};
use crate::router::access_log::AccessLog;
use crate::router::message::{Handover, RouteNode, WorkerAddress};
use serde::Serialize;
use std::path::PathBuf;

/// Version of the JSON form; fields are only ever added.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// A good configuration.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    pub(crate) schema_version: u32,
    pub(crate) ok: bool,
    pub(crate) config: &'a PathBuf,
    pub(crate) listen: Vec<String>,
    /// The same, and how clients are spoken to.
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<Row>,
    pub(crate) apps: Vec<App<'a>>,
    pub(crate) cuts: &'a [Cut],
    pub(crate) warnings: &'a [Problem],
    pub(crate) files: &'a [PathBuf],
}

/// A bad one.
#[derive(Debug, Serialize)]
pub(crate) struct Failure<'a> {
    pub(crate) schema_version: u32,
    pub(crate) ok: bool,
    pub(crate) errors: &'a [Problem],
}

impl<'a> Failure<'a> {
    pub(crate) fn new(errors: &'a [Problem]) -> Failure<'a> {
        Failure {
            schema_version: SCHEMA_VERSION,
            ok: false,
            errors,
        }
    }
}

/// One address that is listened on.
#[derive(Debug, Serialize)]
pub(crate) struct Listener {
    pub(crate) address: String,
    /// What apps are told: `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Null: in the clear.
    pub(crate) tls: Option<TlsReport>,
    /// Requests are sent away: to this port, or with `on` to that of our own TLS listener.
    pub(crate) https_redirect: Option<String>,
    pub(crate) proxy_protocol: bool,
}

/// What a TLS listener proves itself with.
#[derive(Debug, Serialize)]
pub(crate) struct TlsReport {
    pub(crate) self_signed: bool,
    /// Of all certificates, the first one's first.
    pub(crate) names: Vec<String>,
    /// What clients are asked for: `none`, `optional` or `required`.
    pub(crate) client_certificates: &'static str,
}

impl Listener {
    fn new(endpoint: &Endpoint) -> Listener {
        let manner = &endpoint.manner;
        let client_certificates = match &manner.clients {
            None => "none",
            Some(clients) if clients.required => "required",
            Some(_) => "optional",
        };
        let tls = manner.tls.as_ref().map(|tls| match tls {
            Tls::SelfSigned => TlsReport {
                self_signed: true,
                names: Vec::new(),
                client_certificates,
            },
            Tls::Certificates(certificates) => TlsReport {
                self_signed: false,
                names: certificates
                    .iter()
                    .flat_map(|one| one.names.clone())
                    .collect(),
                client_certificates,
            },
        });
        Listener {
            address: endpoint.listen.to_string(),
            scheme: manner.scheme(),
            tls,
            https_redirect: manner.redirect.map(|redirect| match redirect {
                Redirect::Ours => "on".to_owned(),
                Redirect::Port(port) => port.to_string(),
            }),
            proxy_protocol: manner.proxy_protocol,
        }
    }

    /// What is not plain HTTP about it; empty for most.
    pub(crate) fn words(&self) -> String {
        let mut words = Vec::new();
        match &self.tls {
            Some(tls) if tls.self_signed => {
                words.push("TLS, self-signed: for development".to_owned())
            }
            Some(tls) => words.push(format!("TLS for {}", tls.names.join(", "))),
            None if self.scheme == "https" => words.push("apps are told https".to_owned()),
            None => {}
        }
        if let Some(asked @ ("optional" | "required")) =
            self.tls.as_ref().map(|tls| tls.client_certificates)
        {
            words.push(format!("certificates of clients {asked}"));
        }
        if self.https_redirect.is_some() {
            words.push("redirects to https".to_owned());
        }
        if self.proxy_protocol {
            words.push("behind the PROXY protocol".to_owned());
        }
        words.join("; ")
    }
}

/// One row of the route table, in matching order; rows of nested maps follow one another.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    /// Of the innermost map that names one; null matches every host.
    pub(crate) domain: Option<String>,
    /// Without trailing slash, all levels joined; empty for the root.
    pub(crate) prefix: String,
    /// Whether this is for what no route of the level matches.
    pub(crate) not_found: bool,
    /// Null: 404.
    pub(crate) app: Option<String>,
}

impl Row {
    /// As `AppSpec::mounts` has it.
    pub(crate) fn mount(&self) -> String {
        let domain = self
            .domain
            .as_ref()
            .map(|domain| format!("//{domain}"))
            .unwrap_or_default();
        let path = if self.prefix.is_empty() {
            "/"
        } else {
            &self.prefix
        };
        match (self.not_found, domain.is_empty() && self.prefix.is_empty()) {
            (true, true) => "(not found)".to_owned(),
            (true, false) => format!("{domain}{path} (not found)"),
            (false, _) => format!("{domain}{path}"),
        }
    }
}

/// One app.
#[derive(Debug, Serialize)]
pub(crate) struct App<'a> {
    pub(crate) name: &'a str,
    /// The section as written.
    pub(crate) section: &'a str,
    pub(crate) file: &'a PathBuf,
    pub(crate) line: usize,
    #[serde(flatten)]
    pub(crate) runs: Runs<'a>,
    pub(crate) mounts: &'a [String],
    pub(crate) handover: Handover,
    pub(crate) settings: Vec<Effective>,
    /// Of what `isolation` is about; empty where nothing is asked for.
    pub(crate) guarantees: &'a [Guarantee],
}

/// What runs.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Runs<'a> {
    Python { interpreter: &'a PathBuf },
    Exec { argv: &'a [String] },
    Upstream { address: String },
    Static { root: &'a PathBuf },
}

impl Runs<'_> {
    /// The kind, and what runs, in words.
    pub(crate) fn words(&self) -> (&'static str, String) {
        match self {
            Runs::Python { interpreter } => ("python", interpreter.display().to_string()),
            Runs::Exec { argv } => ("exec", argv.join(" ")),
            Runs::Upstream { address } => ("upstream", address.clone()),
            Runs::Static { root } => ("static", root.display().to_string()),
        }
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Report<'a> {
        Report {
            schema_version: SCHEMA_VERSION,
            ok: true,
            config: &plan.config,
            listen: plan
                .listen
                .iter()
                .map(|endpoint| endpoint.listen.to_string())
                .collect(),
            listeners: plan.listen.iter().map(Listener::new).collect(),
            routes: rows(&plan.root),
            apps: plan
                .apps
                .values()
                .map(|spec| app(spec, &plan.access_log))
                .collect(),
            cuts: &plan.cuts,
            warnings: &plan.warnings,
            files: &plan.files,
        }
    }
}

fn app<'a>(spec: &'a AppSpec, access_log: &'a AccessLog) -> App<'a> {
    let runs = match &spec.kind {
        AppKind::Python { interpreter, .. } => Runs::Python { interpreter },
        AppKind::Exec { argv, .. } => Runs::Exec { argv },
        AppKind::Upstream {
            address: WorkerAddress::Unix(path),
        } => Runs::Upstream {
            address: format!("unix:{}", path.display()),
        },
        AppKind::Upstream {
            address: WorkerAddress::Tcp(address),
        } => Runs::Upstream {
            address: format!("http://{address}"),
        },
        AppKind::Static(files) => Runs::Static { root: &files.root },
    };
    App {
        name: &spec.name,
        section: &spec.origin.section,
        file: &spec.origin.file,
        line: spec.origin.line,
        runs,
        mounts: &spec.mounts,
        handover: spec.handover,
        guarantees: &spec.confined.guarantees,
        settings: effective(spec, access_log).collect(),
    }
}

/// The route table as rows, in matching order.
pub(crate) fn rows(root: &RouteNode) -> Vec<Row> {
    let mut rows = Vec::new();
    collect(root, &None, "", false, &mut rows);
    rows
}

fn collect(
    node: &RouteNode,
    domain: &Option<String>,
    prefix: &str,
    not_found: bool,
    rows: &mut Vec<Row>,
) {
    let row = |app, not_found| Row {
        domain: domain.clone(),
        prefix: prefix.to_owned(),
        not_found,
        app,
    };
    match node {
        RouteNode::App { app } => rows.push(row(Some(app.clone()), not_found)),
        RouteNode::Map {
            routes,
            not_found: missing,
            ..
        } => {
            for route in routes {
                let domain = route.domain.clone().or_else(|| domain.clone());
                collect(
                    &route.to,
                    &domain,
                    &format!("{prefix}{}", route.prefix),
                    not_found,
                    rows,
                );
            }
            match missing {
                Some(missing) => collect(missing, domain, prefix, true, rows),
                None => rows.push(row(None, true)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::message::Route;

    #[test]
    fn nested_levels_become_rows_in_matching_order() {
        let app = |name: &str| RouteNode::App {
            app: name.to_owned(),
        };
        let route = |domain: Option<&str>, prefix: &str, to| Route {
            domain: domain.map(str::to_owned),
            prefix: prefix.to_owned(),
            to,
        };
        let map = |routes, not_found: Option<RouteNode>| RouteNode::Map {
            routes,
            not_found: not_found.map(Box::new),
            shift: true,
        };
        let inner = map(vec![route(None, "/y", app("y"))], Some(app("gone")));
        let root = map(
            vec![
                route(Some("ex.org"), "", app("x")),
                route(None, "/in", inner),
            ],
            None,
        );
        let shown: Vec<(String, Option<String>)> = rows(&root)
            .into_iter()
            .map(|row| (row.mount(), row.app))
            .collect();
        let expected = [
            ("//ex.org/", Some("x")),
            ("/in/y", Some("y")),
            ("/in (not found)", Some("gone")),
            ("(not found)", None),
        ];
        assert_eq!(
            shown,
            expected.map(|(mount, app)| (mount.to_owned(), app.map(str::to_owned)))
        );
    }
}
