//! HTTP/2 with a client: each stream is one request, which goes the same way to a worker as all others.
//!
//! The protocol itself, with its flow control and its defences, is h2's; `docs/proxy.md` lists the limits that we set. Here are
//! the life of such a connection and the end of it: GOAWAY first, so that the client knows which requests it may repeat.
//!
//! ```text
//! wire ──▶ serve ──▶ stream ──▶ translate ──▶ the line of all requests ──▶ stream ──▶ send ──▶ wire
//! toll     accept    a task     HTTP/1.1      receive: the body            interim    head,
//! alive              each                     tunnel: a WebSocket          answers    body
//! ```

mod alive;
mod date;
mod receive;
mod send;
mod stream;
mod streams;
mod toll;
mod translate;
mod tunnel;
mod watch;
mod wire;

pub(super) use receive::RequestStream;
pub(super) use tunnel::OpenedTunnel;
pub(super) use watch::Watched;

use super::connection::{ConnectionState, Phase};
use super::limits;
use super::serve::Arrival;
use super::socket::ClientStream;
use alive::{Heard, until_silent};
use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use streams::Streams;
use wire::Wire;

/// Speaks HTTP/2 with a client, to the end of the connection. `read` are bytes that were read already.
pub(super) async fn serve<S: ClientStream>(arrival: Arrival, stream: S, read: Vec<u8>) {
    // As of now, for all requests of the connection.
    let most = arrival.thread.table().limits;
    let (streams, open) = Streams::new(arrival);
    let state = Arc::clone(&open.state);
    state.multiplexes();
    let heard = Rc::new(Heard::default());
    let wire = Wire::new(stream, read, Arc::clone(&state), Rc::clone(&heard));
    let connected = {
        let mut handshake = Builder::new()
            .max_concurrent_streams(limits::STREAMS)
            .initial_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_send_buffer_size(limits::BUFFER)
            .max_header_list_size(u32::try_from(most.max_head).unwrap_or(u32::MAX))
            .enable_connect_protocol()
            .handshake(wire);
        std::future::poll_fn(|cx| poll_handshake(cx, &mut handshake, &state)).await
    };
    let ended = match connected {
        // By reference, so that the task of each connection has no room for more than it needs.
        Ok(Some(mut connection)) => converse(&mut connection, &streams, &state, &heard).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "client connection ended");
    }
}

type ClientConnection<S> = Connection<Wire<S>, Bytes>;

/// None: the connection was closed before.
fn poll_handshake<S: ClientStream>(
    cx: &mut Context<'_>,
    handshake: &mut Handshake<Wire<S>, Bytes>,
    state: &ConnectionState,
) -> Poll<Result<Option<ClientConnection<S>>, h2::Error>> {
    state.remember(cx.waker());
    match Pin::new(handshake).poll(cx) {
        Poll::Pending if state.closing() => Poll::Ready(Ok(None)),
        other => other.map_ok(Some),
    }
}

/// Takes requests, until there are no more.
async fn converse<S: ClientStream>(
    connection: &mut ClientConnection<S>,
    streams: &Rc<Streams>,
    state: &ConnectionState,
    heard: &Heard,
) -> Result<(), h2::Error> {
    let pings = connection.ping_pong().expect("nobody else has taken them");
    let silent = until_silent(pings, heard, limits::PING_INTERVAL, limits::PING_TIMEOUT);
    let mut silent = pin!(silent);
    let mut goodbye = false;
    let mut window = limits::CONNECTION_WINDOW;
    std::future::poll_fn(|cx| {
        state.remember(cx.waker());
        if state.take_finish() {
            goodbye = true;
            connection.graceful_shutdown();
        }
        if state.closing() && !goodbye {
            // Whoever waits for nothing is told, and has a moment to hear it.
            goodbye = true;
            connection.graceful_shutdown();
            state.enter(Phase::Lingering);
            state.close_later();
        }
        if silent.as_mut().poll(cx).is_ready() {
            tracing::debug!("the client does not answer a PING");
            return Poll::Ready(Ok(()));
        }
        if streams.window() != window {
            window = streams.window();
            connection.set_target_window_size(window);
        }
        loop {
            match pin!(connection.accept()).poll(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let running = streams.enter();
                    let serving = stream::serve(Rc::clone(streams), request, respond, running);
                    tokio::task::spawn_local(serving);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if state.closing() => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
