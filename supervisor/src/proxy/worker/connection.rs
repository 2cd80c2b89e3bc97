//! One connection to a worker, and one exchange on it at a time.

use super::answer::AnswerBody;
use super::head::{self, Head};
use super::socket::WorkerSocket;
use super::tunnel::Tunnel;
use super::upload::Upload;
use crate::proxy::body::{BodyError, RequestBody};
use crate::proxy::exchange::Outgoing;
use crate::proxy::seen::Seen;
use crate::proxy::socket::Socket;
use crate::router::message::WorkerId;
use bytes::BytesMut;
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::task::JoinHandle;

/// What is read at a time, at first.
pub(super) const CHUNK: usize = 8 * 1024;

/// A connection to a worker, either lent to a request or idle in the pool.
#[derive(Debug)]
pub(in crate::proxy) struct WorkerConnection {
    pub(super) socket: Rc<WorkerSocket>,
    /// What was read and is not passed on yet.
    pub(super) buffer: BytesMut,
    /// For heads of requests.
    out: Vec<u8>,
    /// Goes on with a request that takes longer than its first writes.
    upload: Option<Uploading>,
    worker: WorkerId,
    opened: u64,
    /// Since when it is idle; 0 for a connection that has not served yet.
    idle_since: u64,
}

/// A task that writes a request; it ends with its connection.
#[derive(Debug)]
struct Uploading(JoinHandle<Result<(), BodyError>>);

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// There is no answer.
#[derive(Debug)]
pub(in crate::proxy) struct Failed {
    pub(in crate::proxy) error: io::Error,
    /// The body of the request, if nothing was taken of it.
    pub(in crate::proxy) body: Option<RequestBody>,
}

impl WorkerConnection {
    /// `now` is on the process clock, in milliseconds.
    pub(in crate::proxy) fn new(socket: Socket, worker: WorkerId, now: u64) -> Self {
        Self {
            socket: Rc::new(WorkerSocket::new(socket)),
            buffer: BytesMut::new(),
            out: Vec::new(),
            upload: None,
            worker,
            opened: now,
            idle_since: 0,
        }
    }

    pub(in crate::proxy) fn worker(&self) -> WorkerId {
        self.worker
    }

    pub(in crate::proxy) fn opened(&self) -> u64 {
        self.opened
    }

    pub(in crate::proxy) fn idle_since(&self) -> u64 {
        self.idle_since
    }

    pub(in crate::proxy) fn is_reused(&self) -> bool {
        self.idle_since != 0
    }

    /// Bytes that were read and written since it was opened.
    pub(in crate::proxy) fn traffic(&self) -> (u64, u64) {
        (self.socket.read(), self.socket.written())
    }

    /// Nobody uses it and the worker has not closed it.
    pub(in crate::proxy) fn is_usable(&self) -> bool {
        self.socket.is_quiet()
    }

    /// It carries no request any more, and all of the last one is written.
    pub(in crate::proxy) fn rests(&mut self, now: u64) {
        self.idle_since = now;
        self.upload = None;
        if self.buffer.capacity() > CHUNK {
            self.buffer = BytesMut::new();
        }
    }

    /// Sends `request`, but for `body`, and `body`; reads the head of the answer to it. Each interim answer (1xx) is told.
    ///
    /// # Errors
    /// The worker has closed the connection, or has sent what is no HTTP.
    pub(in crate::proxy) async fn exchange(
        mut self,
        request: &Outgoing,
        body: RequestBody,
        mut interim: impl FnMut(StatusCode, &HeaderMap),
    ) -> Result<(Parts, Seen, AnswerBody), (Self, Failed)> {
        let mut out = std::mem::take(&mut self.out);
        head::write(&mut out, request);
        let mut upload = Some(Upload::new(out, &request.headers, body));
        let head = std::future::poll_fn(|cx| {
            if let Some(begun) = &mut upload
                && self.upload.is_none()
            {
                match begun.poll(&self.socket, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => {
                        upload = None;
                        self.socket.close();
                    }
                    Poll::Pending => {
                        if let Some(begun) = upload.take() {
                            self.upload = Some(self.go_on(begun));
                        }
                    }
                }
            }
            loop {
                match ready!(self.poll_head(cx, &request.method)) {
                    Ok(head) if is_interim(&head) => {
                        interim(head.parts.status, &head.parts.headers);
                    }
                    other => return Poll::Ready(other),
                }
            }
        })
        .await;
        match head {
            Ok(head) => {
                if let Some(upload) = upload {
                    self.out = upload.into_buffer();
                }
                let Head {
                    parts,
                    seen,
                    framing,
                    keep_alive,
                } = head;
                Ok((parts, seen, AnswerBody::new(self, framing, keep_alive)))
            }
            Err(error) => {
                let body = upload.as_mut().and_then(Upload::take_body);
                Err((self, Failed { error, body }))
            }
        }
    }

    fn go_on(&self, mut upload: Upload) -> Uploading {
        let socket = Rc::clone(&self.socket);
        Uploading(tokio::task::spawn_local(async move {
            let ended = std::future::poll_fn(|cx| upload.poll(&socket, cx)).await;
            if ended.is_err() {
                socket.close();
            }
            ended
        }))
    }

    /// The next head, as far as it has come.
    fn poll_head(&mut self, cx: &mut Context<'_>, method: &http::Method) -> Poll<io::Result<Head>> {
        loop {
            if !self.buffer.is_empty() {
                let taken = head::take(&mut self.buffer, method);
                if let Some(head) = taken.map_err(io::Error::other)? {
                    return Poll::Ready(Ok(head));
                }
            }
            ready!(self.poll_more(cx, CHUNK))?;
        }
    }

    /// Reads more into the buffer. What is read is passed on in pieces that keep the whole buffer, so there is a new one of
    /// `room` bytes only when the old one is mostly used.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when nothing more comes.
    pub(super) fn poll_more(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<()>> {
        if self.spare() < room.div_ceil(4) {
            self.buffer.reserve(room);
        }
        match ready!(self.socket.poll_read(cx, &mut self.buffer))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Room that is left in the buffer.
    pub(super) fn spare(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Whether all of the request is written.
    pub(in crate::proxy) fn is_done(&self) -> bool {
        self.upload
            .as_ref()
            .is_none_or(|upload| upload.0.is_finished())
    }

    /// The answer has ended: waits until all of the request is written, or thrown away because nobody takes it: its client does not
    /// know that. False if the connection is of no use then.
    pub(in crate::proxy) async fn done(&mut self) -> bool {
        std::future::poll_fn(|cx| {
            if let Some(upload) = &mut self.upload {
                if !self.socket.is_deaf() && self.socket.poll_disturbed(cx).is_ready() {
                    self.socket.close();
                }
                let ended = ready!(Pin::new(&mut upload.0).poll(cx));
                self.upload = None;
                if !matches!(ended, Ok(Ok(()))) {
                    return Poll::Ready(false);
                }
            }
            Poll::Ready(!self.socket.is_deaf())
        })
        .await
    }

    /// Nothing more of the request is for the worker. False if that was said before.
    pub(in crate::proxy) fn stop(&mut self) -> bool {
        let first = !self.socket.is_deaf();
        self.socket.close();
        first
    }

    /// From here on it is no HTTP.
    pub(super) fn into_tunnel(self) -> Tunnel {
        Tunnel::new(self.socket, self.buffer)
    }
}

/// 101 is the last one: what follows is no HTTP.
fn is_interim(head: &Head) -> bool {
    let status = head.parts.status;
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
