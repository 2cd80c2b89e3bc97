//! The end of a sink: where its lines leave paster. Used by the sink's own thread only, so it may block.

use super::app::Batch;
use super::datagram::Datagrams;
use super::file::LogFile;
use super::frozen::FrozenWaiting;
use super::priority::Outgoing;
use super::source::Stream;
use super::{format, journald, syslog};
use crate::plan::spec::{LineFormat, Rotation};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// How long one look at a stream that takes nothing lasts, in milliseconds.
const STALLED: u16 = 1000;

/// A place for lines, and what it has accepted but not yet passed on.
#[derive(Debug)]
pub(super) enum Outlet {
    Text {
        to: TextOutlet,
        /// Formatted lines, and how many bytes of them are out.
        waiting: Vec<u8>,
        written: usize,
    },
    Daemon {
        kind: Daemon,
        socket: Datagrams,
        waiting: Option<Outgoing>,
    },
}

/// What takes formatted lines.
#[derive(Debug)]
pub(super) enum TextOutlet {
    Standard(Stream),
    File(LogFile),
}

/// What takes lines one by one, each with its own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Daemon {
    Journald,
    Syslog,
}

impl Outlet {
    /// Paster's own stdout or stderr.
    pub(super) fn standard(stream: Stream) -> Outlet {
        Outlet::text(TextOutlet::Standard(stream))
    }

    pub(super) fn file(path: &Path) -> Outlet {
        Outlet::text(TextOutlet::File(LogFile::new(path)))
    }

    fn text(to: TextOutlet) -> Outlet {
        let (waiting, written) = (Vec::new(), 0);
        Outlet::Text {
            to,
            waiting,
            written,
        }
    }

    pub(super) fn daemon(kind: Daemon, socket: &Path) -> Outlet {
        let (socket, waiting) = (Datagrams::new(socket), None);
        Outlet::Daemon {
            kind,
            socket,
            waiting,
        }
    }

    /// Whether it is there at all. To be asked before anything is taken for it.
    ///
    /// # Errors
    /// Of open(2) or connect(2).
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        match self {
            Outlet::Text {
                to: TextOutlet::File(file),
                ..
            } => file.prepare(),
            Outlet::Text {
                to: TextOutlet::Standard(_),
                ..
            } => Ok(()),
            Outlet::Daemon { socket, .. } => socket.connect().map(|_| ()),
        }
    }

    /// Lets go of a file, so that it is opened anew.
    pub(super) fn reopen(&mut self) {
        if let Outlet::Text {
            to: TextOutlet::File(file),
            ..
        } = self
        {
            file.close();
        }
    }

    /// Nothing is left of what it has accepted.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Outlet::Text { waiting, .. } => waiting.is_empty(),
            Outlet::Daemon { waiting, .. } => waiting.is_none(),
        }
    }

    /// Gives up what it has accepted.
    pub(super) fn forget(&mut self) {
        match self {
            Outlet::Text {
                waiting, written, ..
            } => (*waiting, *written) = (Vec::new(), 0),
            Outlet::Daemon { waiting, .. } => *waiting = None,
        }
    }

    /// Accepts lines and leaves `batch` empty; it must be empty itself.
    pub(super) fn accept(&mut self, app: &str, format: LineFormat, batch: &mut Batch) {
        match self {
            Outlet::Text { waiting, .. }
                if format == LineFormat::Plain && batch.missed == [0, 0] =>
            {
                std::mem::swap(waiting, &mut batch.text);
            }
            Outlet::Text { waiting, .. } => format::append(waiting, app, format, batch),
            Outlet::Daemon { waiting, .. } => {
                *waiting = Some(Outgoing::new(app, std::mem::take(batch)));
            }
        }
        batch.clear();
    }

    /// Gives memory back that only a burst has needed.
    pub(super) fn shrink(&mut self) {
        if let Outlet::Text { waiting, .. } = self {
            waiting.shrink_to_fit();
        }
    }

    /// What it has accepted and not passed on.
    pub(super) fn freeze(&self) -> Option<FrozenWaiting> {
        match self {
            Outlet::Text {
                waiting, written, ..
            } => {
                let rest = &waiting[*written..];
                (!rest.is_empty()).then(|| FrozenWaiting::Text(rest.to_vec()))
            }
            Outlet::Daemon { waiting, .. } => waiting.as_ref().map(Outgoing::freeze),
        }
    }

    /// Accepts what another one has not passed on.
    pub(super) fn thaw(&mut self, frozen: FrozenWaiting) {
        match (self, frozen) {
            (Outlet::Text { waiting, .. }, FrozenWaiting::Text(text)) => *waiting = text,
            (
                Outlet::Daemon { waiting, .. },
                FrozenWaiting::Lines {
                    app,
                    missed,
                    pieces,
                    text,
                    sent,
                },
            ) => {
                let batch = Batch::thaw(missed, pieces, text);
                *waiting = batch.map(|batch| Outgoing::resume(app, batch, sent));
            }
            _ => {}
        }
    }

    /// Passes on what it has accepted.
    ///
    /// # Errors
    /// The place does not take it; nothing is lost, and the rest can be tried again.
    pub(super) fn flush(&mut self, rotation: &Rotation) -> io::Result<()> {
        match self {
            Outlet::Text {
                to,
                waiting,
                written,
            } => {
                while *written < waiting.len() {
                    let rest = &waiting[*written..];
                    *written += match to {
                        TextOutlet::Standard(stream) => write_standard(*stream, rest)?,
                        TextOutlet::File(file) => file.write_some(rotation, rest)?,
                    };
                }
                waiting.clear();
                *written = 0;
                Ok(())
            }
            Outlet::Daemon {
                kind,
                socket,
                waiting,
            } => {
                if let Some(outgoing) = waiting {
                    outgoing.send(|message| match kind {
                        Daemon::Journald => journald::send(socket, message),
                        Daemon::Syslog => syslog::send(socket, message),
                    })?;
                }
                *waiting = None;
                Ok(())
            }
        }
    }

    /// For messages: `the log file /srv/blog.log`.
    pub(super) fn describe(&self) -> String {
        match self {
            Outlet::Text {
                to: TextOutlet::Standard(stream),
                ..
            } => match stream {
                Stream::Stdout => "standard output".to_owned(),
                Stream::Stderr => "standard error".to_owned(),
            },
            Outlet::Text {
                to: TextOutlet::File(file),
                ..
            } => {
                format!("the log file {}", file.path().display())
            }
            Outlet::Daemon { kind, socket, .. } => {
                let path = socket.path().display();
                match kind {
                    Daemon::Journald => format!("journald at {path}"),
                    Daemon::Syslog => format!("syslog at {path}"),
                }
            }
        }
    }
}

/// Writes what our own stdout or stderr takes.
fn write_standard(stream: Stream, text: &[u8]) -> io::Result<usize> {
    match stream {
        Stream::Stdout => write(io::stdout().as_fd(), text),
        Stream::Stderr => write(io::stderr().as_fd(), text),
    }
}

/// Writes what is taken; a terminal or pipe that does not block is waited for, for a while.
///
/// # Errors
/// Of write(2); `TimedOut` where nothing is taken at all.
pub(super) fn write(fd: BorrowedFd, text: &[u8]) -> io::Result<usize> {
    match nix::unistd::write(fd, text) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(written),
        Err(Errno::EINTR) => Ok(0),
        Err(Errno::EAGAIN) => {
            let mut ready = [PollFd::new(fd, PollFlags::POLLOUT)];
            match poll(&mut ready, PollTimeout::from(STALLED)) {
                Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it")),
                _ => Ok(0),
            }
        }
        Err(error) => Err(error.into()),
    }
}
