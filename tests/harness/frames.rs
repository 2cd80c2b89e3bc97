//! An HTTP/2 client whose frames are written by hand, rightly or not (RFC 9113), and which keeps all that comes back.

use super::hpack::{self, Decoder, Field};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// Section 3.4.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames, section 6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITIZED: u8 = 0x20;

/// Settings, section 6.5.2.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// Error codes, section 7.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame (section 4.1) of at most 2^24 - 1 bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A SETTINGS frame.
pub(crate) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in settings {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// HEADERS with all fields in one frame; `flags` beside END_HEADERS.
pub(crate) fn head(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &hpack::encode(fields))
}

/// The pseudo-fields of a GET.
pub(crate) fn asking(path: &str) -> [(&str, &str); 4] {
    [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", path),
    ]
}

/// What has come on a stream.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stream {
    /// Of interim answers.
    pub(crate) interim: Vec<u16>,
    /// All of theirs.
    pub(crate) interim_fields: Vec<Field>,
    /// Of the final one.
    pub(crate) status: Option<u16>,
    pub(crate) fields: Vec<Field>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Vec<Field>>,
    /// END_STREAM has come.
    pub(crate) ended: bool,
    pub(crate) reset: Option<u32>,
}

impl Stream {
    pub(crate) fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// All that has come on a connection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) streams: BTreeMap<u32, Stream>,
    /// Of all SETTINGS of the server, in order.
    pub(crate) settings: Vec<(u16, u32)>,
    pub(crate) settings_acks: usize,
    pub(crate) pongs: Vec<[u8; 8]>,
    /// Of each GOAWAY the last stream, the code and the debug data.
    pub(crate) goaways: Vec<(u32, u32, Vec<u8>)>,
    /// Increments of WINDOW_UPDATE, by stream.
    pub(crate) grants: BTreeMap<u32, u64>,
    /// Types and flags of all frames, in order.
    pub(crate) frames: Vec<(u8, u8, u32)>,
    pub(crate) closed: bool,
    /// What should not be in any answer.
    pub(crate) trouble: Option<String>,
}

impl Seen {
    /// Nothing yet for a stream that nothing has come for.
    pub(crate) fn stream(&self, id: u32) -> Stream {
        self.streams.get(&id).cloned().unwrap_or_default()
    }

    pub(crate) fn status(&self, id: u32) -> Option<u16> {
        self.streams.get(&id).and_then(|stream| stream.status)
    }

    pub(crate) fn is_over(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(Stream::is_over)
    }

    /// The code of the last GOAWAY.
    pub(crate) fn goaway(&self) -> Option<u32> {
        self.goaways.last().map(|goaway| goaway.1)
    }
}

/// A connection.
pub(crate) struct Raw {
    socket: TcpStream,
    unread: Vec<u8>,
    decoder: Decoder,
    /// A head that CONTINUATION goes on with: stream, flags, bytes.
    partial: Option<(u32, u8, Vec<u8>)>,
    deadline: Instant,
    /// Whether SETTINGS and PING are answered.
    pub(crate) is_polite: bool,
    /// Before each read.
    pub(crate) pause: Duration,
    pub(crate) seen: Seen,
}

impl Raw {
    /// Without having said anything.
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        Self::on(TcpStream::connect(address).expect("the server accepts"))
    }

    /// The same, and the kernel takes no more than some KiB that nobody has read.
    pub(crate) fn connect_with_small_buffer(address: SocketAddr) -> Raw {
        use nix::sys::socket::{
            AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket,
            sockopt,
        };
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )
        .expect("a socket");
        setsockopt(&socket, sockopt::RcvBuf, &16_384).expect("our own socket");
        connect(socket.as_raw_fd(), &SockaddrStorage::from(address)).expect("the server accepts");
        Self::on(TcpStream::from(socket))
    }

    fn on(socket: TcpStream) -> Raw {
        socket.set_nodelay(true).expect("our own socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("our own socket");
        socket
            .set_write_timeout(Some(super::DEADLINE))
            .expect("our own socket");
        Raw {
            socket,
            unread: Vec::new(),
            decoder: Decoder::default(),
            partial: None,
            deadline: Instant::now() + 2 * super::DEADLINE,
            is_polite: true,
            pause: Duration::ZERO,
            seen: Seen::default(),
        }
    }

    /// With preface and these settings; those of the server are there.
    pub(crate) fn open_with(address: SocketAddr, ours: &[(u16, u32)]) -> Raw {
        let mut raw = Raw::connect(address);
        raw.send(PREFACE);
        raw.send(&settings(ours));
        assert!(
            raw.until(|seen| seen.settings_acks > 0),
            "no handshake: {:?}",
            raw.seen
        );
        raw
    }

    pub(crate) fn open(address: SocketAddr) -> Raw {
        Self::open_with(address, &[])
    }

    /// A server that has refused may not want the rest; whether it took it.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// GET, complete.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.send(&head(stream, END_STREAM, &asking(path)));
    }

    /// The client takes so much more, of all or of a stream.
    pub(crate) fn grant(&mut self, stream: u32, bytes: u32) {
        self.send(&frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()));
    }

    pub(crate) fn reset(&mut self, stream: u32, code: u32) {
        self.send(&frame(RST_STREAM, 0, stream, &code.to_be_bytes()));
    }

    /// Starts the time anew that all waiting has.
    pub(crate) fn be_patient(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
    }

    /// Reads until `enough`; false if the server closes before, or it takes too long.
    pub(crate) fn until(&mut self, enough: impl Fn(&Seen) -> bool) -> bool {
        loop {
            if enough(&self.seen) {
                return true;
            }
            if self.seen.closed || Instant::now() >= self.deadline {
                return false;
            }
            self.read();
        }
    }

    /// The answer on a stream, to its end.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Stream {
        assert!(
            self.until(|seen| seen.is_over(stream)),
            "no end of stream {stream}: {:?}",
            self.seen
        );
        self.seen.stream(stream)
    }

    /// Reads without waiting.
    pub(crate) fn read_what_is_there(&mut self) {
        self.socket.set_nonblocking(true).expect("our own socket");
        self.read();
        self.socket.set_nonblocking(false).expect("our own socket");
    }

    /// Reads what is there, for a moment.
    pub(crate) fn read(&mut self) {
        if !self.pause.is_zero() {
            std::thread::sleep(self.pause);
        }
        let mut buffer = [0; 16 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.seen.closed = true,
            Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.seen.closed = true,
        }
        while self.seen.trouble.is_none() && self.unread.len() >= 9 {
            let length = u32::from_be_bytes([0, self.unread[0], self.unread[1], self.unread[2]]);
            let end = 9 + length as usize;
            if length > 16_384 && !self.seen.settings.is_empty() {
                self.seen.trouble = Some(format!("a frame of {length} bytes"));
            }
            if self.unread.len() < end {
                return;
            }
            let rest = self.unread.split_off(end);
            let whole = std::mem::replace(&mut self.unread, rest);
            let stream = number(&whole[5..9]) & 0x7fff_ffff;
            self.seen.frames.push((whole[3], whole[4], stream));
            self.take(whole[3], whole[4], stream, &whole[9..]);
        }
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let seen = &mut self.seen;
        match kind {
            DATA => {
                let to = seen.streams.entry(stream).or_default();
                to.body.extend_from_slice(payload);
                to.ended |= flags & END_STREAM != 0;
            }
            HEADERS if flags & END_HEADERS == 0 => {
                self.partial = Some((stream, flags, payload.to_vec()));
            }
            HEADERS => self.take_head(stream, flags, payload),
            CONTINUATION => {
                let Some((to, first, mut block)) = self.partial.take() else {
                    seen.trouble = Some("CONTINUATION of nothing".to_owned());
                    return;
                };
                block.extend_from_slice(payload);
                if flags & END_HEADERS == 0 {
                    self.partial = Some((to, first, block));
                } else {
                    self.take_head(to, first, &block);
                }
            }
            RST_STREAM => seen.streams.entry(stream).or_default().reset = Some(number(payload)),
            SETTINGS if flags & ACK != 0 => seen.settings_acks += 1,
            SETTINGS => {
                let pairs = payload.chunks_exact(6);
                seen.settings.extend(
                    pairs.map(|pair| (u16::from_be_bytes([pair[0], pair[1]]), number(&pair[2..]))),
                );
                if self.is_polite {
                    self.send(&frame(SETTINGS, ACK, 0, &[]));
                }
            }
            PING if flags & ACK != 0 => {
                let told = payload.try_into().unwrap_or_default();
                seen.pongs.push(told);
            }
            PING if self.is_polite => {
                self.send(&frame(PING, ACK, 0, payload));
            }
            GOAWAY => {
                let goaway = (
                    number(payload),
                    number(&payload[4..]),
                    payload[8..].to_vec(),
                );
                seen.goaways.push(goaway);
            }
            WINDOW_UPDATE => {
                *seen.grants.entry(stream).or_default() += u64::from(number(payload));
            }
            _ => {}
        }
    }

    fn take_head(&mut self, stream: u32, flags: u8, block: &[u8]) {
        let Some(fields) = self.decoder.decode(block) else {
            self.seen.trouble = Some(format!("HPACK: {}", block.escape_ascii()));
            return;
        };
        let to = self.seen.streams.entry(stream).or_default();
        to.ended |= flags & END_STREAM != 0;
        let status = fields.iter().find(|field| field.0 == ":status");
        if to.status.is_some() {
            if status.is_some() {
                self.seen.trouble = Some(format!("a head behind the answer: {fields:?}"));
            }
            to.trailers = Some(fields);
            return;
        }
        match status.and_then(|status| status.1.parse().ok()) {
            Some(status @ 100..200) => {
                if to.ended {
                    self.seen.trouble = Some(format!("an interim answer is the end: {fields:?}"));
                }
                to.interim.push(status);
                to.interim_fields.extend(fields);
            }
            Some(status) => {
                to.status = Some(status);
                to.fields = fields;
            }
            None => self.seen.trouble = Some(format!("an answer without a status: {fields:?}")),
        }
    }
}

/// The first four bytes.
fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
