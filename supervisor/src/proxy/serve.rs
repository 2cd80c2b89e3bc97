//! Accepting clients, and the life of a client connection around its requests.

use super::arriving::Arriving;
use super::client_io::{ClientIo, Logged};
use super::connection::ConnectionState;
use super::error::ProxyError;
use super::greet::greet;
use super::http2;
use super::inherited::Listener;
use super::limits;
use super::reply::was_refused;
use super::request::{Conversation, answer};
use super::rewrite::Client;
use super::socket::{ClientStream, Socket};
use super::thread::{OpenConnection, Thread};
use super::tls::Secured;
use super::unix_stream::UnixStream;
use crate::router::limits::ClientLimits;
use crate::router::message::ListenerInfo;
use crate::sys::shortage::Complaints;
use http::Request;
use hyper::server::conn::http1::{Builder, Parts};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::{TcpListener, UnixListener};

/// While there is no room for another connection, or this thread has more than its share.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(10);
const SHARE_PAUSE: Duration = Duration::from_millis(1);
/// When the kernel has no descriptor or memory for us.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// A thread with this many connections more than another leaves new ones to that.
const SHARE_SLACK: usize = 4;

/// Fields of a head that hyper takes without being told; more cost an allocation.
const HYPERS_FIELDS: usize = 100;

/// A listener that a runtime watches.
#[derive(Debug)]
pub(super) enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// For the runtime that the caller has entered.
    ///
    /// # Errors
    /// When the system does not let us watch it.
    pub(super) fn new(listener: Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Listener::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Best effort: without it an answer in two writes waits for the client's delayed acknowledgement.
                let _ = stream.set_nodelay(true);
                Ok((Socket::Tcp(stream), Some(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(UnixStream::from_tokio(stream)?), None))
            }
        }
    }
}

/// Accepts until the proxy drains. What is beyond the limit waits in the kernel's queue.
pub(super) async fn accept(thread: Rc<Thread>, acceptor: Acceptor, info: ListenerInfo) {
    let info = Rc::new(info);
    let greets = info.greeting.comes_first();
    let mut complaints = Complaints::default();
    let draining = thread.shared.draining();
    let mut draining = pin!(draining);
    draining.as_mut().enable();
    while !thread.shared.is_draining() {
        if let Some(pause) = must_pause(&thread) {
            if !has_room(&thread) && complaints.are_due() {
                let open = thread.shared.open_connections();
                tracing::warn!(
                    address = info.address,
                    open,
                    "there are as many client connections as there may be (`max_connections`, open files); more wait"
                );
            }
            tokio::time::sleep(pause).await;
            continue;
        }
        let accepted = tokio::select! {
            biased;
            // At once: what comes now is for the next proxy, which may be of another configuration.
            () = draining.as_mut() => return,
            accepted = acceptor.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                while !has_room(&thread) && !thread.shared.is_draining() {
                    // Other threads have taken the last places while this one waited for a client.
                    tokio::time::sleep(NO_ROOM_PAUSE).await;
                }
                let arrival = Arrival {
                    open: thread.open_connection(),
                    thread: Rc::clone(&thread),
                    info: Rc::clone(&info),
                    peer,
                    secured: None,
                };
                if greets {
                    tokio::task::spawn_local(greet(arrival, socket));
                } else {
                    tokio::task::spawn_local(serve(arrival, socket));
                }
                // Other threads have been woken too; let them have theirs.
                tokio::task::yield_now().await;
            }
            Err(error) if is_about_one_client(&error) => {}
            Err(error) => {
                if complaints.are_due() {
                    tracing::warn!(address = info.address, %error, "cannot accept, trying again");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn has_room(thread: &Thread) -> bool {
    let shared = &thread.shared;
    let configured = thread.table().limits.max_connections;
    let most = configured.map_or(shared.max_open, |most| most.min(shared.max_open));
    shared.open_connections() < most
}

fn must_pause(thread: &Thread) -> Option<Duration> {
    if !has_room(thread) {
        return Some(NO_ROOM_PAUSE);
    }
    let shared = &thread.shared;
    let mine = shared.open[thread.index].load(Ordering::Relaxed);
    let least = shared
        .open
        .iter()
        .map(|open| open.load(Ordering::Relaxed))
        .min();
    (mine > least.unwrap_or(0) + SHARE_SLACK).then_some(SHARE_PAUSE)
}

fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}

/// A client connection before its first request.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) thread: Rc<Thread>,
    pub(super) info: Rc<ListenerInfo>,
    /// Counts it, to its end.
    pub(super) open: OpenConnection,
    /// None on a unix socket.
    pub(super) peer: Option<SocketAddr>,
    pub(super) secured: Option<Secured>,
}

/// Speaks HTTP/1 with a client, to the end of the connection.
pub(super) async fn serve<S: ClientStream>(arrival: Arrival, stream: S) {
    let state = Arc::clone(&arrival.open.state);
    let logged = match &arrival.thread.shared.log {
        Some(_) => Logged::Yes,
        None => Logged::No,
    };
    // As of now, for all requests of the connection; its times are those of the table in force.
    let limits = arrival.thread.table().limits;
    let conversation = Rc::new(Conversation {
        client: Rc::new(Client::new(
            arrival.peer,
            arrival.secured.clone(),
            &arrival.info,
        )),
        state: Arc::clone(&state),
        info: Rc::clone(&arrival.info),
        thread: Rc::clone(&arrival.thread),
    });
    let mut io = ClientIo::new(stream, state, logged, limits);
    while rest(&mut io, &conversation.state).await == Roused::ByClient {
        // Boxed, so that a connection at rest needs no room for it.
        match Box::pin(converse(&conversation, io, &limits)).await {
            Turn::Rests(resting) => {
                io = resting;
                conversation.thread.rests();
            }
            Turn::IsRefused(refused) => {
                // It is told at once, and there is nothing more to wait for.
                Box::pin(converse(&conversation, refused, &limits)).await;
                return;
            }
            Turn::SpeaksHttp2(stream, read) => {
                return Box::pin(http2::serve(arrival, stream, read)).await;
            }
            Turn::Over => return,
        }
    }
}

/// How a rest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Roused {
    /// There is something to read, if only the end.
    ByClient,
    /// The connection was closed.
    ByUs,
}

/// Waits for the first byte, or the next, with nothing but the socket.
async fn rest<S: ClientStream>(io: &mut ClientIo<S>, state: &ConnectionState) -> Roused {
    let mut finishing = false;
    std::future::poll_fn(|cx| {
        state.remember(cx.waker());
        finishing |= state.take_finish();
        if state.closing() {
            Poll::Ready(Roused::ByUs)
        } else if finishing {
            Pin::new(&mut *io).poll_shutdown(cx).map(|_| Roused::ByUs)
        } else {
            io.poll_readable(cx).map(|_| Roused::ByClient)
        }
    })
    .await
}

/// What comes after a piece of conversation. It is taken apart at once: a box would cost each rest an allocation.
enum Turn<S> {
    /// Nothing, for now.
    Rests(ClientIo<S>),
    SpeaksHttp2(S, Vec<u8>),
    /// hyper can make nothing of a head, and another is to say so in our words.
    IsRefused(ClientIo<S>),
    Over,
}

/// Answers requests, until there are none for a while.
async fn converse<S: ClientStream>(
    conversation: &Rc<Conversation>,
    io: ClientIo<S>,
    limits: &ClientLimits,
) -> Turn<S> {
    let state = &conversation.state;
    let service = {
        let conversation = Rc::clone(conversation);
        service_fn(move |request: Request<_>| {
            answer(Rc::clone(&conversation), request.map(Arriving::Http1))
        })
    };
    let mut builder = Builder::new();
    if limits.max_fields > HYPERS_FIELDS {
        builder.max_headers(limits.max_fields);
    }
    let mut connection = builder
        // Ours are `ConnectionState`'s: hyper's one timer cannot tell an idle client from a slow one.
        .header_read_timeout(None)
        // Else hyper reads while a request is served, to see whether its client has gone, and has a new buffer for that each time.
        // `ClientIo` looks without one.
        .half_close(true)
        .max_buf_size(limits::BUFFER.max(limits.max_head))
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    state.set_at_work(true);
    let ended = std::future::poll_fn(|cx| {
        if state.take_finish() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(cx) {
            Poll::Pending if state.closing() => Poll::Ready(Some(Ok(()))),
            Poll::Pending if state.take_may_rest() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
        }
    })
    .await;
    state.set_at_work(false);
    let io = match ended {
        // The gate keeps from hyper what it has no answer for, so nothing is lost with its buffers.
        None => return at_rest(connection.into_parts()),
        Some(_) if state.is_multiplexed() => connection.into_parts(),
        Some(Ok(())) => return Turn::Over,
        Some(Err(error)) => {
            tracing::debug!(%error, "client connection ended");
            let Some(refusal) = unreadable(&error) else {
                return Turn::Over;
            };
            let mut io = connection.into_parts().map(|parts| parts.io.into_inner());
            if let Some(io) = io.take_if(|io| io.refuse_unreadable(refusal.clone())) {
                return Turn::IsRefused(io);
            }
            // Its client does not read, and is not told.
            let line = conversation.state.take_last_line();
            was_refused(conversation, line, refusal.status(), 0);
            return Turn::Over;
        }
    };
    let http2 = io.and_then(|parts| parts.io.into_inner().into_http2());
    http2.map_or(Turn::Over, |(stream, read)| Turn::SpeaksHttp2(stream, read))
}

fn at_rest<S: ClientStream, F>(parts: Option<Parts<TokioIo<ClientIo<S>>, F>>) -> Turn<S> {
    // There are none of a tunnel, which is no connection of ours any more.
    match parts.map(|parts| parts.io.into_inner()) {
        Some(io) if io.is_between_requests() => Turn::Rests(io),
        _ => Turn::Over,
    }
}

/// Why a head is refused of which hyper can make nothing.
fn unreadable(error: &hyper::Error) -> Option<ProxyError> {
    error.is_parse().then(|| match error.is_parse_too_large() {
        true => ProxyError::HeadTooLarge,
        false => ProxyError::BadRequest("the request line or a field is malformed"),
    })
}
