//! What the proxy answers by itself: pages for failures, redirects, refusals.

use super::access_log::Entry;
use super::body::ResponseBody;
use super::connection::Refusal;
use super::error::ProxyError;
use super::limits;
use super::pages::{self, Details, Markup, Shown};
use super::request::Conversation;
use super::snapshot::{App, Snapshot};
use super::thread::Thread;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Why a request failed, and whose page it is.
pub(super) struct Failure {
    pub(super) error: ProxyError,
    pub(super) app: Option<Arc<App>>,
    /// The worker that failed it.
    pub(super) worker: Option<u64>,
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        let (app, worker) = (None, None);
        Self { error, app, worker }
    }
}

/// The answer to a head that was refused before it became a request.
pub(super) fn refuse(
    conversation: &Conversation,
    method: &Method,
    refusal: Refusal,
) -> Response<ResponseBody> {
    let table = conversation.thread.table();
    let shown = Shown::by(&table.answers, &refusal.error);
    let mut response = pages::failure(&refusal.error, Markup::Plain, shown);
    without_app(&conversation.thread, &mut response);
    let length = response.body().size_hint().exact();
    let sent = length.filter(|_| method != Method::HEAD).unwrap_or(0);
    was_refused(conversation, refusal.line, response.status(), sent);
    conversation.state.request_ended();
    response
}

/// Counts and logs a head that never became a request, with the `line` that it began with.
pub(super) fn was_refused(
    conversation: &Conversation,
    line: Vec<u8>,
    status: StatusCode,
    sent: u64,
) {
    let (thread, client) = (&conversation.thread, &conversation.client);
    let status = status.as_u16();
    thread.without_app().refused(status, sent);
    if let Some(logger) = &thread.shared.log {
        let entry = Entry::refused(line, client.peer, client.secured.clone(), status, sent);
        logger.write(Box::new(entry));
    }
}

/// What the site does with an answer of ours.
pub(super) fn without_app(thread: &Thread, response: &mut Response<ResponseBody>) {
    thread.table().answers.headers.apply(response.headers_mut());
}

/// By us, and it is no error.
pub(super) fn answered(
    conversation: &Conversation,
    mut response: Response<ResponseBody>,
) -> Response<ResponseBody> {
    conversation.state.request_ended();
    without_app(&conversation.thread, &mut response);
    response
}

/// Sent elsewhere by a rule of the site.
pub(super) fn redirected(
    conversation: &Conversation,
    table: &Snapshot,
    host: Option<&HeaderValue>,
    target: &PathAndQuery,
) -> Option<Response<ResponseBody>> {
    if table.redirects.is_empty() {
        return None;
    }
    let host = conversation.client.host(host);
    let scheme = &conversation.info.scheme;
    let (status, location) = table.redirects.find(scheme, host, target)?;
    Some(pages::redirect(status, location))
}

/// The page for a failure. Under `debug` it waits a moment for the report of the death that it is about.
pub(super) async fn explain(
    thread: &Rc<Thread>,
    failure: Failure,
    markup: Markup,
) -> Response<ResponseBody> {
    let Failure { error, app, worker } = failure;
    let mut table = thread.table();
    if !table.debug {
        let answers = app.as_ref().map_or(&table.answers, |app| &app.answers);
        return pages::failure(&error, markup, Shown::by(answers, &error));
    }
    let name = app.as_ref().map(|app| &*app.name);
    let death = |table: &Snapshot| {
        let app = table.apps.get(name?)?;
        app.spec.last_death.clone()
    };
    let reported =
        |table: &Snapshot| death(table).is_some_and(|death| Some(death.worker) == worker);
    if error == ProxyError::WorkerGone && worker.is_some() {
        let deadline = tokio::time::Instant::now() + limits::DEATH_REPORT;
        while !reported(&table) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
            table = thread.table();
        }
    }
    let death = if error.is_about_a_worker() {
        death(&table)
    } else {
        None
    };
    let death = death.filter(|death| worker.is_none_or(|worker| worker == death.worker));
    let details = Details {
        app: name,
        death: death.as_ref(),
    };
    pages::failure(&error, markup, Shown::With(&details))
}
