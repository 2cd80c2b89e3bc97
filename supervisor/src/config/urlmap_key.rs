//! Keys of a stock urlmap: `/path`, `domain ex.org port 8080 /path`.

use super::text::split;

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyError {
    /// Python's exception class.
    pub(crate) class: &'static str,
    pub(crate) message: String,
}

/// Where a route is in the map: no domain matches every host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) domain: Option<String>,
    /// Without trailing slash; empty for the root.
    pub(crate) prefix: String,
}

fn value_error(message: String) -> KeyError {
    KeyError {
        class: "ValueError",
        message,
    }
}

/// The address that a key spells: `http://domain:port/path` or the path alone. Tokens come in
/// any order; the one after `domain` or `port` is always its argument.
pub(crate) fn address(key: &str) -> Result<String, KeyError> {
    let (mut domain, mut port, mut path) = (None, None, None);
    let mut tokens = split(key);
    while let Some(token) = tokens.next() {
        let (what, slot) = match token {
            "domain" => ("domain name", &mut domain),
            "port" => ("port number", &mut port),
            _ => match path.replace(token) {
                None => continue,
                Some(first) => {
                    return Err(value_error(format!(
                        "`{key}` has two paths, `{first}` and `{token}`"
                    )));
                }
            },
        };
        let Some(argument) = tokens.next() else {
            return Err(value_error(format!(
                "`{token}` in `{key}` must be followed by a {what}"
            )));
        };
        if slot.replace(argument).is_some() {
            return Err(value_error(format!("`{token}` is given twice in `{key}`")));
        }
    }
    let mut address = domain
        .map(|domain| format!("http://{domain}"))
        .unwrap_or_default();
    if let Some(port) = port {
        if domain.is_none() {
            return Err(value_error(format!("`{key}` has a port without a domain")));
        }
        address.push(':');
        address.push_str(port);
    }
    if let Some(path) = path {
        if domain.is_some() {
            address.push('/');
        }
        address.push_str(path);
    }
    Ok(address)
}

/// Splits an address into domain and normalised prefix.
pub(crate) fn normalize(address: &str) -> Result<Key, KeyError> {
    let rest = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"));
    let (domain, path) = match rest {
        Some(rest) => {
            let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            (Some(domain.to_owned()), path)
        }
        None if address.is_empty() || address.starts_with('/') => (None, address),
        None => {
            let message = format!("the path `{address}` does not start with `/`");
            return Err(KeyError {
                class: "AssertionError",
                message,
            });
        }
    };
    let mut prefix = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !prefix.ends_with('/') {
            prefix.push(c);
        }
    }
    prefix.truncate(prefix.trim_end_matches('/').len());
    Ok(Key { domain, prefix })
}

impl Key {
    /// What routes are sorted by: the domain, those without one as if it were U+00FF; longer
    /// prefixes (in characters) first.
    fn rank(&self) -> (&str, std::cmp::Reverse<usize>) {
        let domain = self
            .domain
            .as_deref()
            .filter(|domain| !domain.is_empty())
            .unwrap_or("\u{ff}");
        (domain, std::cmp::Reverse(self.prefix.chars().count()))
    }

    /// Matching order.
    pub(crate) fn compare(&self, other: &Key) -> std::cmp::Ordering {
        self.rank()
            .cmp(&other.rank())
            .then_with(|| (&self.domain, &self.prefix).cmp(&(&other.domain, &other.prefix)))
    }

    /// Whether Python cannot sort the two: equal rank, and only one has a domain (an empty one).
    pub(crate) fn incomparable(&self, other: &Key) -> bool {
        self.domain.is_none() != other.domain.is_none() && self.rank() == other.rank()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<(Option<String>, String), &'static str> {
        let key = address(text)
            .and_then(|address| normalize(&address))
            .map_err(|error| error.class)?;
        Ok((key.domain, key.prefix))
    }

    fn at(domain: &str, prefix: &str) -> Result<(Option<String>, String), &'static str> {
        Ok((Some(domain.to_owned()), prefix.to_owned()))
    }

    #[test]
    fn paths_are_collapsed_and_lose_their_trailing_slash() {
        assert_eq!(key("/"), Ok((None, String::new())));
        assert_eq!(key("//foo///bar//"), Ok((None, "/foo/bar".to_owned())));
    }

    #[test]
    fn domains_and_ports_come_in_any_order() {
        assert_eq!(key("domain Ex.org port 80 /x"), at("Ex.org:80", "/x"));
        assert_eq!(key("/x port 80 domain ex.org"), at("ex.org:80", "/x"));
        assert_eq!(key("domain ex.org x"), at("ex.org", "/x"));
        assert_eq!(key("domain ex.org"), at("ex.org", ""));
        assert_eq!(key("domain a/b /c"), at("a", "/b/c"));
        assert_eq!(key("domain /x"), at("", "/x"));
    }

    #[test]
    fn malformed_keys_have_pythons_classes() {
        for bad in [
            "domain",
            "port",
            "/a /b",
            "domain a domain b",
            "domain a port 1 port 2",
            "port 80 /x",
        ] {
            assert_eq!(key(bad), Err("ValueError"), "{bad}");
        }
        assert_eq!(key("debug"), Err("AssertionError"));
        assert_eq!(key("Domain"), Err("AssertionError"));
    }

    #[test]
    fn domains_come_first_and_longer_prefixes_before_shorter_ones() {
        let mut keys: Vec<Key> = [
            "/",
            "/long",
            "domain ex.org port 8080 /",
            "domain ex.org /",
            "/b",
            "/a",
            "domain ex.org /x",
        ]
        .iter()
        .map(|text| {
            address(text)
                .and_then(|address| normalize(&address))
                .expect("a key")
        })
        .collect();
        keys.sort_by(Key::compare);
        let shown: Vec<String> = keys
            .iter()
            .map(|key| format!("{}{}", key.domain.as_deref().unwrap_or("*"), key.prefix))
            .collect();
        assert_eq!(
            shown,
            [
                "ex.org/x",
                "ex.org",
                "ex.org:8080",
                "*/long",
                "*/a",
                "*/b",
                "*"
            ]
        );
    }
}
