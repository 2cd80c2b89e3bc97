//! Redirects that the configuration has, found without looking at all of them.

use crate::router::redirect::Redirect;
use http::uri::PathAndQuery;
use http::{HeaderValue, StatusCode};
use std::collections::HashMap;

/// A path in full is looked for first, then the longest that a path begins with; among equals the earlier line.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    exact: HashMap<String, Vec<Redirect>>,
    /// The longest first.
    below: Vec<Redirect>,
}

impl Redirects {
    pub(super) fn new(rules: Vec<Redirect>) -> Self {
        let mut redirects = Self::default();
        for rule in rules {
            if rule.below {
                redirects.below.push(rule);
            } else {
                let path = rule.path.clone();
                redirects.exact.entry(path).or_default().push(rule);
            }
        }
        redirects
            .below
            .sort_by_key(|rule| std::cmp::Reverse(rule.path.len()));
        redirects
    }

    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty()
    }

    /// Where a request is sent.
    pub(super) fn find(
        &self,
        scheme: &str,
        host: Option<&HeaderValue>,
        target: &PathAndQuery,
    ) -> Option<(StatusCode, HeaderValue)> {
        let path = target.path();
        let host = host.map_or(&b""[..], HeaderValue::as_bytes);
        let exact = self.exact.get(path).into_iter().flatten();
        let below = self
            .below
            .iter()
            .filter(|rule| path.starts_with(&rule.path));
        let rule = exact.chain(below).find(|rule| {
            let origin = rule.origin.as_ref();
            origin.is_none_or(|origin| origin.scheme == scheme && is_host(&origin.host, host))
        })?;
        let status = StatusCode::from_u16(rule.status).ok()?;
        let location = HeaderValue::try_from(location(rule, target)).ok()?;
        Some((status, location))
    }
}

fn is_host(wanted: &str, host: &[u8]) -> bool {
    let has_port = wanted
        .rsplit(']')
        .next()
        .is_some_and(|end| end.contains(':'));
    let host = match has_port {
        true => host,
        false => super::pages::without_port(host),
    };
    host.eq_ignore_ascii_case(wanted.as_bytes())
}

fn location(rule: &Redirect, target: &PathAndQuery) -> String {
    let mut location = rule.to.clone();
    if rule.keeps_rest {
        let rest = target.path().get(rule.path.len()..).unwrap_or_default();
        // `//host` and `/\host` would be another host for a browser.
        location.push_str(match location.as_str() {
            "/" => rest.trim_start_matches(['/', '\\']),
            _ => rest,
        });
    }
    if let Some(query) = target.query().filter(|_| !rule.to.contains('?')) {
        location.push('?');
        location.push_str(query);
    }
    location
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::redirect::Origin;

    fn rule(path: &str, to: &str) -> Redirect {
        Redirect {
            origin: None,
            path: path.trim_end_matches('*').to_owned(),
            below: path.ends_with('*'),
            to: to.trim_end_matches('*').to_owned(),
            keeps_rest: to.ends_with('*'),
            status: 301,
        }
    }

    fn at(scheme: &str, host: &str, rule: Redirect) -> Redirect {
        let (scheme, host) = (scheme.to_owned(), host.to_owned());
        let origin = Some(Origin { scheme, host });
        Redirect { origin, ..rule }
    }

    fn found(rules: &[Redirect], host: &str, target: &'static str) -> Option<String> {
        let host = HeaderValue::from_str(host).unwrap();
        let target = PathAndQuery::from_static(target);
        let (_, location) = Redirects::new(rules.to_vec()).find("http", Some(&host), &target)?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_most_special_rule_counts() {
        let rules = [
            rule("/*", "https://b.example/*"),
            rule("/a/*", "/long/*"),
            rule("/a/b", "/exact"),
        ];
        let location = |target| found(&rules, "a", target).unwrap();
        assert_eq!(location("/a/b"), "/exact");
        assert_eq!(location("/a/c/d%20e?x=1"), "/long/c/d%20e?x=1");
        assert_eq!(location("/a"), "https://b.example/a");
        assert_eq!(location("/?x"), "https://b.example/?x");
        assert_eq!(found(&rules[1..], "a", "/b"), None);
    }

    #[test]
    fn a_query_of_the_rule_replaces_that_of_the_request() {
        let rules = [rule("/a", "/b?c=d"), rule("/e", "/f")];
        assert_eq!(found(&rules, "a", "/a?x=1").unwrap(), "/b?c=d");
        assert_eq!(found(&rules, "a", "/e?x=1").unwrap(), "/f?x=1");
    }

    #[test]
    fn hosts_are_compared_without_their_port_unless_the_rule_has_one() {
        let any = [at("http", "a.example", rule("/*", "/x"))];
        assert!(found(&any, "A.example:8080", "/").is_some());
        assert!(found(&any, "b.example", "/").is_none());
        let one = [at("http", "[::1]:81", rule("/*", "/x"))];
        assert!(found(&one, "[::1]:81", "/").is_some());
        assert!(found(&one, "[::1]", "/").is_none());
        let tls = [at("https", "a.example", rule("/*", "/x"))];
        assert!(found(&tls, "a.example", "/").is_none());
    }

    #[test]
    fn nobody_is_sent_to_a_host_of_the_clients_choice() {
        let rules = [rule("/go/*", "/*"), rule("/out/*", "https://b.example/*")];
        assert_eq!(
            found(&rules, "a", "/go//evil.example").unwrap(),
            "/evil.example"
        );
        assert_eq!(found(&rules, "a", "/go///evil").unwrap(), "/evil");
        assert_eq!(
            found(&rules, "a", "/out//evil.example").unwrap(),
            "https://b.example//evil.example"
        );
    }
}
