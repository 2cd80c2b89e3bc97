//! The way to the service manager: datagrams to `$NOTIFY_SOCKET`, descriptors attached where it is to keep them.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Datagrams that wait for room in the manager's queue; older ones are dropped.
const BACKLOG: usize = 32;
/// When a full queue is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// A datagram socket towards the manager. Nothing here blocks.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    address: UnixAddr,
    backlog: VecDeque<String>,
    retry_at: Option<Instant>,
}

/// Why a descriptor was not handed over.
#[derive(Debug)]
pub enum Undelivered {
    /// The manager's queue is full; try again.
    Later,
    Never(io::Error),
}

impl Link {
    /// `address` as in `NOTIFY_SOCKET`.
    ///
    /// # Errors
    /// A path that is too long; no descriptors.
    pub fn open(address: &str) -> io::Result<Link> {
        let address = match address.strip_prefix('@') {
            Some(name) => UnixAddr::new_abstract(name.as_bytes())?,
            None => UnixAddr::new(address)?,
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        Ok(Link {
            socket,
            address,
            backlog: VecDeque::new(),
            retry_at: None,
        })
    }

    /// Says something, behind what could not be said before. What the manager does not take is dropped with a word in the
    /// log: that it does not listen is no reason not to serve.
    pub fn tell(&mut self, message: String, now: Instant) {
        if self.backlog.len() == BACKLOG {
            self.backlog.pop_front();
        }
        self.backlog.push_back(message);
        self.flush(now);
    }

    /// Tries again what had no room.
    pub fn flush(&mut self, now: Instant) {
        self.retry_at = None;
        while let Some(message) = self.backlog.front() {
            match self.send(message, &[]) {
                Ok(()) => {}
                Err(Undelivered::Later) => {
                    self.retry_at = Some(now + RETRY);
                    return;
                }
                Err(Undelivered::Never(error)) => {
                    tracing::debug!(%error, message, "the service manager does not listen");
                }
            }
            self.backlog.pop_front();
        }
    }

    /// When [`Link::flush`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Sends one datagram with these descriptors, which the manager gets copies of.
    ///
    /// # Errors
    /// [`Undelivered::Later`] while its queue is full.
    pub fn send(&self, message: &str, descriptors: &[BorrowedFd]) -> Result<(), Undelivered> {
        let numbers: Vec<i32> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let attached = if numbers.is_empty() { &[][..] } else { &rights };
        let sent = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(message.as_bytes())],
            attached,
            MsgFlags::MSG_NOSIGNAL,
            Some(&self.address),
        );
        match sent {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Err(Undelivered::Later),
            Err(error) => Err(Undelivered::Never(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn received(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn what_has_no_room_waits_and_keeps_its_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let mut link = Link::open(path.to_str().expect("UTF-8")).expect("a socket");
        let now = Instant::now();
        let mut sent = 0;
        while link.deadline().is_none() {
            link.tell(format!("N={sent}"), now);
            sent += 1;
            assert!(sent < 100_000, "the queue of a socket is short");
        }
        for n in 0..sent {
            link.flush(now);
            assert_eq!(received(&manager), format!("N={n}"));
        }
        assert_eq!(link.deadline(), None);
    }

    #[test]
    fn a_manager_that_is_gone_is_no_reason_to_stop() {
        let mut link = Link::open("/nowhere/notify").expect("a socket");
        link.tell("READY=1".to_owned(), Instant::now());
        assert!(link.backlog.is_empty() && link.deadline().is_none());
    }
}
