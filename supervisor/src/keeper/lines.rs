//! Lines that arrive on a socket, read as far as they are there.

use crate::sys::{passing, shortage};
use rustix::net::{RecvFlags, recv};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Longer ones are nobody's.
const MAX_LINE: usize = 1024 * 1024;

/// What has been read, and what of it is no line yet.
pub(super) struct Lines {
    stream: UnixStream,
    buffer: Vec<u8>,
    /// Of each message that came with descriptors.
    passed: VecDeque<Vec<OwnedFd>>,
    is_open: bool,
}

impl Lines {
    /// Lines of a socket; `read` are bytes that were taken from it already.
    pub(super) fn new(stream: UnixStream, read: Vec<u8>) -> Lines {
        Lines {
            stream,
            buffer: read,
            passed: VecDeque::new(),
            is_open: true,
        }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// What to wait for, until the end has been read.
    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.is_open.then(|| self.stream.as_fd())
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Reads what is there, and never waits; descriptors that somebody sends are closed.
    pub(super) fn read(&mut self) {
        let mut piece = [0; 4096];
        while self.is_open {
            let count = recv(&self.stream, &mut piece, RecvFlags::DONTWAIT);
            let count = count.map(|(count, _)| count).map_err(io::Error::from);
            if !self.took(&piece, count) {
                return;
            }
        }
    }

    /// As [`Lines::read`]; descriptors are kept for [`Lines::descriptors`].
    pub(super) fn read_with_descriptors(&mut self) {
        let mut piece = [0; 4096];
        while self.is_open {
            let count = passing::receive(&self.stream, &mut piece).map(|(count, passed)| {
                if !passed.is_empty() {
                    self.passed.push_back(passed);
                }
                count
            });
            if !self.took(&piece, count) {
                return;
            }
        }
    }

    /// Whether there may be more.
    fn took(&mut self, piece: &[u8], count: io::Result<usize>) -> bool {
        match count {
            Ok(0) => self.is_open = false,
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                self.is_open = self.buffer.len() <= MAX_LINE;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) if shortage::will_pass(&error) => std::thread::sleep(shortage::PAUSE),
            Err(_) => self.is_open = false,
        }
        true
    }

    /// The next whole line.
    pub(super) fn next(&mut self) -> Option<String> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    /// Those that came with the oldest message that had any.
    pub(super) fn descriptors(&mut self) -> Vec<OwnedFd> {
        self.passed.pop_front().unwrap_or_default()
    }
}
