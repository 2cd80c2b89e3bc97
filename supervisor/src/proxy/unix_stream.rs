//! A unix stream that is watched for reading alone.
//!
//! Each time the other side reads, the kernel says of a unix stream that it can be written to (`unix_write_space`), whether
//! anybody waits for that or not. Watched for both, as tokio's own is, a connection to a worker wakes its thread once more in
//! each request, for nothing. So it is watched for writing from the first write that has to wait.

use crate::sys::net;
use rustix::net::{SendFlags, send};
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::task::coop;

/// A connected unix stream.
#[derive(Debug)]
pub(super) struct UnixStream {
    stream: AsyncFd<StdStream>,
    /// The same socket under another number: epoll(7) knows a descriptor once.
    for_writing: Option<AsyncFd<StdStream>>,
}

impl UnixStream {
    /// # Errors
    /// `EAGAIN` at once when the backlog of who listens is full; else as connect(2).
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        Self::from_tokio(tokio::net::UnixStream::connect(path).await?)
    }

    /// # Errors
    /// The runtime cannot watch it.
    pub(super) fn from_tokio(stream: tokio::net::UnixStream) -> io::Result<Self> {
        Ok(Self {
            stream: net::watch(stream.into_std()?, Interest::READABLE)?,
            for_writing: None,
        })
    }

    /// Waits until there may be something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx).map_ok(|_| ())
    }

    /// Waits for bytes and copies them; they stay to be read.
    pub(super) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let peek = |stream: &StdStream| net::peek(stream.as_fd(), buffer);
        self.stream.async_io(Interest::READABLE, peek).await
    }

    /// Calls `write` until it has found room.
    pub(super) fn poll_when_writable(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&StdStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        // A reader that keeps up with us is no reason for others to wait.
        let turn = ready!(coop::poll_proceed(cx));
        loop {
            let ready = match &self.for_writing {
                Some(watched) => Some(ready!(watched.poll_write_ready(cx))?),
                None => None,
            };
            match write(self.stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match ready {
                    Some(mut ready) => ready.clear_ready(),
                    None => {
                        let again = self.stream.get_ref().try_clone()?;
                        self.for_writing = Some(net::watch(again, Interest::WRITABLE)?);
                    }
                },
                written => {
                    turn.made_progress();
                    return Poll::Ready(written);
                }
            }
        }
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.stream.poll_read_ready(cx))?;
            let room = buf.remaining();
            match net::receive(self.stream.as_fd(), buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
                Ok(received) => {
                    // Less than there was room for, so nothing is left: the next event tells of more.
                    if received > 0 && received < room {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_when_writable(cx, |stream| Ok(send(stream, data, SendFlags::NOSIGNAL)?))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .poll_when_writable(cx, |mut stream| stream.write_vectored(data))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn more_than_the_socket_holds_waits_for_the_reader() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (near, far) = tokio::net::UnixStream::pair().expect("a pair");
            let mut near = UnixStream::from_tokio(near).expect("it is watched");
            let mut far = UnixStream::from_tokio(far).expect("it is watched");
            let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
            let write = async {
                near.write_all(&sent).await.expect("it is read");
                assert!(near.for_writing.is_some());
                near.shutdown().await.expect("it is open");
                let mut answer = Vec::new();
                near.read_to_end(&mut answer).await.expect("it is written");
                answer
            };
            let read = async {
                let mut peeked = [0; 4];
                assert_eq!(far.peek(&mut peeked).await.expect("it is written"), 4);
                let mut received = Vec::new();
                far.read_to_end(&mut received).await.expect("it is written");
                far.write_all(b"all of it").await.expect("it is read");
                assert!(far.for_writing.is_none());
                drop(far);
                received
            };
            let (answer, received) = tokio::join!(write, read);
            assert_eq!(answer, b"all of it");
            assert!(received == sent);
        });
    }
}
