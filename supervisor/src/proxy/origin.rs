//! Where a request comes from, by the word of trusted peers: `X-Forwarded-For` and `-Proto`, or `Forwarded` (RFC 7239).

use super::forwarded::Trust;
use super::rewrite::Forwarded;
use std::net::{IpAddr, SocketAddr};

/// What is known of a client that is not the peer itself.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) address: Option<IpAddr>,
    /// Few proxies tell it.
    pub(super) port: Option<u16>,
    /// `http` or `https`, as the client has spoken.
    pub(super) scheme: Option<&'static str>,
}

impl Origin {
    /// Of a request whose peer is trusted, and has said this. Each proxy appends whom it was asked by, so the list is walked from its
    /// end: the client is the first address that is not trusted itself, or else the first of all.
    pub(super) fn of(said: &Forwarded, trust: &Trust) -> Self {
        let mut origin = match (said.forwarded_for(), said.forwarded()) {
            (Some(list), _) => walk(list.split(',').map(|hop| (hop, None)), trust),
            (None, Some(list)) => {
                let hops = parse_forwarded(list);
                let hops = hops.iter().map(|hop| {
                    let scheme = hop.proto.as_deref().and_then(scheme);
                    (hop.client.as_deref().unwrap_or_default(), scheme)
                });
                walk(hops, trust)
            }
            (None, None) => Self::default(),
        };
        // Of several, the peer's own word.
        let told = said
            .forwarded_proto()
            .and_then(|list| list.rsplit(',').next());
        origin.scheme = told.and_then(scheme).or(origin.scheme);
        origin
    }

    /// In place of the peer's address, if it is known.
    pub(super) fn or(self, peer: Option<SocketAddr>) -> Option<SocketAddr> {
        match self.address {
            Some(address) => Some(SocketAddr::new(address, self.port.unwrap_or(0))),
            None => peer,
        }
    }
}

fn walk<'a>(
    hops: impl DoubleEndedIterator<Item = (&'a str, Option<&'static str>)>,
    trust: &Trust,
) -> Origin {
    let mut origin = Origin::default();
    for (hop, scheme) in hops.rev() {
        origin.scheme = scheme.or(origin.scheme);
        // Who hides, or cannot be understood, cannot have said anything about others either.
        let Some((address, port)) = node(hop) else {
            break;
        };
        origin.address = Some(address);
        origin.port = port;
        if !trust.covers_address(address) {
            break;
        }
    }
    origin
}

/// An address with or without brackets and port (RFC 7239 section 6).
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let text = text.trim();
    let plain = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Ok(address) = plain.unwrap_or(text).parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    let socket: SocketAddr = text.parse().ok()?;
    Some((socket.ip().to_canonical(), Some(socket.port())))
}

fn scheme(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let is = |name: &str| text.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some("https"),
        () if is("http") || is("ws") => Some("http"),
        () => None,
    }
}

/// One element of `Forwarded`: who asked a proxy, and how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hop {
    client: Option<String>,
    proto: Option<String>,
}

/// RFC 7239 section 4. What is no parameter is passed over.
fn parse_forwarded(text: &str) -> Vec<Hop> {
    let element = |element: &str| {
        let mut hop = Hop::default();
        for parameter in split(element, ';') {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = Some(unquoted(value.trim()));
            match name.trim() {
                name if name.eq_ignore_ascii_case("for") => hop.client = value,
                name if name.eq_ignore_ascii_case("proto") => hop.proto = value,
                _ => {}
            }
        }
        hop
    };
    split(text, ',').into_iter().map(element).collect()
}

/// Cuts at each `separator` that is not in quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|c: char| {
        let cuts = !quoted && c == separator;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        cuts
    })
    .collect()
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.extend(match c {
            '\\' => chars.next(),
            c => Some(c),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn origin(trusted: &[&str], fields: &[(&'static str, &'static str)]) -> Origin {
        let trust = Trust::parse(&trusted.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        Origin::of(&Forwarded::take(&mut headers), &trust)
    }

    fn address(trusted: &[&str], fields: &[(&'static str, &'static str)]) -> Option<String> {
        let origin = origin(trusted, fields);
        let port = origin.port.map_or(String::new(), |port| format!("@{port}"));
        origin.address.map(|address| format!("{address}{port}"))
    }

    #[test]
    fn the_client_is_the_nearest_that_is_not_trusted() {
        let xff = |list| address(&["10.0.0.0/8"], &[("x-forwarded-for", list)]);
        for (list, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1, 10.0.0.2", Some("192.0.2.1")),
            ("10.0.0.3,10.0.0.2", Some("10.0.0.3")),
            ("192.0.2.1, unknown, 10.0.0.2", Some("10.0.0.2")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]:99", Some("2001:db8::1@99")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:4711", Some("192.0.2.1@4711")),
            ("example.org", None),
            ("", None),
        ] {
            assert_eq!(xff(list).as_deref(), expected, "{list}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let fields = [
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-for", "10.0.0.2"),
        ];
        assert_eq!(
            address(&["10.0.0.0/8"], &fields).as_deref(),
            Some("192.0.2.1")
        );
    }

    #[test]
    fn forwarded_is_read_where_the_other_is_missing() {
        let forwarded = |list| origin(&["10.0.0.0/8"], &[("forwarded", list)]);
        let at = |list| forwarded(list).address.map(|address| address.to_string());
        assert_eq!(at("for=192.0.2.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(
            at("for=6.6.6.6, For=\"[2001:db8::1]:47\";proto=https, for=10.0.0.2").as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(
            at("for=\"a,\\\"b\", for=192.0.2.1").as_deref(),
            Some("192.0.2.1")
        );
        assert_eq!(at("for=_hidden"), None);
        assert_eq!(at("for=\"192.0.2.1, for=10.0.0.2"), None);
        assert_eq!(
            forwarded("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http").scheme,
            Some("https")
        );
        assert_eq!(forwarded("proto=https;for=unknown").scheme, Some("https"));
        let both = [
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "192.0.2.2"),
        ];
        assert_eq!(address(&[], &both).as_deref(), Some("192.0.2.2"));
    }

    #[test]
    fn the_scheme_is_the_peers_word() {
        let proto = |list| origin(&[], &[("x-forwarded-proto", list)]).scheme;
        assert_eq!(proto("https"), Some("https"));
        assert_eq!(proto("http, HTTPS"), Some("https"));
        assert_eq!(proto("https, http"), Some("http"));
        assert_eq!(proto("wss"), Some("https"));
        assert_eq!(proto("gopher"), None);
        assert_eq!(origin(&[], &[]), Origin::default());
    }
}
