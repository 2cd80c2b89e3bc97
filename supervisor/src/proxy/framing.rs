//! Where a request body ends. What is ambiguous is refused (RFC 9112 section 6.3), and the client's framing is never
//! forwarded: from the parsed value we write our own, which makes smuggling impossible by construction.

use super::error::ProxyError;
use super::seen::Seen;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue};

const BOTH: ProxyError = ProxyError::BadRequest("both Content-Length and Transfer-Encoding");
const TWO_LENGTHS: ProxyError = ProxyError::BadRequest("more than one Content-Length");

/// Checks the framing of a parsed head once more: what the gate has let through has only one meaning.
///
/// # Errors
/// 501 for a coding other than exactly `chunked`, 400 for two kinds of framing at once.
pub(super) fn check(headers: &HeaderMap, seen: Seen) -> Result<(), ProxyError> {
    if !seen.body() {
        return Ok(());
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(ProxyError::UnknownCoding);
        }
        if headers.contains_key(CONTENT_LENGTH) {
            return Err(BOTH);
        }
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(TWO_LENGTHS);
    }
    Ok(())
}

/// Writes the framing of a body of `length` bytes (none: not known). The old one must be gone.
pub(super) fn write(headers: &mut HeaderMap, length: Option<u64>, announced: Announced) {
    match length {
        Some(0) if announced == Announced::No => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// Whether the client announced a body, if only an empty one: `Content-Length: 0` is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announced {
    Yes,
    No,
}

impl Announced {
    pub(super) fn by(seen: Seen) -> Self {
        match seen.body() {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn status(fields: &[(&'static str, &'static str)]) -> u16 {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        check(&headers, Seen::of(&headers))
            .err()
            .map_or(200, |error| error.status().as_u16())
    }

    #[test]
    fn chunked_alone_is_the_only_coding() {
        assert_eq!(status(&[("transfer-encoding", "chunked")]), 200);
        assert_eq!(status(&[("transfer-encoding", "Chunked")]), 200);
        assert_eq!(status(&[("transfer-encoding", "gzip, chunked")]), 501);
        assert_eq!(status(&[("transfer-encoding", "chunked, chunked")]), 501);
        assert_eq!(
            status(&[("transfer-encoding", "x"), ("transfer-encoding", "chunked")]),
            501
        );
    }

    #[test]
    fn two_framings_are_refused() {
        assert_eq!(
            status(&[("transfer-encoding", "chunked"), ("content-length", "3")]),
            400
        );
        assert_eq!(
            status(&[("content-length", "3"), ("content-length", "3")]),
            400
        );
        assert_eq!(status(&[("content-length", "3")]), 200);
    }

    #[test]
    fn an_announced_empty_body_stays_announced() {
        let mut headers = HeaderMap::new();
        write(&mut headers, Some(0), Announced::No);
        assert!(headers.is_empty());
        write(&mut headers, Some(0), Announced::Yes);
        assert_eq!(headers[CONTENT_LENGTH], "0");
    }
}
