//! What of a client's bytes hyper gets to see, and when: one request at a time, and only if its framing is beyond doubt.
//!
//! The gate follows the messages of a connection. A head is passed on when it is complete and checked (`head_scan`),
//! its body as it comes (`chunk_scan`); what the client has sent after that is held until the request has been answered. In
//! place of a head that is refused, hyper gets a request that stands in for it, whose answer is the refusal; so answers
//! keep their order, and nothing of what was refused is ever parsed, let alone forwarded. Usually a read brings one
//! whole head, which is looked at where it lies and passes without a copy.

use super::chunk_scan::ChunkScan;
use super::error::ProxyError;
use super::head_scan::{BodyEnd, HeadScan, Verdict};
use crate::router::limits::ClientLimits;
use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

/// What hyper gets instead of a refused head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: -\r\n\r\n";
const STAND_IN_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: -\r\n\r\n";
/// Of a refused request line, for the log.
const LOGGED_LINE: usize = 1024;

/// Follows one connection.
#[derive(Debug)]
pub(super) struct Gate {
    stage: Stage,
    /// What was read and is not to be seen yet.
    held: BytesMut,
    /// Requests that were passed on.
    passed: u32,
    /// The last head is one of HEAD.
    is_head: bool,
    /// The request line of the last head, where requests are logged.
    line: Option<Vec<u8>>,
    limits: ClientLimits,
}

#[derive(Debug)]
enum Stage {
    /// A whole request was passed on, or none yet.
    Between,
    Head(HeadScan),
    /// Of what is held, so many bytes are a checked head.
    Checked {
        left: usize,
        body: BodyEnd,
    },
    Length(u64),
    Chunks(ChunkScan),
    /// What stands in is still to be passed on; then nothing any more.
    Refused(&'static [u8]),
    /// The body is malformed: nothing is passed on any more.
    Broken,
    /// No HTTP any more.
    Tunnel,
}

/// What became of what was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// So many requests have been answered.
    Answered(u32),
    /// The connection is a tunnel now.
    Tunnel,
}

/// What is to be done about hyper's wish to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Something was put into its buffer.
    Given,
    /// Read into its buffer, and let [`Gate::filter`] see what came.
    Read,
    /// It may see nothing yet. What comes can be held.
    Hold,
    /// It will see nothing any more.
    Silence,
    /// A head was refused: the next offer is what stands in for it.
    Refuse(ProxyError),
    /// The body is malformed.
    Broken,
}

impl Gate {
    pub(super) fn new(keeps_lines: bool, limits: ClientLimits) -> Self {
        Self {
            stage: Stage::Between,
            held: BytesMut::new(),
            passed: 0,
            is_head: false,
            line: keeps_lines.then(Vec::new),
            limits,
        }
    }

    /// A head has begun and is not complete.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.stage, Stage::Head(_)) && !self.held.is_empty()
    }

    /// The request line of the last head, as far as it is known.
    pub(super) fn line(&self) -> &[u8] {
        self.line.as_deref().unwrap_or_default()
    }

    /// What is passed on next begins with a head. Some of it may be held already.
    pub(super) fn is_between_requests(&self) -> bool {
        matches!(self.stage, Stage::Between | Stage::Head(_))
    }

    /// A whole request was passed on, and is not answered.
    pub(super) fn waits_for_an_answer(&self, progress: Progress) -> bool {
        match (&self.stage, progress) {
            (Stage::Between, Progress::Answered(count)) => count != self.passed,
            _ => false,
        }
    }

    /// How much is held.
    pub(super) fn holds(&self) -> usize {
        self.held.len()
    }

    /// Holds what has come out of turn.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The head that is being read, or is not to be read, is refused: what stands in for it comes next.
    pub(super) fn refuse(&mut self) {
        let held = std::mem::take(&mut self.held);
        keep_line(&mut self.line, &held);
        self.passed = self.passed.wrapping_add(1);
        self.stand_in(is_head(&held));
    }

    /// hyper can make nothing of the head that it has got: what stands in for that comes next.
    pub(super) fn refuse_passed(&mut self) {
        self.held = BytesMut::new();
        self.stand_in(self.is_head);
    }

    fn stand_in(&mut self, is_head: bool) {
        self.stage = Stage::Refused(if is_head { STAND_IN_HEAD } else { STAND_IN });
    }

    /// Puts into `buf` what may be seen of what is held.
    pub(super) fn offer(&mut self, buf: &mut ReadBuf<'_>, progress: Progress) -> Offer {
        loop {
            match &mut self.stage {
                Stage::Between => match progress {
                    Progress::Tunnel => self.stage = Stage::Tunnel,
                    Progress::Answered(count) if count == self.passed => {
                        self.stage = Stage::Head(HeadScan::new(self.limits));
                    }
                    Progress::Answered(_) => return Offer::Hold,
                },
                Stage::Head(scan) => {
                    if !scan.is_behind(self.held.len()) {
                        return Offer::Read;
                    }
                    match scan.scan(&self.held) {
                        Verdict::More => return Offer::Read,
                        Verdict::Whole { end, body } => {
                            self.checked(end, body);
                        }
                        Verdict::Refused(error) => {
                            self.refuse();
                            return Offer::Refuse(error);
                        }
                    }
                }
                Stage::Checked { left, body } => {
                    let piece = (*left).min(buf.remaining());
                    *left -= piece;
                    if *left == 0 {
                        self.stage = Stage::after_head(*body);
                    }
                    return self.give(buf, piece);
                }
                Stage::Length(_) | Stage::Chunks(_) if self.held.is_empty() => return Offer::Read,
                Stage::Length(_) | Stage::Chunks(_) => {
                    let most = self.held.len().min(buf.remaining());
                    let piece = self.stage.take(&self.held[..most]);
                    if !matches!(self.stage, Stage::Broken) {
                        return self.give(buf, piece);
                    }
                    self.held = BytesMut::new();
                }
                Stage::Broken => return Offer::Broken,
                Stage::Refused([]) => return Offer::Silence,
                Stage::Refused(left) => {
                    let piece = left.len().min(buf.remaining());
                    buf.put_slice(&left[..piece]);
                    *left = &left[piece..];
                    return Offer::Given;
                }
                Stage::Tunnel if self.held.is_empty() => return Offer::Read,
                Stage::Tunnel => {
                    let piece = self.held.len().min(buf.remaining());
                    return self.give(buf, piece);
                }
            }
        }
    }

    /// Looks at what was read into hyper's buffer after [`Offer::Read`]: how many of these bytes may stay there. The
    /// rest is held, and the next offer may be made of it.
    ///
    /// # Errors
    /// A head is refused; the next offer is what stands in for it.
    pub(super) fn filter(&mut self, new: &[u8]) -> Result<usize, ProxyError> {
        let pass = match &mut self.stage {
            Stage::Head(scan) if self.held.is_empty() => match scan.scan(new) {
                Verdict::Whole { end, body } => {
                    self.passed = self.passed.wrapping_add(1);
                    self.stage = Stage::after_head(body);
                    self.is_head = is_head(new);
                    keep_line(&mut self.line, new);
                    end + self.stage.take(&new[end..])
                }
                Verdict::More => 0,
                Verdict::Refused(error) => {
                    self.hold(new);
                    self.refuse();
                    return Err(error);
                }
            },
            Stage::Length(_) | Stage::Chunks(_) => self.stage.take(new),
            Stage::Tunnel => new.len(),
            Stage::Between | Stage::Head(_) | Stage::Checked { .. } => 0,
            Stage::Refused(_) | Stage::Broken => return Ok(0),
        };
        if !matches!(self.stage, Stage::Broken) {
            self.hold(&new[pass..]);
        }
        Ok(pass)
    }

    fn checked(&mut self, end: usize, body: BodyEnd) {
        self.passed = self.passed.wrapping_add(1);
        self.is_head = is_head(&self.held);
        keep_line(&mut self.line, &self.held);
        self.stage = Stage::Checked { left: end, body };
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>, piece: usize) -> Offer {
        buf.put_slice(&self.held[..piece]);
        self.held.advance(piece);
        if self.held.is_empty() {
            // An idle connection is to cost nothing.
            self.held = BytesMut::new();
        }
        Offer::Given
    }
}

fn is_head(head: &[u8]) -> bool {
    head.starts_with(b"HEAD ")
}

fn keep_line(line: &mut Option<Vec<u8>>, head: &[u8]) {
    let Some(line) = line else { return };
    let head = head.trim_ascii_start();
    let end = memchr::memchr2(b'\r', b'\n', head).unwrap_or(head.len());
    line.clear();
    line.extend_from_slice(&head[..end.min(LOGGED_LINE)]);
}

impl Stage {
    fn after_head(body: BodyEnd) -> Self {
        match body {
            BodyEnd::Length(0) => Self::Between,
            BodyEnd::Length(length) => Self::Length(length),
            BodyEnd::Chunked => Self::Chunks(ChunkScan::default()),
        }
    }

    /// How many of `bytes` belong to the body, which may end with them, or turn out to be malformed.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let (taken, done) = match self {
            Self::Length(left) => {
                let taken = bytes
                    .len()
                    .min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                (taken, *left == 0)
            }
            Self::Chunks(scan) => {
                let Ok(taken) = scan.feed(bytes) else {
                    *self = Self::Broken;
                    return 0;
                };
                (taken, scan.is_done())
            }
            _ => (0, false),
        };
        if done {
            *self = Self::Between;
        }
        taken
    }
}

/// A connection whose requests are answered as soon as they are passed on. What hyper sees of `bytes`, one
/// element for each request (its head only, if the body is malformed), when they come in pieces of `cut` and its buffer has `room`.
#[cfg(test)]
pub(super) fn play(bytes: &[u8], cut: usize, room: usize) -> Vec<Vec<u8>> {
    let mut gate = Gate::new(true, ClientLimits::default());
    let mut pieces = bytes.chunks(cut);
    let mut requests = vec![Vec::new()];
    let mut answered = 0;
    loop {
        let mut space = vec![0; room];
        let mut buf = ReadBuf::new(&mut space);
        match gate.offer(&mut buf, Progress::Answered(answered)) {
            Offer::Given | Offer::Refuse(_) => {}
            Offer::Hold => {
                answered += 1;
                requests.push(Vec::new());
            }
            Offer::Read => {
                let Some(piece) = pieces.next() else { break };
                for piece in piece.chunks(room) {
                    let mut space = vec![0; room];
                    let mut buf = ReadBuf::new(&mut space);
                    buf.put_slice(piece);
                    match gate.stage {
                        // Only the first part of a piece was asked for.
                        Stage::Between => gate.hold(piece),
                        _ => {
                            let pass = gate.filter(piece).unwrap_or(0);
                            requests.last_mut().unwrap().extend(&piece[..pass]);
                        }
                    }
                }
            }
            Offer::Silence => break,
            Offer::Broken => {
                // How much of a malformed body has passed by then depends on the pieces.
                let last = requests.last_mut().expect("there is always one");
                if let Some(end) = last.windows(4).position(|part| part == b"\r\n\r\n") {
                    last.truncate(end + 4);
                }
                break;
            }
        }
        if let Some(last) = requests.last_mut() {
            last.extend(buf.filled());
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::play as seen;
    use super::*;

    const ONE: &[u8] = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    const TWO: &[u8] =
        b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n";
    const THREE: &[u8] = b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
    const BAD: &[u8] =
        b"HEAD /4 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nGET /5 HTTP/1.1\r\n\r\n";

    #[test]
    fn hyper_sees_one_request_at_a_time_however_they_come() {
        let all = [ONE, TWO, THREE, ONE].concat();
        for cut in 1..=all.len() {
            for room in [1, 7, 8192] {
                let seen = seen(&all, cut, room);
                assert_eq!(seen[..4], [ONE, TWO, THREE, ONE], "{cut} {room}");
            }
        }
    }

    #[test]
    fn nothing_of_a_refused_head_and_of_what_follows_is_seen() {
        let all = [TWO, BAD].concat();
        for cut in 1..=all.len() {
            let seen = seen(&all, cut, 8192);
            assert_eq!(seen, [TWO, STAND_IN_HEAD], "{cut}");
        }
    }

    #[test]
    fn the_line_of_a_refused_head_is_known() {
        let mut gate = Gate::new(true, ClientLimits::default());
        let mut space = [0; 100];
        let mut buf = ReadBuf::new(&mut space);
        assert_eq!(gate.offer(&mut buf, Progress::Answered(0)), Offer::Read);
        assert!(gate.filter(BAD).is_err());
        assert_eq!(gate.line(), b"HEAD /4 HTTP/1.1");
    }

    #[test]
    fn a_tunnel_is_let_through() {
        let mut gate = Gate::new(false, ClientLimits::default());
        let mut space = [0; 100];
        let mut buf = ReadBuf::new(&mut space);
        assert_eq!(gate.offer(&mut buf, Progress::Answered(0)), Offer::Read);
        let sent = [THREE, b"\x81\x00"].concat();
        assert_eq!(gate.filter(&sent), Ok(THREE.len()));
        assert_eq!(gate.offer(&mut buf, Progress::Answered(0)), Offer::Hold);
        assert_eq!(gate.offer(&mut buf, Progress::Tunnel), Offer::Given);
        assert_eq!(buf.filled(), b"\x81\x00");
        assert_eq!(gate.offer(&mut buf, Progress::Tunnel), Offer::Read);
        assert_eq!(gate.filter(b"GET \n"), Ok(5));
    }

    #[test]
    fn a_malformed_body_ends_where_it_is_malformed() {
        let mut gate = Gate::new(false, ClientLimits::default());
        let mut space = [0; 100];
        let mut buf = ReadBuf::new(&mut space);
        assert_eq!(gate.offer(&mut buf, Progress::Answered(0)), Offer::Read);
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sent = [&head[..], b"zz\r\n"].concat();
        assert_eq!(gate.filter(&sent), Ok(head.len()));
        assert_eq!(gate.offer(&mut buf, Progress::Answered(0)), Offer::Broken);
    }
}
