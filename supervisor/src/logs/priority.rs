//! One line on its way to a log daemon, with its priority.

use super::app::Batch;
use super::frozen::FrozenWaiting;
use super::source::{Source, Stream};
use super::{format, ring::Stamp};
use std::io;

/// Severity as syslog(3) counts: 0 is an emergency, 7 is for debugging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Priority(pub(super) u8);

/// `LOG_INFO`, what is printed to stdout.
const INFO: Priority = Priority(6);
/// `LOG_WARNING`, what is printed to stderr, and gaps.
const WARNING: Priority = Priority(4);

impl Priority {
    /// Splits a line as sd-daemon(3) has it: `<3>text` is an error; a line without a prefix has the priority of its
    /// stream.
    pub(super) fn split(line: &[u8], stream: Stream) -> (Priority, &[u8]) {
        if let [b'<', digit @ b'0'..=b'7', b'>', text @ ..] = line {
            return (Priority(digit - b'0'), text);
        }
        let priority = match stream {
            Stream::Stdout => INFO,
            Stream::Stderr => WARNING,
        };
        (priority, line)
    }
}

/// One line, or the announcement of a gap.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) app: &'a str,
    pub(super) stream: Stream,
    /// None for a gap.
    pub(super) source: Option<&'a Source>,
    /// Microseconds since 1970.
    pub(super) time: u64,
    pub(super) priority: Priority,
    pub(super) text: &'a [u8],
    /// Lines that are missing here.
    pub(super) dropped: Option<u64>,
}

/// A batch, and how much of it has been sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    app: String,
    batch: Batch,
    /// Messages that were sent: first the gaps, then the lines.
    sent: usize,
}

impl Outgoing {
    pub(super) fn new(app: &str, batch: Batch) -> Outgoing {
        Outgoing {
            app: app.to_owned(),
            batch,
            sent: 0,
        }
    }

    pub(super) fn freeze(&self) -> FrozenWaiting {
        self.batch.freeze(&self.app, self.sent)
    }

    pub(super) fn resume(app: String, batch: Batch, sent: usize) -> Outgoing {
        Outgoing { app, batch, sent }
    }

    /// Goes on where it has stopped.
    ///
    /// # Errors
    /// That of `send`; the message is sent again the next time.
    pub(super) fn send(
        &mut self,
        mut send: impl FnMut(&Message) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut sent = 0;
        let mut once = |message: &Message, done: &mut usize| {
            sent += 1;
            if sent > *done {
                send(message)?;
                *done = sent;
            }
            Ok::<_, io::Error>(())
        };
        let done = &mut self.sent;
        for (stream, lines) in format::gaps(&self.batch) {
            let text = format::gap(stream, lines);
            let message = Message {
                app: &self.app,
                stream,
                source: None,
                time: format::now(),
                priority: WARNING,
                text: text.as_bytes(),
                dropped: Some(lines),
            };
            once(&message, done)?;
        }
        for (piece, text) in self.batch.pieces() {
            let Stamp { time, source, .. } = &piece.stamp;
            for line in format::lines(text) {
                let (priority, text) = Priority::split(line, piece.stream);
                let message = Message {
                    app: &self.app,
                    stream: piece.stream,
                    source: Some(source),
                    time: *time,
                    priority,
                    text,
                    dropped: None,
                };
                once(&message, done)?;
            }
        }
        Ok(())
    }
}
