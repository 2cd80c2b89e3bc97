//! A connected stream, TCP or unix: the client's side and the way to a worker.

use super::direct::Part;
use super::unix_stream::UnixStream;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream of either family.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Waits for bytes and copies them; they stay to be read.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(s) => s.peek(buffer).await,
            Self::Unix(s) => s.peek(buffer).await,
        }
    }

    /// Writes what another write is to follow at once (`MSG_MORE`): they need not be packets of their own.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn poll_write_more(
        &mut self,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.poll_send(cx, |socket| {
            let nothing = &mut SendAncillaryBuffer::default();
            Ok(sendmsg(socket, data, nothing, flags)?)
        })
    }

    /// Has the kernel send a part of a file.
    ///
    /// # Errors
    /// Those of [`Part::send`].
    pub(super) fn poll_send_part(
        &mut self,
        cx: &mut Context<'_>,
        part: &Part,
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, |socket| part.send(socket))
    }

    /// Calls `send` when there is room, until it has found some.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        send: impl Fn(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Unix(s) => s.poll_when_writable(cx, |stream| send(stream.as_fd())),
            Self::Tcp(s) => loop {
                ready!(s.poll_write_ready(cx))?;
                match s.try_io(Interest::WRITABLE, || send(s.as_fd())) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    sent => return Poll::Ready(sent),
                }
            },
        }
    }
}

/// A client's bytes in the clear, and the descriptor below them.
pub(super) trait ClientStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// The socket, if nothing is done to bytes on their way to it.
    fn plain(&mut self) -> Option<&mut Socket>;

    /// Waits until there may be something to read.
    ///
    /// # Errors
    /// The runtime is ending.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl ClientStream for Socket {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn plain(&mut self) -> Option<&mut Socket> {
        Some(self)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(s) => s.poll_read_ready(cx),
            Self::Unix(s) => s.poll_readable(cx),
        }
    }
}

impl ClientStream for TlsStream<Socket> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }

    fn plain(&mut self) -> Option<&mut Socket> {
        None
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (socket, session) = self.get_ref();
        match session.wants_read() {
            true => socket.poll_readable(cx),
            // What came with the end of the handshake was decrypted already.
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(s) => s.as_fd(),
            Self::Unix(s) => s.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write(cx, data),
            Self::Unix(s) => Pin::new(s).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The kernel is done sooner with send(2) than with writev(2), and one buffer is what there is mostly.
        if let [only] = data {
            return self.poll_write(cx, only);
        }
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_write_vectored(cx, data),
            Self::Unix(s) => Pin::new(s).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_flush(cx),
            Self::Unix(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Self::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
