//! The end of a sink: where its lines leave paster. Used by the sink's own thread only, so it may block.

use super::app::Batch;
use super::datagram::Datagrams;
use super::file::LogFile;
use super::frozen::FrozenWaiting;
use super::priority::{Message, Outgoing};
use super::source::Stream;
use super::standard::Standard;
use super::{format, journald, syslog};
use crate::plan::spec::{LineFormat, Rotation};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a place may take nothing before that is trouble.
const STALLED: Duration = Duration::from_secs(1);

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
    Standard(Standard),
    File(LogFile),
}

/// Whether all that was accepted has been passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// It was to stop before that.
    Stopped,
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
        Outlet::text(TextOutlet::Standard(Standard::new(stream)))
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
                let (out, rest) = waiting.split_at(*written);
                (!rest.is_empty()).then(|| FrozenWaiting::Text {
                    rest: rest.to_vec(),
                    begun: out.last().is_some_and(|last| *last != b'\n'),
                })
            }
            Outlet::Daemon { waiting, .. } => waiting.as_ref().map(Outgoing::freeze),
        }
    }

    /// Accepts what another one has not passed on.
    pub(super) fn thaw(&mut self, frozen: FrozenWaiting) {
        match (self, frozen) {
            (Outlet::Text { to, waiting, .. }, FrozenWaiting::Text { rest, begun }) => {
                *waiting = rest;
                if let TextOutlet::File(file) = to
                    && begun
                {
                    file.goes_on();
                }
            }
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

    /// Passes on what it has accepted, while it may `go_on`.
    ///
    /// # Errors
    /// The place does not take it (`TimedOut`: not within a second); nothing is lost, and the rest can be tried again.
    pub(super) fn flush(
        &mut self,
        rotation: &Rotation,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<Progress> {
        match self {
            Outlet::Text {
                to,
                waiting,
                written,
            } => {
                let mut since = Instant::now();
                while *written < waiting.len() {
                    if !go_on() {
                        return Ok(Progress::Stopped);
                    }
                    let taken = to.write_some(rotation, &waiting[*written..])?;
                    *written += taken;
                    if taken > 0 {
                        since = Instant::now();
                    } else if since.elapsed() >= STALLED {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody reads it"));
                    }
                }
                waiting.clear();
                *written = 0;
            }
            Outlet::Daemon {
                kind,
                socket,
                waiting,
            } => {
                if let Some(outgoing) = waiting
                    && let Err(error) = outgoing.send(|message| kind.send(socket, message, go_on))
                {
                    return match error.kind() {
                        io::ErrorKind::Interrupted => Ok(Progress::Stopped),
                        _ => Err(error),
                    };
                }
                *waiting = None;
            }
        }
        Ok(Progress::Done)
    }

    /// For messages: `the log file /srv/blog.log`.
    pub(super) fn describe(&self) -> String {
        match self {
            Outlet::Text {
                to: TextOutlet::Standard(standard),
                ..
            } => standard.describe().to_owned(),
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

impl TextOutlet {
    fn write_some(&mut self, rotation: &Rotation, text: &[u8]) -> io::Result<usize> {
        match self {
            TextOutlet::Standard(standard) => standard.write_some(text),
            TextOutlet::File(file) => file.write_some(rotation, text),
        }
    }
}

impl Daemon {
    /// Sends one line; a daemon whose queue is full has a second to read.
    ///
    /// # Errors
    /// It does not take it; `Interrupted` if it may not `go_on`.
    fn send(
        self,
        socket: &mut Datagrams,
        message: &Message,
        go_on: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let began = Instant::now();
        loop {
            if !go_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let sent = match self {
                Daemon::Journald => journald::send(socket, message),
                Daemon::Syslog => syslog::send(socket, message),
            };
            match sent {
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && began.elapsed() < STALLED => {}
                sent => return sent,
            }
        }
    }
}
