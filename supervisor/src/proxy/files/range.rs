//! Parts of a file (RFC 9110 section 14). Pure.

use super::body::Piece;
use bytes::Bytes;
use std::ops::Range;

/// More parts than this in one request are no reader's wish; then the whole is sent, as section 14.2 permits.
const MOST: usize = 16;

/// What of the file is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// The whole: nothing else was asked for, or nothing that is understood.
    All,
    One(Range<u64>),
    /// In the order of the request.
    Several(Vec<Range<u64>>),
    /// Nothing of what was asked for is there.
    None,
}

/// Reads a `Range` for a file of `size` bytes.
pub(super) fn ranges(field: &[u8], size: u64) -> Ranges {
    let field = std::str::from_utf8(field).ok();
    let Some((unit, set)) = field.and_then(|field| field.split_once('=')) else {
        return Ranges::All;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::All;
    }
    let mut found = Vec::new();
    let mut number = 0;
    for spec in set
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
    {
        number += 1;
        match span(spec, size) {
            None => return Ranges::All,
            Some(span) => found.extend(span),
        }
    }
    let total: u64 = found.iter().map(|span| span.end - span.start).sum();
    match found.as_slice() {
        // An empty file has no last bytes, and nobody is to be refused for asking.
        _ if number == 0 || number > MOST || total > size => Ranges::All,
        [] if size == 0 => Ranges::All,
        [] => Ranges::None,
        [one] => Ranges::One(one.clone()),
        _ => Ranges::Several(found),
    }
}

/// One part; the inner none where the file has nothing of it, the outer where it cannot be read.
fn span(spec: &str, size: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large for us is larger than any file.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| size - length..size));
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(size)
        }
    };
    Some((first < size).then_some(first..end))
}

/// The value of Content-Range.
pub(super) fn content_range(span: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.start, span.end.saturating_sub(1))
}

/// The type and the pieces of a body of several parts.
pub(super) fn multipart(spans: Vec<Range<u64>>, kind: &str, size: u64) -> (String, Vec<Piece>) {
    let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
    let mut pieces = Vec::with_capacity(spans.len() * 2 + 1);
    for span in spans {
        let range = content_range(&span, size);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        pieces.push(Piece::Bytes(Bytes::from(head)));
        pieces.push(Piece::Span(span));
    }
    pieces.push(Piece::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    (format!("multipart/byteranges; boundary={boundary}"), pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(field: &str) -> Ranges {
        ranges(field.as_bytes(), 10)
    }

    #[test]
    fn one_part() {
        assert_eq!(read("bytes=0-0"), Ranges::One(0..1));
        assert_eq!(read("bytes=2-"), Ranges::One(2..10));
        assert_eq!(read("bytes=-3"), Ranges::One(7..10));
        assert_eq!(read("bytes=-30"), Ranges::One(0..10));
        assert_eq!(
            read("Bytes = 5-99999999999999999999999"),
            Ranges::One(5..10)
        );
        assert_eq!(read("bytes=20-30, 1-2"), Ranges::One(1..3));
    }

    #[test]
    fn several_parts() {
        assert_eq!(
            read("bytes=0-1,,4-5 , -2"),
            Ranges::Several(vec![0..2, 4..6, 8..10])
        );
    }

    #[test]
    fn what_is_not_there() {
        assert_eq!(read("bytes=10-"), Ranges::None);
        assert_eq!(read("bytes=99-100"), Ranges::None);
        assert_eq!(read("bytes=-0"), Ranges::None);
        assert_eq!(ranges(b"bytes=0-", 0), Ranges::All);
        assert_eq!(ranges(b"bytes=-5", 0), Ranges::All);
    }

    #[test]
    fn what_is_not_understood_is_as_if_it_were_not_there() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "lines=1-2",
            "bytes=a-b",
            "bytes=5-2",
            "bytes=1-2,x",
            "bytes=--1",
            "bytes=+1-2",
        ] {
            assert_eq!(read(field), Ranges::All, "{field}");
        }
        assert_eq!(ranges(b"bytes=0-\xff", 10), Ranges::All);
    }

    #[test]
    fn nobody_gets_more_than_the_file() {
        assert_eq!(read("bytes=0-9,0-9"), Ranges::All);
        let many = format!("bytes={}", vec!["0-0"; MOST + 1].join(","));
        assert_eq!(ranges(many.as_bytes(), 1000), Ranges::All);
    }

    #[test]
    fn a_body_of_parts_says_which_they_are() {
        let (kind, pieces) = multipart(vec![0..1, 5..7], "text/plain", 10);
        let boundary = kind
            .strip_prefix("multipart/byteranges; boundary=")
            .expect("a boundary");
        let [Piece::Bytes(head), Piece::Span(first), ..] = pieces.as_slice() else {
            panic!("{pieces:?}");
        };
        let expected = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n"
        );
        assert_eq!((&head[..], first), (expected.as_bytes(), &(0..1)));
        assert_eq!(pieces.len(), 5);
    }

    proptest! {
        #[test]
        fn parts_are_within_the_file(field in "bytes=[0-9, -]{0,40}", size in 0u64..50) {
            let found = match ranges(field.as_bytes(), size) {
                Ranges::One(span) => vec![span],
                Ranges::Several(spans) => spans,
                Ranges::All | Ranges::None => vec![],
            };
            for span in found {
                prop_assert!(span.start < span.end && span.end <= size);
            }
        }

        #[test]
        fn nothing_that_a_client_sends_does_harm(field in proptest::collection::vec(any::<u8>(), 0..60), size in any::<u64>()) {
            ranges(&field, size);
        }
    }
}
