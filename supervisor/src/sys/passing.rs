//! Descriptors that travel with a message over a unix socket (SCM_RIGHTS, unix(7)).

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The most descriptors of one message.
const MOST: usize = 8;

/// Sends the beginning of `bytes`, which must not be empty, with the descriptors; returns how much was sent. The descriptors
/// go with its first byte.
///
/// # Errors
/// Those of sendmsg(2); nothing was sent then.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL;
    Ok(sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        flags,
    )?)
}

/// Receives what is there, and the descriptors that came with it, closed on exec. A stream is never read beyond the message
/// that has descriptors. No bytes: the end.
///
/// # Errors
/// Those of recvmsg(2); `EAGAIN` when nothing is there.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_stay_with_their_message() {
        let (sender, receiver) = UnixStream::pair().expect("a pair");
        let (mut first, passed) = UnixStream::pair().expect("a pair");
        let (second, also_passed) = UnixStream::pair().expect("a pair");
        (&sender).write_all(b"plain ").expect("sent");
        send(&sender, b"one\n", &[passed.as_fd()]).expect("sent");
        send(&sender, b"two\n", &[also_passed.as_fd(), second.as_fd()]).expect("sent");
        drop((sender, passed));
        let mut buffer = [0; 64];
        let mut take = || receive(&receiver, &mut buffer);
        let (mut read, mut descriptors) = (0, Vec::new());
        while descriptors.is_empty() {
            let (count, fds) = take().expect("received");
            read += count;
            descriptors = fds;
        }
        assert_eq!((read, descriptors.len()), (10, 1));
        let mut passed = UnixStream::from(descriptors.remove(0));
        passed.write_all(b"x").expect("open");
        drop(passed);
        let mut text = String::new();
        first.read_to_string(&mut text).expect("readable");
        assert_eq!(text, "x");
        let (count, descriptors) = take().expect("received");
        assert_eq!((count, descriptors.len()), (4, 2));
        assert_eq!(take().expect("the end").0, 0);
    }
}
