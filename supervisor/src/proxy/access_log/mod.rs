//! The access log: what is known of a request when it is over, the formats of its line, and the thread that writes
//! them, so that a slow disk slows nobody down. When no log is kept, nothing here runs.

mod entry;
mod json;
mod moment;
mod program;
mod sink;

pub(super) use entry::{Entry, Try};
pub(super) use program::Program;

use crate::router::access_log::AccessLog;
use crate::sys::shortage::Complaints;
use sink::Sink;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Lines that may wait for the writer; beyond this they are counted and dropped.
const WAITING: usize = 8192;
/// Bytes that are written at a time while there is more to write.
const CHUNK: usize = 64 * 1024;

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Between two looks whether there is room for the message that asks for them.
const LOOK: Duration = Duration::from_millis(5);

enum Message {
    Entry(Box<Entry>),
    /// Look at what is wanted besides.
    Wake,
    /// Everything before this is to be written; then the sender is dropped.
    Flush(SyncSender<()>),
}

/// The way to the writer's thread.
#[derive(Debug)]
pub(super) struct AccessLogger {
    pub(super) program: Arc<Program>,
    lines: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    reopen: Arc<AtomicBool>,
}

impl AccessLogger {
    /// Opens the log and starts its thread; none when no log is wanted.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn start(config: &AccessLog) -> io::Result<Option<Self>> {
        let (sink, format) = match config {
            AccessLog::Off => return Ok(None),
            AccessLog::Stdout { format } => (Sink::stdout(), format),
            AccessLog::File {
                path,
                format,
                rotation,
            } => (Sink::open(path, rotation)?, format),
        };
        let program = Arc::new(Program::new(format).map_err(io::Error::other)?);
        let (lines, receiver) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let reopen = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            sink,
            program: Arc::clone(&program),
            dropped: Arc::clone(&dropped),
            reopen: Arc::clone(&reopen),
            complaints: Complaints::default(),
            waiting: Vec::with_capacity(CHUNK),
        };
        std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run(&receiver))?;
        Ok(Some(Self {
            program,
            lines,
            dropped,
            reopen,
        }))
    }

    /// Never waits.
    pub(super) fn write(&self, entry: Box<Entry>) {
        if self.lines.try_send(Message::Entry(entry)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file again before the next write. Never waits: the control loop has more to do than the writer, which may hang on
    /// a pipe that nobody reads.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // Where there is no room the writer is awake.
        let _ = self.lines.try_send(Message::Wake);
    }

    /// Returns when everything is written that was logged, or after [`LAST_LINES`].
    pub(super) fn finish(&self) {
        let deadline = Instant::now() + LAST_LINES;
        let (written, done) = sync_channel(0);
        let mut message = Message::Flush(written);
        loop {
            match self.lines.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < deadline => message = back,
                Err(_) => return,
            }
            std::thread::sleep(LOOK);
        }
        let _ = done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

struct Writer {
    sink: Sink,
    program: Arc<Program>,
    dropped: Arc<AtomicU64>,
    reopen: Arc<AtomicBool>,
    complaints: Complaints,
    /// Lines that are not written yet.
    waiting: Vec<u8>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let message = match messages.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => {
                    // Nothing is waiting: what was logged becomes visible.
                    self.write();
                    self.announce_drops();
                    match messages.recv() {
                        Ok(message) => message,
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => return self.write(),
            };
            if self.reopen.swap(false, Ordering::Acquire) {
                self.write();
                let reopened = self.sink.reopen();
                self.complain(reopened);
            }
            match message {
                Message::Entry(entry) => {
                    self.program.push_line(&mut self.waiting, &entry);
                    if self.waiting.len() >= CHUNK {
                        self.write();
                    }
                }
                Message::Wake => {}
                Message::Flush(written) => {
                    self.write();
                    drop(written);
                }
            }
        }
    }

    fn write(&mut self) {
        let written = self.sink.write(&self.waiting);
        self.waiting.clear();
        self.complain(written);
    }

    fn complain(&mut self, outcome: io::Result<()>) {
        if let Err(error) = outcome
            && self.complaints.are_due()
        {
            tracing::warn!(%error, "cannot write the access log");
        }
    }

    fn announce_drops(&self) {
        let lost = self.dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "access log was too slow, lines were dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::access_log::{LogFormat, Rotation};
    use std::path::Path;

    fn entry() -> Box<Entry> {
        Box::new(Entry::refused(b"GET / HTTP/1.1".into(), None, None, 400, 0))
    }

    fn log(path: &Path, max_size: Option<u64>) -> AccessLogger {
        let config = AccessLog::File {
            path: path.to_owned(),
            format: LogFormat::Text("$status $request".into()),
            rotation: Rotation {
                max_size,
                keep: 2,
                ..Rotation::NEVER
            },
        };
        AccessLogger::start(&config).unwrap().unwrap()
    }

    #[track_caller]
    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
    }

    fn lines(path: &Path) -> usize {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            text.lines().all(|line| line == "400 GET / HTTP/1.1"),
            "{text}"
        );
        text.lines().count()
    }

    #[test]
    fn a_file_that_was_put_aside_is_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let old = dir.path().join("access.log-20240229");
        let log = log(&path, None);
        log.write(entry());
        eventually("it is written", || lines(&path) == 1);
        std::fs::rename(&path, &old).unwrap();
        log.write(entry());
        eventually("the old file is used further", || lines(&old) == 2);
        log.reopen();
        log.write(entry());
        eventually("then the new one", || lines(&path) == 1);
    }

    #[test]
    fn the_end_waits_for_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = log(&path, None);
        for count in 1..=20 {
            (0..50).for_each(|_| log.write(entry()));
            log.finish();
            assert_eq!(lines(&path), count * 50);
        }
    }

    #[test]
    fn the_end_does_not_wait_for_a_writer_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _reader = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let log = log(&path, None);
        (0..3 * WAITING).for_each(|_| log.write(entry()));
        let begun = Instant::now();
        log.reopen();
        log.finish();
        assert!((LAST_LINES..3 * LAST_LINES).contains(&begun.elapsed()));
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let numbered = |n: u32| dir.path().join(format!("access.log.{n}"));
        // Two lines.
        let log = log(&path, Some(40));
        (0..7).for_each(|_| log.write(entry()));
        eventually("seven lines make four files", || {
            (lines(&path), lines(&numbered(1)), lines(&numbered(2))) == (1, 2, 2)
        });
        assert!(!numbered(3).exists(), "two old ones are kept");
    }

    #[test]
    fn a_link_is_followed_and_what_it_leads_to_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let (path, real) = (dir.path().join("link"), dir.path().join("real"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let log = log(&path, Some(20));
        log.write(entry());
        log.write(entry());
        let old = dir.path().join("real.1");
        eventually("it is", || (lines(&path), lines(&old)) == (1, 1));
    }
}
