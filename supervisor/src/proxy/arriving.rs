//! The body of a request as it arrives, whichever protocol brings it.

use super::body::BodyError;
use super::http2::{OpenedTunnel, RequestStream};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a request comes with.
#[derive(Debug)]
pub(super) enum Arriving {
    Http1(Incoming),
    Http2(RequestStream),
    /// An extended CONNECT (RFC 8441): no body, but a tunnel to be.
    Tunnel(Option<OpenedTunnel>),
}

/// The client's end of a tunnel, as soon as the client has been told that there is one.
#[derive(Debug)]
pub(super) enum ClientEnd {
    Http1(OnUpgrade),
    Http2(OpenedTunnel),
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Http1(incoming) => Pin::new(incoming).poll_frame(cx).map(|next| {
                next.map(|frame| frame.map_err(|_| BodyError("the client has broken off")))
            }),
            Self::Http2(stream) => Pin::new(stream).poll_frame(cx),
            Self::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(stream) => stream.is_end_stream(),
            Self::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2(stream) => stream.size_hint(),
            Self::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}
