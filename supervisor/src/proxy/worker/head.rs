//! Heads: a request's is written, an answer's is read (RFC 9112 sections 3 to 6).

use crate::proxy::exchange::Outgoing;
use crate::proxy::hop::{has_connection_option, tokens};
use crate::proxy::limits;
use crate::proxy::seen::Seen;
use bytes::{Buf, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use hyper::ext::ReasonPhrase;
use std::mem::MaybeUninit;

/// Fields of an answer, at most.
const FIELDS: usize = 100;

/// What is no head of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BadHead(&'static str);

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) seen: Seen,
    pub(super) framing: Framing,
    /// The connection can carry another request after it.
    pub(super) keep_alive: bool,
}

/// Where the body of an answer ends (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    /// With the connection.
    Close,
}

/// Appends the head of a request.
pub(super) fn write(out: &mut Vec<u8>, request: &Outgoing) {
    let target = request.target.as_str();
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    if target.starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write_fields(out, &request.headers);
    out.extend_from_slice(request.told.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends fields, each with the end of its line.
pub(in crate::proxy) fn write_fields(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Takes the head of an answer to `method` off the buffer. None: more of it has to come.
///
/// # Errors
/// It breaks the grammar, or says in two ways where its body ends.
pub(super) fn take(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadHead> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        buffer,
        &mut fields,
    );
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= limits::BUFFER => length,
        Ok(httparse::Status::Partial) if buffer.len() < limits::BUFFER => return Ok(None),
        Ok(_) => return Err(BadHead("the head of the answer is too large")),
        Err(httparse::Error::TooManyHeaders) => return Err(BadHead("too many fields")),
        Err(_) => return Err(BadHead("the head of the answer is malformed")),
    };
    let (mut parts, ()) = Response::new(()).into_parts();
    let is_new = response.version != Some(0);
    if !is_new {
        parts.version = Version::HTTP_10;
    }
    let status = response.code.map(StatusCode::from_u16);
    let Some(Ok(status)) = status else {
        return Err(BadHead("the status of the answer is malformed"));
    };
    parts.status = status;
    let reason = response.reason.unwrap_or_default();
    // An app may word its status line itself (PEP 3333 has the reason in `status`).
    if status.canonical_reason() != Some(reason)
        && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
    {
        parts.extensions.insert(reason);
    }
    parts.headers = HeaderMap::with_capacity(response.headers.len());
    let mut seen = Seen::default();
    for field in response.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(BadHead("a field of the answer is malformed"));
        };
        if is_new && name == CONNECTION && value.as_bytes().eq_ignore_ascii_case(b"keep-alive") {
            // As it is anyway (RFC 9112 section 9.3), and many say so.
            continue;
        }
        seen.look(&name);
        parts.headers.append(name, value);
    }
    buffer.advance(length);
    let framing = framing(&mut parts, seen, method)?;
    let keep_alive = match (is_new, seen.connection) {
        (is_new, false) => is_new,
        (true, true) => !has_connection_option(&parts.headers, b"close"),
        (false, true) => has_connection_option(&parts.headers, b"keep-alive"),
    };
    Ok(Some(Head {
        parts,
        seen,
        framing,
        keep_alive,
    }))
}

fn framing(parts: &mut Parts, seen: Seen, method: &Method) -> Result<Framing, BadHead> {
    let bodiless = parts.status.is_informational()
        || matches!(
            parts.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    let length = match seen.content_length {
        true => one_length(&mut parts.headers),
        false => None,
    };
    if bodiless || *method == Method::HEAD {
        if length.is_none() {
            parts.headers.remove(CONTENT_LENGTH);
        }
        return Ok(Framing::Length(0));
    }
    if seen.content_length && length.is_none() {
        return Err(BadHead(
            "Content-Length of the answer is malformed, or said in two ways",
        ));
    }
    if !seen.transfer_encoding {
        return Ok(length.map_or(Framing::Close, Framing::Length));
    }
    if parts.version == Version::HTTP_10 {
        return Err(BadHead("HTTP/1.0 has no Transfer-Encoding"));
    }
    // Whoever passes it on has a look at other codings.
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let last = codings.next_back().map(|line| line.as_bytes());
    let ends_chunked = last
        .and_then(|line| line.rsplit(|&byte| byte == b',').next())
        .is_some_and(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"));
    Ok(match ends_chunked {
        true => Framing::Chunked,
        false => Framing::Close,
    })
}

/// The length that is announced. However often it was said, it is there once then (RFC 9110 section 8.6). None: it is no number, or
/// there are two.
fn one_length(headers: &mut HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let first = lines.next()?;
    if let (Some(length), None) = (number(first.as_bytes()), lines.next()) {
        return Some(length);
    }
    let mut told = headers.get_all(CONTENT_LENGTH).iter().flat_map(tokens);
    let one = told.next()?;
    let length = number(one).filter(|_| told.all(|other| other == one))?;
    let one = HeaderValue::from_bytes(one).ok()?;
    drop(told);
    headers.insert(CONTENT_LENGTH, one);
    Some(length)
}

/// `parse` would take a sign.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::body::RequestBody;
    use crate::proxy::told::Told;
    use http::uri::PathAndQuery;

    fn take_all(bytes: &str, method: &Method) -> Result<Option<Head>, BadHead> {
        take(&mut BytesMut::from(bytes), method)
    }

    fn head(bytes: &str) -> Head {
        take_all(bytes, &Method::GET).unwrap().unwrap()
    }

    fn is_bad(fields: &str) -> bool {
        take_all(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET).is_err()
    }

    fn framing_of(fields: &str) -> Framing {
        head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).framing
    }

    #[test]
    fn a_request_is_written_as_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("a"));
        headers.append("x", HeaderValue::from_static("1"));
        headers.append("x", HeaderValue::from_static("2"));
        let mut told = Told::default();
        told.field(&CONNECTION, &HeaderValue::from_static("te"));
        let request = Outgoing {
            method: Method::GET,
            target: PathAndQuery::from_static("?a=b"),
            headers,
            told,
            body: RequestBody::Empty,
        };
        let mut out = Vec::new();
        write(&mut out, &request);
        assert_eq!(
            out,
            b"GET /?a=b HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\nconnection: te\r\n\r\n"
        );
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole() {
        let whole =
            b"HTTP/1.1 404 Gone Fishing\r\nX-A: 1\r\nx-a:2 \r\nContent-Length: 3\r\n\r\nabc";
        let end = whole.len() - 3;
        let mut buffer = BytesMut::new();
        for byte in &whole[..end - 1] {
            buffer.extend_from_slice(&[*byte]);
            assert!(take(&mut buffer, &Method::GET).unwrap().is_none());
        }
        buffer.extend_from_slice(&whole[end - 1..]);
        let head = take(&mut buffer, &Method::GET).unwrap().unwrap();
        assert_eq!(buffer, b"abc"[..]);
        assert_eq!(head.parts.status, StatusCode::NOT_FOUND);
        let values: Vec<_> = head.parts.headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["1", "2"]);
        let reason = head.parts.extensions.get::<ReasonPhrase>().unwrap();
        assert_eq!(reason.as_bytes(), b"Gone Fishing");
        assert_eq!(head.framing, Framing::Length(3));
        assert!(head.keep_alive);
    }

    #[test]
    fn where_a_body_ends_is_known_or_it_is_with_the_connection() {
        assert_eq!(framing_of(""), Framing::Close);
        assert_eq!(framing_of("Content-Length: 0\r\n"), Framing::Length(0));
        assert_eq!(
            framing_of("Transfer-Encoding: Chunked\r\n"),
            Framing::Chunked
        );
        let both = "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n";
        assert_eq!(framing_of(both), Framing::Chunked);
        assert_eq!(framing_of("Transfer-Encoding: gzip\r\n"), Framing::Close);
        let none = |status: u16| head(&format!("HTTP/1.1 {status} x\r\nContent-Length: 3\r\n\r\n"));
        for status in [100, 101, 103, 204, 304] {
            assert_eq!(none(status).framing, Framing::Length(0), "{status}");
        }
        let to_head = take_all(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
            &Method::HEAD,
        );
        let to_head = to_head.unwrap().unwrap();
        assert_eq!(to_head.framing, Framing::Length(0));
        assert_eq!(to_head.parts.headers[CONTENT_LENGTH], "3");
    }

    #[test]
    fn two_opinions_about_a_length_are_one_too_many() {
        let twice = "Content-Length: 3\r\nContent-Length: 3\r\n";
        assert_eq!(framing_of(twice), Framing::Length(3));
        assert_eq!(framing_of("Content-Length: 3, 3\r\n"), Framing::Length(3));
        for bad in [
            "3\r\nContent-Length: 4",
            "",
            "+3",
            "-3",
            "3, 4",
            "0x3",
            "18446744073709551616",
        ] {
            assert!(is_bad(&format!("Content-Length: {bad}\r\n")), "{bad}");
        }
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(take_all(old, &Method::GET).is_err());
    }

    #[test]
    fn a_length_is_there_once_and_only_if_it_is_one() {
        for (said, kept) in [
            (&["5"][..], Some("5")),
            (&["5", "5"], Some("5")),
            (&["5, 5"], Some("5")),
            (&["5, 6"], None),
            (&["5", "6"], None),
            (&["+5"], None),
            (&["five"], None),
            (&[""], None),
        ] {
            let fields: String = said
                .iter()
                .map(|said| format!("Content-Length: {said}\r\n"))
                .collect();
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let head = take_all(&answer, &Method::HEAD).unwrap().unwrap();
            let lengths: Vec<_> = head.parts.headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, Vec::from_iter(kept), "{said:?}");
        }
    }

    #[test]
    fn what_goes_without_saying_is_not_kept() {
        let head = head("HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n");
        assert!(head.keep_alive && !head.seen.connection);
        assert!(!head.parts.headers.contains_key(CONNECTION));
    }

    #[test]
    fn what_the_grammar_does_not_know_is_malformed() {
        for bad in [
            "X : 1\r\n",
            "X: 1\r\n 2\r\n",
            "X: \0\r\n",
            ": 1\r\n",
            "X\r\n",
        ] {
            assert!(is_bad(bad), "{bad:?}");
        }
        for bad in [
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "hello\r\n\r\n",
        ] {
            assert!(take_all(bad, &Method::GET).is_err(), "{bad:?}");
        }
        assert!(is_bad(&"X: 1\r\n".repeat(FIELDS + 1)));
        assert!(!is_bad(&"X: 1\r\n".repeat(FIELDS)));
    }

    #[test]
    fn a_head_has_room_for_so_much_and_no_more() {
        let head = |length: usize| {
            let value = "x".repeat(length - "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len());
            format!("HTTP/1.1 200 OK\r\nX: {value}\r\n\r\n")
        };
        let most = head(limits::BUFFER);
        assert!(take_all(&most, &Method::GET).unwrap().is_some());
        assert!(take_all(&head(limits::BUFFER + 1), &Method::GET).is_err());
        assert!(
            take_all(&most[..limits::BUFFER - 1], &Method::GET)
                .unwrap()
                .is_none()
        );
        let endless = &head(limits::BUFFER + 9)[..limits::BUFFER];
        assert!(take_all(endless, &Method::GET).is_err());
    }

    #[test]
    fn a_connection_stays_unless_it_is_said_or_old() {
        let stays = |version: &str, field: &str| {
            head(&format!(
                "{version} 200 OK\r\n{field}Content-Length: 0\r\n\r\n"
            ))
            .keep_alive
        };
        assert!(stays("HTTP/1.1", ""));
        assert!(!stays("HTTP/1.1", "Connection: x, Close\r\n"));
        assert!(!stays("HTTP/1.0", ""));
        assert!(stays("HTTP/1.0", "Connection: keep-alive\r\n"));
    }
}
