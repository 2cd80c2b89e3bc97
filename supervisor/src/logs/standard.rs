//! Paster's own stdout and stderr, as a place that is never waited for without end.
//!
//! A terminal, pipe or socket that nobody reads would hold up a write for ever, and with it what was accepted for it, also
//! at an upgrade. `O_NONBLOCK` is no way out: it belongs to the open file, which the shell and other programs share. So
//! terminals and pipes are opened a second time, and sockets have a flag for each call.

use super::source::Stream;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// One look at what takes nothing at present, in milliseconds.
const LOOK: u8 = 100;

/// Our own stdout or stderr.
#[derive(Debug)]
pub(super) struct Standard {
    stream: Stream,
    /// Opened by us, and which file it is: after a rotation another one may be behind the descriptor.
    own: Option<(u64, u64, OwnedFd)>,
}

impl Standard {
    pub(super) fn new(stream: Stream) -> Standard {
        Standard { stream, own: None }
    }

    pub(super) fn describe(&self) -> &'static str {
        match self.stream {
            Stream::Stdout => "standard output",
            Stream::Stderr => "standard error",
        }
    }

    /// Writes what is taken at present, perhaps nothing.
    ///
    /// # Errors
    /// Of write(2) and send(2).
    pub(super) fn write_some(&mut self, text: &[u8]) -> io::Result<usize> {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let fd = match self.stream {
            Stream::Stdout => stdout.as_fd(),
            Stream::Stderr => stderr.as_fd(),
        };
        let stat = fstat(fd)?;
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFSOCK => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                taken(fd, send(fd.as_raw_fd(), text, flags))
            }
            SFlag::S_IFIFO | SFlag::S_IFCHR => write(self.unshared(fd, &stat), text),
            _ => write(fd, text),
        }
    }

    /// The same file, opened by us so that it does not block; as it is, where that is not allowed.
    fn unshared<'a>(&'a mut self, fd: BorrowedFd<'a>, stat: &FileStat) -> BorrowedFd<'a> {
        let same = |(dev, ino, _): &(u64, u64, OwnedFd)| (*dev, *ino) == (stat.st_dev, stat.st_ino);
        if !self.own.as_ref().is_some_and(same) {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let opened = open(path.as_str(), flags, Mode::empty());
            self.own = opened.ok().map(|own| (stat.st_dev, stat.st_ino, own));
        }
        self.own.as_ref().map_or(fd, |(_, _, own)| own.as_fd())
    }
}

/// Writes what is taken. What does not block and takes nothing is waited for, for a moment.
///
/// # Errors
/// Of write(2).
pub(super) fn write(fd: BorrowedFd, text: &[u8]) -> io::Result<usize> {
    taken(fd, nix::unistd::write(fd, text))
}

fn taken(fd: BorrowedFd, written: nix::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(written) => Ok(written),
        Err(Errno::EINTR) => Ok(0),
        Err(Errno::EAGAIN) => {
            let mut ready = [PollFd::new(fd, PollFlags::POLLOUT)];
            // Whatever it says, the next write says it too.
            let _ = poll(&mut ready, PollTimeout::from(LOOK));
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_pipe_that_is_full_takes_nothing_and_holds_up_nobody() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let mut standard = Standard::new(Stream::Stdout);
        let stat = fstat(&writer).expect("it is open");
        let own = standard.unshared(writer.as_fd(), &stat);
        let mut written = 0;
        loop {
            match write(own, &[b'x'; 1 << 20]).expect("no error") {
                0 => break,
                some => written += some,
            }
        }
        drop(standard);
        drop(writer);
        let mut text = Vec::new();
        reader.read_to_end(&mut text).expect("readable");
        assert_eq!(text.len(), written);
    }
}
