//! What workers print: read as fast as it comes, kept for reports, passed on as prefixed lines.
//!
//! A worker is never blocked by us and we never grow: lines are cut at a limit, the ring is bounded, and the
//! writer behind [`Sink`] drops (and counts) what the terminal or file does not take in time.

use crate::reports::report::{MAX_LINES, OutputLine, OutputStream};
use arc_swap::ArcSwap;
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;
use tracing_appender::non_blocking::NonBlocking;

/// A longer line is passed on in pieces of this many bytes.
const MAX_LINE: usize = 8 * 1024;

/// The last lines that a worker printed.
#[derive(Debug, Clone, Default)]
pub struct Ring(Arc<Mutex<VecDeque<(OutputStream, String)>>>);

impl Ring {
    fn push(&self, stream: OutputStream, line: &[u8]) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back((stream, String::from_utf8_lossy(line).into_owned()));
    }

    /// A ring with these lines, oldest first.
    pub fn of(lines: Vec<(OutputStream, String)>) -> Ring {
        Ring(Arc::new(Mutex::new(lines.into())))
    }

    /// All lines, oldest first.
    pub fn all(&self) -> Vec<(OutputStream, String)> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    /// All lines, for a report.
    pub fn report(&self) -> Vec<OutputLine> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(|(stream, text)| OutputLine::new(*stream, text))
            .collect()
    }

    /// The last `count` lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .map(|(_, text)| text.clone())
            .collect()
    }
}

/// Where lines go.
#[derive(Clone)]
pub struct Sink {
    writer: Arc<ArcSwap<NonBlocking>>,
}

impl Sink {
    pub fn new(writer: NonBlocking) -> Sink {
        Sink {
            writer: Arc::new(ArcSwap::from_pointee(writer)),
        }
    }

    /// Everybody who has this sink uses another writer from now on.
    pub fn replace(&self, writer: NonBlocking) {
        self.writer.store(Arc::new(writer));
    }

    pub fn writer(&self) -> NonBlocking {
        NonBlocking::clone(&self.writer.load())
    }
}

/// A pipe of output, and the beginning of a line that was read from it.
pub struct Stream {
    name: OutputStream,
    /// None at its end.
    pipe: Option<pipe::Receiver>,
    lines: LineBuffer,
}

impl Stream {
    pub fn new(name: OutputStream, pipe: pipe::Receiver) -> Stream {
        Stream::resume(name, Some(pipe), Vec::new())
    }

    /// Goes on where another one has stopped ([`Stream::into_parts`]).
    pub fn resume(name: OutputStream, pipe: Option<pipe::Receiver>, partial: Vec<u8>) -> Stream {
        let lines = LineBuffer { partial };
        Stream { name, pipe, lines }
    }

    pub fn into_parts(self) -> (Option<pipe::Receiver>, Vec<u8>) {
        (self.pipe, self.lines.partial)
    }
}

/// Reads `stream` to its end, or until `stop`: each line into the ring, and with the prefix `[app:slot] ` to the sink.
pub async fn pump(
    mut stream: Stream,
    prefix: String,
    ring: Ring,
    sink: Sink,
    stop: CancellationToken,
) -> Stream {
    let Stream { name, pipe, lines } = &mut stream;
    let mut chunk = vec![0; 16 * 1024];
    let mut text = Vec::new();
    while let Some(source) = pipe {
        let read = tokio::select! {
            () = stop.cancelled() => return stream,
            read = source.read(&mut chunk) => match read {
                Ok(0) | Err(_) => break,
                Ok(read) => read,
            },
        };
        text.clear();
        lines.feed(&chunk[..read], |line| {
            ring.push(*name, line);
            append_line(&mut text, &prefix, line);
        });
        if !text.is_empty() {
            let _ = sink.writer().write(&text);
        }
    }
    text.clear();
    lines.finish(|line| {
        ring.push(*name, line);
        append_line(&mut text, &prefix, line);
    });
    if !text.is_empty() {
        let _ = sink.writer().write(&text);
    }
    *pipe = None;
    stream
}

fn append_line(text: &mut Vec<u8>, prefix: &str, line: &[u8]) {
    text.extend_from_slice(prefix.as_bytes());
    text.extend_from_slice(line);
    text.push(b'\n');
}

/// Cuts a stream of bytes into lines of at most [`MAX_LINE`] bytes.
#[derive(Default)]
struct LineBuffer {
    partial: Vec<u8>,
}

impl LineBuffer {
    fn feed(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.partial.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.partial.extend_from_slice(&bytes[..end]);
                    emit(trim_cr(&self.partial));
                    self.partial.clear();
                    bytes = &bytes[end + 1..];
                }
                None => {
                    let taken = window.len().min(room);
                    self.partial.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if self.partial.len() == MAX_LINE && !bytes.is_empty() {
                        emit(&self.partial);
                        self.partial.clear();
                    }
                }
            }
        }
    }

    fn finish(&mut self, mut emit: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            emit(trim_cr(&self.partial));
            self.partial.clear();
        }
    }
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            buffer.feed(chunk, |line| lines.push(line.to_vec()));
        }
        buffer.finish(|line| lines.push(line.to_vec()));
        lines
    }

    #[test]
    fn lines_are_put_together_across_chunks() {
        assert_eq!(
            lines_of(&[b"one\ntw", b"o\r\n", b"\nlast"]),
            [&b"one"[..], b"two", b"", b"last"]
        );
    }

    #[test]
    fn a_stream_without_newline_is_cut_and_nothing_is_lost() {
        let long = vec![b'x'; 3 * MAX_LINE + 10];
        let lines = lines_of(&[&long]);
        assert_eq!(
            lines.iter().map(Vec::len).collect::<Vec<_>>(),
            [MAX_LINE, MAX_LINE, MAX_LINE, 10]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_line() {
        let mut text = vec![b'x'; MAX_LINE];
        text.push(b'\n');
        assert_eq!(lines_of(&[&text]).len(), 1);
    }

    #[test]
    fn the_ring_keeps_the_last_lines() {
        let ring = Ring::default();
        for n in 0..100 {
            ring.push(OutputStream::Stdout, n.to_string().as_bytes());
        }
        ring.push(OutputStream::Stderr, b"the last\x1b");
        assert_eq!(ring.last(2), ["99", "the last\x1b"]);
        assert_eq!(ring.last(1000).len(), MAX_LINES);
        let last = OutputLine {
            stream: OutputStream::Stderr,
            text: "the last\u{fffd}".to_owned(),
        };
        assert_eq!(ring.report().last(), Some(&last));
    }
}
