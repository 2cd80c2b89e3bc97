//! What of a file is sent: the whole, or the parts that are asked for.

use super::body::Piece;
use super::lookup::Opened;
use super::range::{self, Ranges};
use super::validators::Validators;
use crate::proxy::error::ProxyError;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// What a body is made of: pieces, and the file that they are read from.
pub(super) type Content = (std::fs::File, Vec<Piece>);

/// Says in `response`, which has the type of the file, what of it is sent; nothing to HEAD.
///
/// # Errors
/// Nothing of what was asked for is there.
pub(super) fn content(
    opened: Opened,
    validators: &Validators,
    method: &Method,
    asked: &HeaderMap,
    response: &mut Response<()>,
) -> Result<Option<Content>, ProxyError> {
    let size = opened.size;
    let wanted = asked.get(RANGE).filter(|_| *method == Method::GET);
    let ranges = match wanted.filter(|_| validators.range_applies(asked)) {
        None => Ranges::All,
        Some(range) => range::ranges(range.as_bytes(), size),
    };
    let pieces = match ranges {
        Ranges::All => vec![Piece::Span(0..size)],
        Ranges::None => return Err(ProxyError::NoSuchRange { length: size }),
        Ranges::One(span) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = range::content_range(&span, size);
            put(response.headers_mut(), CONTENT_RANGE, range);
            vec![Piece::Span(span)]
        }
        Ranges::Several(spans) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.and_then(|kind| kind.to_str().ok());
            let (kind, pieces) = range::multipart(spans, kind.unwrap_or(opened.media.kind), size);
            put(response.headers_mut(), CONTENT_TYPE, kind);
            pieces
        }
    };
    let length: u64 = pieces.iter().map(Piece::len).sum();
    let length = HeaderValue::from(length);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    Ok((*method != Method::HEAD).then_some((opened.file, pieces)))
}

/// Text of our own is always a field value.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
