//! A connection to a worker: the socket, how many bytes went either way, and patience with a worker that answers
//! early.
//!
//! A worker may answer (413, 401) and close while the upload is on its way. The next write fails then, but the answer
//! can still be read. So a failed write is not an error here: what is written from then on is dropped, and reading
//! decides how it ends, with the answer or without one.

use super::socket::Socket;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that went over a connection: whether a request may be sent again hangs on "not one".
///
/// One thread writes, so plain loads and stores do.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    pub(super) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    fn add(counter: &AtomicU64, bytes: usize) {
        counter.store(counter.load(Relaxed) + bytes as u64, Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct WorkerIo {
    socket: Socket,
    traffic: Arc<Traffic>,
    deaf: bool,
}

impl WorkerIo {
    pub(super) fn new(socket: Socket, traffic: Arc<Traffic>) -> Self {
        Self {
            socket,
            traffic,
            deaf: false,
        }
    }
}

impl WorkerIo {
    /// Counts what was written of `length` bytes; if nobody takes them any more, they are dropped.
    fn or_dropped(
        &mut self,
        result: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(written)) => {
                Traffic::add(&self.traffic.written, written);
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                self.deaf = true;
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for WorkerIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.socket).poll_read(cx, buf);
        let more = buf.filled().len() - before;
        if more > 0 {
            Traffic::add(&this.traffic.read, more);
        }
        result
    }
}

impl AsyncWrite for WorkerIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.deaf {
            return Poll::Ready(Ok(data.len()));
        }
        let result = Pin::new(&mut this.socket).poll_write(cx, data);
        this.or_dropped(result, data.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let length = data.iter().map(|piece| piece.len()).sum();
        if this.deaf {
            return Poll::Ready(Ok(length));
        }
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, data);
        this.or_dropped(result, length)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
