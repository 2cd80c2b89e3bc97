//! Bodies on their way through: the client's towards a worker, a worker's towards the client. Each chunk passes as it
//! comes, with the back-pressure of whoever is slower.

use super::arriving::Arriving;
use super::compress::Compressed;
use super::connection::ConnectionState;
use super::encoder::Encoder;
use super::error::ProxyError;
use super::exchange::Finish;
use super::files::{CompressedFile, FileBody};
use super::hop::strip_response;
use super::limits;
use super::seen::Seen;
use super::spool::Spooled;
use super::worker::{AnswerBody, Part};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What went wrong with a body on the client's side of it. The connection to the worker ends for it without an
/// answer; this is how the blame finds its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFault {
    /// Broken chunked coding, or less than announced.
    Broken,
    /// Nothing came for too long.
    Late,
    /// More than the app takes.
    TooLarge,
    /// It was to be kept until it is complete, and there is no room. Not the client's fault.
    NotKept,
}

/// The error that a body yields. It aborts the message that the body belongs to.
#[derive(Debug)]
pub(super) struct BodyError(pub(super) &'static str);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BodyError {}

/// What is known of a request body while it comes.
#[derive(Debug, Default)]
pub(super) struct Account {
    fault: Cell<Option<BodyFault>>,
    received: Cell<u64>,
    /// More of it is to come.
    is_open: Cell<bool>,
    /// The client sends it when it is told to (100 Continue).
    is_asked_for: Cell<bool>,
    /// Whoever reads it waits for the client.
    is_due: Cell<bool>,
    /// When the client was last waited for, in milliseconds of the process clock.
    was_due: Cell<u64>,
    /// What nobody has read.
    rest: RefCell<Option<Arriving>>,
}

impl Account {
    pub(super) fn fault(&self) -> Option<BodyFault> {
        self.fault.get()
    }

    pub(super) fn blame(&self, fault: BodyFault) {
        self.fault.set(Some(fault));
    }

    /// Bytes that have come.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// Not all of it was read.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// The client expects 100 Continue.
    pub(super) fn sends_when_asked(&self) {
        self.is_asked_for.set(true);
    }

    /// The client still waits to be told that it may send it.
    pub(super) fn is_waited_for(&self) -> bool {
        self.is_asked_for.get() && self.received.get() == 0
    }

    fn is_due(&self) {
        self.is_due.set(true);
    }

    fn has_come(&self) {
        if self.is_due.replace(false) {
            self.was_due.set(super::clock::now_ms());
        }
    }

    /// For how many milliseconds nobody has waited for the client.
    pub(super) fn quiet_for(&self, now: u64) -> u64 {
        match self.is_due.get() {
            true => 0,
            false => now.saturating_sub(self.was_due.get()),
        }
    }

    /// What was not read, if nobody reads it any more and nothing is wrong with it.
    pub(super) fn take_rest(&self) -> Option<Arriving> {
        self.rest.take()
    }
}

/// Shared between a request and its body, which lives in another task while it is sent.
pub(super) type SharedAccount = Rc<Account>;

/// What becomes of the trailers of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trailers {
    Pass,
    Drop,
}

/// A request body as it comes from the client.
#[derive(Debug)]
pub(super) struct ClientBody {
    /// None only when it is dropped.
    incoming: Option<Arriving>,
    state: Arc<ConnectionState>,
    account: SharedAccount,
    ended: bool,
    pass_trailers: Trailers,
    /// How many bytes may still come.
    room: u64,
    /// They have come and are to be passed on, last of all.
    trailers: Option<HeaderMap>,
}

impl ClientBody {
    pub(super) fn new(incoming: Arriving, state: Arc<ConnectionState>) -> Self {
        let ended = incoming.is_end_stream();
        let account = SharedAccount::default();
        if !ended {
            state.set_body_open(true);
            account.is_open.set(true);
        }
        Self {
            incoming: Some(incoming),
            state,
            account,
            ended,
            pass_trailers: Trailers::Drop,
            room: u64::MAX,
            trailers: None,
        }
    }

    /// Before anything was read: no more than `most` bytes may come.
    ///
    /// # Errors
    /// More are announced.
    pub(super) fn set_limit(&mut self, most: u64) -> Result<(), ProxyError> {
        if self.left().lower() > most {
            return Err(ProxyError::BodyTooLarge);
        }
        self.room = most;
        Ok(())
    }

    /// Before anything was read.
    pub(super) fn set_trailers(&mut self, trailers: Trailers) {
        self.pass_trailers = trailers;
    }

    pub(super) fn account(&self) -> SharedAccount {
        Rc::clone(&self.account)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What is still to come.
    fn left(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or_else(SizeHint::new, Body::size_hint)
    }

    fn end(&mut self) {
        self.ended = true;
        self.account.is_open.set(false);
        self.state.set_body_open(false);
    }

    /// The client is not waited for any more.
    fn has_come(&self) {
        self.account.has_come();
        self.state.body_progress();
    }

    fn fail(&mut self, fault: BodyFault) -> BodyError {
        self.account.blame(fault);
        BodyError("the client did not send its body")
    }

    /// The next bytes; none at the end.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(incoming) = self.incoming.as_mut().filter(|_| !self.ended) else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Pending => {
                self.account.is_due();
                self.state.body_wanted(cx.waker());
                if self.state.body_is_late() {
                    return Poll::Ready(Some(Err(self.fail(BodyFault::Late))));
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let is_last = incoming.is_end_stream();
                self.has_come();
                match frame.into_data() {
                    Ok(data) => {
                        let Some(room) = self.room.checked_sub(data.len() as u64) else {
                            return Poll::Ready(Some(Err(self.fail(BodyFault::TooLarge))));
                        };
                        self.room = room;
                        let received = &self.account.received;
                        received.set(received.get() + data.len() as u64);
                        if is_last {
                            self.end();
                        }
                        Poll::Ready(Some(Ok(data)))
                    }
                    Err(frame) => {
                        self.end();
                        if self.pass_trailers == Trailers::Pass {
                            self.trailers = frame.into_trailers().ok();
                        }
                        Poll::Ready(None)
                    }
                }
            }
            Poll::Ready(Some(Err(_))) => {
                self.has_come();
                Poll::Ready(Some(Err(self.fail(BodyFault::Broken))))
            }
            Poll::Ready(None) => {
                self.has_come();
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.poll_data(cx) {
            Poll::Ready(None) => Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t)))),
            other => other.map(|next| next.map(|data| data.map(Frame::data))),
        }
    }

    /// Reads it to its end, for nobody, if no more than `most` bytes come.
    pub(super) async fn discard(mut self, most: u64) {
        self.room = most;
        while let Some(Ok(_)) = std::future::poll_fn(|cx| self.poll_data(cx)).await {}
    }

    /// Reads ahead up to [`limits::REPLAY`] bytes: all that the client sends when `wait`, else only what is there.
    ///
    /// # Errors
    /// When the client breaks off; [`Self::account`] says how.
    pub(super) async fn read_ahead(mut self, wait: ReadAhead) -> Result<RequestBody, BodyError> {
        let mut first: Option<BytesMut> = None;
        let ended = std::future::poll_fn(|cx| {
            loop {
                let have = first.as_ref().map_or(0, BytesMut::len);
                if have >= limits::REPLAY {
                    return Poll::Ready(Ok(self.ended));
                }
                match self.poll_data(cx) {
                    Poll::Ready(None) => return Poll::Ready(Ok(true)),
                    Poll::Ready(Some(Ok(data))) => match &mut first {
                        Some(buffer) => buffer.extend_from_slice(&data),
                        none => *none = Some(BytesMut::from(data)),
                    },
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Pending if wait == ReadAhead::Wait => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(false)),
                }
            }
        })
        .await?;
        let first = first.map(BytesMut::freeze);
        Ok(match (ended, first) {
            (true, first) if self.trailers.is_some() => {
                let rest = Box::new(self);
                RequestBody::Stream { first, rest }
            }
            (true, None) => RequestBody::Empty,
            (true, Some(all)) => RequestBody::Whole(all),
            (false, first) => {
                let rest = Box::new(self);
                RequestBody::Stream { first, rest }
            }
        })
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.ended {
            // The answer must reach a client that is still sending.
            self.state.set_linger();
            self.state.body_progress();
            if self.account.fault().is_none() && !self.state.is_multiplexed() {
                self.account.rest.replace(self.incoming.take());
            }
        }
    }
}

/// How [`ClientBody::read_ahead`] goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadAhead {
    /// Until the end, or the buffer is full.
    Wait,
    /// What is there already.
    Now,
}

/// A request body as a worker gets it.
#[derive(Debug)]
pub(super) enum RequestBody {
    Empty,
    /// Known to its end: can be sent again.
    Whole(Bytes),
    /// The same, and too large for memory.
    Spooled(Box<Spooled>),
    Stream {
        first: Option<Bytes>,
        rest: Box<ClientBody>,
    },
}

impl RequestBody {
    /// Known to its end.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Stream { .. })
    }

    /// The same once more, where that is possible.
    pub(super) fn replay(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(all) => Some(Self::Whole(all.clone())),
            Self::Spooled(spooled) => Some(Self::Spooled(Box::new(spooled.again()))),
            Self::Stream { .. } => None,
        }
    }

    pub(super) fn account(&self) -> Option<SharedAccount> {
        match self {
            Self::Stream { rest, .. } => Some(rest.account()),
            Self::Spooled(spooled) => Some(spooled.account()),
            Self::Empty | Self::Whole(_) => None,
        }
    }

    /// Bytes, if that is known beforehand.
    pub(super) fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Whole(all) => {
                let all = std::mem::take(all);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(all))))
            }
            Self::Spooled(spooled) => spooled
                .poll_data(cx)
                .map(|next| next.map(|data| data.map(Frame::data))),
            Self::Stream { first, rest } => match first.take() {
                Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
                None => rest.poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(all) => all.is_empty(),
            Self::Spooled(spooled) => spooled.left() == 0,
            Self::Stream { first, rest } => {
                first.is_none() && rest.ended && rest.trailers.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(all) => SizeHint::with_exact(all.len() as u64),
            Self::Spooled(spooled) => SizeHint::with_exact(spooled.left()),
            Self::Stream { rest, .. } if rest.trailers.is_some() => SizeHint::new(),
            Self::Stream { first, rest } => {
                let before = first.as_ref().map_or(0, |first| first.len() as u64);
                match rest.left().exact() {
                    Some(left) => SizeHint::with_exact(before + left),
                    None => SizeHint::new(),
                }
            }
        }
    }
}

/// A response body as the client gets it.
#[derive(Debug)]
pub(super) enum ResponseBody {
    Empty,
    /// One of ours, or all that a worker had to say.
    Whole(Bytes),
    Worker(Box<WorkerBody>),
    /// None at its end.
    File(Option<Box<FileBody>>),
    /// What comes from a worker, in a content coding of ours.
    Compressed(Box<Compressed>),
    /// A file in one.
    CompressedFile(Box<CompressedFile>),
}

/// What comes from a worker, together with what is to be done at its end.
#[derive(Debug)]
pub(super) struct WorkerBody {
    /// None: it has ended, or has broken off.
    answer: Option<AnswerBody>,
    finish: Option<Finish>,
    /// The worker has broken off, which is told at the next look.
    broken: bool,
}

impl ResponseBody {
    /// `finish` is completed at the end of the body, or dropped when it does not get there. A small body has often come with
    /// the head: then that is now, and the worker has one request less before the client has its answer.
    pub(super) fn worker(mut answer: AnswerBody, mut finish: Finish) -> Self {
        if answer.has_ended() {
            finish.complete(answer.into_connection());
            return Self::Empty;
        }
        if let Some(whole) = answer.take_whole() {
            finish.sent(whole.len());
            finish.complete(answer.into_connection());
            return Self::Whole(whole);
        }
        Self::Worker(Box::new(WorkerBody::new(answer, finish)))
    }

    /// As [`ResponseBody::worker`], on its way through `encoder`. It is not an answer to HEAD.
    pub(super) fn compressed(answer: AnswerBody, finish: Finish, encoder: Encoder) -> Self {
        let worker = WorkerBody::new(answer, finish);
        Self::Compressed(Box::new(Compressed::new(worker, encoder)))
    }
}

impl WorkerBody {
    fn new(answer: AnswerBody, finish: Finish) -> Self {
        Self {
            answer: Some(answer),
            finish: Some(finish),
            broken: false,
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Poll::Ready(next) = self.poll_part(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(match next {
            Some(Ok(Part::Data(data))) => {
                self.sent(data.len());
                if self.has_ended() {
                    self.complete();
                }
                Some(Ok(Frame::data(data)))
            }
            Some(Ok(Part::Trailers(trailers))) => {
                self.complete();
                Some(Ok(Frame::trailers(trailers)))
            }
            Some(Err(error)) => Some(Err(error)),
            None => {
                self.complete();
                None
            }
        })
    }

    /// What comes next. Whoever asks says how much [goes on](Self::sent), and in the end that it is [complete](Self::complete).
    pub(super) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Part, BodyError>>> {
        if self.broken {
            let error = BodyError("the worker did not send its body");
            return Poll::Ready(Some(Err(error)));
        }
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(None);
        };
        let Poll::Ready(next) = answer.poll_part(cx) else {
            return Poll::Pending;
        };
        Poll::Ready(match next {
            // Whether they are wanted is known by whoever encodes them.
            Some(Ok(Part::Trailers(mut trailers))) => {
                let seen = Seen::of(&trailers);
                strip_response(&mut trailers, seen);
                trailers.remove(CONTENT_LENGTH);
                Some(Ok(Part::Trailers(trailers)))
            }
            Some(Ok(data)) => Some(Ok(data)),
            Some(Err(error)) => {
                tracing::debug!(%error, "an answer has broken off");
                // Not completed: the connection to the worker is of no use any more.
                self.answer = None;
                if let Some(finish) = self.finish.take() {
                    finish.lost();
                }
                // An error ends the connection with all that hyper has not written yet, perhaps the head. A turn without news lets it
                // write.
                self.broken = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => None,
        })
    }

    /// Nothing comes any more.
    pub(super) fn has_ended(&self) -> bool {
        !self.broken && self.answer.as_ref().is_none_or(AnswerBody::has_ended)
    }

    /// What is still to come.
    fn size_hint(&self) -> SizeHint {
        match &self.answer {
            Some(answer) => answer.size_hint(),
            None if self.broken => SizeHint::new(),
            None => SizeHint::with_exact(0),
        }
    }

    /// So much goes to the client.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(finish) = &mut self.finish {
            finish.sent(bytes);
        }
    }

    /// All has been passed on.
    pub(super) fn complete(&mut self) {
        let connection = self.answer.take().and_then(AnswerBody::into_connection);
        if let Some(finish) = self.finish.take() {
            finish.complete(connection);
        }
    }
}

fn poll_file(
    file: &mut Option<Box<FileBody>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    let Some(body) = file else {
        return Poll::Ready(None);
    };
    let Poll::Ready(data) = body.poll_data(cx) else {
        return Poll::Pending;
    };
    if let Ok(data) = &data {
        body.sent(data.len());
    }
    if body.left() == 0
        && let Some(body) = file.take()
    {
        body.complete();
    }
    Poll::Ready(Some(data.map(Frame::data)))
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Whole(all) => {
                let all = std::mem::take(all);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(all))))
            }
            Self::Worker(body) => body.poll_data(cx),
            Self::File(body) => poll_file(body, cx),
            Self::Compressed(body) => body.poll_data(cx),
            Self::CompressedFile(body) => body
                .poll_data(cx)
                .map(|next| next.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(all) => all.is_empty(),
            Self::Worker(body) => body.has_ended(),
            Self::File(body) => body.is_none(),
            Self::Compressed(body) => body.is_end_stream(),
            Self::CompressedFile(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(all) => SizeHint::with_exact(all.len() as u64),
            Self::Worker(body) => body.size_hint(),
            Self::File(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.left())),
            Self::Compressed(_) | Self::CompressedFile(_) => SizeHint::new(),
        }
    }
}
