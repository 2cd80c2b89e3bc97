//! WebSocket: a request that may become a tunnel. It does so when the worker's 101 arrives, not before, and only when
//! it was asked for; nothing but `websocket` is ever upgraded, so no HTTP hides in a tunnel.

use super::arriving::{Arriving, ClientEnd};
use super::asked::{Asked, Progress};
use super::body::ResponseBody;
use super::exchange::Answer;
use super::hop::{has_connection_option, strip_response, tokens};
use super::limits;
use super::record::Record;
use super::request::Conversation;
use super::told::Told;
use super::worker::Tunnel;
use http::header::{CONNECTION, UPGRADE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::Notify;
use tokio::time::Instant;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// The client's end of a tunnel, if this request asks for one that we allow.
pub(super) fn wanted(request: &mut Request<Arriving>) -> Option<ClientEnd> {
    // In HTTP/2 only `translate` writes such fields.
    let asks = matches!(request.version(), Version::HTTP_11 | Version::HTTP_2)
        && request.method() == Method::GET
        && is_websocket(request.headers())
        && has_connection_option(request.headers(), b"upgrade")
        // Else what is left of it when the worker agrees is the body's, or the tunnel's: nobody knows.
        && request.body().is_end_stream();
    if !asks {
        return None;
    }
    match request.body_mut() {
        Arriving::Http1(_) => Some(ClientEnd::Http1(hyper::upgrade::on(request))),
        Arriving::Http2(_) => None,
        Arriving::Tunnel(opened) => opened.take().map(ClientEnd::Http2),
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter().flat_map(tokens);
    protocols
        .next()
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

const OPTION: HeaderValue = HeaderValue::from_static("upgrade");

/// Puts back on the request what ended at this hop.
pub(super) fn ask(told: &mut Told) {
    told.field(&CONNECTION, &OPTION);
    told.field(&UPGRADE, &WEBSOCKET);
}

/// Whether a 101 says what was asked for.
pub(super) fn agreed(head: &Parts) -> bool {
    is_websocket(&head.headers)
}

/// Joins client and worker; the lease is held until both are done.
pub(super) fn tunnel(
    conversation: &Conversation,
    client: ClientEnd,
    answer: Answer,
    asked: Asked,
    mut record: Record,
) -> Response<ResponseBody> {
    let Answer {
        head,
        seen,
        body,
        lease,
    } = answer;
    let worker = body.into_tunnel();
    conversation.state.becomes_tunnel();
    let thread = Rc::clone(&conversation.thread);
    let write_timeout = Duration::from_millis(thread.table().limits.write_timeout_ms);
    let open = thread.open_tunnel();
    tokio::task::spawn_local(async move {
        let lost = || asked.lost_by(lease.upstream(), Progress::Answering);
        let carried = match client {
            ClientEnd::Http1(client) => match client.await {
                Ok(client) => Some(copy(TokioIo::new(client), worker, write_timeout, lost).await),
                Err(_) => None,
            },
            ClientEnd::Http2(client) => match client.await {
                Ok(client) => Some(copy(client, worker, write_timeout, lost).await),
                Err(_) => None,
            },
        };
        let (down, up) = carried.unwrap_or_default();
        drop(lease);
        record.carried(down, up);
        drop(record);
        tracing::debug!(down, up, "tunnel ended");
        drop(open);
    });
    let mut headers = head.headers;
    strip_response(&mut headers, seen);
    headers.insert(CONNECTION, OPTION);
    headers.insert(UPGRADE, WEBSOCKET);
    let mut answer = Response::new(ResponseBody::Empty);
    *answer.status_mut() = head.status;
    *answer.headers_mut() = headers;
    answer
}

/// Copies until both directions have ended, one fails, or [nobody is to be waited for](Carried::is_over) any more. Bytes from
/// the client and from the worker. `lost` is called when the worker is the first to end.
async fn copy<C: AsyncRead + AsyncWrite + Unpin>(
    client: C,
    worker: Tunnel,
    write_timeout: Duration,
    lost: impl Fn(),
) -> (u64, u64) {
    let carried = Carried::default();
    let ended = Cell::new(false);
    let mut client = Counted {
        io: client,
        side: Side::Client,
        carried: &carried,
        on_end: || ended.set(true),
    };
    let mut worker = Counted {
        io: worker,
        side: Side::Worker,
        carried: &carried,
        on_end: || {
            if !ended.replace(true) {
                lost();
            }
        },
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut worker) => {}
        () = carried.is_over(write_timeout) => {}
    }
    let moved = carried.moved.get();
    (moved.from_client, moved.from_worker)
}

/// What is known of a tunnel.
#[derive(Debug, Default)]
struct Carried {
    moved: Cell<Moved>,
    /// Since when the client has no room for more.
    full_since: Cell<Option<Instant>>,
    /// The client has been told that the worker has ended.
    told: Notify,
}

/// Bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Moved {
    from_client: u64,
    from_worker: u64,
}

impl Carried {
    /// Waits until nothing has moved for [`limits::TUNNEL_IDLE`], or for [`limits::LINGER`] after the worker has ended; or the client
    /// has taken nothing for `write_timeout`, whatever it sends.
    async fn is_over(&self, write_timeout: Duration) {
        let mut idle = limits::TUNNEL_IDLE;
        let mut seen = self.moved.get();
        let mut since = Instant::now();
        loop {
            let told = tokio::time::timeout(idle.min(write_timeout), self.told.notified()).await;
            if told.is_ok() {
                idle = limits::LINGER;
            }
            let moved = self.moved.get();
            if moved != seen || told.is_ok() {
                (seen, since) = (moved, Instant::now());
            }
            let is_stuck = |full: Instant| full.elapsed() >= write_timeout;
            if since.elapsed() >= idle || self.full_since.get().is_some_and(is_stuck) {
                return;
            }
        }
    }

    fn move_by(&self, change: impl FnOnce(&mut Moved)) {
        let mut moved = self.moved.get();
        change(&mut moved);
        self.moved.set(moved);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Worker,
}

/// One end of a tunnel, which counts.
struct Counted<'c, I, F> {
    io: I,
    side: Side,
    carried: &'c Carried,
    /// Called when nothing more can be read.
    on_end: F,
}

impl<I: AsyncRead + Unpin, F: Fn() + Unpin> AsyncRead for Counted<'_, I, F> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = Pin::new(&mut this.io).poll_read(cx, buf);
        let more = (buf.filled().len() - before) as u64;
        let ended = match &result {
            Poll::Ready(Ok(())) => more == 0 && buf.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            (this.on_end)();
        }
        this.carried.move_by(|moved| match this.side {
            Side::Client => moved.from_client += more,
            Side::Worker => moved.from_worker += more,
        });
        result
    }
}

impl<I: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Counted<'_, I, F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write(cx, data);
        if this.side == Side::Client {
            let since = &this.carried.full_since;
            since.set(match result {
                Poll::Pending => Some(since.get().unwrap_or_else(Instant::now)),
                Poll::Ready(_) => None,
            });
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_shutdown(cx);
        if this.side == Side::Client && result.is_ready() {
            this.carried.told.notify_one();
        }
        result
    }
}
