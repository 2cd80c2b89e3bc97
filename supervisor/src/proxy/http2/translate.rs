//! HTTP/2 requests as HTTP/1.1 would have them, and answers the other way (RFC 9113 section 8, RFC 8441).
//!
//! What a field may contain was checked by h2: names in lower case, pseudo-fields first and once, no field that belongs to a
//! connection, as many bytes of a body as were announced.

use crate::proxy::body::ResponseBody;
use crate::proxy::error::ProxyError;
use crate::proxy::hop::{KEEP_ALIVE, PROXY_CONNECTION};
use crate::proxy::pages::{self, Markup, Shown};
use h2::ext::Protocol;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;

const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// What a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request and its answer.
    Plain,
    /// An extended CONNECT: a WebSocket, if the worker agrees.
    Tunnel,
}

/// Writes a request as HTTP/1.1 has it; its version still says what it was.
///
/// # Errors
/// 400 for an authority that two fields disagree about, for a value with a space around it and for a tunnel with a length, 405 for
/// CONNECT, 431 for too many fields, 501 for a protocol other than
/// `websocket`.
pub(super) fn request<B: Body>(
    request: &mut Request<B>,
    max_fields: usize,
) -> Result<Kind, ProxyError> {
    if request.headers().len() > max_fields {
        return Err(ProxyError::HeadTooLarge);
    }
    if request.headers().values().any(has_space_around) {
        return Err(ProxyError::BadRequest(
            "a field begins or ends with a space",
        ));
    }
    let protocol = request.extensions_mut().remove::<Protocol>();
    let kind = match (request.method() == Method::CONNECT, protocol) {
        (false, _) => Kind::Plain,
        (true, None) => return Err(ProxyError::MethodNotAllowed),
        (true, Some(protocol)) if protocol.as_str() == "websocket" => Kind::Tunnel,
        (true, Some(_)) => return Err(ProxyError::UnknownCoding),
    };
    host(request)?;
    if let Some(target) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(target.clone());
    }
    match kind {
        Kind::Tunnel => ask_for_a_tunnel(request)?,
        Kind::Plain => {
            let announced = request.headers().contains_key(CONTENT_LENGTH);
            if !announced && !request.body().is_end_stream() {
                let chunked = HeaderValue::from_static("chunked");
                request.headers_mut().insert(TRANSFER_ENCODING, chunked);
            }
        }
    }
    Ok(kind)
}

/// Not part of a value in HTTP/2 (section 8.2.1), while HTTP/1.1 would take it off.
fn has_space_around(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    is_space(value.first()) || is_space(value.last())
}

/// `:authority` is Host (section 8.3.1); who sends both must mean the same.
fn host<B>(request: &mut Request<B>) -> Result<(), ProxyError> {
    let Some(authority) = request.uri().authority() else {
        return Ok(());
    };
    let authority = HeaderValue::from_str(authority.as_str())
        .map_err(|_| ProxyError::BadRequest("the authority is invalid"))?;
    let same = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if !request.headers().get_all(HOST).iter().all(same) {
        return Err(ProxyError::BadRequest(
            "Host and :authority are not the same",
        ));
    }
    request.headers_mut().insert(HOST, authority);
    Ok(())
}

/// As RFC 6455 asks: HTTP/2 does without the key, HTTP/1.1 does not.
///
/// # Errors
/// 400 for what announces a body: a tunnel has none.
fn ask_for_a_tunnel<B>(request: &mut Request<B>) -> Result<(), ProxyError> {
    if request.headers().contains_key(CONTENT_LENGTH) {
        return Err(ProxyError::BadRequest("a tunnel has no Content-Length"));
    }
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, random_key());
    Ok(())
}

/// 16 random bytes in base64.
fn random_key() -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = fastrand::u128(..);
    // 21 digits of six bits, then the last two bits with the padding that 16 bytes have.
    let mut key: Vec<u8> = (0..21)
        .map(|at| DIGITS[((bits >> (122 - 6 * at)) & 0x3f) as usize])
        .collect();
    key.push(DIGITS[((bits & 0x3) << 4) as usize]);
    key.extend_from_slice(b"==");
    HeaderValue::from_bytes(&key).expect("base64 is valid in a field")
}

/// The answer to an extended CONNECT: 200 stands for the worker's 101. Any other success would be taken for a tunnel.
pub(super) fn tunnel_response(
    mut response: Response<ResponseBody>,
    markup: Markup,
) -> Response<ResponseBody> {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => {
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            response
        }
        status if status.is_success() => {
            pages::failure(&ProxyError::BadAnswer, markup, Shown::Briefly)
        }
        _ => response,
    }
}

/// Removes what HTTP/2 says by other means.
pub(super) fn response(response: &mut Response<ResponseBody>) {
    let headers = response.headers_mut();
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::{Empty, Full};

    const MAX_FIELDS: usize = 100;

    fn translated(
        method: &str,
        uri: &str,
        fields: &[(&str, &str)],
    ) -> Result<Request<Empty<Bytes>>, u16> {
        let mut asked = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            asked = asked.header(*name, *value);
        }
        let mut asked = asked.body(Empty::new()).unwrap();
        match request(&mut asked, MAX_FIELDS) {
            Ok(_) => Ok(asked),
            Err(error) => Err(error.status().as_u16()),
        }
    }

    #[test]
    fn the_authority_becomes_the_host() {
        let asked = translated("GET", "https://a.example:1/x?y", &[]).unwrap();
        assert_eq!(asked.headers()[HOST], "a.example:1");
        assert_eq!(asked.uri(), "/x?y");
        let asked = translated("GET", "https://a.example/", &[("host", "A.example")]).unwrap();
        assert_eq!(asked.headers().get_all(HOST).iter().count(), 1);
        let other = translated("GET", "https://a.example/", &[("host", "b.example")]);
        assert_eq!(other.err(), Some(400));
        let alone = translated("GET", "/", &[("host", "b.example")]).unwrap();
        assert_eq!(alone.headers()[HOST], "b.example");
    }

    #[test]
    fn a_value_has_no_space_around_it() {
        for value in [" 1", "1 ", "\t1", "1\t", " "] {
            let asked = translated("GET", "https://a/", &[("x-a", value)]);
            assert_eq!(asked.err(), Some(400), "{value:?}");
        }
        assert!(translated("GET", "https://a/", &[("x-a", "1 \t2"), ("x-b", "")]).is_ok());
    }

    #[test]
    fn a_body_of_unknown_length_is_announced() {
        let mut asked = Request::new(Full::new(Bytes::from_static(b"x")));
        request(&mut asked, MAX_FIELDS).unwrap();
        assert_eq!(asked.headers()[TRANSFER_ENCODING], "chunked");
        let none = translated("POST", "https://a/", &[]).unwrap();
        assert!(!none.headers().contains_key(TRANSFER_ENCODING));
    }

    #[test]
    fn only_websockets_are_connected() {
        assert_eq!(translated("CONNECT", "a.example:1", &[]).err(), Some(405));
        let connect = |protocol: &'static str| {
            let mut asked = Request::builder()
                .method("CONNECT")
                .uri("https://a.example/room")
                .extension(Protocol::from_static(protocol))
                .body(Empty::<Bytes>::new())
                .unwrap();
            request(&mut asked, MAX_FIELDS).map(|kind| (kind, asked))
        };
        assert!(connect("connect-udp").is_err());
        let (kind, asked) = connect("websocket").unwrap();
        assert_eq!((kind, asked.method()), (Kind::Tunnel, &Method::GET));
        assert_eq!(asked.headers()[UPGRADE], "websocket");
        assert_eq!(asked.uri(), "/room");
    }

    #[test]
    fn a_key_has_the_form_of_sixteen_bytes_in_base64() {
        for _ in 0..100 {
            let key = random_key();
            let key = key.to_str().unwrap();
            assert_eq!((key.len(), &key[22..]), (24, "=="));
            assert!(
                matches!(key.as_bytes()[21], b'A' | b'Q' | b'g' | b'w'),
                "{key}"
            );
        }
        assert_ne!(random_key(), random_key());
    }

    #[test]
    fn too_many_fields_are_refused() {
        let names: Vec<String> = (0..=MAX_FIELDS).map(|n| format!("x-{n}")).collect();
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(translated("GET", "https://a/", &fields).err(), Some(431));
    }

    #[test]
    fn success_without_a_tunnel_is_no_success() {
        let answered = |status: u16| {
            let mut response = Response::new(ResponseBody::Empty);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            tunnel_response(response, Markup::Plain).status().as_u16()
        };
        assert_eq!(answered(101), 200);
        assert_eq!(answered(200), 502);
        assert_eq!(answered(403), 403);
    }
}
