//! Fields that end at this hop (RFC 9110 section 7.6.1), and fields that no client may set.

use super::client_certificate::X_SSL_CLIENT;
use super::forwarded::Trust;
use super::seen::Seen;
use super::told::Told;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use std::net::SocketAddr;

/// Our own field for the Python host.
pub(super) const PASTER_ENVIRON: HeaderName = HeaderName::from_static("paster-environ");
pub(super) const X_SCRIPT_NAME: HeaderName = HeaderName::from_static("x-script-name");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whether the peer's word about other clients is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Trusted,
    Untrusted,
}

impl Peer {
    /// `address` is none for a client on a unix socket.
    pub(super) fn of(address: Option<SocketAddr>, trust: &Trust) -> Self {
        if trust.covers(address) {
            Self::Trusted
        } else {
            Self::Untrusted
        }
    }
}

/// Removes from a request what must not reach a worker: the hop's own fields and those that `Connection` names, the
/// framing, forwarding fields of a peer whose word is not taken, and names with an underscore, which a CGI
/// environment cannot tell from those with a hyphen (RFC 3875 section 4.1.18).
pub(super) fn strip_request(headers: &mut HeaderMap, seen: Seen, peer: Peer) {
    let nominated = match seen.connection {
        true => nominated(headers),
        false => Vec::new(),
    };
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_unwanted(name.as_str(), peer) || nominated.contains(name))
        .cloned()
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// Of the fields that `Trailer` announces, those that may come as one: no framing, nothing about the hop, and nothing
/// that is not to be set by `peer` (RFC 9110 section 6.5.1).
pub(super) fn announced_trailers(headers: &HeaderMap, peer: Peer) -> Option<HeaderValue> {
    let nominated = nominated(headers);
    let mut list = Vec::new();
    for token in headers.get_all(TRAILER).iter().flat_map(tokens) {
        let Ok(name) = HeaderName::from_bytes(token) else {
            continue;
        };
        let text = name.as_str();
        if is_unwanted(text, peer) || is_protected(text) || nominated.contains(&name) {
            continue;
        }
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(text.as_bytes());
    }
    let list = (!list.is_empty()).then_some(list)?;
    HeaderValue::from_bytes(&list).ok()
}

/// Whether whoever sent this head takes trailers (RFC 9110 section 10.1.4).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TE).iter().flat_map(tokens);
    codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// Says to the next one that trailers are taken here.
pub(super) fn ask_for_trailers(told: &mut Told) {
    told.field(&TE, &HeaderValue::from_static("trailers"));
    told.field(&CONNECTION, &HeaderValue::from_static("te"));
}

/// Removes from a response what ends here; the framing is written anew by the connection to the client.
/// The length stays: it is the body's, and the worker is held to it, unless a coding stood beside it.
pub(super) fn strip_response(headers: &mut HeaderMap, seen: Seen) {
    if seen.connection {
        for name in nominated(headers) {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    if seen.transfer_encoding {
        headers.remove(TRANSFER_ENCODING);
        headers.remove(CONTENT_LENGTH);
    }
    if seen.old || seen.te || seen.trailer || seen.upgrade {
        for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &TE, &TRAILER, &UPGRADE] {
            headers.remove(name);
        }
    }
}

pub(super) const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
pub(super) const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

fn is_unwanted(name: &str, peer: Peer) -> bool {
    let always = match name.as_bytes()[0] {
        b'c' => matches!(name, "connection" | "content-length"),
        b'e' => name == "expect",
        b'k' => name == "keep-alive",
        b'p' => matches!(
            name,
            "proxy" | "proxy-connection" | "paster-environ" | "paster-client-certificate"
        ),
        b't' => matches!(name, "te" | "trailer" | "transfer-encoding"),
        b'u' => name == "upgrade",
        b'f' => peer == Peer::Untrusted && name == "forwarded",
        b'x' => match peer {
            Peer::Trusted => false,
            Peer::Untrusted => {
                matches!(name, "x-script-name" | "x-real-ip")
                    || name.starts_with("x-forwarded-")
                    || name.starts_with(X_SSL_CLIENT)
            }
        },
        _ => false,
    };
    always || name.as_bytes().contains(&b'_')
}

/// Names in all `Connection` lines, but for those that a client must not be able to make us remove.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for line in headers.get_all(CONNECTION) {
        for token in tokens(line) {
            if is_plain_option(token) {
                continue;
            }
            if let Ok(name) = HeaderName::from_bytes(token)
                && !is_protected(name.as_str())
            {
                names.push(name);
            }
        }
    }
    names
}

fn is_plain_option(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"keep-alive")
        || token.eq_ignore_ascii_case(b"close")
        || token.eq_ignore_ascii_case(b"upgrade")
}

fn is_protected(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "cookie"
            | "set-cookie"
            | "authorization"
            | "x-request-id"
            | "x-script-name"
            | "x-real-ip"
            | "forwarded"
    ) || name.starts_with("x-forwarded-")
        || name.starts_with(X_SSL_CLIENT)
}

/// Elements of a comma-separated list.
pub(super) fn tokens(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    line.as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// Whether a `Connection` line has this option.
pub(super) fn has_connection_option(headers: &HeaderMap, option: &[u8]) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .any(|token| token.eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn stripped(fields: &[(&str, &str)], peer: Peer) -> Vec<String> {
        let mut headers = map(fields);
        let seen = Seen::of(&headers);
        strip_request(&mut headers, seen, peer);
        // Removing fields may reorder the others; only the order within a name has a meaning.
        let mut names: Vec<_> = headers.keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[test]
    fn fields_of_this_hop_do_not_pass() {
        let fields = [
            ("host", "a"),
            ("connection", "keep-alive"),
            ("keep-alive", "5"),
            ("proxy-connection", "x"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("proxy", "evil"),
            ("accept", "*/*"),
        ];
        assert_eq!(stripped(&fields, Peer::Trusted), ["accept", "host"]);
    }

    #[test]
    fn fields_that_any_connection_line_names_do_not_pass() {
        let fields = [
            ("connection", "close, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
        ];
        assert_eq!(stripped(&fields, Peer::Untrusted), ["x-three"]);
    }

    #[test]
    fn a_client_cannot_have_what_matters_removed() {
        let fields = [
            (
                "connection",
                "host, cookie, authorization, x-forwarded-for, x-request-id",
            ),
            ("host", "a"),
            ("cookie", "b"),
            ("authorization", "c"),
            ("x-forwarded-for", "d"),
            ("x-request-id", "e"),
        ];
        assert_eq!(
            stripped(&fields, Peer::Trusted),
            [
                "authorization",
                "cookie",
                "host",
                "x-forwarded-for",
                "x-request-id"
            ]
        );
    }

    #[test]
    fn nobody_sets_our_own_fields() {
        let fields = [
            ("paster-environ", "x"),
            ("paster-client-certificate", "SUCCESS"),
            ("X_SSL_Client_Verify", "SUCCESS"),
            ("X_Forwarded_For", "1"),
            ("Content_Length", "2"),
        ];
        assert!(stripped(&fields, Peer::Trusted).is_empty());
        let fields = [
            ("x-forwarded-for", "1"),
            ("x-forwarded-anything", "1"),
            ("x-script-name", "/x"),
            ("forwarded", "for=1"),
            ("x-real-ip", "1"),
            ("x-ssl-client-verify", "SUCCESS"),
            ("x-ssl-client-anything", "1"),
        ];
        assert!(stripped(&fields, Peer::Untrusted).is_empty());
        assert_eq!(stripped(&fields, Peer::Trusted).len(), 7);
    }

    #[test]
    fn a_response_keeps_its_own_fields_only() {
        let mut headers = map(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ]);
        let seen = Seen::of(&headers);
        strip_response(&mut headers, seen);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
    }
}
