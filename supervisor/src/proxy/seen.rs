//! Which of the fields that matter to us a head has: one look at each name, where a search for each field would cost more than
//! all that is usually found.

use super::hop::{KEEP_ALIVE, PROXY_CONNECTION};
use http::HeaderMap;
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// True for a field that is there, whatever its value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) accept: bool,
    pub(super) connection: bool,
    pub(super) content_length: bool,
    pub(super) cookie: bool,
    /// `Keep-Alive` or `Proxy-Connection`, of times before HTTP/1.1.
    pub(super) old: bool,
    pub(super) te: bool,
    pub(super) trailer: bool,
    pub(super) transfer_encoding: bool,
    pub(super) upgrade: bool,
}

impl Seen {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            let field = match name {
                name if name == ACCEPT => &mut seen.accept,
                name if name == CONNECTION => &mut seen.connection,
                name if name == CONTENT_LENGTH => &mut seen.content_length,
                name if name == COOKIE => &mut seen.cookie,
                name if name == KEEP_ALIVE || name == PROXY_CONNECTION => &mut seen.old,
                name if name == TE => &mut seen.te,
                name if name == TRAILER => &mut seen.trailer,
                name if name == TRANSFER_ENCODING => &mut seen.transfer_encoding,
                name if name == UPGRADE => &mut seen.upgrade,
                _ => continue,
            };
            *field = true;
        }
        seen
    }

    /// A body was announced, if only an empty one.
    pub(super) fn body(self) -> bool {
        self.content_length || self.transfer_encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_is_there_is_seen() {
        let mut headers = HeaderMap::new();
        assert_eq!(Seen::of(&headers), Seen::default());
        headers.insert("x-other", HeaderValue::from_static("1"));
        headers.insert(TE, HeaderValue::from_static(""));
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        let seen = Seen {
            te: true,
            cookie: true,
            ..Seen::default()
        };
        assert_eq!(Seen::of(&headers), seen);
        assert!(!seen.body());
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        assert!(Seen::of(&headers).body());
    }
}
