//! The server behind the proxy: records byte for byte what arrives, and answers as the case says, rightly or not.

use crate::harness::front::served;
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

/// What the backend does with a request of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reply {
    /// 200 with the body `ok`.
    Usual,
    /// These bytes; the connection stays open.
    Bytes(&'static [u8]),
    /// These bytes, then it closes.
    Last(&'static [u8]),
    /// These bytes as soon as the head is there; then the body is read.
    Early(&'static [u8]),
    /// The same, and it closes without reading the body.
    EarlyLast(&'static [u8]),
}

/// What the backend does with the requests that have this name in their mark, [`mark`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) reply: Reply,
}

/// By which the backend knows whose a request is.
pub(crate) fn mark(name: &str) -> String {
    format!("={name}=")
}

/// Requests by the name in their mark; those without one under an empty name.
type Arrived = Mutex<HashMap<String, Vec<Vec<u8>>>>;

/// The mark of a request that only asks whether the connection still works.
pub(crate) const PROBE: &str = "still-open";

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    arrived: Arc<Arrived>,
}

impl Backend {
    pub(crate) fn start(scripts: Vec<Script>) -> Backend {
        let arrived = Arc::new(Arrived::default());
        let record = Arc::clone(&arrived);
        let address = served(move |stream| serve(stream, &scripts, &record));
        Backend { address, arrived }
    }

    /// What has arrived with the mark of this name; an empty one is that of requests without a mark.
    pub(crate) fn arrived(&self, name: &str) -> Vec<Vec<u8>> {
        let arrived = self.arrived.lock().expect("no panic under it");
        arrived.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn forget(&self) {
        self.arrived.lock().expect("no panic under it").clear();
    }
}

fn serve(stream: TcpStream, scripts: &[Script], record: &Arrived) {
    let mut reader = BufReader::new(stream);
    while let Ok(head) = read_head(&mut reader) {
        if head.is_empty() {
            return;
        }
        let script = scripts
            .iter()
            .find(|script| contains(&head, mark(script.name).as_bytes()));
        let reply = script.map_or(Reply::Usual, |script| script.reply);
        let probe = contains(&head, PROBE.as_bytes());
        if let (Reply::Early(bytes) | Reply::EarlyLast(bytes), false) = (reply, probe) {
            note(record, script, head.clone());
            if reader.get_mut().write_all(bytes).is_err() || matches!(reply, Reply::EarlyLast(_)) {
                return;
            }
            let mut request = head;
            if read_body(&mut reader, &mut request).is_err() {
                return;
            }
            continue;
        }
        if contains(&head.to_ascii_lowercase(), b"100-continue")
            && reader
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .is_err()
        {
            return;
        }
        let is_head = head.starts_with(b"HEAD ");
        let mut request = head;
        let whole = read_body(&mut reader, &mut request);
        if !probe {
            note(record, script, request);
        }
        if whole.is_err() {
            return;
        }
        let usual: &[u8] = match is_head {
            true => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            false => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        let (bytes, last) = match reply {
            _ if probe => (usual, false),
            Reply::Usual | Reply::Early(_) | Reply::EarlyLast(_) => (usual, false),
            Reply::Bytes(bytes) => (bytes, false),
            Reply::Last(bytes) => (bytes, true),
        };
        if reader.get_mut().write_all(bytes).is_err() || last {
            return;
        }
    }
}

fn note(record: &Arrived, script: Option<&Script>, request: Vec<u8>) {
    let name = script.map_or("", |script| script.name).to_owned();
    let mut record = record.lock().expect("no panic under it");
    record.entry(name).or_default().push(request);
}

/// A head with its empty line; nothing at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        if reader.read_until(b'\n', &mut head)? == 0 || &head[before..] == b"\r\n" {
            return Ok(head);
        }
    }
}

/// Appends the body as it comes, framing included.
fn read_body(reader: &mut impl BufRead, request: &mut Vec<u8>) -> io::Result<()> {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name).map(|value| value.trim().to_owned()))
    };
    if field("transfer-encoding:").is_some() {
        return read_chunks(reader, request);
    }
    let length = field("content-length:").and_then(|length| length.parse().ok());
    exactly(reader, length.unwrap_or(0), request)
}

fn read_chunks(reader: &mut impl BufRead, request: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let before = request.len();
        reader.read_until(b'\n', request)?;
        let line = String::from_utf8_lossy(&request[before..])
            .trim()
            .to_owned();
        let size = u64::from_str_radix(&line, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if size == 0 {
            break;
        }
        exactly(reader, size + 2, request)?;
    }
    request.extend(read_head(reader)?);
    Ok(())
}

fn exactly(reader: &mut impl Read, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let read = reader.take(length).read_to_end(into)?;
    if read as u64 == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
