//! The body of a request that comes on a stream. The client may send more when somebody has taken what it has sent.

use super::streams::{Sending, Streams};
use crate::proxy::body::BodyError;
use crate::proxy::connection::ConnectionState;
use bytes::Bytes;
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A stream in the direction from the client.
#[derive(Debug)]
pub(in crate::proxy) struct RequestStream {
    stream: RecvStream,
    /// Bytes that are still to come, where their number is known. h2 sees to it that it is right.
    left: Option<u64>,
    /// None: what is left are trailers, or nothing.
    sending: Option<Sending>,
    /// The client waits for 100 Continue (RFC 9110 section 10.1.1), which is said here when the body is wanted.
    waits: Option<Arc<ConnectionState>>,
}

impl RequestStream {
    /// Behind a head with these fields, on the stream that `state` is about.
    pub(super) fn new(
        stream: RecvStream,
        headers: &HeaderMap,
        state: &Arc<ConnectionState>,
        streams: &Rc<Streams>,
    ) -> Self {
        let ended = stream.is_end_stream();
        let waits = !ended && expects_to_be_asked(headers);
        Self {
            left: match ended {
                true => Some(0),
                false => announced(headers),
            },
            stream,
            sending: (!ended).then(|| streams.receive()),
            waits: waits.then(|| Arc::clone(state)),
        }
    }

    /// For what is no body.
    pub(super) fn into_stream(self) -> (RecvStream, Option<Sending>) {
        (self.stream, self.sending)
    }
}

impl Body for RequestStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // A client that has reset the stream was not done with the body, whatever its code says.
        const BROKEN: BodyError = BodyError("the client has taken its request back");
        if this.sending.is_some() {
            match this.stream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    this.waits = None;
                    // Fails for a stream that is over, which needs no window.
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(BROKEN))),
                Poll::Ready(None) => this.sending = None,
                Poll::Pending => {
                    if let Some(state) = this.waits.take() {
                        state.ask_to_continue();
                    }
                    return Poll::Pending;
                }
            }
        }
        let trailers = ready!(pin!(this.stream.trailers()).poll(cx));
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(_) => Some(Err(BROKEN)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

fn expects_to_be_asked(headers: &HeaderMap) -> bool {
    let expected = headers.get(EXPECT).map(HeaderValue::as_bytes);
    expected.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}

/// None, too, where several fields say something: such a request is refused before anybody wants its body.
fn announced(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (Some(length), None) => length.to_str().ok()?.parse().ok(),
        _ => None,
    }
}
