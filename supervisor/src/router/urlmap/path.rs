//! From a request target to the path that is matched, and back to what is left of the target.

use std::borrow::Cow;

/// A path that no application should see: 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path contains an encoded control character (NUL, CR or LF)")]
pub struct BadPath;

/// PATH_INFO of a request target in origin form: its path, percent-decoded once. Nothing is resolved or collapsed
/// (RFC 3875 section 4.1.5). Refuses NUL, CR and LF, which have no honest use and confuse what comes after.
pub fn path_info(target: &[u8]) -> Result<Cow<'_, [u8]>, BadPath> {
    let path = percent_decode(path_of(target));
    if path
        .iter()
        .any(|byte| matches!(byte, b'\0' | b'\r' | b'\n'))
    {
        Err(BadPath)
    } else {
        Ok(path)
    }
}

/// Decodes `%XX`; a malformed escape stays as it is (as Python's `unquote`).
pub(super) fn percent_decode(raw: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(raw).into()
}

/// The target without the mount: what is left of it after `consumed` bytes of its decoded and collapsed path
/// ([`Matched::consumed`](super::Matched)). The rest is byte for byte as the client sent it, query included, but for
/// the slashes at its beginning, which become one. With 0 the target is returned as it is.
pub fn strip_prefix(target: &[u8], consumed: usize) -> Cow<'_, [u8]> {
    let path = path_of(target);
    let mut units = Units { rest: path };
    let mut seen = 0;
    let mut after_slash = false;
    while seen < consumed {
        let Some(byte) = units.next() else { break };
        if !(byte == b'/' && after_slash) {
            seen += 1;
        }
        after_slash = byte == b'/';
    }
    if seen == 0 {
        return target.into();
    }
    let mut rest = units.rest;
    while units.next() == Some(b'/') {
        rest = units.rest;
    }
    let start = path.len() - rest.len();
    if target[..start].ends_with(b"/") {
        target[start - 1..].into()
    } else {
        [b"/", &target[start..]].concat().into()
    }
}

/// What the original does to PATH_INFO before it matches: `http://host` in front is dropped, runs of slashes
/// become one, trailing slashes stay. None where it raises an AssertionError.
pub(super) fn normalize(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    let path = match path
        .strip_prefix(b"http://")
        .or_else(|| path.strip_prefix(b"https://"))
    {
        Some(rest) => {
            &rest[rest
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(rest.len())..]
        }
        None => path,
    };
    if !path.is_empty() && path[0] != b'/' {
        return None;
    }
    if !path.windows(2).any(|pair| pair == b"//") {
        return Some(path.into());
    }
    let mut collapsed = path.to_vec();
    collapsed.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    Some(collapsed.into())
}

/// A target up to its query.
fn path_of(target: &[u8]) -> &[u8] {
    &target[..target
        .iter()
        .position(|&byte| byte == b'?')
        .unwrap_or(target.len())]
}

/// Decoded bytes of a raw path, one at a time.
struct Units<'a> {
    rest: &'a [u8],
}

impl Iterator for Units<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.rest = rest;
            return Some(high << 4 | low);
        }
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
