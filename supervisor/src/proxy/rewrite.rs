//! The head of a request as a worker sees it: target, mount, client, request id (docs/worker-contract.md).

use super::client_certificate::ClientCertificate;
use super::forwarded::Trust;
use super::hop::{
    PASTER_ENVIRON, Peer, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PREFIX,
    X_FORWARDED_PROTO, X_REQUEST_ID, X_SCRIPT_NAME, strip_request,
};
use super::origin::Origin;
use super::seen::Seen;
use super::tls::Secured;
use super::told::Told;
use crate::router::message::{Handover, ListenerInfo};
use crate::router::urlmap::{Matched, strip_prefix};
use http::header::{COOKIE, FORWARDED, HOST};
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
    /// `X-Forwarded-For`, `-Proto` and `-Port`, where nobody before has said anything.
    forwarded: Told,
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
        let scheme = text(&listener.scheme).unwrap_or_else(|| HeaderValue::from_static("http"));
        let port = HeaderValue::from(listener.server_port);
        let address = peer.and_then(|_| text(&address));
        let mut forwarded = Told::default();
        if let Some(address) = &address {
            forwarded.field(&X_FORWARDED_FOR, address);
        }
        forwarded.field(&X_FORWARDED_PROTO, &scheme);
        forwarded.field(&X_FORWARDED_PORT, &port);
        Self {
            peer,
            secured,
            scheme,
            port,
            address,
            host: text(&host),
            forwarded,
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

/// What was said about a request before it came here.
#[derive(Debug)]
pub(super) struct Said {
    /// By a trusted peer, about the client before it.
    pub(super) forwarded: Forwarded,
    /// What follows from that.
    pub(super) origin: Origin,
    /// Its id, which may be ours.
    pub(super) id: HeaderValue,
}

/// Forwarding fields of a trusted peer.
#[derive(Debug, Default)]
pub(super) struct Forwarded(Vec<(HeaderName, HeaderValue)>);

const SAID: [HeaderName; 5] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PREFIX,
];

impl Forwarded {
    /// Takes the fields off.
    pub(super) fn take(headers: &mut HeaderMap) -> Self {
        let mut fields = Vec::new();
        for name in SAID.into_iter().chain([FORWARDED, X_SCRIPT_NAME]) {
            if let Some(joined) = take_joined(headers, &name, b", ") {
                fields.push((name, joined));
            }
        }
        Self(fields)
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
        self.0
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
/// lines (RFC 9113 section 8.2.3; a CGI environment has room for one), takes the request id or makes one.
pub(super) fn clean(
    headers: &mut HeaderMap,
    seen: Seen,
    peer: Peer,
    trust: &Trust,
    client: &Client,
) -> Said {
    strip_request(headers, seen, peer);
    if let Some(certificate) = client.certificate() {
        certificate.take_off(headers);
    }
    let (forwarded, origin) = match peer {
        Peer::Trusted => {
            let forwarded = Forwarded::take(headers);
            let origin = Origin::of(&forwarded, trust);
            (forwarded, origin)
        }
        Peer::Untrusted => Default::default(),
    };
    if seen.cookie
        && headers.get_all(COOKIE).iter().nth(1).is_some()
        && let Some(joined) = take_joined(headers, &COOKIE, b"; ")
    {
        headers.insert(COOKIE, joined);
    }
    let id = match seen.request_id {
        true => take_request_id(headers),
        false => None,
    };
    Said {
        forwarded,
        origin,
        id: id.unwrap_or_else(new_request_id),
    }
}

/// None: there is none, or several, or it is not of use.
fn take_request_id(headers: &mut HeaderMap) -> Option<HeaderValue> {
    let is_only = headers.get_all(X_REQUEST_ID).iter().nth(1).is_none();
    let first = headers.remove(X_REQUEST_ID);
    first.filter(|first| is_only && is_request_id(first))
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

/// Second step, once per route: what the app's workers are `told`, whatever was told for another route, and the target for
/// them. `host` is the request's.
pub(super) fn hand_over(
    told: &mut Told,
    handover: Handover,
    matched: &Matched<'_, '_>,
    target: &PathAndQuery,
    host: Option<&HeaderValue>,
    client: &Client,
    said: &Said,
) -> PathAndQuery {
    told.begin_anew();
    told.field(&X_REQUEST_ID, &said.id);
    match handover {
        Handover::Environ => {
            for (name, value) in &said.forwarded.0 {
                told.field(name, value);
            }
            told.encoded(&PASTER_ENVIRON, |line| {
                environ(line, matched, client, said.origin);
            });
            if let Some(certificate) = client.certificate() {
                certificate.tell_python(told);
            }
            target.clone()
        }
        Handover::Strip | Handover::Keep => {
            tell_forwarded(told, matched, host, client, &said.forwarded);
            if let Some(certificate) = client.certificate() {
                certificate.tell(told);
            }
            if let (None, Some(host)) = (host, &client.host) {
                told.field(&HOST, host);
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

fn environ(line: &mut Vec<u8>, matched: &Matched<'_, '_>, client: &Client, origin: Origin) {
    encode_into(line, &matched.script_name);
    line.push(b' ');
    encode_into(line, &matched.path_info);
    match origin == Origin::default() {
        true => line.extend_from_slice(&client.environ),
        false => line.extend_from_slice(&client.environ_of(origin)),
    }
}

fn encode_into(line: &mut Vec<u8>, bytes: &[u8]) {
    for part in percent_encode(bytes, ENVIRON) {
        line.extend_from_slice(part.as_bytes());
    }
}

fn tell_forwarded(
    told: &mut Told,
    matched: &Matched<'_, '_>,
    host: Option<&HeaderValue>,
    client: &Client,
    before: &Forwarded,
) {
    match before.0.is_empty() {
        true => told.append(&client.forwarded),
        false => tell_chain(told, client, before),
    }
    if let Some(host) = before.get(&X_FORWARDED_HOST).or(host) {
        told.field(&X_FORWARDED_HOST, host);
    }
    if matched.script_name.is_empty() {
        return;
    }
    for name in [&X_SCRIPT_NAME, &X_FORWARDED_PREFIX] {
        told.encoded(name, |line| encode_into(line, &matched.script_name));
    }
}

/// What was said before, with the peer who has said it.
fn tell_chain(told: &mut Told, client: &Client, before: &Forwarded) {
    let chain = match (before.get(&X_FORWARDED_FOR), &client.address) {
        (Some(before), Some(address)) => {
            let joined = [before.as_bytes(), address.as_bytes()].join(&b", "[..]);
            HeaderValue::from_bytes(&joined).ok()
        }
        (Some(before), None) => Some(before.clone()),
        (None, address) => address.clone(),
    };
    if let Some(chain) = chain {
        told.field(&X_FORWARDED_FOR, &chain);
    }
    for (name, ours) in [
        (&X_FORWARDED_PROTO, &client.scheme),
        (&X_FORWARDED_PORT, &client.port),
    ] {
        told.field(name, before.get(name).unwrap_or(ours));
    }
    if let Some(before) = before.get(&FORWARDED) {
        told.field(&FORWARDED, before);
    }
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

    /// What is left of the client's fields, what is told besides, and the target.
    fn handed(
        handover: Handover,
        peer: Peer,
        fields: &[(&'static str, &'static str)],
    ) -> (HeaderMap, Told, String) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("example.org"));
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let (client, seen) = (client(), Seen::of(&headers));
        let said = clean(&mut headers, seen, peer, &Trust::default(), &client);
        let target = PathAndQuery::from_static("/blog/a%20b?q=1");
        let matched = matched("/blog", b"/a b");
        let mut told = Told::default();
        let host = headers.get(HOST);
        let target = hand_over(&mut told, handover, &matched, &target, host, &client, &said);
        for name in SAID
            .iter()
            .chain([&FORWARDED, &X_SCRIPT_NAME, &X_REQUEST_ID])
        {
            assert!(!headers.contains_key(name), "{name} could be there twice");
        }
        (headers, told, target.to_string())
    }

    fn environ_of(matched: &Matched<'_, '_>, client: &Client) -> String {
        let mut line = Vec::new();
        environ(&mut line, matched, client, Origin::default());
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn our_host_gets_the_original_target_and_the_environ() {
        let (_, told, target) = handed(
            Handover::Environ,
            Peer::Untrusted,
            &[("x-forwarded-for", "6.6.6.6")],
        );
        assert_eq!(target, "/blog/a%20b?q=1");
        assert_eq!(
            told.get(&PASTER_ENVIRON),
            Some("/blog /a%20b 192.0.2.1 4711 http localhost 8080")
        );
        assert!(told.get(&X_FORWARDED_FOR).is_none());
        assert!(told.get(&X_SCRIPT_NAME).is_none());
    }

    #[test]
    fn path_info_is_handed_over_byte_for_byte() {
        let matched = matched("", b"/\xff?#%\x7f caf\xc3\xa9");
        assert_eq!(
            environ_of(&matched, &client()),
            " /%FF%3F%23%25%7F%20caf%C3%A9 192.0.2.1 4711 http localhost 8080"
        );
    }

    #[test]
    fn a_client_on_a_unix_socket_has_no_address() {
        let client = Client::new(None, None, &listener());
        assert_eq!(
            environ_of(&matched("", b"/"), &client),
            " /   http localhost 8080"
        );
    }

    #[test]
    fn other_programs_get_the_rest_of_the_target_and_the_prefix() {
        let (_, told, target) = handed(
            Handover::Strip,
            Peer::Untrusted,
            &[("x-forwarded-for", "6.6.6.6")],
        );
        assert_eq!(target, "/a%20b?q=1");
        assert_eq!(told.get(&X_SCRIPT_NAME), Some("/blog"));
        assert_eq!(told.get(&X_FORWARDED_PREFIX), Some("/blog"));
        assert_eq!(told.get(&X_FORWARDED_FOR), Some("192.0.2.1"));
        assert_eq!(told.get(&X_FORWARDED_PROTO), Some("http"));
        assert_eq!(told.get(&X_FORWARDED_HOST), Some("example.org"));
        assert_eq!(told.get(&X_FORWARDED_PORT), Some("8080"));
        assert!(told.get(&PASTER_ENVIRON).is_none());
    }

    #[test]
    fn without_stripping_the_target_is_the_original() {
        let (_, told, target) = handed(Handover::Keep, Peer::Untrusted, &[]);
        assert_eq!(target, "/blog/a%20b?q=1");
        assert_eq!(told.get(&X_SCRIPT_NAME), Some("/blog"));
    }

    #[test]
    fn a_trusted_peer_is_believed_and_appended_to() {
        let said = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
        ];
        let (_, told, _) = handed(Handover::Strip, Peer::Trusted, &said);
        assert_eq!(
            told.get(&X_FORWARDED_FOR),
            Some("203.0.113.9, 10.0.0.1, 192.0.2.1")
        );
        assert_eq!(told.get(&X_FORWARDED_PROTO), Some("https"));
        assert_eq!(told.get(&X_FORWARDED_HOST), Some("example.org"));
        let (_, told, _) = handed(Handover::Environ, Peer::Trusted, &said);
        assert_eq!(told.get(&X_FORWARDED_FOR), Some("203.0.113.9, 10.0.0.1"));
        let environ = told.get(&PASTER_ENVIRON).unwrap();
        assert!(environ.contains(" 10.0.0.1  https "));
    }

    #[test]
    fn a_request_id_is_kept_or_made() {
        let (_, told, _) = handed(
            Handover::Strip,
            Peer::Untrusted,
            &[("x-request-id", "abc-1")],
        );
        assert_eq!(told.get(&X_REQUEST_ID), Some("abc-1"));
        let (_, told, _) = handed(Handover::Strip, Peer::Untrusted, &[("x-request-id", "a b")]);
        assert_eq!(told.get(&X_REQUEST_ID).unwrap().len(), 32);
    }

    #[test]
    fn cookie_lines_become_one() {
        let (headers, _, _) = handed(
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
        let (client, trust) = (client(), Trust::default());
        let seen = Seen::default();
        let said = clean(&mut headers, seen, Peer::Untrusted, &trust, &client);
        let target = PathAndQuery::from_static("/blog/x");
        let route = matched("/blog", b"/x");
        let mut told = Told::default();
        for handover in [Handover::Strip, Handover::Environ] {
            hand_over(&mut told, handover, &route, &target, None, &client, &said);
        }
        assert!(told.get(&X_FORWARDED_FOR).is_none());
        assert!(told.get(&PASTER_ENVIRON).is_some());
        assert!(told.get(&X_REQUEST_ID).is_some());
    }
}
