//! A unix datagram socket of a log daemon.

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one call waits for the daemon when its queue is full.
const LOOK: Duration = Duration::from_millis(100);

/// Sends to one path; connected on demand, and anew after the daemon was started again.
#[derive(Debug)]
pub(super) struct Datagrams {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Datagrams {
    pub(super) fn new(path: &Path) -> Datagrams {
        Datagrams {
            path: path.to_path_buf(),
            socket: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// Nobody listens there.
    pub(super) fn connect(&mut self) -> io::Result<&UnixDatagram> {
        if self.socket.is_none() {
            let socket = UnixDatagram::unbound()?;
            socket.connect(&self.path)?;
            socket.set_write_timeout(Some(LOOK))?;
            self.socket = Some(socket);
        }
        self.socket
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(super) fn disconnect(&mut self) {
        self.socket = None;
    }

    /// # Errors
    /// Of send(2): `EAGAIN` where its queue stays full, `EMSGSIZE` where the message is too large for the socket's buffer.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.attempt(|socket| socket.send(message).map(|_| ()))
    }

    /// Sends an open file instead of bytes.
    ///
    /// # Errors
    /// Of sendmsg(2).
    pub(super) fn send_file(&mut self, file: BorrowedFd) -> io::Result<()> {
        self.attempt(|socket| {
            let descriptors = [file.as_raw_fd()];
            let control = [ControlMessage::ScmRights(&descriptors)];
            let nothing = [IoSlice::new(&[])];
            sendmsg::<()>(
                socket.as_raw_fd(),
                &nothing,
                &control,
                MsgFlags::empty(),
                None,
            )?;
            Ok(())
        })
    }

    fn attempt(&mut self, send: impl Fn(&UnixDatagram) -> io::Result<()>) -> io::Result<()> {
        let first = send(self.connect()?);
        let Err(error) = &first else { return first };
        if !matches!(
            error.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::NotConnected
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        ) {
            return first;
        }
        // The daemon we knew is gone; perhaps another one is there.
        self.disconnect();
        send(self.connect()?)
    }
}
