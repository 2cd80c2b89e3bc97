//! `paster routes`: the route table, or which app gets a URL.

use super::args::RoutesArgs;
use super::check::{fail, json};
use super::exit::Exit;
use super::output::{answer, message};
use super::report::{Row, rows};
use super::table::columns;
use crate::plan::build::{PlanRequest, build};
use crate::router::message::RouteNode;
use crate::router::urlmap::{Outcome, RequestTarget, Router, path_info};
use serde::Serialize;

pub(crate) fn run(args: &RoutesArgs) -> Exit {
    let mut request = match PlanRequest::new(&args.config) {
        Ok(request) => request,
        Err(error) => {
            message(&format!("error: {error}"));
            return Exit::Usage;
        }
    };
    request.app_name.clone_from(&args.app_name);
    let targets: Result<Vec<Target<'_>>, String> =
        args.urls.iter().map(|url| Target::parse(url)).collect();
    let targets = match targets {
        Ok(targets) => targets,
        Err(text) => {
            message(&text);
            return Exit::Usage;
        }
    };
    let mut plan = match build(&request) {
        Ok(plan) => plan,
        Err(errors) => return fail(&errors, args.json),
    };
    if targets.is_empty() {
        table(&rows(&plan.root), args.json);
        return Exit::Ok;
    }
    shift(&mut plan.root);
    let router = Router::new(&plan.root);
    let answers: Vec<Answer<'_>> = targets
        .iter()
        .map(|target| target.look_up(&router))
        .collect();
    if args.json {
        answer(&json(&answers));
    } else {
        answer(&columns(answers.iter().map(Answer::cells)));
    }
    Exit::Ok
}

fn table(rows: &[Row], as_json: bool) {
    if as_json {
        answer(&json(&rows));
        return;
    }
    answer(&columns(rows.iter().map(|row| {
        let app = row.app.clone().unwrap_or_else(|| "404".to_owned());
        [row.mount(), app]
    })));
}

/// Apps below filters that fan out get the request unshifted and shift it themselves; what is asked here is what the app
/// itself sees in the end.
fn shift(node: &mut RouteNode) {
    if let RouteNode::Map {
        routes,
        not_found,
        shift,
    } = node
    {
        *shift = true;
        routes
            .iter_mut()
            .for_each(|route| self::shift(&mut route.to));
        if let Some(not_found) = not_found {
            self::shift(not_found);
        }
    }
}

/// A URL as asked about.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    url: &'a str,
    scheme: &'static str,
    host: Option<&'a str>,
    /// With the query.
    target: &'a str,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Result<Target<'a>, String> {
        let bare = url.split('#').next().unwrap_or_default();
        if bare.starts_with('/') {
            return Ok(Target {
                url,
                scheme: "http",
                host: None,
                target: bare,
            });
        }
        let (scheme, rest) = match bare.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            _ => {
                return Err(format!(
                    "error: `{url}` is no URL\nhint: write it as http://host/path, or as /path for any host"
                ));
            }
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let host = authority.rsplit('@').next().filter(|host| !host.is_empty());
        // A client sends `/` where a URL has no path (RFC 9112 section 3.2.1).
        let target = if target.is_empty() || target.starts_with('?') {
            "/"
        } else {
            target
        };
        Ok(Target {
            url,
            scheme,
            host,
            target,
        })
    }

    fn look_up(&self, router: &Router) -> Answer<'a> {
        let nobody = |path: &[u8]| Answer {
            url: self.url,
            app: None,
            script_name: String::new(),
            path_info: latin1(path),
        };
        let Ok(path) = path_info(self.target.as_bytes()) else {
            return nobody(self.target.as_bytes());
        };
        let request = RequestTarget {
            host: self.host.map(str::as_bytes),
            scheme: self.scheme,
            path_info: &path,
            script_name: b"",
        };
        match router.route(&request) {
            Outcome::App(matched) => Answer {
                url: self.url,
                app: Some(matched.app.to_owned()),
                script_name: latin1(&matched.script_name),
                path_info: latin1(&matched.path_info),
            },
            Outcome::NotFound | Outcome::BadRequest => nobody(&path),
        }
    }
}

/// What becomes of a URL.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Answer<'a> {
    url: &'a str,
    /// Null where nothing matches.
    app: Option<String>,
    /// Bytes as Latin-1 text, as WSGI has them.
    script_name: String,
    path_info: String,
}

impl Answer<'_> {
    fn cells(&self) -> [String; 4] {
        let app = self.app.clone().unwrap_or_else(|| "404".to_owned());
        let quoted = |text: &str| format!("'{text}'");
        [
            self.url.to_owned(),
            app,
            format!("SCRIPT_NAME={}", quoted(&self.script_name)),
            format!("PATH_INFO={}", quoted(&self.path_info)),
        ]
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = "https://u@Ex.org:8080/a%20b?q#f";
        let expected = Target {
            url,
            scheme: "https",
            host: Some("Ex.org:8080"),
            target: "/a%20b?q",
        };
        assert_eq!(Target::parse(url), Ok(expected));
        let expected = Target {
            url: "/a",
            scheme: "http",
            host: None,
            target: "/a",
        };
        assert_eq!(Target::parse("/a"), Ok(expected));
        assert_eq!(
            Target::parse("http://h").map(|target| target.target),
            Ok("/")
        );
        assert_eq!(
            Target::parse("http://h?x=/y").map(|target| target.target),
            Ok("/")
        );
        assert!(Target::parse("blog").is_err());
        assert!(Target::parse("ftp://h/").is_err());
    }

    #[test]
    fn bytes_are_shown_as_wsgi_has_them() {
        assert_eq!(latin1("é".as_bytes()), "Ã©");
    }
}
