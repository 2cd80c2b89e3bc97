//! A WebSocket on a stream (RFC 8441): what the client sends and what it is sent, as bytes.

use super::streams::{Running, Sending};
use crate::proxy::limits;
use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// The tunnel, once the client was told of it; an error when there will be none.
pub(in crate::proxy) type OpenedTunnel = oneshot::Receiver<Tunnel>;

/// Both directions of a stream.
#[derive(Debug)]
pub(in crate::proxy) struct Tunnel {
    up: RecvStream,
    down: SendStream<Bytes>,
    /// What has come and was not read yet.
    read: Bytes,
    /// The last frame was sent.
    shut: bool,
    /// The connection is not idle while it is there, and has room for what the client sends.
    _counted: (Running, Option<Sending>),
}

impl Tunnel {
    pub(super) fn new(
        (up, sending): (RecvStream, Option<Sending>),
        down: SendStream<Bytes>,
        running: Running,
    ) -> Self {
        Self {
            up,
            down,
            read: Bytes::new(),
            shut: false,
            _counted: (running, sending),
        }
    }
}

/// RST_STREAM is to a tunnel what a reset is to a TCP connection (RFC 8441 section 5).
fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read.is_empty() {
            match ready!(this.up.poll_data(cx)) {
                Some(Ok(data)) => this.read = data,
                Some(Err(_)) => return Poll::Ready(Err(reset())),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.read.len().min(buf.remaining());
        buf.put_slice(&this.read[..length]);
        this.read.advance(length);
        // Fails for a stream that is over, which needs no window.
        let _ = this.up.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.down.reserve_capacity(data.len().min(limits::BUFFER));
        while this.down.capacity() == 0 {
            match ready!(this.down.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(reset())),
            }
        }
        let length = data.len().min(this.down.capacity());
        let piece = Bytes::copy_from_slice(&data[..length]);
        match this.down.send_data(piece, false) {
            Ok(()) => Poll::Ready(Ok(length)),
            Err(_) => Poll::Ready(Err(reset())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task writes what there is as soon as it may.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            this.shut = true;
            // Fails for a stream that is over already.
            let _ = this.down.send_data(Bytes::new(), true);
        }
        Poll::Ready(Ok(()))
    }
}
