//! The client's stream, and what its connection's state learns from each read and write.

use super::connection::{ConnectionState, Phase, Reading};
use super::head_scan::HeadScan;
use super::limits;
use super::socket::ClientStream;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `POLLRDHUP`: the other side has closed, at least its sending half. nix has no name for it.
const HANG_UP: PollFlags = PollFlags::from_bits_retain(0x2000);

/// The client's side of a connection.
#[derive(Debug)]
pub(super) struct ClientIo<S> {
    stream: S,
    state: Arc<ConnectionState>,
    lingered: usize,
    scan: HeadScan,
}

impl<S: ClientStream> ClientIo<S> {
    pub(super) fn new(stream: S, state: Arc<ConnectionState>) -> Self {
        Self {
            stream,
            state,
            lingered: 0,
            scan: HeadScan::default(),
        }
    }

    /// hyper sees the end of a client only while it reads, and it does not read while a request body is left
    /// alone or a pipelined request is waiting. The kernel knows always.
    fn peer_is_gone(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.descriptor(), HANG_UP)];
        // Nothing else was asked for, so any event is the end (or an error, which is one too).
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|events| events > 0)
    }

    fn scan(&mut self, bytes: &[u8]) {
        if let Some(found) = self.scan.feed(bytes) {
            self.state.saw_head(found);
        }
    }

    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.phase() != Phase::Lingering {
            self.state.enter(Phase::Lingering);
        }
        let mut scratch = [0; 4096];
        while self.lingered < limits::LINGER_BYTES && !self.state.closing() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.lingered += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: ClientStream> AsyncRead for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        let new = &buf.filled()[before..];
        if !new.is_empty() {
            match this.state.was_read() {
                Reading::NewHead => {
                    this.scan = HeadScan::default();
                    this.scan(new);
                }
                Reading::Head => this.scan(new),
                Reading::Body => {}
            }
        }
        result
    }
}

impl<S: ClientStream> AsyncWrite for ClientIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, data);
        note_write(&this.state, &result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, data);
        note_write(&this.state, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes in each turn of a connection, with or without data: the place to notice what
    /// [`ConnectionState::look`] asked for.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.take_check_peer() && this.peer_is_gone() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.phase() != Phase::Lingering {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.state.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        this.poll_linger(cx)
    }
}

fn note_write(state: &ConnectionState, result: &Poll<io::Result<usize>>) {
    match result {
        Poll::Pending => state.write_blocks(),
        Poll::Ready(_) => state.write_progress(),
    }
}
