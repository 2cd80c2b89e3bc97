//! The server behind the proxy: records byte for byte what arrives, and answers as the case says, rightly or not.

use super::case::{Case, Reply};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Requests by the mark of their case; those without one under an empty name.
type Arrived = Mutex<HashMap<String, Vec<Vec<u8>>>>;

/// The mark of a request that only asks whether the connection still works.
pub(super) const PROBE: &str = "still-open";

pub(super) struct Backend {
    pub(super) address: SocketAddr,
    arrived: Arc<Arrived>,
}

impl Backend {
    pub(super) fn start(cases: &'static [Case]) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let arrived = Arc::new(Arrived::default());
        let record = Arc::clone(&arrived);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let record = Arc::clone(&record);
                std::thread::spawn(move || serve(stream, cases, &record));
            }
        });
        Backend { address, arrived }
    }

    /// What has arrived of a case; none for requests without a mark.
    pub(super) fn arrived(&self, case: Option<&Case>) -> Vec<Vec<u8>> {
        let name = case.map_or("", |case| case.name);
        let arrived = self.arrived.lock().expect("no panic under it");
        arrived.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn forget(&self) {
        self.arrived.lock().expect("no panic under it").clear();
    }
}

fn serve(stream: TcpStream, cases: &[Case], record: &Arrived) {
    let mut reader = BufReader::new(stream);
    while let Ok(head) = read_head(&mut reader) {
        if head.is_empty() {
            return;
        }
        let case = cases
            .iter()
            .find(|case| contains(&head, case.mark().as_bytes()));
        let reply = case.map_or(Reply::Usual, |case| case.reply);
        let probe = contains(&head, PROBE.as_bytes());
        if let (Reply::Early(bytes) | Reply::EarlyLast(bytes), false) = (reply, probe) {
            note(record, case, head.clone());
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
            note(record, case, request);
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

fn note(record: &Arrived, case: Option<&Case>, request: Vec<u8>) {
    let name = case.map_or("", |case| case.name).to_owned();
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

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty() || text.windows(part.len()).any(|window| window == part)
}
