//! Paster's own log on its way to stderr: a source like the apps, so that a flood of theirs cannot drown it, and a
//! terminal that stands still holds up nobody.

use super::Shared;
use super::format;
use super::lines::Cutter;
use super::ring::Stamp;
use super::source::{Source, Stream};
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// The variable that says what paster's own log shows, of whichever of its processes.
pub const LOG_VARIABLE: &str = "PASTER_LOG";

/// Makes writers for the log. Clones are the same.
#[derive(Debug, Clone)]
pub struct OwnLog {
    shared: Arc<Shared>,
    source: Arc<Source>,
    lines: Arc<Mutex<Cutter>>,
}

impl OwnLog {
    pub(super) fn new(shared: &Arc<Shared>) -> OwnLog {
        OwnLog {
            shared: shared.clone(),
            source: Arc::new(Source::new(0, 0, 0, Some(std::process::id()))),
            lines: Arc::default(),
        }
    }
}

impl Write for OwnLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stamp = Stamp {
            seq: self.shared.seq.fetch_add(1, Ordering::Relaxed),
            time: format::now(),
            source: self.source.clone(),
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_large = self.shared.own.0.push(Stream::Stderr, |ring| {
            lines.feed(bytes, |parts| ring.push(&stamp, parts));
        });
        if is_large {
            self.shared.tidy_later();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for OwnLog {
    type Writer = OwnLog;

    fn make_writer(&'a self) -> OwnLog {
        self.clone()
    }
}
