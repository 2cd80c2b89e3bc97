//! The socket of a connection to a worker, shared by who writes the request and who reads the answer.
//!
//! A worker may answer (413, 401) and close while the upload is on its way. The next write fails then, but the answer
//! can still be read. So a failed write is not an error here: what is written from then on is dropped, and reading
//! decides how it ends, with the answer or without one.

use crate::proxy::socket::Socket;
use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

#[derive(Debug)]
pub(super) struct WorkerSocket {
    socket: RefCell<Socket>,
    /// Bytes that were read and written: whether a request may be sent again hangs on "not one".
    read: Cell<u64>,
    written: Cell<u64>,
    /// Nobody takes anything any more.
    deaf: Cell<bool>,
}

impl WorkerSocket {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket: RefCell::new(socket),
            read: Cell::new(0),
            written: Cell::new(0),
            deaf: Cell::new(false),
        }
    }

    pub(super) fn read(&self) -> u64 {
        self.read.get()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// What is written is dropped.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf.get()
    }

    /// Reads what there is room for behind what `buffer` has; 0 at the end.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let result = self.with(|socket| poll_read_buf(socket, cx, buffer));
        if let Poll::Ready(Ok(more)) = result {
            self.read.set(self.read.get() + more as u64);
        }
        result
    }

    /// Writes some of `pieces`, or drops all of them when nobody takes them. Returns how many bytes are done with.
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<usize> {
        let all = || pieces.iter().map(|piece| piece.len()).sum();
        if self.deaf.get() {
            return Poll::Ready(all());
        }
        match self.with(|socket| socket.poll_write_vectored(cx, pieces)) {
            Poll::Ready(Ok(written)) => {
                self.written.set(self.written.get() + written as u64);
                Poll::Ready(written)
            }
            Poll::Ready(Err(_)) => {
                self.deaf.set(true);
                Poll::Ready(all())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Waits until something comes while nothing is to come: the end, or bytes that nobody has asked for. It can carry no other
    /// request then. Costs no system call while nothing does.
    pub(super) fn poll_disturbed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let buf = &mut ReadBuf::new(&mut byte);
        self.with(|socket| socket.poll_read(cx, buf)).map(drop)
    }

    /// It can carry another request.
    pub(super) fn is_quiet(&self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        !self.deaf.get() && self.poll_disturbed(cx).is_pending()
    }

    /// Ends it in both directions: who reads learns of it.
    pub(super) fn close(&self) {
        self.deaf.set(true);
        // One that the worker has closed is closed.
        let _ = rustix::net::shutdown(self.socket.borrow().as_fd(), rustix::net::Shutdown::Both);
    }

    /// For what is no HTTP any more.
    pub(super) fn with<R>(&self, act: impl FnOnce(Pin<&mut Socket>) -> R) -> R {
        act(Pin::new(&mut *self.socket.borrow_mut()))
    }
}
