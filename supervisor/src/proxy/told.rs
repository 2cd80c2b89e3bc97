//! What we tell a worker about a request: fields of ours, kept as the lines that they are sent as. Nobody looks for one among them,
//! so they need no map; a request has some six of them.

use http::{HeaderName, HeaderValue};

/// Room for what is told of most requests.
const USUAL: usize = 384;

/// Lines of fields, each with its end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Told(Vec<u8>);

impl Told {
    pub(super) fn field(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.begin_field(name);
        self.0.extend_from_slice(value.as_bytes());
        self.end_field();
    }

    /// `write` appends the value, which is to be percent-encoded: visible ASCII and spaces.
    pub(super) fn encoded(&mut self, name: &HeaderName, write: impl FnOnce(&mut Vec<u8>)) {
        self.begin_field(name);
        let value = self.0.len();
        write(&mut self.0);
        debug_assert!(
            self.0[value..]
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~'))
        );
        self.end_field();
    }

    pub(super) fn append(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }

    /// As if nothing had been told.
    pub(super) fn begin_anew(&mut self) {
        self.0.clear();
        self.0.reserve(USUAL);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn begin_field(&mut self, name: &HeaderName) {
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
    }

    fn end_field(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }

    /// The value of a field that was told once.
    #[cfg(test)]
    pub(super) fn get(&self, name: &HeaderName) -> Option<&str> {
        let text = std::str::from_utf8(&self.0).expect("values in tests are text");
        let mut values = text.split_terminator("\r\n").filter_map(|line| {
            let (known, value) = line
                .split_once(": ")
                .expect("a line has a name and a value");
            (known == name.as_str()).then_some(value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} was told twice");
        value
    }
}
