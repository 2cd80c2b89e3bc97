//! The output of one worker: what it has said last, and how to stop reading it.

use super::Shared;
use super::app::AppLog;
use super::source::{Source, Stream};
use crate::reports::report::{MAX_LINES, OutputLine};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The output of one worker.
#[derive(Debug, Clone)]
pub struct Output {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Arc<AppLog>,
    pub(super) source: Arc<Source>,
}

/// A pipe that is read no more.
#[derive(Debug, Default)]
pub struct Released {
    /// None at its end.
    pub read_end: Option<OwnedFd>,
    /// The beginning of a line.
    pub partial: Vec<u8>,
}

/// Comes true when both outputs of a worker have been read to their end.
pub type AllRead = oneshot::Receiver<()>;

impl Output {
    /// The last `count` lines of this worker, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        self.last_lines(count).map(|(_, text)| text).collect()
    }

    /// The last lines of this worker, for a report.
    pub fn report(&self) -> Vec<OutputLine> {
        self.last_lines(MAX_LINES)
            .map(|(stream, text)| OutputLine::new(stream, &text))
            .collect()
    }

    fn last_lines(&self, count: usize) -> impl Iterator<Item = (Stream, String)> {
        let own = |source: &Source| source.worker == self.source.worker;
        let lines = self.log.last(count, own);
        lines.into_iter().map(|line| {
            let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
            (line.stream, String::from_utf8_lossy(text).into_owned())
        })
    }

    /// Stops reading, where the pipes are not at their ends. Both outputs.
    pub async fn release(&self) -> [Released; 2] {
        let mut released: [Released; 2] = Default::default();
        // Without an answer there is no thread, and so nothing that could be released.
        for pipe in self
            .shared
            .pump
            .release(&self.source)
            .await
            .unwrap_or_default()
        {
            released[pipe.stream.index()] = Released {
                partial: pipe.lines.partial().to_vec(),
                read_end: Some(pipe.read_end),
            };
        }
        released
    }

    /// The worker's program runs under this number.
    pub fn set_pid(&self, pid: u32) {
        self.source.set_pid(pid);
    }
}
