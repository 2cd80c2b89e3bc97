//! The loopback interface of a new network namespace, which is down at first; reading from a socket without clearing the
//! buffer before.

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};
use rustix::net::RecvFlags;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

/// Has the runtime watch a stream, for what is of interest only.
///
/// # Errors
/// As epoll_ctl(2).
pub fn watch(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: a `UnixStream` owns its descriptor and names no other, until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(stream, interest) }?)
}

/// Reads what is there into the free part of `buf` (recv(2)): how many bytes, 0 at the end of the stream.
///
/// # Errors
/// `EAGAIN` when there is nothing on a socket that does not block; else as recv(2).
pub fn receive(socket: BorrowedFd<'_>, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    let received = rustix::io::retry_on_intr(|| {
        // SAFETY: recv(2) only writes, so what was initialised stays so.
        let free = unsafe { buf.unfilled_mut() };
        rustix::net::recv(socket, free, RecvFlags::empty()).map(|(_, received)| received)
    })?;
    // SAFETY: the kernel has written so many bytes there.
    unsafe { buf.assume_init(received) };
    buf.advance(received);
    Ok(received)
}

/// Copies what is there into `buf` and leaves it to be read (recv(2), `MSG_PEEK`).
///
/// # Errors
/// As recv(2).
pub fn peek(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket.as_raw_fd(), buf, MsgFlags::MSG_PEEK)?)
}

/// Brings `lo` up in the network namespace of this process (netdevice(7)).
///
/// # Errors
/// `EPERM` without privilege over the namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: all bytes zero is a valid `ifreq`: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq` with a NUL-terminated name, which `request` is, and keeps no pointer to it.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
