//! Reads the head of a request far enough to know where the request ends, before hyper sees a byte of it.
//!
//! hyper resolves what has two meanings (a length beside a coding, equal lengths twice, single LFs as line ends) and
//! cuts a fragment off a target. All of that is lawful, but we refuse it (docs/proxy.md). The rest of the grammar, of
//! names and values, is left to hyper.

use super::error::ProxyError;
use crate::router::limits::ClientLimits;
use memchr::{memchr, memrchr};

/// What is known of a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, before more of it has come.
    More,
    /// It ends after so many bytes, and then comes its body.
    Whole {
        end: usize,
        body: BodyEnd,
    },
    Refused(ProxyError),
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyEnd {
    Length(u64),
    Chunked,
}

/// Reads one head, in as many pieces as it comes.
#[derive(Debug)]
pub(super) struct HeadScan {
    limits: ClientLimits,
    /// Where the current line begins, and what of it was looked at.
    line: usize,
    searched: usize,
    seen_request_line: bool,
    version_1_0: bool,
    fields: usize,
    length: Option<u64>,
    codings: Codings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codings {
    None,
    Chunked,
    /// More than that, but the last one is.
    EndsChunked,
    Other,
}

const BARE_LF: ProxyError = ProxyError::BadRequest("a line does not end with CR and LF");
const FOLDED: ProxyError = ProxyError::BadRequest("a field is continued on another line");
const NO_REQUEST: ProxyError = ProxyError::BadRequest("there is no valid request line");
const FRAGMENT: ProxyError = ProxyError::BadRequest("the request target has a fragment");
const BAD_LENGTH: ProxyError = ProxyError::BadRequest("Content-Length is not a number");
const TWO_LENGTHS: ProxyError = ProxyError::BadRequest("more than one Content-Length");
const BOTH: ProxyError = ProxyError::BadRequest("both Content-Length and Transfer-Encoding");
const OLD_CODING: ProxyError = ProxyError::BadRequest("HTTP/1.0 has no Transfer-Encoding");
const NOT_CHUNKED: ProxyError = ProxyError::BadRequest("the last transfer coding is not chunked");

/// No body is longer, on any file system; hyper means something else by numbers that are not far above.
const LONGEST: u64 = i64::MAX as u64;
/// A request line is longer than its target by this at most.
const REST_OF_LINE: usize = 128;

impl HeadScan {
    pub(super) fn new(limits: ClientLimits) -> Self {
        Self {
            limits,
            line: 0,
            searched: 0,
            seen_request_line: false,
            version_1_0: false,
            fields: 0,
            length: None,
            codings: Codings::None,
        }
    }

    /// Looks at `bytes`: all of the head so far, from its first byte, and perhaps what follows it.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Verdict {
        match self.lines(bytes) {
            Ok(Some((end, body))) => Verdict::Whole { end, body },
            Ok(None) => Verdict::More,
            Err(error) => Verdict::Refused(error),
        }
    }

    /// Whether bytes have come since the last [`Self::scan`].
    pub(super) fn is_behind(&self, length: usize) -> bool {
        self.searched < length
    }

    fn lines(&mut self, bytes: &[u8]) -> Result<Option<(usize, BodyEnd)>, ProxyError> {
        while let Some(at) = memchr(b'\n', &bytes[self.searched..]) {
            let end = self.searched + at + 1;
            let line = &bytes[self.line..end - 1];
            self.searched = end;
            self.line = end;
            let Some((b'\r', line)) = line.split_last() else {
                return Err(BARE_LF);
            };
            if end > self.limits.max_head {
                return Err(self.too_large());
            }
            match (self.seen_request_line, line.is_empty()) {
                // Empty lines before a request are to be ignored (RFC 9112 section 2.2).
                (false, true) => {}
                (false, false) => self.request_line(line)?,
                (true, true) => return Ok(Some((end, self.body()?))),
                (true, false) => self.field(line)?,
            }
        }
        self.searched = bytes.len();
        self.unfinished(&bytes[self.line..], bytes.len())?;
        Ok(None)
    }

    /// Refuses early what cannot become a line any more, so that nobody waits for its end.
    fn unfinished(&self, line: &[u8], size: usize) -> Result<(), ProxyError> {
        if !self.seen_request_line {
            let begins = line
                .first()
                .is_none_or(|&byte| byte == b'\r' || is_token(byte));
            if !begins {
                return Err(NO_REQUEST);
            }
            if line.len() > self.limits.max_target + REST_OF_LINE {
                return Err(match memchr(b' ', &line[..REST_OF_LINE]) {
                    Some(_) => ProxyError::TargetTooLong,
                    None => NO_REQUEST,
                });
            }
        }
        if size > self.limits.max_head {
            return Err(self.too_large());
        }
        Ok(())
    }

    fn too_large(&self) -> ProxyError {
        if self.seen_request_line {
            ProxyError::HeadTooLarge
        } else {
            NO_REQUEST
        }
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), ProxyError> {
        self.seen_request_line = true;
        if !is_token(line[0]) {
            return Err(NO_REQUEST);
        }
        let (begin, end) = memchr(b' ', line)
            .zip(memrchr(b' ', line))
            .filter(|(begin, end)| begin < end)
            .ok_or(NO_REQUEST)?;
        match &line[end + 1..] {
            b"HTTP/1.1" => {}
            b"HTTP/1.0" => self.version_1_0 = true,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                return Err(ProxyError::UnknownVersion);
            }
            _ => return Err(NO_REQUEST),
        }
        let target = &line[begin + 1..end];
        if target.len() > self.limits.max_target {
            return Err(ProxyError::TargetTooLong);
        }
        if memchr(b'#', target).is_some() {
            return Err(FRAGMENT);
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), ProxyError> {
        self.fields += 1;
        if self.fields > self.limits.max_fields {
            return Err(ProxyError::HeadTooLarge);
        }
        match line[0] {
            b' ' | b'\t' => Err(FOLDED),
            b'c' | b'C' => match value_of(line, b"content-length:") {
                Some(value) => self.length(value),
                None => Ok(()),
            },
            b't' | b'T' => {
                if let Some(value) = value_of(line, b"transfer-encoding:") {
                    self.coding(value);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn length(&mut self, value: &[u8]) -> Result<(), ProxyError> {
        if self.length.is_some() {
            return Err(TWO_LENGTHS);
        }
        // `parse` would take a sign.
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let number = std::str::from_utf8(value)
            .ok()
            .filter(|_| digits)
            .and_then(|digits| digits.parse().ok())
            .filter(|length| *length <= LONGEST);
        self.length = Some(number.ok_or(BAD_LENGTH)?);
        Ok(())
    }

    fn coding(&mut self, value: &[u8]) {
        let last = value.rsplit(|&byte| byte == b',').next().unwrap_or(value);
        let ends_chunked = trimmed(last).eq_ignore_ascii_case(b"chunked");
        self.codings = match self.codings {
            _ if !ends_chunked => Codings::Other,
            Codings::None if value.len() == b"chunked".len() => Codings::Chunked,
            _ => Codings::EndsChunked,
        };
    }

    fn body(&self) -> Result<BodyEnd, ProxyError> {
        match (self.codings, self.length) {
            (Codings::None, length) => Ok(BodyEnd::Length(length.unwrap_or(0))),
            (_, Some(_)) => Err(BOTH),
            _ if self.version_1_0 => Err(OLD_CODING),
            (Codings::Chunked, None) => Ok(BodyEnd::Chunked),
            (Codings::EndsChunked, None) => Err(ProxyError::UnknownCoding),
            (Codings::Other, None) => Err(NOT_CHUNKED),
        }
    }
}

/// The value of a field whose name, with its colon, is `name`.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| trimmed(value))
}

/// Without the whitespace that may stand around a value (RFC 9110 section 5.6.3), and no other.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(head: &[u8]) -> Verdict {
        HeadScan::new(ClientLimits::default()).scan(head)
    }

    /// The status of a refusal; 200 for a whole head.
    fn status(fields: &str) -> u16 {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        match scan(head.as_bytes()) {
            Verdict::Whole { .. } => 200,
            Verdict::Refused(error) => error.status().as_u16(),
            Verdict::More => 0,
        }
    }

    const HEAD: &[u8] =
        b"\r\nPOST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:\t5 \r\nX-Content-Length: 3\r\n\r\nbody";

    fn whole() -> Verdict {
        Verdict::Whole {
            end: HEAD.len() - 4,
            body: BodyEnd::Length(5),
        }
    }

    #[test]
    fn the_end_of_a_head_and_of_its_body_are_found() {
        assert_eq!(scan(HEAD), whole());
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding:CHUNKED\r\n\r\n";
        let expected = Verdict::Whole {
            end: chunked.len(),
            body: BodyEnd::Chunked,
        };
        assert_eq!(scan(chunked), expected);
    }

    #[test]
    fn it_does_not_matter_how_the_head_is_cut() {
        let mut scan = HeadScan::new(ClientLimits::default());
        let end = HEAD.len() - 4;
        for length in 0..end {
            assert_eq!(scan.scan(&HEAD[..length]), Verdict::More, "{length}");
        }
        assert_eq!(scan.scan(HEAD), whole());
    }

    #[test]
    fn two_opinions_about_the_end_are_one_too_many() {
        assert_eq!(status("Content-Length: 3\r\n"), 200);
        assert_eq!(status("Content-Length: 3\r\nContent-Length: 3\r\n"), 400);
        assert_eq!(
            status("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
            400
        );
        assert_eq!(
            status("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
            400
        );
        for bad in [
            "",
            "+3",
            "-3",
            "0x3",
            "3, 3",
            "3 3",
            "18446744073709551616",
            "18446744073709551615",
            "9223372036854775808",
        ] {
            assert_eq!(status(&format!("Content-Length: {bad}\r\n")), 400, "{bad}");
        }
    }

    #[test]
    fn chunked_alone_is_the_only_coding() {
        assert_eq!(status("Transfer-Encoding: chunked\r\n"), 200);
        assert_eq!(status("Transfer-Encoding: gzip, chunked\r\n"), 501);
        assert_eq!(
            status("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"),
            501
        );
        assert_eq!(
            status("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
            400
        );
        assert_eq!(status("Transfer-Encoding: \x0bchunked\r\n"), 400);
        assert_eq!(status("Transfer-Encoding:\r\n"), 400);
    }

    #[test]
    fn lines_end_with_cr_and_lf_and_are_not_continued() {
        assert_eq!(status("X: 1\nY: 2\r\n"), 400);
        assert_eq!(status("X: 1\r\n 2\r\n"), 400);
        assert_eq!(scan(b"GET / HTTP/1.1\n"), Verdict::Refused(BARE_LF));
        assert_eq!(scan(b"\n"), Verdict::Refused(BARE_LF));
    }

    #[test]
    fn what_cannot_become_a_request_is_not_waited_for() {
        assert_eq!(scan(b"\x16\x03\x01"), Verdict::Refused(NO_REQUEST));
        assert_eq!(scan(&[b'A'; 32 * 1024]), Verdict::Refused(NO_REQUEST));
        let endless = [&b"GET /"[..], &[b'a'; 32 * 1024]].concat();
        assert_eq!(scan(&endless), Verdict::Refused(ProxyError::TargetTooLong));
        let endless = [&b"GET / HTTP/1.1\r\nX: "[..], &[b'a'; 64 * 1024]].concat();
        assert_eq!(scan(&endless), Verdict::Refused(ProxyError::HeadTooLarge));
        let many = "X: 1\r\n".repeat(100);
        assert_eq!(status(&many), 431);
    }

    #[test]
    fn other_versions_are_not_spoken() {
        let version = |version: &str| scan(format!("GET / {version}\r\n").as_bytes());
        assert_eq!(version("HTTP/1.0"), Verdict::More);
        assert_eq!(
            version("HTTP/2.0"),
            Verdict::Refused(ProxyError::UnknownVersion)
        );
        assert_eq!(version("http/1.1"), Verdict::Refused(NO_REQUEST));
        assert_eq!(version("HTTP/1.1 "), Verdict::Refused(NO_REQUEST));
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(scan(old), Verdict::Refused(OLD_CODING));
    }
}
