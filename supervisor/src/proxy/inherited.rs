//! The descriptors that the supervisor left open for us: 3 is the control socket, listeners follow from 4.

use crate::router::message::CONTROL_FD;
use crate::sys::fd;
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use std::io;
use std::net::TcpListener;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};

/// Takes ownership of an inherited descriptor. Called once per number, before any thread exists.
fn take(number: RawFd) -> io::Result<OwnedFd> {
    fd::inherit(number).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("descriptor {number} was not passed on by the supervisor"),
        )
    })
}

/// The control socket, in blocking mode.
pub(super) fn control() -> io::Result<UnixStream> {
    let stream = UnixStream::from(take(CONTROL_FD)?);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// A listening socket of either family.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// The listener that was passed at `index` of [`Hello::listeners`](crate::router::message::Hello), non-blocking.
    pub(super) fn inherited(index: usize) -> io::Result<Self> {
        let number = RawFd::try_from(index).map_err(io::Error::other)?;
        let number = CONTROL_FD + 1 + number;
        let owned = take(number)?;
        let address = getsockname::<SockaddrStorage>(number)?;
        let listener = match address.family() {
            Some(AddressFamily::Unix) => Self::Unix(UnixListener::from(owned)),
            Some(AddressFamily::Inet | AddressFamily::Inet6) => Self::Tcp(TcpListener::from(owned)),
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("descriptor {number} is no TCP or unix listener but {other:?}"),
                ));
            }
        };
        match &listener {
            Self::Tcp(l) => l.set_nonblocking(true)?,
            Self::Unix(l) => l.set_nonblocking(true)?,
        }
        Ok(listener)
    }

    /// The same socket once more, for another thread.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(l) => Self::Tcp(l.try_clone()?),
            Self::Unix(l) => Self::Unix(l.try_clone()?),
        })
    }
}
