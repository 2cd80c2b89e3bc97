//! Counts framing fields in the raw bytes of a request head.
//!
//! hyper resolves `Content-Length` beside `Transfer-Encoding`, and equal lengths twice, before a service sees the
//! request. Both are lawful, but we refuse what is ambiguous (docs/proxy.md), so we look ourselves. Its limit for a
//! head depends on how the head is cut into reads; ours does not.

/// The longest name that matters, with its colon.
const LONGEST: usize = b"transfer-encoding:".len();

/// How often a head has each framing field, and its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HeadFacts {
    pub(super) lengths: u8,
    pub(super) codings: u8,
    pub(super) size: usize,
}

/// Reads one head, in as many pieces as it comes.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    stage: Stage,
    /// The beginning of the current line, and its whole length so far.
    start: [u8; LONGEST],
    length: usize,
    found: HeadFacts,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    RequestLine,
    Fields,
    Done,
}

impl HeadScan {
    /// Gives the result when `bytes` contain the end of the head; what follows is not looked at.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<HeadFacts> {
        while self.stage != Stage::Done {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            self.found.size += piece.len() + usize::from(end.is_some());
            self.keep(piece);
            bytes = &bytes[end? + 1..];
            self.end_line();
        }
        let found = self.found;
        Some(found)
    }

    fn keep(&mut self, piece: &[u8]) {
        if self.length < LONGEST {
            let room = (LONGEST - self.length).min(piece.len());
            self.start[self.length..self.length + room].copy_from_slice(&piece[..room]);
        }
        self.length += piece.len();
    }

    fn end_line(&mut self) {
        let line = &self.start[..self.length.min(LONGEST)];
        let empty = line.is_empty() || line == b"\r";
        match self.stage {
            // Empty lines before a request are to be ignored (RFC 9112 section 2.2).
            Stage::RequestLine if empty => {}
            Stage::RequestLine => self.stage = Stage::Fields,
            Stage::Fields if empty => self.stage = Stage::Done,
            Stage::Fields => {
                let is = |name: &[u8]| {
                    line.get(..name.len())
                        .is_some_and(|l| l.eq_ignore_ascii_case(name))
                };
                if is(b"content-length:") {
                    self.found.lengths = self.found.lengths.saturating_add(1);
                } else if is(b"transfer-encoding:") {
                    self.found.codings = self.found.codings.saturating_add(1);
                }
            }
            Stage::Done => {}
        }
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"\r\nPOST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 5\r\nTransfer-Encoding:chunked\r\nX-Content-Length: 3\r\n\r\nContent-Length: 9\r\n";

    const SIZE: usize = HEAD.len() - b"Content-Length: 9\r\n".len();

    #[test]
    fn fields_of_the_head_are_counted_and_nothing_else() {
        let found = HeadScan::default().feed(HEAD).unwrap();
        assert_eq!(
            found,
            HeadFacts {
                lengths: 1,
                codings: 1,
                size: SIZE
            }
        );
    }

    #[test]
    fn it_does_not_matter_how_the_head_is_cut() {
        let mut scan = HeadScan::default();
        let end = HEAD.len() - b"Content-Length: 9\r\n".len();
        for byte in &HEAD[..end - 1] {
            assert_eq!(scan.feed(&[*byte]), None);
        }
        let found = scan.feed(&HEAD[end - 1..]).unwrap();
        assert_eq!(
            found,
            HeadFacts {
                lengths: 1,
                codings: 1,
                size: SIZE
            }
        );
    }
}
