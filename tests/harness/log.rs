//! What paster prints: collected as it comes, searched by tests, judged at the end.

use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// More than this of one stream is counted, not kept.
const KEPT: usize = 8 * 1024 * 1024;

/// One output stream of paster.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<(Mutex<Content>, Condvar)>);

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    total: u64,
    /// Nobody reads.
    held: bool,
}

impl Log {
    /// Reads `stream` to its end in a thread.
    pub(crate) fn collect(stream: impl Read + Send + 'static) -> (Log, JoinHandle<()>) {
        let log = Log::default();
        let sink = log.clone();
        let reader = std::thread::spawn(move || sink.read(stream));
        (log, reader)
    }

    fn read(&self, mut stream: impl Read) {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut chunk) {
            let mut content = self.content();
            content.total += read as u64;
            let room = KEPT - content.bytes.len();
            content.bytes.extend_from_slice(&chunk[..read.min(room)]);
            let read_on = self.0.1.wait_while(content, |content| content.held);
            drop(read_on.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads no more (but for what is being read), as a terminal that was stopped by Ctrl-S; until it is dropped.
    pub(crate) fn hold(&self) -> Held {
        self.content().held = true;
        Held(self.clone())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content().bytes).into_owned()
    }

    /// Bytes that came, kept or not.
    pub(crate) fn total(&self) -> u64 {
        self.content().total
    }
}

/// A stream that nobody reads.
pub(crate) struct Held(Log);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.content().held = false;
        self.0.0.1.notify_all();
    }
}

/// Lines by which paster says that something is wrong; what a worker printed (`[app:slot] …`) is none.
pub(crate) fn complaints(text: &str) -> Vec<&str> {
    text.lines().filter(|line| is_complaint(line)).collect()
}

fn is_complaint(line: &str) -> bool {
    if line.starts_with('[') {
        return false;
    }
    let mut words = line.split_ascii_whitespace();
    let stamped = words
        .next()
        .is_some_and(|word| word.starts_with("20") && word.ends_with('Z'));
    (stamped && matches!(words.next(), Some("WARN" | "ERROR")))
        || line.starts_with("error:")
        || line.starts_with("warning:")
        || line.contains("panicked at")
}
