//! Workers made of threads: each connection is given to a closure that may do as badly as it likes.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Backend {
    _dir: tempfile::TempDir,
    path: PathBuf,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    /// Gives each connection to `serve`, in a thread of its own.
    pub(crate) fn new(serve: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let serve = Arc::new(serve);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(Peer::new(stream)));
            }
        });
        Self {
            _dir: dir,
            path,
            connections,
        }
    }

    /// Answers each request of each connection with what `answer` makes of it.
    pub(crate) fn answering(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::new(move |mut peer| {
            while let Some(request) = peer.request() {
                let text = answer(&request);
                if peer.answer(&text).is_err() {
                    return;
                }
            }
        })
    }

    /// Says which request it got.
    pub(crate) fn echo() -> Self {
        Self::answering(|request| {
            format!("{}{}", request.head, String::from_utf8_lossy(&request.body))
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A connection from the proxy.
pub(crate) struct Peer {
    pub(crate) reader: BufReader<UnixStream>,
}

impl Peer {
    fn new(stream: UnixStream) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// A head, without its body; none at the end.
    pub(crate) fn head(&mut self) -> Option<String> {
        let mut head = String::new();
        loop {
            let before = head.len();
            if self.reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
            if &head[before..] == "\r\n" {
                return Some(head);
            }
        }
    }

    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let mut body = Vec::new();
        if let Some(length) = field(&head, "content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.reader.read_exact(&mut body).ok()?;
        } else if field(&head, "transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                body.extend_from_slice(&chunk);
            }
        }
        Some(Request { head, body })
    }

    /// The next chunk of a chunked body; none at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk).ok()?;
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    pub(crate) fn answer(&mut self, text: &str) -> io::Result<()> {
        let length = text.len();
        self.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{text}").as_bytes())
    }

    /// Waits until the proxy closes the connection.
    pub(crate) fn wait_closed(&mut self) {
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }

    /// The same without reading what comes before.
    pub(crate) fn wait_closed_unread(&mut self) {
        // Nothing but the end (or an error, which is one) is waited for.
        self.wait(PollFlags::empty());
    }

    /// Waits for a request, and does not read it.
    pub(crate) fn wait_unread(&mut self) {
        self.wait(PollFlags::POLLIN);
    }

    fn wait(&mut self, events: PollFlags) {
        let mut events = [PollFd::new(self.reader.get_ref().as_fd(), events)];
        let _ = poll(&mut events, PollTimeout::NONE);
    }
}

/// A field of a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
