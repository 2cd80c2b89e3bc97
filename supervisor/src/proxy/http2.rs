//! HTTP/2 with a client: each stream is one request, which goes the same way to a worker as all others.
//!
//! The protocol itself, with its flow control and its defences, is hyper's and h2's; `docs/proxy.md` lists the limits that we
//! set. Here are the life of such a connection and the end of it: GOAWAY first, so that the client knows which requests it may repeat.

use super::connection::{ConnectionState, Phase};
use super::limits;
use super::pages::{self, Markup, Shown};
use super::record::Record;
use super::reply::without_app;
use super::request::{Conversation, answer};
use super::rewrite::Client;
use super::serve::Arrival;
use super::socket::ClientStream;
use super::stream::{OpenStream, StreamBody};
use super::thread::Thread;
use super::translate::{self, Kind};
use super::wire::Wire;
use crate::router::message::ListenerInfo;
use http::header::TRAILER;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Speaks HTTP/2 with a client, to the end of the connection. `read` are bytes that were read already.
pub(super) async fn serve<S: ClientStream>(arrival: Arrival, stream: S, read: Vec<u8>) {
    let Arrival {
        thread,
        info,
        open,
        peer,
        secured,
    } = arrival;
    let state = Arc::clone(&open.state);
    state.multiplexes();
    let io = TokioIo::new(Wire::new(stream, read, Arc::clone(&state)));
    // As of now, for all requests of the connection.
    let most = thread.table().limits;
    let streams = Rc::new(Streams {
        client: Rc::new(Client::new(peer, secured, &info)),
        state: Arc::clone(&state),
        info,
        thread,
        open: Cell::new(0),
        stuck: Cell::new(0),
        cancelled: Cell::new(0),
    });
    let service = {
        let streams = Rc::clone(&streams);
        service_fn(move |request| serve_stream(Rc::clone(&streams), request))
    };
    let connection = Builder::new(Spawn(streams))
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::PING_INTERVAL)
        .keep_alive_timeout(limits::PING_TIMEOUT)
        .max_concurrent_streams(limits::STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::BUFFER)
        .max_header_list_size(u32::try_from(most.max_head).unwrap_or(u32::MAX))
        .enable_connect_protocol()
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut goodbye = false;
    let ended = std::future::poll_fn(|cx| {
        state.remember(cx.waker());
        if state.take_finish() {
            goodbye = true;
            connection.as_mut().graceful_shutdown();
        }
        if state.closing() && !goodbye {
            // Whoever waits for nothing is told, and has a moment to hear it.
            goodbye = true;
            connection.as_mut().graceful_shutdown();
            state.enter(Phase::Lingering);
            state.close_later();
        }
        match connection.as_mut().poll(cx) {
            Poll::Pending if state.closing() => Poll::Ready(Ok(())),
            other => other,
        }
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "client connection ended");
    }
}

/// What the streams of one connection have in common.
#[derive(Debug)]
pub(super) struct Streams {
    client: Rc<Client>,
    /// Of the connection.
    state: Arc<ConnectionState>,
    info: Rc<ListenerInfo>,
    thread: Rc<Thread>,
    open: Cell<usize>,
    /// Streams whose client takes nothing of what it has asked for; they hold no worker any more.
    stuck: Cell<usize>,
    /// Requests that the client has taken back, less those that it has waited for.
    cancelled: Cell<u32>,
}

impl Streams {
    /// A stream begins, or a part of it that outlives the rest.
    fn enter(self: &Rc<Self>) -> Running {
        self.open.set(self.open.get() + 1);
        if self.open.get() == 1 {
            self.state.enter(Phase::Busy);
        }
        Running(Rc::clone(self))
    }

    /// Whether the client's connection takes nothing more at the moment.
    pub(super) fn fill_the_line(&self) -> bool {
        self.state.is_write_blocked()
    }

    pub(super) fn is_stuck(&self) {
        self.stuck.set(self.stuck.get() + 1);
        self.close_if_all_are_stuck();
    }

    pub(super) fn was_stuck(&self) {
        self.stuck.set(self.stuck.get() - 1);
    }

    fn close_if_all_are_stuck(&self) {
        let stuck = self.stuck.get();
        if stuck > 0 && stuck >= self.open.get() {
            self.state.close();
        }
    }

    /// A client that asks and does not wait costs work and pays none (CVE-2023-44487). It is asked to go, as it may be
    /// somebody who looks through a map, and sent away if it goes on: until it has heard us it may still ask.
    fn was_cancelled(&self) {
        let cancelled = self.cancelled.get() + 1;
        self.cancelled.set(cancelled);
        if cancelled == limits::CANCELLED + 1 {
            tracing::debug!(peer = ?self.client.peer, "too many requests were taken back");
            self.state.finish();
        } else if cancelled > 2 * limits::CANCELLED {
            self.state.close();
        }
    }

    fn was_answered(&self) {
        self.cancelled.set(self.cancelled.get().saturating_sub(1));
    }
}

/// Counts for as long as it lives.
struct Running(Rc<Streams>);

impl Drop for Running {
    fn drop(&mut self) {
        let streams = &self.0;
        streams.open.set(streams.open.get() - 1);
        if streams.open.get() == 0 {
            streams.state.enter(Phase::Idle);
        } else {
            streams.close_if_all_are_stuck();
        }
    }
}

/// hyper's way to run the streams of a connection: on this thread, counted.
#[derive(Clone)]
struct Spawn(Rc<Streams>);

impl<F: Future + 'static> Executor<F> for Spawn {
    fn execute(&self, stream: F) {
        let running = self.0.enter();
        tokio::task::spawn_local(async move {
            stream.await;
            drop(running);
        });
    }
}

/// A request that is being served. Dropped before it is done: the client has taken it back.
struct Unanswered<'a>(Option<&'a Streams>);

impl Unanswered<'_> {
    fn done(mut self) {
        if let Some(streams) = self.0.take() {
            streams.was_answered();
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(streams) = self.0 {
            streams.was_cancelled();
        }
    }
}

async fn serve_stream(
    streams: Rc<Streams>,
    mut request: Request<Incoming>,
) -> Result<Response<StreamBody>, Infallible> {
    let unanswered = Unanswered(Some(&streams));
    let open = Rc::new(OpenStream::new(&streams.thread, &streams));
    let markup = Markup::accepted(request.headers());
    let max_fields = streams.thread.table().limits.max_fields;
    let conversation = Conversation {
        client: Rc::clone(&streams.client),
        state: Arc::clone(open.state()),
        info: Rc::clone(&streams.info),
        thread: Rc::clone(&streams.thread),
    };
    let mut response = match translate::request(&mut request, max_fields) {
        Err(error) => {
            let mut record = Record::start(&conversation, &request);
            let table = streams.thread.table();
            let shown = Shown::by(&table.answers, &error);
            let mut response = pages::failure(&error, markup, shown);
            without_app(&streams.thread, &mut response);
            record.answered_by_us(&response);
            response
        }
        Ok(kind) => {
            let Ok(response) = answer(Rc::new(conversation), request).await;
            match kind {
                Kind::Plain => response,
                Kind::Tunnel => translate::tunnel_response(response, markup),
            }
        }
    };
    translate::response(&mut response);
    unanswered.done();
    let announced = response.headers().get(TRAILER).cloned();
    Ok(response.map(|body| StreamBody::new(body, open, announced)))
}
