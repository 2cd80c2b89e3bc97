//! The answer on its way to the client: a head, and a body as fast as the client takes it.

use super::date;
use super::watch::OpenStream;
use crate::proxy::body::BodyError;
use crate::proxy::hop::tokens;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, DATE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame};
use std::task::{Context, Poll, ready};

/// Whether the answer has a body is not only its own affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// For no body (HEAD).
    Head,
    Usual,
}

/// Completes the fields of a head whose answer has this body. True if the head is all of the answer.
pub(super) fn complete_head<B: Body>(response: &mut Response<B>, asked: Asked) -> bool {
    let has_none = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    let is_over = has_none || response.body().is_end_stream();
    let length = match is_over {
        true => None,
        false => response.body().size_hint().exact(),
    };
    let headers = response.headers_mut();
    headers.entry(DATE).or_insert_with(date::now);
    if let Some(length) = length {
        headers
            .entry(CONTENT_LENGTH)
            .or_insert_with(|| HeaderValue::from(length));
    }
    is_over || asked == Asked::Head
}

/// As [`complete_head`] for a tunnel, which has no length (RFC 9110 section 9.3.6).
pub(super) fn complete_tunnel_head(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.entry(DATE).or_insert_with(date::now);
}

/// Sends a head; none if the stream is over.
pub(super) fn head(
    respond: &mut SendResponse<Bytes>,
    head: Response<()>,
    is_all: bool,
) -> Option<SendStream<Bytes>> {
    match respond.send_response(head, is_all) {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "an answer cannot be sent");
            respond.send_reset(Reason::INTERNAL_ERROR);
            None
        }
    }
}

/// The body of an answer, from [`OpenStream::answers`] to the client.
pub(super) struct Pump<'s> {
    open: &'s OpenStream,
    stream: SendStream<Bytes>,
    /// What the client will have next, and whether it is the last.
    next: Option<(Bytes, bool)>,
    /// What the head has announced as trailers.
    announced: Option<HeaderValue>,
}

impl<'s> Pump<'s> {
    pub(super) fn new(
        open: &'s OpenStream,
        stream: SendStream<Bytes>,
        announced: Option<HeaderValue>,
    ) -> Self {
        Self {
            open,
            stream,
            next: None,
            announced,
        }
    }

    /// Until all is on its way, or nobody wants it any more.
    pub(super) async fn run(mut self) {
        let ended = std::future::poll_fn(|cx| self.poll(cx)).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "an answer ends early");
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            if let Poll::Ready(reset) = self.stream.poll_reset(cx) {
                return Poll::Ready(reset.and_then(|reason| Err(reason.into())));
            }
            if let Some(is_last) = ready!(self.poll_next(cx))? {
                if is_last {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(self.open.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if self.take(frame)? {
                        return Poll::Ready(Ok(()));
                    }
                }
                Some(Err(BodyError(reason))) => {
                    tracing::debug!(reason, "an answer is broken off");
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Ok(()));
                }
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true)),
            }
        }
    }

    /// Sends what comes next when the client has room for some of it; whether it was the last. None: there is nothing.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<bool>, h2::Error>> {
        let Some((data, is_last)) = self.next.take() else {
            return Poll::Ready(Ok(None));
        };
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Err(Reason::STREAM_CLOSED.into())),
                Poll::Pending => {
                    self.next = Some((data, is_last));
                    return Poll::Pending;
                }
            }
        }
        self.stream.send_data(data, is_last)?;
        Poll::Ready(Ok(Some(is_last)))
    }

    /// Takes the next frame of the body. True if it was the last and is on its way.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<bool, h2::Error> {
        match frame.into_data() {
            Ok(data) => {
                let is_last = self.open.is_end_stream();
                if data.is_empty() {
                    // It needs no room, and is worth a frame only if it is the end.
                    if is_last {
                        self.stream.send_data(data, true)?;
                    }
                    return Ok(is_last);
                }
                // As little as possible of the connection's window, and only now: what one stream has reserved no other can
                // have, and h2 asks for the rest itself.
                self.stream.reserve_capacity(1);
                self.next = Some((data, is_last));
                Ok(false)
            }
            Err(frame) => {
                self.stream.reserve_capacity(0);
                let trailers = frame.into_trailers().unwrap_or_default();
                let kept = keep_announced(trailers, self.announced.as_ref());
                if kept.is_empty() {
                    self.stream.send_data(Bytes::new(), true)?;
                } else {
                    self.stream.send_trailers(kept)?;
                }
                Ok(true)
            }
        }
    }
}

/// Others are dropped, as hyper drops them in HTTP/1.1: none, where the client takes none.
fn keep_announced(mut trailers: HeaderMap, announced: Option<&HeaderValue>) -> HeaderMap {
    let is_announced = |name: &HeaderName| {
        let mut announced = announced.into_iter().flat_map(tokens);
        announced.any(|token| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    let names: Vec<HeaderName> = trailers.keys().cloned().collect();
    for name in names.iter().filter(|name| !is_announced(name)) {
        trailers.remove(name);
    }
    trailers
}

/// What the head says of trailers.
pub(super) fn announced(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(TRAILER).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::body::ResponseBody;

    const WHOLE: ResponseBody = ResponseBody::Whole(Bytes::from_static(b"abc"));

    fn completed(status: u16, body: ResponseBody, asked: Asked) -> (Response<ResponseBody>, bool) {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let is_all = complete_head(&mut response, asked);
        (response, is_all)
    }

    #[test]
    fn a_length_that_is_known_is_said() {
        let (response, is_all) = completed(200, WHOLE, Asked::Usual);
        assert_eq!(response.headers()[CONTENT_LENGTH], "3");
        assert!(response.headers().contains_key(DATE) && !is_all);
        let (response, is_all) = completed(200, ResponseBody::Empty, Asked::Usual);
        assert!(!response.headers().contains_key(CONTENT_LENGTH) && is_all);
    }

    #[test]
    fn what_was_said_stays() {
        let mut response = Response::new(WHOLE);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("9"));
        headers.insert(DATE, HeaderValue::from_static("today"));
        complete_head(&mut response, Asked::Usual);
        assert_eq!(response.headers()[CONTENT_LENGTH], "9");
        assert_eq!(response.headers()[DATE], "today");
    }

    #[test]
    fn some_answers_are_nothing_but_a_head() {
        let (response, is_all) = completed(200, WHOLE, Asked::Head);
        assert_eq!(response.headers()[CONTENT_LENGTH], "3");
        assert!(is_all);
        for status in [204, 304] {
            let (response, is_all) = completed(status, WHOLE, Asked::Usual);
            assert!(!response.headers().contains_key(CONTENT_LENGTH) && is_all);
        }
    }

    #[test]
    fn trailers_are_those_that_were_announced() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers.insert("x-other", HeaderValue::from_static("2"));
        let announced = HeaderValue::from_static("X-Sum, x-third");
        let kept = keep_announced(trailers.clone(), Some(&announced));
        assert_eq!(
            (kept.len(), &kept["x-sum"]),
            (1, &HeaderValue::from_static("1"))
        );
        assert!(keep_announced(trailers, None).is_empty());
    }
}
