//! What tells one state of a file from another, and requests that depend on it (RFC 9110 section 13). Pure.

use super::lookup::Opened;
use crate::router::answers::Coding;
use http::header::{
    ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of one file.
#[derive(Debug)]
pub(super) struct Validators {
    /// With its quotes; strong unless an app has made it.
    etag: String,
    /// Seconds since 1970.
    modified: i64,
}

/// What a request's conditions come to, but for If-Range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

impl Validators {
    pub(super) fn of(opened: &Opened) -> Validators {
        let (seconds, nanoseconds) = opened.modified;
        Validators::new((seconds, nanoseconds), opened.size, opened.coding)
    }

    /// Of an answer whose body the file is: what the app has said of it counts.
    pub(super) fn said(headers: &HeaderMap, opened: &Opened) -> Validators {
        let mut validators = Validators::of(opened);
        let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
        if let Some(tag) = tag.filter(|tag| tags(tag.as_bytes()).next() == Some(tag.as_bytes())) {
            validators.etag = tag.to_owned();
        }
        if let Some(modified) = date(headers, LAST_MODIFIED) {
            validators.modified = modified;
        }
        validators
    }

    /// The tag is the original's, which has the time as Python's `st_mtime` and the size, so that what caches have of it
    /// stays good. A copy has one of its own.
    fn new((seconds, nanoseconds): (i64, u32), size: u64, coding: Option<Coding>) -> Validators {
        let time = seconds as f64 + 1e-9 * f64::from(nanoseconds);
        let etag = match coding {
            None => format!("\"{time:?}-{size}\""),
            Some(coding) => format!("\"{time:?}-{size}-{}\"", coding.token()),
        };
        Validators {
            etag,
            modified: seconds,
        }
    }

    pub(super) fn etag(&self) -> HeaderValue {
        HeaderValue::try_from(&self.etag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
    }

    /// None for a time that no date can express.
    pub(super) fn last_modified(&self) -> Option<HeaderValue> {
        let since = Duration::from_secs(u64::try_from(self.modified).ok()?);
        http_date(UNIX_EPOCH.checked_add(since)?)
    }

    /// In the order of section 13.2.2, for GET and HEAD.
    pub(super) fn judge(&self, headers: &HeaderMap) -> Judgement {
        if headers.contains_key(IF_MATCH) {
            if !self.listed(headers, IF_MATCH, Comparison::Strong) {
                return Judgement::Failed;
            }
        } else if let Some(date) = date(headers, IF_UNMODIFIED_SINCE)
            && self.modified > date
        {
            return Judgement::Failed;
        }
        if headers.contains_key(IF_NONE_MATCH) {
            if self.listed(headers, IF_NONE_MATCH, Comparison::Weak) {
                return Judgement::NotModified;
            }
        } else if let Some(date) = date(headers, IF_MODIFIED_SINCE)
            && self.modified <= date
        {
            return Judgement::NotModified;
        }
        Judgement::Proceed
    }

    /// Whether a `Range` is meant for this state of the file: If-Range is not there, or names it.
    pub(super) fn range_applies(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(IF_RANGE) else {
            return true;
        };
        match condition.as_bytes() {
            tag @ [b'"', ..] => tag == self.etag.as_bytes(),
            // A weak one never matches, and is no date.
            _ => date(headers, IF_RANGE) == Some(self.modified),
        }
    }

    fn listed(&self, headers: &HeaderMap, name: HeaderName, comparison: Comparison) -> bool {
        headers.get_all(name).iter().any(|value| {
            let value = value.as_bytes().trim_ascii();
            value == b"*" || tags(value).any(|tag| self.matches(tag, comparison))
        })
    }

    fn matches(&self, tag: &[u8], comparison: Comparison) -> bool {
        let ours = self.etag.as_bytes();
        let weak = |tag: &[u8]| tag.starts_with(b"W/");
        match comparison {
            Comparison::Strong => tag == ours && !weak(tag),
            Comparison::Weak => opaque(tag) == opaque(ours),
        }
    }
}

/// Section 8.8.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity tags of a list, with quotes and `W/`. A comma may stand within one.
fn tags(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = list
            .iter()
            .position(|byte| !matches!(byte, b',' | b' ' | b'\t'))?;
        list = &list[start..];
        let opening = list.iter().position(|&byte| byte == b'"')?;
        let length = list[opening + 1..].iter().position(|&byte| byte == b'"')?;
        let (tag, rest) = list.split_at(opening + length + 2);
        list = rest;
        Some(tag)
    })
}

/// Seconds since 1970; a date that cannot be read is as none.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<i64> {
    let text = headers.get(name)?.to_str().ok()?;
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// As a field has it; none beyond the year 9999.
pub(super) fn http_date(time: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let text = (seconds < YEAR_10000).then(|| httpdate::fmt_http_date(time))?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const EARLIER: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const TAG: &str = "\"1700000000.25-5\"";

    fn file() -> Validators {
        Validators::new((1_700_000_000, 250_000_000), 5, None)
    }

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    fn judged(fields: &[(HeaderName, &str)]) -> Judgement {
        file().judge(&headers(fields))
    }

    #[test]
    fn tags_are_those_of_the_original() {
        assert_eq!(file().etag(), TAG);
        assert_eq!(
            Validators::new((1_700_000_000, 0), 0, None).etag(),
            "\"1700000000.0-0\""
        );
        assert_eq!(file().last_modified().unwrap(), DATE);
        let copy = Validators::new((1, 0), 5, Some(Coding::Gzip));
        assert_eq!(copy.etag(), "\"1.0-5-gzip\"");
    }

    #[test]
    fn times_that_no_date_expresses_are_left_out() {
        let at = |seconds| Validators::new((seconds, 0), 0, None).last_modified();
        assert!(at(-1).is_none() && at(253_402_300_800).is_none() && at(i64::MAX).is_none());
        assert!(at(0).is_some() && at(253_402_300_799).is_some());
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for value in [
            TAG,
            "*",
            "\"a,b\", \"1700000000.25-5\"",
            "W/\"1700000000.25-5\"",
        ] {
            assert_eq!(
                judged(&[(IF_NONE_MATCH, value)]),
                Judgement::NotModified,
                "{value}"
            );
        }
        for value in ["\"1700000000.25-6\"", "1700000000.25-5", "\"", "W/"] {
            assert_eq!(
                judged(&[(IF_NONE_MATCH, value)]),
                Judgement::Proceed,
                "{value}"
            );
        }
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, DATE)]), Judgement::NotModified);
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, EARLIER)]), Judgement::Proceed);
        assert_eq!(judged(&[(IF_MODIFIED_SINCE, "junk")]), Judgement::Proceed);
    }

    #[test]
    fn a_tag_counts_more_than_a_date() {
        let fields = [(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, DATE)];
        assert_eq!(judged(&fields), Judgement::Proceed);
        let fields = [(IF_MATCH, TAG), (IF_UNMODIFIED_SINCE, EARLIER)];
        assert_eq!(judged(&fields), Judgement::Proceed);
    }

    #[test]
    fn what_has_changed_fails() {
        assert_eq!(judged(&[(IF_MATCH, "\"other\"")]), Judgement::Failed);
        assert_eq!(
            judged(&[(IF_MATCH, "W/\"1700000000.25-5\"")]),
            Judgement::Failed
        );
        assert_eq!(judged(&[(IF_MATCH, "*")]), Judgement::Proceed);
        assert_eq!(judged(&[(IF_UNMODIFIED_SINCE, EARLIER)]), Judgement::Failed);
        assert_eq!(judged(&[(IF_UNMODIFIED_SINCE, DATE)]), Judgement::Proceed);
    }

    #[test]
    fn parts_are_of_one_state_of_the_file() {
        let applies = |value: &str| file().range_applies(&headers(&[(IF_RANGE, value)]));
        assert!(file().range_applies(&HeaderMap::new()));
        assert!(applies(TAG) && applies(DATE));
        assert!(!applies("W/\"1700000000.25-5\"") && !applies("\"x\"") && !applies(EARLIER));
    }

    proptest! {
        #[test]
        fn no_list_of_tags_does_harm(list in "[\", W/a*]{0,20}") {
            judged(&[(IF_NONE_MATCH, &list), (IF_MATCH, &list)]);
        }
    }
}
