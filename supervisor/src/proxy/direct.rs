//! Parts of files that the kernel sends by itself (sendfile(2)), without a copy. hyper knows only buffers, so it is given a placeholder
//! as long as the part; when that is to be written, [`ClientIo`](super::client_io::ClientIo) has the part sent instead.
//!
//! A placeholder is known by its address. What hyper writes next must be the part that waits first, to the byte; otherwise the connection ends,
//! and no byte of a placeholder ever reaches a client.

use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

/// Bytes of a part, at most: what a fast client takes before others on the thread get a turn, and what is seen to be in the cache of the
/// kernel before it is sent.
pub(super) const MOST: u64 = 256 * 1024;

/// What stands for parts. It is never read, so there is no memory behind it.
static PLACEHOLDER: OnceLock<Box<[u8]>> = OnceLock::new();

/// The parts that wait on one connection.
#[derive(Debug, Default)]
pub(super) struct Direct {
    /// Somebody sends them.
    is_taken: AtomicBool,
    waits: AtomicBool,
    parts: Mutex<VecDeque<Part>>,
}

/// A part of a file, or what is left of it.
#[derive(Debug, Clone)]
pub(super) struct Part {
    file: Arc<File>,
    span: Range<u64>,
    /// Where its placeholder goes on.
    at: usize,
}

/// What is to be written now.
#[derive(Debug)]
pub(super) enum Next {
    /// All of it, as it is.
    Bytes,
    /// So many buffers; a part comes behind them.
    Before(usize),
    Part(Part),
    /// This is neither what waits, nor bytes that stand before it.
    Confused,
}

impl Direct {
    /// Called by whoever will send them; until then there must be none.
    pub(super) fn will_be_taken(&self) {
        self.is_taken.store(true, Relaxed);
    }

    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(Relaxed)
    }

    /// Has `span` wait, which is no longer than [`MOST`], and returns what stands for it.
    pub(super) fn wait(&self, file: &Arc<File>, span: Range<u64>) -> Bytes {
        let length = (span.end - span.start).min(MOST) as usize;
        let placeholder = PLACEHOLDER.get_or_init(|| vec![0; MOST as usize].into_boxed_slice());
        let file = Arc::clone(file);
        self.parts().push_back(Part { file, span, at: 0 });
        self.waits.store(true, Relaxed);
        Bytes::from_static(&placeholder[..length])
    }

    /// Looks at what hyper is about to write.
    pub(super) fn next(&self, data: &[IoSlice<'_>]) -> Next {
        let first = data.iter().position(|buffer| offset(buffer).is_some());
        match (first, self.waits.load(Relaxed)) {
            (None, false) => Next::Bytes,
            (None, true) | (Some(_), false) => Next::Confused,
            (Some(count), true) => {
                let parts = self.parts();
                let part = parts.front().filter(|part| part.is_meant_by(&data[count]));
                match (part, count) {
                    (None, _) => Next::Confused,
                    (Some(part), 0) => Next::Part(part.clone()),
                    (Some(_), count) => Next::Before(count),
                }
            }
        }
    }

    /// So much of the first one was sent.
    pub(super) fn sent(&self, bytes: usize) {
        let mut parts = self.parts();
        if let Some(part) = parts.front_mut() {
            part.at += bytes;
            part.span.start += bytes as u64;
            if part.span.is_empty() {
                parts.pop_front();
            }
        }
        self.waits.store(!parts.is_empty(), Relaxed);
    }

    /// Bytes of all parts that wait.
    pub(super) fn left(&self) -> u64 {
        match self.waits.load(Relaxed) {
            true => self.parts().iter().map(Part::left).sum(),
            false => 0,
        }
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, VecDeque<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn left(&self) -> u64 {
        self.span.end - self.span.start
    }

    fn is_meant_by(&self, buffer: &IoSlice<'_>) -> bool {
        offset(buffer) == Some(self.at) && buffer.len() as u64 == self.left()
    }

    /// Sends what `socket` takes of it now.
    ///
    /// # Errors
    /// The socket takes nothing now (`WouldBlock`) or ever again, the file cannot be read, or it has become shorter (`UnexpectedEof`).
    pub(super) fn send(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let length = self.left() as usize;
        let sent = rustix::io::retry_on_intr(|| {
            let mut offset = self.span.start;
            rustix::fs::sendfile(socket, &self.file, Some(&mut offset), length)
        });
        let sent = match sent {
            // Not every file system has it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => self.copy(socket),
            sent => sent.map_err(io::Error::from),
        }?;
        match sent {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter",
            )),
            sent => Ok(sent),
        }
    }

    fn copy(&self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let length = self.left().min(buffer.len() as u64) as usize;
        let read = self.file.read_at(&mut buffer[..length], self.span.start)?;
        match read {
            0 => Ok(0),
            read => Ok(rustix::io::retry_on_intr(|| {
                rustix::io::write(socket, &buffer[..read])
            })?),
        }
    }
}

/// Where in the placeholder `buffer` begins, if it is of that.
fn offset(buffer: &IoSlice<'_>) -> Option<usize> {
    let placeholder = PLACEHOLDER.get()?.as_ptr_range();
    let start = buffer.as_ptr();
    let inside = placeholder.contains(&start) && !buffer.is_empty();
    inside.then(|| start.addr() - placeholder.start.addr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn file(text: &str) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Arc::new(file)
    }

    fn next(direct: &Direct, buffers: &[&[u8]]) -> Next {
        let buffers: Vec<IoSlice<'_>> = buffers.iter().map(|data| IoSlice::new(data)).collect();
        direct.next(&buffers)
    }

    /// What is sent of the part that is to be written now.
    fn sent(next: Next) -> String {
        let Next::Part(part) = next else {
            panic!("{next:?}");
        };
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        part.send(ours.as_fd()).unwrap();
        drop(ours);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn parts_are_sent_in_their_place() {
        let direct = Direct::default();
        let file = file("0123456789");
        assert!(matches!(next(&direct, &[b"head", b"body"]), Next::Bytes));
        let (first, second) = (direct.wait(&file, 2..6), direct.wait(&file, 0..1));
        let all: [&[u8]; 4] = [b"head", &first, b"between", &second];
        assert!(matches!(next(&direct, &all), Next::Before(1)));
        assert_eq!(sent(next(&direct, &all[1..])), "2345");
        assert_eq!(direct.left(), 5);
        direct.sent(3);
        assert_eq!(direct.left(), 2);
        assert_eq!(
            sent(next(&direct, &[&first[3..], b"between", &second])),
            "5"
        );
        direct.sent(1);
        assert!(matches!(next(&direct, &all[2..]), Next::Before(1)));
        assert_eq!(sent(next(&direct, &all[3..])), "0");
        direct.sent(1);
        assert!(matches!(next(&direct, &[b"head"]), Next::Bytes));
        assert_eq!(direct.left(), 0);
    }

    #[test]
    fn a_placeholder_is_never_taken_for_bytes() {
        let direct = Direct::default();
        let file = file("0123456789");
        let first = direct.wait(&file, 0..8);
        let copy = first.to_vec();
        for wrong in [
            &[&copy[..]][..],
            &[b"head", &copy],
            &[&first[1..]],
            &[&first[..7]],
            &[b"head", &first[1..]],
            &[],
        ] {
            assert!(matches!(next(&direct, wrong), Next::Confused), "{wrong:?}");
        }
        direct.sent(8);
        assert!(matches!(next(&direct, &[&first]), Next::Confused));
        assert!(matches!(next(&direct, &[&copy]), Next::Bytes));
    }

    #[test]
    fn a_file_that_has_become_shorter_is_noticed() {
        let direct = Direct::default();
        let part = direct.wait(&file("0123"), 4..8);
        let Next::Part(part) = next(&direct, &[&part]) else {
            panic!("it is to be sent");
        };
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let error = part.send(ours.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_the_kernel_cannot_send_is_copied() {
        // proc(5): this one can be read, but not spliced.
        let file = Arc::new(File::open("/proc/self/cmdline").unwrap());
        let mut expected = [0; 4];
        file.read_exact_at(&mut expected, 1).unwrap();
        let direct = Direct::default();
        let part = direct.wait(&file, 1..5);
        assert_eq!(sent(next(&direct, &[&part])).as_bytes(), expected);
    }
}
