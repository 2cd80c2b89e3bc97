//! Which of the fields that matter to us a head has: one look at each name, where a search for each field would cost more than
//! all that is usually found.

use super::hop::{KEEP_ALIVE, PROXY_CONNECTION, X_REQUEST_ID};
use http::header::{
    ACCEPT, CONNECTION, CONTENT_LENGTH, COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

/// True for a field that is there, whatever its value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) accept: bool,
    pub(super) connection: bool,
    pub(super) content_length: bool,
    pub(super) cookie: bool,
    /// `Keep-Alive` or `Proxy-Connection`, of times before HTTP/1.1.
    pub(super) old: bool,
    pub(super) request_id: bool,
    pub(super) te: bool,
    pub(super) trailer: bool,
    pub(super) transfer_encoding: bool,
    pub(super) upgrade: bool,
}

impl Seen {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        headers.keys().for_each(|name| seen.look(name));
        seen
    }

    /// A field of this name is there, too.
    pub(super) fn look(&mut self, name: &HeaderName) {
        let field = match name {
            name if name == ACCEPT => &mut self.accept,
            name if name == CONNECTION => &mut self.connection,
            name if name == CONTENT_LENGTH => &mut self.content_length,
            name if name == COOKIE => &mut self.cookie,
            name if name == KEEP_ALIVE || name == PROXY_CONNECTION => &mut self.old,
            name if name == TE => &mut self.te,
            name if name == TRAILER => &mut self.trailer,
            name if name == TRANSFER_ENCODING => &mut self.transfer_encoding,
            name if name == UPGRADE => &mut self.upgrade,
            name if name == X_REQUEST_ID => &mut self.request_id,
            _ => return,
        };
        *field = true;
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
