//! What of a file is sent: the whole, the parts that are asked for, or nothing to who has it already.

use super::body::Piece;
use super::lookup::Opened;
use super::range::{self, Ranges};
use super::validators::{Judgement, Validators};
use crate::proxy::error::ProxyError;
use http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LAST_MODIFIED,
    RANGE,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::ops::Range;

/// What a request gets of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Share {
    Whole,
    /// The client has it as it is.
    Nothing,
    One(Range<u64>),
    Several(Vec<Range<u64>>),
}

impl Share {
    /// By the conditions and ranges in what was `asked`.
    ///
    /// # Errors
    /// The file is not what the client takes it for, or nothing of what was asked for is there.
    pub(super) fn of(
        opened: &Opened,
        validators: &Validators,
        method: &Method,
        asked: &HeaderMap,
    ) -> Result<Share, ProxyError> {
        match validators.judge(asked) {
            Judgement::Failed => return Err(ProxyError::FileChanged),
            Judgement::NotModified => return Ok(Share::Nothing),
            Judgement::Proceed => {}
        }
        let wanted = asked.get(RANGE).filter(|_| *method == Method::GET);
        let Some(range) = wanted.filter(|_| validators.range_applies(asked)) else {
            return Ok(Share::Whole);
        };
        let length = opened.size;
        match range::ranges(range.as_bytes(), length) {
            Ranges::All => Ok(Share::Whole),
            Ranges::None => Err(ProxyError::NoSuchRange { length }),
            Ranges::One(span) => Ok(Share::One(span)),
            Ranges::Several(spans) => Ok(Share::Several(spans)),
        }
    }

    /// Makes of the head of an answer with the whole file, which is `size` bytes long, one with this share.
    pub(super) fn cut(self, size: u64, head: &mut Parts) -> Vec<Piece> {
        let headers = &mut head.headers;
        let pieces = match self {
            Share::Whole => return vec![Piece::Span(0..size)],
            Share::Nothing => {
                head.status = StatusCode::NOT_MODIFIED;
                // What is only about a body that is sent (RFC 9110 section 15.4.5).
                for name in [
                    ACCEPT_RANGES,
                    CONTENT_ENCODING,
                    CONTENT_LENGTH,
                    CONTENT_TYPE,
                    LAST_MODIFIED,
                ] {
                    headers.remove(name);
                }
                return Vec::new();
            }
            Share::One(span) => {
                put(headers, CONTENT_RANGE, range::content_range(&span, size));
                vec![Piece::Span(span)]
            }
            Share::Several(spans) => {
                let kind = headers.get(CONTENT_TYPE);
                let kind = kind.and_then(|kind| kind.to_str().ok());
                let (kind, pieces) = range::multipart(spans, kind.unwrap_or_default(), size);
                put(headers, CONTENT_TYPE, kind);
                pieces
            }
        };
        head.status = StatusCode::PARTIAL_CONTENT;
        let length: u64 = pieces.iter().map(Piece::len).sum();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        pieces
    }
}

/// Text of our own is always a field value.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
