//! The prefixes of one map, arranged so that a look-up does not see those that cannot match.

use std::borrow::Cow;
use std::collections::HashMap;

/// Finds the first of a list of (domain, prefix) pairs that matches a request.
#[derive(Debug, Default)]
pub(super) struct Index {
    any_host: Prefixes,
    hosts: HashMap<Box<[u8]>, Host>,
}

/// The routes of one host name.
#[derive(Debug, Default)]
struct Host {
    any_port: Prefixes,
    ports: HashMap<Box<[u8]>, Prefixes>,
}

/// The place of a route in the list, and the length of its prefix in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) rank: usize,
    pub(super) prefix_len: usize,
}

impl Index {
    pub(super) fn new<'a>(routes: impl Iterator<Item = (Option<&'a str>, &'a str)>) -> Index {
        let mut index = Index::default();
        for (rank, (domain, prefix)) in routes.enumerate() {
            // The original treats an empty domain like none.
            let prefixes = match domain.filter(|domain| !domain.is_empty()) {
                None => &mut index.any_host,
                Some(domain) => {
                    let (name, port) = split_port(domain.as_bytes());
                    let host = index.hosts.entry(name.into()).or_default();
                    match port {
                        None => &mut host.any_port,
                        Some(port) => host.ports.entry(port.into()).or_default(),
                    }
                }
            };
            prefixes.add(prefix.as_bytes(), rank);
        }
        index
    }

    /// `path` is normalised: empty, or with a leading slash and no two slashes in a row.
    pub(super) fn find(&self, host: Option<&[u8]>, scheme: &str, path: &[u8]) -> Option<Hit> {
        let mut best = self.any_host.find(path);
        if let Some(host) = host.filter(|_| !self.hosts.is_empty()) {
            let host = lower(host);
            let (name, port) = split_port(&host);
            let port = port.unwrap_or(if scheme == "http" { b"80" } else { b"443" });
            if let Some(host) = self.hosts.get(name) {
                best = first(best, host.any_port.find(path));
                best = first(
                    best,
                    host.ports
                        .get(port)
                        .and_then(|prefixes| prefixes.find(path)),
                );
            }
        }
        best
    }
}

/// The first colon separates the port, also in an IPv6 literal: so does the original.
fn split_port(host: &[u8]) -> (&[u8], Option<&[u8]>) {
    match host.iter().position(|&byte| byte == b':') {
        Some(colon) => (&host[..colon], Some(&host[colon + 1..])),
        None => (host, None),
    }
}

fn lower(host: &[u8]) -> Cow<'_, [u8]> {
    if host.iter().any(u8::is_ascii_uppercase) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

fn first(a: Option<Hit>, b: Option<Hit>) -> Option<Hit> {
    [a, b].into_iter().flatten().min_by_key(|hit| hit.rank)
}

/// A tree of path segments.
#[derive(Debug)]
struct Prefixes {
    /// The first is the root: the empty prefix.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// The route whose prefix ends here.
    hit: Option<Hit>,
    children: HashMap<Box<[u8]>, usize>,
}

impl Default for Prefixes {
    fn default() -> Prefixes {
        Prefixes {
            nodes: vec![Node::default()],
        }
    }
}

impl Prefixes {
    fn add(&mut self, prefix: &[u8], rank: usize) {
        let Some(segments) = segments(prefix) else {
            return; // a relative prefix can never match
        };
        let mut at = 0;
        for segment in segments {
            let new = self.nodes.len();
            at = *self.nodes[at].children.entry(segment.into()).or_insert(new);
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].hit.get_or_insert(Hit {
            rank,
            prefix_len: prefix.len(),
        });
    }

    /// All prefixes of the path that end at a segment lie on one way down the tree.
    fn find(&self, path: &[u8]) -> Option<Hit> {
        let mut node = &self.nodes[0];
        let mut best = node.hit;
        for segment in segments(path)? {
            match node.children.get(segment) {
                Some(&child) => node = &self.nodes[child],
                None => break,
            }
            best = first(best, node.hit);
        }
        best
    }
}

/// The segments of an empty or absolute path.
fn segments(path: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut parts = path.split(|&byte| byte == b'/');
    parts.next().filter(|before| before.is_empty())?;
    Some(parts)
}
