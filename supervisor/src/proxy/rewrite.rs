//! The head of a request as a worker sees it: target, mount, client, request id (docs/worker-contract.md).

use super::client_certificate::{ClientCertificate, PASTER_CLIENT};
use super::forwarded::Trust;
use super::hop::{
    PASTER_ENVIRON, Peer, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PREFIX,
    X_FORWARDED_PROTO, X_REQUEST_ID, X_SCRIPT_NAME, strip_request,
};
use super::origin::Origin;
use super::seen::Seen;
use super::tls::Secured;
use crate::router::message::{Handover, ListenerInfo};
use crate::router::urlmap::{Matched, strip_prefix};
use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, FORWARDED, HOST, TE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::net::SocketAddr;

/// All but these bytes are percent-encoded in the values that we hand over.
pub(super) const ENVIRON: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// What is the same for all requests of a client connection.
#[derive(Debug)]
pub(super) struct Client {
    /// None on a unix socket.
    pub(super) peer: Option<SocketAddr>,
    /// None without TLS.
    pub(super) secured: Option<Secured>,
    scheme: HeaderValue,
    port: HeaderValue,
    address: Option<HeaderValue>,
    /// `Host` for HTTP/1.0 clients that send none.
    host: Option<HeaderValue>,
    /// REMOTE_ADDR to SERVER_PORT, as they end `Paster-Environ`, with a space before.
    environ: Box<[u8]>,
    /// SERVER_NAME and SERVER_PORT, the end of that.
    server: Box<str>,
}

impl Client {
    pub(super) fn new(
        peer: Option<SocketAddr>,
        secured: Option<Secured>,
        listener: &ListenerInfo,
    ) -> Self {
        let peer = peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let encode = |text: &str| percent_encode(text.as_bytes(), ENVIRON).to_string();
        let (address, port) = peer.map_or_else(Default::default, |peer| {
            (peer.ip().to_string(), peer.port().to_string())
        });
        let server = format!("{} {}", encode(&listener.server_name), listener.server_port);
        let environ = format!(
            " {} {port} {} {server}",
            encode(&address),
            encode(&listener.scheme)
        );
        let default_port = if listener.scheme == "https" { 443 } else { 80 };
        let host = if listener.server_port == default_port {
            listener.server_name.clone()
        } else {
            format!("{}:{}", listener.server_name, listener.server_port)
        };
        let text = |text: &str| HeaderValue::from_str(text).ok();
        Self {
            peer,
            secured,
            scheme: text(&listener.scheme).unwrap_or_else(|| HeaderValue::from_static("http")),
            port: HeaderValue::from(listener.server_port),
            address: peer.and_then(|_| text(&address)),
            host: text(&host),
            environ: environ.into_bytes().into(),
            server: server.into(),
        }
    }

    /// As [`Client::environ`], for a client of whom a trusted peer has told.
    fn environ_of(&self, origin: Origin) -> Vec<u8> {
        let address = origin.or(self.peer);
        let port = address
            .map(|address| address.port())
            .filter(|&port| port != 0);
        let shown = |text: Option<String>| text.unwrap_or_default();
        let scheme = self.scheme.as_bytes();
        let mut line = format!(
            " {} {} ",
            percent_encode(
                shown(address.map(|a| a.ip().to_string())).as_bytes(),
                ENVIRON
            ),
            shown(port.map(|port| port.to_string())),
        )
        .into_bytes();
        line.extend_from_slice(origin.scheme.map_or(scheme, str::as_bytes));
        line.push(b' ');
        line.extend_from_slice(self.server.as_bytes());
        line
    }
}

impl Client {
    /// None where clients are not asked for certificates.
    fn certificate(&self) -> Option<&ClientCertificate> {
        self.secured.as_ref()?.client.as_deref()
    }

    pub(super) fn scheme(&self) -> &HeaderValue {
        &self.scheme
    }

    /// The host that it means, which may be the listener's where it has said none.
    pub(super) fn host<'a>(&'a self, said: Option<&'a HeaderValue>) -> Option<&'a HeaderValue> {
        said.filter(|host| !host.is_empty()).or(self.host.as_ref())
    }
}

/// What a trusted peer said about the client before it.
#[derive(Debug, Default)]
pub(super) struct Said {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// What follows from it.
    pub(super) origin: Origin,
}

/// Fields that we add, at most: what is said of the client and the mount, the request id, what is asked of the connection.
const OURS: usize = 9;

const SAID: [HeaderName; 5] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PREFIX,
];

impl Said {
    /// Takes the fields off.
    pub(super) fn take(headers: &mut HeaderMap) -> Self {
        let mut fields = Vec::new();
        for name in SAID.into_iter().chain([FORWARDED, X_SCRIPT_NAME]) {
            if let Some(joined) = take_joined(headers, &name, b", ") {
                fields.push((name, joined));
            }
        }
        Self {
            fields,
            origin: Origin::default(),
        }
    }

    pub(super) fn forwarded_for(&self) -> Option<&str> {
        self.text(&X_FORWARDED_FOR)
    }

    pub(super) fn forwarded_proto(&self) -> Option<&str> {
        self.text(&X_FORWARDED_PROTO)
    }

    pub(super) fn forwarded(&self) -> Option<&str> {
        self.text(&FORWARDED)
    }

    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.get(name)?.to_str().ok()
    }

    fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.fields
            .iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }
}

/// Removes a field and gives its lines as one.
fn take_joined(
    headers: &mut HeaderMap,
    name: &HeaderName,
    separator: &[u8],
) -> Option<HeaderValue> {
    let first = headers.get(name)?;
    if headers.get_all(name).iter().nth(1).is_none() {
        let only = first.clone();
        headers.remove(name);
        return Some(only);
    }
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let joined = HeaderValue::from_bytes(&lines.join(separator)).ok();
    headers.remove(name);
    joined
}

/// First step, once per request: removes what must not pass, keeps aside what a trusted peer said, joins `Cookie`
/// lines (RFC 9113 section 8.2.3; a CGI environment has room for one), makes the request id.
pub(super) fn clean(headers: &mut HeaderMap, seen: Seen, peer: Peer, trust: &Trust) -> Said {
    strip_request(headers, seen, peer);
    // Once, where each of ours would make it grow.
    headers.reserve(OURS);
    let said = match peer {
        Peer::Trusted => {
            let mut said = Said::take(headers);
            said.origin = Origin::of(&said, trust);
            said
        }
        Peer::Untrusted => Said::default(),
    };
    if seen.cookie
        && headers.get_all(COOKIE).iter().nth(1).is_some()
        && let Some(joined) = take_joined(headers, &COOKIE, b"; ")
    {
        headers.insert(COOKIE, joined);
    }
    if !headers.get(X_REQUEST_ID).is_some_and(is_request_id)
        || headers.get_all(X_REQUEST_ID).iter().nth(1).is_some()
    {
        headers.insert(X_REQUEST_ID, new_request_id());
    }
    said
}

/// Something that people can search their logs for: visible ASCII, not endless.
fn is_request_id(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=200).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
}

fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let number = fastrand::u128(..);
    let text: [u8; 32] =
        std::array::from_fn(|at| DIGITS[((number >> (124 - 4 * at)) & 0xf) as usize]);
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are valid in a field")
}

/// Second step, once per route: writes what the app's workers are told, whatever an earlier route wrote. Returns the
/// target for them.
pub(super) fn hand_over(
    headers: &mut HeaderMap,
    handover: Handover,
    matched: &Matched<'_, '_>,
    target: &PathAndQuery,
    client: &Client,
    said: &Said,
) -> PathAndQuery {
    match handover {
        Handover::Environ => {
            for (name, value) in &said.fields {
                headers.insert(name, value.clone());
            }
            headers.insert(PASTER_ENVIRON, environ(matched, client, said.origin));
            if let Some(certificate) = client.certificate() {
                certificate.tell_python(headers);
            }
            target.clone()
        }
        Handover::Strip | Handover::Keep => {
            forwarded(headers, matched, client, said);
            if let Some(certificate) = client.certificate() {
                certificate.tell(headers);
            }
            if !headers.contains_key(HOST)
                && let Some(host) = &client.host
            {
                headers.insert(HOST, host.clone());
            }
            if handover == Handover::Keep || matched.consumed == 0 {
                return target.clone();
            }
            let stripped = strip_prefix(target.as_str().as_bytes(), matched.consumed);
            // A part of a valid target is valid, but for an escape that the cut went through.
            PathAndQuery::try_from(&*stripped).unwrap_or_else(|_| target.clone())
        }
    }
}

/// Undoes [`hand_over`], before another route is written over it.
pub(super) fn take_back(headers: &mut HeaderMap) {
    for name in SAID.into_iter().chain([
        FORWARDED,
        X_SCRIPT_NAME,
        PASTER_ENVIRON,
        PASTER_CLIENT,
        TE,
        CONNECTION,
    ]) {
        headers.remove(name);
    }
}

fn environ(matched: &Matched<'_, '_>, client: &Client, origin: Origin) -> HeaderValue {
    let told;
    let from = match origin == Origin::default() {
        true => &*client.environ,
        false => {
            told = client.environ_of(origin);
            &told
        }
    };
    let mut line =
        Vec::with_capacity(matched.script_name.len() + matched.path_info.len() + from.len() + 16);
    encode_into(&mut line, &matched.script_name);
    line.push(b' ');
    encode_into(&mut line, &matched.path_info);
    line.extend_from_slice(from);
    HeaderValue::from_maybe_shared(Bytes::from(line))
        .expect("percent-encoded bytes are valid in a field")
}

fn encode_into(line: &mut Vec<u8>, bytes: &[u8]) {
    for part in percent_encode(bytes, ENVIRON) {
        line.extend_from_slice(part.as_bytes());
    }
}

fn forwarded(headers: &mut HeaderMap, matched: &Matched<'_, '_>, client: &Client, said: &Said) {
    let chain = match (said.get(&X_FORWARDED_FOR), &client.address) {
        (Some(before), Some(address)) => {
            let joined = [before.as_bytes(), address.as_bytes()].join(&b", "[..]);
            HeaderValue::from_bytes(&joined).ok()
        }
        (Some(before), None) => Some(before.clone()),
        (None, address) => address.clone(),
    };
    let host = headers.get(HOST).cloned();
    let ours = [
        (X_FORWARDED_PROTO, Some(&client.scheme)),
        (X_FORWARDED_HOST, host.as_ref()),
        (X_FORWARDED_PORT, Some(&client.port)),
    ];
    if let Some(chain) = chain {
        headers.insert(X_FORWARDED_FOR, chain);
    }
    for (name, value) in ours {
        if let Some(value) = said.get(&name).or(value) {
            headers.insert(name, value.clone());
        }
    }
    if let Some(before) = said.get(&FORWARDED) {
        headers.insert(FORWARDED, before.clone());
    }
    if matched.script_name.is_empty() {
        return;
    }
    let mut prefix = Vec::with_capacity(matched.script_name.len());
    encode_into(&mut prefix, &matched.script_name);
    let prefix = HeaderValue::from_maybe_shared(Bytes::from(prefix))
        .expect("percent-encoded bytes are valid in a field");
    headers.insert(X_SCRIPT_NAME, prefix.clone());
    headers.insert(X_FORWARDED_PREFIX, prefix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::message::Greeting;
    use std::borrow::Cow;

    fn listener() -> ListenerInfo {
        ListenerInfo {
            address: "127.0.0.1:8080".into(),
            scheme: "http".into(),
            server_name: "localhost".into(),
            server_port: 8080,
            greeting: Greeting::default(),
        }
    }

    fn client() -> Client {
        Client::new(Some("192.0.2.1:4711".parse().unwrap()), None, &listener())
    }

    fn matched<'a>(script_name: &'a str, path_info: &'a [u8]) -> Matched<'static, 'a> {
        Matched {
            app: "blog",
            script_name: Cow::Borrowed(script_name.as_bytes()),
            path_info: Cow::Borrowed(path_info),
            consumed: script_name.len(),
        }
    }

    fn handed(
        handover: Handover,
        peer: Peer,
        fields: &[(&'static str, &'static str)],
    ) -> (HeaderMap, String) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("example.org"));
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let seen = Seen::of(&headers);
        let said = clean(&mut headers, seen, peer, &Trust::default());
        let target = PathAndQuery::from_static("/blog/a%20b?q=1");
        let matched = matched("/blog", b"/a b");
        let target = hand_over(&mut headers, handover, &matched, &target, &client(), &said);
        (headers, target.to_string())
    }

    #[test]
    fn our_host_gets_the_original_target_and_the_environ() {
        let (headers, target) = handed(
            Handover::Environ,
            Peer::Untrusted,
            &[("x-forwarded-for", "6.6.6.6")],
        );
        assert_eq!(target, "/blog/a%20b?q=1");
        assert_eq!(
            headers[PASTER_ENVIRON],
            "/blog /a%20b 192.0.2.1 4711 http localhost 8080"
        );
        assert!(!headers.contains_key(X_FORWARDED_FOR));
        assert!(!headers.contains_key(X_SCRIPT_NAME));
    }

    #[test]
    fn path_info_is_handed_over_byte_for_byte() {
        let value = environ(
            &matched("", b"/\xff?#%\x7f caf\xc3\xa9"),
            &client(),
            Origin::default(),
        );
        assert_eq!(
            value,
            " /%FF%3F%23%25%7F%20caf%C3%A9 192.0.2.1 4711 http localhost 8080"
        );
    }

    #[test]
    fn a_client_on_a_unix_socket_has_no_address() {
        let value = environ(
            &matched("", b"/"),
            &Client::new(None, None, &listener()),
            Origin::default(),
        );
        assert_eq!(value, " /   http localhost 8080");
    }

    #[test]
    fn other_programs_get_the_rest_of_the_target_and_the_prefix() {
        let (headers, target) = handed(
            Handover::Strip,
            Peer::Untrusted,
            &[("x-forwarded-for", "6.6.6.6")],
        );
        assert_eq!(target, "/a%20b?q=1");
        assert_eq!(headers[X_SCRIPT_NAME], "/blog");
        assert_eq!(headers[X_FORWARDED_PREFIX], "/blog");
        assert_eq!(headers[X_FORWARDED_FOR], "192.0.2.1");
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_FORWARDED_HOST], "example.org");
        assert_eq!(headers[X_FORWARDED_PORT], "8080");
        assert!(!headers.contains_key(PASTER_ENVIRON));
    }

    #[test]
    fn without_stripping_the_target_is_the_original() {
        let (headers, target) = handed(Handover::Keep, Peer::Untrusted, &[]);
        assert_eq!(target, "/blog/a%20b?q=1");
        assert_eq!(headers[X_SCRIPT_NAME], "/blog");
    }

    #[test]
    fn a_trusted_peer_is_believed_and_appended_to() {
        let said = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
        ];
        let (headers, _) = handed(Handover::Strip, Peer::Trusted, &said);
        assert_eq!(headers[X_FORWARDED_FOR], "203.0.113.9, 10.0.0.1, 192.0.2.1");
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        assert_eq!(headers[X_FORWARDED_HOST], "example.org");
        let (headers, _) = handed(Handover::Environ, Peer::Trusted, &said);
        assert_eq!(headers[X_FORWARDED_FOR], "203.0.113.9, 10.0.0.1");
        assert!(
            headers[PASTER_ENVIRON]
                .to_str()
                .unwrap()
                .contains(" 10.0.0.1  https ")
        );
    }

    #[test]
    fn a_request_id_is_kept_or_made() {
        let (headers, _) = handed(
            Handover::Strip,
            Peer::Untrusted,
            &[("x-request-id", "abc-1")],
        );
        assert_eq!(headers[X_REQUEST_ID], "abc-1");
        let (headers, _) = handed(Handover::Strip, Peer::Untrusted, &[("x-request-id", "a b")]);
        assert_eq!(headers[X_REQUEST_ID].len(), 32);
    }

    #[test]
    fn cookie_lines_become_one() {
        let (headers, _) = handed(
            Handover::Strip,
            Peer::Untrusted,
            &[("cookie", "a=1"), ("cookie", "b=2")],
        );
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
        assert_eq!(headers[COOKIE], "a=1; b=2");
    }

    #[test]
    fn a_route_can_be_written_over_another() {
        let mut headers = HeaderMap::new();
        let said = clean(
            &mut headers,
            Seen::default(),
            Peer::Untrusted,
            &Trust::default(),
        );
        let target = PathAndQuery::from_static("/blog/x");
        let route = matched("/blog", b"/x");
        hand_over(
            &mut headers,
            Handover::Strip,
            &route,
            &target,
            &client(),
            &said,
        );
        take_back(&mut headers);
        hand_over(
            &mut headers,
            Handover::Environ,
            &route,
            &target,
            &client(),
            &said,
        );
        assert!(!headers.contains_key(X_FORWARDED_FOR));
        assert!(headers.contains_key(PASTER_ENVIRON));
    }
}
