//! HTTP/2 with a client: each stream is one request, which goes the same way to a worker as all others.
//!
//! The protocol itself, with its flow control and its defences, is hyper's and h2's; `docs/proxy.md` lists the limits that we
//! set. Here are the life of such a connection and the end of it: GOAWAY first, so that the client knows which requests it may repeat.

mod stream;
mod streams;
mod toll;
mod translate;
mod wire;

pub(super) use stream::Watched;

use crate::proxy::connection::Phase;
use crate::proxy::limits;
use crate::proxy::pages::{self, Markup, Shown};
use crate::proxy::record::Record;
use crate::proxy::reply::without_app;
use crate::proxy::request::answer;
use crate::proxy::serve::Arrival;
use crate::proxy::socket::ClientStream;
use http::header::TRAILER;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use stream::{OpenStream, StreamBody};
use streams::{Streams, Unanswered};
use translate::Kind;
use wire::Wire;

/// Speaks HTTP/2 with a client, to the end of the connection. `read` are bytes that were read already.
pub(super) async fn serve<S: ClientStream>(arrival: Arrival, stream: S, read: Vec<u8>) {
    // As of now, for all requests of the connection.
    let most = arrival.thread.table().limits;
    let (streams, open) = Streams::new(arrival);
    let state = Arc::clone(&open.state);
    state.multiplexes();
    let io = TokioIo::new(Wire::new(stream, read, Arc::clone(&state)));
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

async fn serve_stream(
    streams: Rc<Streams>,
    mut request: Request<Incoming>,
) -> Result<Response<StreamBody>, Infallible> {
    let unanswered = Unanswered::on(&streams);
    let thread = streams.thread();
    let open = Rc::new(OpenStream::new(thread, &streams));
    let markup = Markup::accepted(request.headers());
    let max_fields = thread.table().limits.max_fields;
    let conversation = streams.conversation(open.state());
    let mut response = match translate::request(&mut request, max_fields) {
        Err(error) => {
            let mut record = Record::start(&conversation, &request);
            let table = thread.table();
            let shown = Shown::by(&table.answers, &error);
            let mut response = pages::failure(&error, markup, shown);
            without_app(thread, &mut response);
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
