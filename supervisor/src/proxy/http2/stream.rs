//! One stream: a request, its interim answers, its answer. The same way as all requests, but for what HTTP/2 has instead of bytes.

use super::receive::RequestStream;
use super::send::{self, Asked, Pump};
use super::streams::{Running, Sending, Streams, Unanswered};
use super::translate::{self, Kind};
use super::tunnel::Tunnel;
use super::watch::OpenStream;
use crate::proxy::arriving::Arriving;
use crate::proxy::body::ResponseBody;
use crate::proxy::error::ProxyError;
use crate::proxy::pages::{self, Markup, Shown};
use crate::proxy::record::Record;
use crate::proxy::reply::without_app;
use crate::proxy::request::{Conversation, answer};
use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request, Response};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Serves a request, until its answer is on its way to the end, or the client has taken it back.
pub(super) async fn serve(
    streams: Rc<Streams>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    running: Running,
) {
    let unanswered = Unanswered::on(&streams);
    let open = OpenStream::new(streams.thread(), &streams);
    let asked = match *request.method() {
        Method::HEAD => Asked::Head,
        _ => Asked::Usual,
    };
    let markup = Markup::accepted(request.headers());
    let conversation = streams.conversation(open.state());
    let mut upgrade = None;
    let mut response = match prepare(request, &conversation, &streams, markup) {
        Err(refusal) => *refusal,
        Ok((request, wanted)) => {
            upgrade = wanted;
            let mut answering = pin!(answer(Rc::new(conversation), request));
            let answered =
                std::future::poll_fn(|cx| poll_answer(cx, &open, &mut respond, answering.as_mut()));
            match answered.await {
                None => return,
                Some(response) if upgrade.is_some() => translate::tunnel_response(response, markup),
                Some(response) => response,
            }
        }
    };
    unanswered.done();
    translate::response(&mut response);
    if let Some(upgrade) = upgrade.filter(|_| response.status().is_success()) {
        return upgrade.open(&mut respond, response, running);
    }
    let is_all = send::complete_head(&mut response, asked);
    let (head, body) = response.into_parts();
    let announced = send::announced(&head.headers);
    let sent = send::head(&mut respond, Response::from_parts(head, ()), is_all);
    if let Some(stream) = sent.filter(|_| !is_all) {
        open.answers(body);
        Pump::new(&open, stream, announced).run().await;
    }
}

/// Sends interim answers as they come. None: the client has taken its request back, or is gone.
fn poll_answer(
    cx: &mut Context<'_>,
    open: &OpenStream,
    respond: &mut SendResponse<Bytes>,
    answering: Pin<&mut impl Future<Output = Result<Response<ResponseBody>, Infallible>>>,
) -> Poll<Option<Response<ResponseBody>>> {
    open.state().remember(cx.waker());
    // First of all: nothing is to be sent on a stream that is over.
    if respond.poll_reset(cx).is_ready() {
        return Poll::Ready(None);
    }
    // What a worker sends without end is not to pile up before a client that does not read; see `look_at_stream`.
    if !open.fills_the_line() {
        send_interim(open, respond);
    }
    let answer = answering.poll(cx);
    if answer.is_ready() || !open.fills_the_line() {
        send_interim(open, respond);
    }
    answer.map(|Ok(response)| Some(response))
}

fn send_interim(open: &OpenStream, respond: &mut SendResponse<Bytes>) {
    let interim = &open.state().interim;
    if !interim.has_heads() {
        return;
    }
    for head in interim.take_heads() {
        if let Err(error) = respond.send_informational(head) {
            tracing::debug!(%error, "an interim answer cannot be sent");
        }
    }
}

/// A request as all others are, and what becomes a tunnel if its answer is a success.
type Prepared = (Request<Arriving>, Option<Upgrade>);

/// Makes a request of what has come on a stream.
///
/// # Errors
/// The answer to what is no such request.
fn prepare(
    request: Request<RecvStream>,
    conversation: &Conversation,
    streams: &Rc<Streams>,
    markup: Markup,
) -> Result<Prepared, Box<Response<ResponseBody>>> {
    let (head, stream) = request.into_parts();
    let body = RequestStream::new(stream, &head.headers, &conversation.state, streams);
    let mut request = Request::from_parts(head, body);
    let max_fields = conversation.thread.table().limits.max_fields;
    match translate::request(&mut request, max_fields) {
        Err(error) => {
            let refusal = refuse(conversation, &request, &error, markup);
            Err(Box::new(refusal))
        }
        Ok(Kind::Plain) => Ok((request.map(Arriving::Http2), None)),
        Ok(Kind::Tunnel) => {
            let (opened, end) = oneshot::channel();
            let (head, body) = request.into_parts();
            let upgrade = Upgrade {
                stream: body.into_stream(),
                opened,
            };
            let request = Request::from_parts(head, Arriving::Tunnel(Some(end)));
            Ok((request, Some(upgrade)))
        }
    }
}

/// What is no request of HTTP/1.1.
fn refuse<B>(
    conversation: &Conversation,
    request: &Request<B>,
    error: &ProxyError,
    markup: Markup,
) -> Response<ResponseBody> {
    let thread = &conversation.thread;
    let mut record = Record::start(conversation, request);
    let table = thread.table();
    let shown = Shown::by(&table.answers, error);
    let mut response = pages::failure(error, markup, shown);
    without_app(thread, &mut response);
    record.answered_by_us(&response);
    response
}

/// What is there for a tunnel.
struct Upgrade {
    stream: (RecvStream, Option<Sending>),
    opened: oneshot::Sender<Tunnel>,
}

impl Upgrade {
    /// Tells the client and whoever waits for the tunnel.
    fn open(
        self,
        respond: &mut SendResponse<Bytes>,
        mut response: Response<ResponseBody>,
        running: Running,
    ) {
        send::complete_tunnel_head(response.headers_mut());
        let Some(down) = send::head(respond, response.map(|_| ()), false) else {
            return;
        };
        // Whoever is gone drops it, and so ends the stream.
        let _ = self.opened.send(Tunnel::new(self.stream, down, running));
    }
}
