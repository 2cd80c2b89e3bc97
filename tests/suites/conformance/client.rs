//! The client of a case: raw bytes out, responses in.

use super::case::{After, Case, Step};
use crate::harness::cases::backend::{Backend, PROBE, contains, mark};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// For one case; nothing in it waits for anything but the machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(super) bytes: Vec<u8>,
    pub(super) interim: Vec<u16>,
    pub(super) statuses: Vec<u16>,
    /// Where the next response begins.
    parsed: usize,
    pub(super) closed: bool,
    /// The answer to one more request, where the connection is to stay open.
    pub(super) probe: Option<u16>,
    /// How much had come before.
    before_probe: Option<usize>,
    pub(super) trouble: Option<String>,
}

impl Seen {
    /// What came of the case itself.
    pub(super) fn before_probe(&self) -> &[u8] {
        &self.bytes[..self.before_probe.unwrap_or(self.bytes.len())]
    }
}

/// Plays a case to its end.
pub(super) fn play(case: &Case, address: SocketAddr, backend: &Backend) -> Seen {
    let mut client = Client::connect(address, case);
    if case.exchange.steps.is_empty() {
        client.send(&marked(case.exchange.send, case));
    }
    for step in case.exchange.steps {
        match *step {
            Step::Send(bytes) => client.send(&marked(bytes, case)),
            Step::Fill(byte, count) => client.send(&vec![byte; count]),
            Step::Await(part) => client.read_until(|seen| contains(&seen.bytes, part)),
            Step::Arrival => client.wait(|| !backend.arrived(case.name).is_empty()),
            Step::HalfClose => {
                let _ = client.stream.shutdown(Shutdown::Write);
            }
        }
    }
    let wanted = case.exchange.statuses.len();
    client.read_until(|seen| seen.statuses.len() >= wanted);
    match case.exchange.after {
        _ if case.exchange.fair.contains(&&*client.seen.statuses)
            && client.seen.statuses != case.exchange.statuses => {}
        After::Closed => client.read_until(|_| false),
        After::Open if !client.seen.closed => {
            client.seen.before_probe = Some(client.seen.bytes.len());
            client.send(
                format!(
                    "GET /{}{PROBE} HTTP/1.1\r\nHost: a\r\n\r\n",
                    mark(case.name)
                )
                .as_bytes(),
            );
            client.read_until(|seen| seen.statuses.len() > wanted);
            if client.seen.statuses.len() > wanted {
                client.seen.probe = client.seen.statuses.pop();
            }
        }
        After::Open | After::Either => {}
    }
    client.seen
}

/// The bytes with the mark in place.
fn marked(bytes: &[u8], case: &Case) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 32);
    let mut rest = bytes;
    while let Some(at) = rest.windows(4).position(|part| part == b"{id}") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(mark(case.name).as_bytes());
        rest = &rest[at + 4..];
    }
    out.extend_from_slice(rest);
    out
}

struct Client<'c> {
    stream: TcpStream,
    case: &'c Case,
    seen: Seen,
    deadline: Instant,
}

impl<'c> Client<'c> {
    fn connect(address: SocketAddr, case: &'c Case) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("our own socket");
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("our own socket");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("our own socket");
        let deadline = Instant::now() + PATIENCE;
        Self {
            stream,
            case,
            seen: Seen::default(),
            deadline,
        }
    }

    /// A server that has refused may not want the rest.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn wait(&mut self, mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            if Instant::now() >= self.deadline {
                self.seen.trouble = Some("nothing arrived at the backend".into());
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Until `enough`, or the other side closes, or it takes too long.
    fn read_until(&mut self, enough: impl Fn(&Seen) -> bool) {
        let mut buffer = [0; 16 * 1024];
        while !self.seen.closed && !enough(&self.seen) {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.seen.closed = true,
                Ok(count) => self.seen.bytes.extend_from_slice(&buffer[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= self.deadline {
                        self.seen.trouble = Some("it took too long".into());
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.seen.closed = true,
            }
            self.parse();
        }
    }

    fn parse(&mut self) {
        let seen = &mut self.seen;
        while seen.trouble.is_none() {
            let rest = &seen.bytes[seen.parsed..];
            let Some(end) = rest.windows(4).position(|part| part == b"\r\n\r\n") else {
                return;
            };
            let head = String::from_utf8_lossy(&rest[..end + 2]).to_ascii_lowercase();
            let status = head
                .strip_prefix("http/1.")
                .and_then(|rest| rest.get(2..5))
                .and_then(|status| status.parse().ok());
            let Some(status) = status else {
                seen.trouble = Some(format!("no status line: {head:?}"));
                return;
            };
            if (100..200).contains(&status) && status != 101 {
                seen.interim.push(status);
                seen.parsed += end + 4;
                continue;
            }
            let bodiless = self.case.exchange.heads.contains(&seen.statuses.len())
                || matches!(status, 101 | 204 | 304);
            let body = &rest[end + 4..];
            let length = if bodiless {
                Some(0)
            } else {
                match length(&head, body, seen.closed) {
                    Ok(length) => length,
                    Err(trouble) => {
                        seen.trouble = Some(trouble);
                        return;
                    }
                }
            };
            let Some(length) = length else { return };
            seen.parsed += end + 4 + length;
            seen.statuses.push(status);
        }
    }
}

/// How many bytes of `body` belong to the response; none while they are not all there.
fn length(head: &str, body: &[u8], closed: bool) -> Result<Option<usize>, String> {
    let field = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name).map(str::trim))
    };
    if field("transfer-encoding:").is_some() {
        return chunks(body);
    }
    match field("content-length:") {
        Some(length) => {
            let length = length.parse().map_err(|_| format!("length {length:?}"))?;
            Ok((body.len() >= length).then_some(length))
        }
        None => Ok(closed.then_some(body.len())),
    }
}

fn chunks(body: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(end) = body[at..].windows(2).position(|part| part == b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&body[at..at + end]).into_owned();
        at += end + 2;
        let size = usize::from_str_radix(&line, 16).map_err(|_| format!("chunk size {line:?}"))?;
        if size == 0 {
            break;
        }
        at += size + 2;
        if at > body.len() {
            return Ok(None);
        }
    }
    // Trailers.
    loop {
        let Some(end) = body[at..].windows(2).position(|part| part == b"\r\n") else {
            return Ok(None);
        };
        at += end + 2;
        if end == 0 {
            return Ok(Some(at));
        }
    }
}
