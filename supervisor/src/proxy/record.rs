//! One request from its head to its end: what is to be counted and logged of it then, however it ends.

use super::access_log::{Entry, Try};
use super::body::{ResponseBody, SharedAccount};
use super::error::ProxyError;
use super::origin::Origin;
use super::request::Conversation;
use super::snapshot::App;
use super::thread::Thread;
use super::trace::Trace;
use super::traffic::{Cells, End};
use super::upstream::Upstream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything about a request that outlives its answer. Dropping it is the end of the request.
#[derive(Debug)]
pub(super) struct Record(Option<Inner>);

#[derive(Debug)]
struct Inner {
    thread: Rc<Thread>,
    log: Option<Box<Entry>>,
    /// Of the app, once it is known.
    cells: Option<Arc<Cells>>,
    since: Instant,
    ended: Option<Instant>,
    /// The answer has no body, whatever it says.
    is_head: bool,
    /// 0: there is no answer yet.
    status: u16,
    sent: u64,
    received: Received,
    tries: u32,
    waiting_since: Option<Instant>,
    waited: Option<Duration>,
}

#[derive(Debug)]
enum Received {
    Known(u64),
    By(SharedAccount),
}

impl Record {
    pub(super) fn start<B>(conversation: &Conversation, request: &Request<B>) -> Self {
        let thread = Rc::clone(&conversation.thread);
        let log = thread.shared.log.as_ref().map(|log| {
            let client = &conversation.client;
            let port = conversation.info.server_port;
            Box::new(Entry::start(&log.program, request, client, port))
        });
        Self(Some(Inner {
            thread,
            log,
            cells: None,
            since: Instant::now(),
            ended: None,
            is_head: request.method() == Method::HEAD,
            status: 0,
            sent: 0,
            received: Received::Known(0),
            tries: 0,
            waiting_since: None,
            waited: None,
        }))
    }

    /// What goes on with the answer; nothing is left here.
    pub(super) fn take(&mut self) -> Self {
        Self(self.0.take())
    }

    pub(super) fn since(&self) -> Instant {
        self.0
            .as_ref()
            .map_or_else(Instant::now, |inner| inner.since)
    }

    /// The body is counted while it comes.
    pub(super) fn receives(&mut self, body: SharedAccount) {
        if let Some(inner) = &mut self.0 {
            inner.received = Received::By(body);
        }
    }

    /// Its body, if not all of it was read.
    pub(super) fn unread(&self) -> Option<SharedAccount> {
        match &self.0.as_ref()?.received {
            Received::By(body) if body.is_open() => Some(Rc::clone(body)),
            Received::By(_) | Received::Known(_) => None,
        }
    }

    /// It is for this app. Called once.
    pub(super) fn is_for(&mut self, app: &App) {
        if let Some(inner) = &mut self.0 {
            let cells = app.queue.traffic.of_thread(inner.thread.index);
            cells.begin();
            inner.cells = Some(Arc::clone(cells));
            if app.spec.unlogged {
                inner.log = None;
            }
            if let Some(entry) = &mut inner.log {
                entry.app = Some(Arc::clone(&app.name));
            }
        }
    }

    pub(super) fn has_id(&mut self, id: &HeaderValue) {
        if let Some(entry) = self.entry() {
            entry.request_id = Some(id.clone());
        }
    }

    /// A trusted peer has told of the client.
    pub(super) fn comes_from(&mut self, origin: Origin) {
        if let Some(entry) = self.entry() {
            entry.comes_from(origin);
        }
    }

    /// These go to the worker.
    pub(super) fn traced(&mut self, headers: &HeaderMap) {
        if let Some(entry) = self.entry() {
            entry.trace = Trace::of(headers);
        }
    }

    /// It waits for a worker.
    pub(super) fn waits(&mut self) {
        if let Some(inner) = &mut self.0 {
            inner.waiting_since = Some(Instant::now());
        }
    }

    /// It waits no more.
    pub(super) fn has_waited(&mut self) {
        if let Some(inner) = &mut self.0
            && let Some(since) = inner.waiting_since.take()
        {
            inner.waited = Some(inner.waited.unwrap_or_default() + since.elapsed());
        }
    }

    /// A try begins.
    pub(super) fn tries(&mut self, upstream: &Arc<Upstream>) {
        if let Some(inner) = &mut self.0 {
            inner.tries += 1;
            if let Some(entry) = &mut inner.log {
                entry.upstream = Some(Arc::clone(upstream));
                entry.last_try = Some(Try::begin());
            }
        }
    }

    pub(super) fn connected(&mut self) {
        if let Some(last) = self.entry().and_then(|entry| entry.last_try.as_mut()) {
            last.connected = Some(Instant::now());
        }
    }

    /// The head of the worker's answer is there.
    pub(super) fn answered(&mut self, status: StatusCode) {
        if let Some(inner) = &mut self.0 {
            inner.status = status.as_u16();
            if let Some(last) = inner.log.as_mut().and_then(|log| log.last_try.as_mut()) {
                last.answered = Some(Instant::now());
                last.status = Some(status.as_u16());
            }
        }
    }

    /// What the client is told in the end, where that is not the worker's word.
    pub(super) fn becomes(&mut self, status: StatusCode) {
        if let Some(inner) = &mut self.0 {
            inner.status = status.as_u16();
        }
    }

    /// These go to the client.
    pub(super) fn fields(&mut self, headers: &HeaderMap) {
        if let Some(inner) = &mut self.0
            && let (Some(entry), Some(log)) = (&mut inner.log, &inner.thread.shared.log)
        {
            entry.answered(&log.program, headers);
        }
    }

    /// No worker has answered: this did.
    pub(super) fn answered_by_us(&mut self, response: &Response<ResponseBody>) {
        self.fields(response.headers());
        if let Some(inner) = &mut self.0 {
            inner.status = response.status().as_u16();
            let length = http_body::Body::size_hint(response.body()).exact();
            inner.sent = length.filter(|_| !inner.is_head).unwrap_or(0);
        }
    }

    /// It is answered by us, for this reason.
    pub(super) fn failed(&mut self, error: &ProxyError) {
        if let Some(cells) = self.cells() {
            cells.failed(error);
        }
    }

    /// The worker has not sent its answer to the end.
    pub(super) fn broken_off(&mut self) {
        if let Some(cells) = self.cells() {
            cells.broken_off();
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(inner) = &mut self.0 {
            inner.sent += bytes as u64;
        }
    }

    /// Nothing goes on with its answer. If the last byte of that was not on its way, so many were not that count as sent.
    pub(super) fn leaves(&mut self, unsent: impl FnOnce() -> u64) {
        if let Some(inner) = &mut self.0
            && inner.ended.is_none()
        {
            inner.sent = inner.sent.saturating_sub(unsent());
        }
    }

    /// A tunnel has carried so many bytes from the client and to it.
    pub(super) fn carried(&mut self, from_client: u64, to_client: u64) {
        if let Some(inner) = &mut self.0 {
            inner.received = Received::Known(from_client);
            inner.sent = to_client;
        }
    }

    /// The last byte is on its way.
    pub(super) fn ended(&mut self, at: Instant) {
        if let Some(inner) = &mut self.0 {
            inner.ended = Some(at);
        }
    }

    fn cells(&self) -> Option<&Cells> {
        self.0.as_ref()?.cells.as_deref()
    }

    fn entry(&mut self) -> Option<&mut Entry> {
        self.0.as_mut()?.log.as_deref_mut()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or_else(Instant::now);
        if let Some(since) = self.waiting_since {
            let waited = ended.saturating_duration_since(since);
            self.waited = Some(self.waited.unwrap_or_default() + waited);
        }
        let end = End {
            status: (self.status != 0).then_some(self.status),
            sent: self.sent,
            received: match &self.received {
                Received::Known(bytes) => *bytes,
                Received::By(body) => body.received(),
            },
            took: ended.saturating_duration_since(self.since),
            waited: self.waited,
            tries: self.tries,
        };
        match &self.cells {
            Some(cells) => cells.end(&end),
            None => {
                let cells = self.thread.without_app();
                cells.begin();
                cells.end(&end);
            }
        }
        if let (Some(mut entry), Some(log)) = (self.log.take(), &self.thread.shared.log) {
            entry.ended(&end, ended);
            log.write(entry);
        }
    }
}
