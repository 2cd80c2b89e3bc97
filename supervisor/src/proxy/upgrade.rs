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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

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
    let open = thread.open_tunnel();
    tokio::task::spawn_local(async move {
        let lost = || asked.lost_by(lease.upstream(), Progress::Answering);
        let carried = match client {
            ClientEnd::Http1(client) => match client.await {
                Ok(client) => Some(copy(TokioIo::new(client), worker, lost).await),
                Err(_) => None,
            },
            ClientEnd::Http2(client) => match client.await {
                Ok(client) => Some(copy(client, worker, lost).await),
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

/// Copies until both directions have ended, one fails, or nothing has moved for [`limits::TUNNEL_IDLE`]. Bytes from
/// the client and from the worker. `lost` is called when the worker is the first to end.
async fn copy<C: AsyncRead + AsyncWrite + Unpin>(
    client: C,
    worker: Tunnel,
    lost: impl Fn(),
) -> (u64, u64) {
    let moved = Rc::new(Cell::new((0, 0)));
    let ended = Cell::new(false);
    let mut client = Counted {
        io: client,
        moved: Rc::clone(&moved),
        from_client: true,
        on_end: || ended.set(true),
    };
    let mut worker = Counted {
        io: worker,
        moved: Rc::clone(&moved),
        from_client: false,
        on_end: || {
            if !ended.replace(true) {
                lost();
            }
        },
    };
    let watch = async {
        let mut seen = moved.get();
        loop {
            tokio::time::sleep(limits::TUNNEL_IDLE).await;
            if moved.get() == seen {
                return;
            }
            seen = moved.get();
        }
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut worker) => {}
        () = watch => {}
    }
    moved.get()
}

/// Counts what is read.
struct Counted<I, F> {
    io: I,
    moved: Rc<Cell<(u64, u64)>>,
    from_client: bool,
    /// Called when nothing more can be read.
    on_end: F,
}

impl<I: AsyncRead + Unpin, F: Fn() + Unpin> AsyncRead for Counted<I, F> {
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
        let (down, up) = this.moved.get();
        this.moved.set(if this.from_client {
            (down + more, up)
        } else {
            (down, up + more)
        });
        result
    }
}

impl<I: AsyncWrite + Unpin, F: Unpin> AsyncWrite for Counted<I, F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
