//! Accepting clients, and the life of a client connection around its requests.

use super::access_log::Entry;
use super::client_io::{ClientIo, Logged};
use super::greet::greet;
use super::http2;
use super::inherited::Listener;
use super::limits;
use super::request::{Conversation, answer};
use super::rewrite::Client;
use super::socket::{ClientStream, Socket};
use super::thread::{OpenConnection, Thread};
use crate::router::message::ListenerInfo;
use crate::sys::shortage::Complaints;
use http::StatusCode;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};

/// While there is no room for another connection, or this thread has more than its share.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(10);
const SHARE_PAUSE: Duration = Duration::from_millis(1);
/// When the kernel has no descriptor or memory for us.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// How often a thread looks up from its listener: it must notice that the proxy is to stop.
const ACCEPT_LOOK: Duration = Duration::from_millis(250);
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
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

/// Accepts until the proxy drains. What is beyond the limit waits in the kernel's queue.
pub(super) async fn accept(thread: Rc<Thread>, acceptor: Acceptor, info: ListenerInfo) {
    let info = Rc::new(info);
    let greets = info.greeting.comes_first();
    let mut complaints = Complaints::default();
    while !thread.shared.is_draining() {
        if let Some(pause) = must_pause(&thread) {
            tokio::time::sleep(pause).await;
            continue;
        }
        let accepted = match tokio::time::timeout(ACCEPT_LOOK, acceptor.accept()).await {
            Ok(accepted) => accepted,
            Err(_) => continue,
        };
        match accepted {
            Ok((socket, peer)) => {
                let arrival = Arrival {
                    open: thread.open_connection(),
                    thread: Rc::clone(&thread),
                    info: Rc::clone(&info),
                    peer,
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

fn must_pause(thread: &Thread) -> Option<Duration> {
    let shared = &thread.shared;
    let configured = thread.table().limits.max_connections;
    let most = configured.map_or(shared.max_open, |most| most.min(shared.max_open));
    if shared.open_connections() >= most {
        return Some(NO_ROOM_PAUSE);
    }
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
}

/// Speaks HTTP/1 with a client, to the end of the connection.
pub(super) async fn serve<S: ClientStream>(arrival: Arrival, stream: S) {
    let Arrival {
        thread,
        info,
        open,
        peer,
    } = arrival;
    let state = std::sync::Arc::clone(&open.state);
    let logged = match &thread.shared.log {
        Some(_) => Logged::Yes,
        None => Logged::No,
    };
    // As of now, for all requests of the connection; its times are those of the table in force.
    let limits = thread.table().limits;
    let io = ClientIo::new(stream, std::sync::Arc::clone(&state), logged, limits);
    let io = TokioIo::new(io);
    let conversation = Rc::new(Conversation {
        client: Rc::new(Client::new(peer, &info)),
        state: std::sync::Arc::clone(&state),
        info: Rc::clone(&info),
        thread: Rc::clone(&thread),
    });
    let service = service_fn(move |request| answer(Rc::clone(&conversation), request));
    let mut builder = Builder::new();
    if limits.max_fields > HYPERS_FIELDS {
        builder.max_headers(limits.max_fields);
    }
    let mut connection = builder
        // Ours are `ConnectionState`'s: hyper's one timer cannot tell an idle client from a slow one.
        .header_read_timeout(None)
        .max_buf_size(limits::BUFFER.max(limits.max_head))
        .serve_connection(io, service)
        .with_upgrades();
    let ended = std::future::poll_fn(|cx| {
        state.remember(cx.waker());
        if state.take_finish() {
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(cx) {
            Poll::Pending if state.closing() => Poll::Ready(Ok(())),
            other => other,
        }
    })
    .await;
    if state.is_multiplexed() {
        let parts = connection.into_parts();
        let http2 = parts.and_then(|parts| parts.io.into_inner().into_http2());
        if let Some((stream, read)) = http2 {
            let arrival = Arrival {
                thread,
                info,
                open,
                peer,
            };
            // Boxed, so that those who speak HTTP/1 need no room for it.
            Box::pin(http2::serve(arrival, stream, read)).await;
        }
        return;
    }
    if let Err(error) = ended {
        if error.is_parse()
            && let Some(logger) = &thread.shared.log
        {
            let status = match error.is_parse_too_large() {
                true => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                false => StatusCode::BAD_REQUEST,
            };
            logger.write(Entry::refused(state.take_last_line(), peer, status));
        }
        tracing::debug!(%error, "client connection ended");
    }
}
