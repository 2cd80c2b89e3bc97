//! The bytes of an HTTP/2 connection on their way, and what its state learns from them.

use super::alive::Heard;
use super::toll::Toll;
use crate::proxy::connection::{ConnectionState, Phase};
use crate::proxy::socket::ClientStream;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// PING, SETTINGS and their like have fewer bytes; what has more is a part of an answer.
const PART: usize = 64;

/// A client's stream whose first bytes may have been read already.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    read: Vec<u8>,
    state: Arc<ConnectionState>,
    toll: Toll,
    heard: Rc<Heard>,
    /// The client has sent too many frames that carry nothing: no more is read.
    is_deaf: bool,
}

impl<S> Wire<S> {
    pub(super) fn new(
        stream: S,
        read: Vec<u8>,
        state: Arc<ConnectionState>,
        heard: Rc<Heard>,
    ) -> Self {
        let toll = Toll::new(state.now());
        Self {
            stream,
            read,
            state,
            toll,
            heard,
            is_deaf: false,
        }
    }

    fn note_write(&mut self, result: &Poll<io::Result<usize>>) {
        self.state.note_write(result);
        if let Poll::Ready(Ok(bytes)) = result {
            self.toll.sent(*bytes);
            if *bytes > PART && self.state.phase() == Phase::Idle {
                // Its stream is over for us, but the client still waits for the end.
                self.state.enter(Phase::Idle);
            }
        }
    }

    /// Looks at what was read.
    fn note_read(&mut self, bytes: &[u8]) {
        self.heard.note();
        if self.toll.pass(bytes, self.state.now()).is_err() {
            tracing::debug!("too many frames that carry nothing");
            self.is_deaf = true;
            self.state.close();
        }
    }
}

impl<S: ClientStream> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.phase() == Phase::Fresh {
            // From here on it is idle or not by its streams alone.
            this.state.enter(Phase::Idle);
        }
        if this.is_deaf {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if this.read.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        } else {
            let length = this.read.len().min(buf.remaining());
            buf.put_slice(&this.read[..length]);
            this.read.drain(..length);
        }
        this.note_read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: ClientStream> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, data);
        this.note_write(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, data);
        this.note_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
