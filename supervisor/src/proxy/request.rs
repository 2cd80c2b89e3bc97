//! The straight line of a request: check, route, read ahead, wait, send, answer. Errors become responses in one place.

use super::accept::accept_answer;
use super::arriving::Arriving;
use super::asked::Asked;
use super::body::ResponseBody;
use super::connection::{ConnectionState, Phase};
use super::error::ProxyError;
use super::exchange::{Course, Failed, Outgoing, acquire, send};
use super::files;
use super::incoming::{Aim, Incoming};
use super::leftover;
use super::pages::{self, Markup};
use super::record::Record;
use super::reply::{Failure, answered, explain, redirected, refuse, without_app};
use super::rewrite::Client;
use super::seen::Seen;
use super::snapshot::{App, Snapshot};
use super::suspects::Treatment;
use super::thread::{Held, Thread};
use super::upstream::Lease;
use crate::router::message::ListenerInfo;
use crate::router::urlmap::{Matched, Outcome, RequestTarget, path_info};
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What the requests of one client connection have in common.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) client: Rc<Client>,
    pub(super) state: Arc<ConnectionState>,
    pub(super) info: Rc<ListenerInfo>,
    pub(super) thread: Rc<Thread>,
}

/// Answers a request, whatever happens.
pub(super) async fn answer(
    conversation: Rc<Conversation>,
    request: Request<Arriving>,
) -> Result<Response<ResponseBody>, Infallible> {
    let state = &conversation.state;
    state.enter(Phase::Busy);
    let thread = &conversation.thread;
    if let Some(refusal) = state.take_refusal() {
        return Ok(refuse(&conversation, request.method(), refusal));
    }
    let seen = Seen::of(request.headers());
    let markup = match seen.accept {
        true => Markup::accepted(request.headers()),
        false => Markup::default(),
    };
    let version = request.version();
    let is_last = leftover::is_last(version, request.headers(), seen);
    let mut record = Record::start(&conversation, &request);
    let unread;
    let longest = thread.table().limits.max_target;
    let checked = Incoming::check(&conversation, request, seen, longest, &mut record);
    let outcome = match checked {
        Ok(Some((incoming, aim))) => forward(&conversation, incoming, aim, &mut record).await,
        Ok(None) => Ok(answered(&conversation, pages::server_options())),
        Err(error) => Err(error.into()),
    };
    let mut response = match outcome {
        Ok(response) => {
            // What goes on with a worker's answer has taken it.
            record.answered_by_us(&response);
            unread = record.unread();
            response
        }
        Err(failure) => {
            record.failed(&failure.error);
            let app = failure.app.clone();
            let mut response = explain(thread, failure, markup).await;
            match app {
                Some(app) => app.answers.headers.apply(response.headers_mut()),
                None => without_app(thread, &mut response),
            }
            record.answered_by_us(&response);
            unread = record.unread();
            drop(record);
            state.request_ended();
            response
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        close_if_needed(&mut response, version, thread.shared.is_draining(), state);
    }
    if let Some(body) = unread {
        leftover::settle(&body, is_last, state, &mut response);
    }
    Ok(response)
}

/// The last answer before a drain ends the connection, and one whose end is the end of the connection
/// (HTTP/1.0 knows no other when the length is not known).
fn close_if_needed(
    response: &mut Response<ResponseBody>,
    version: Version,
    draining: bool,
    state: &ConnectionState,
) {
    let endless = version == Version::HTTP_10
        && http_body::Body::size_hint(response.body())
            .exact()
            .is_none();
    if endless {
        state.ends_a_body();
    }
    if draining || endless {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        if version == Version::HTTP_10 {
            // Else hyper adds `keep-alive` to it for clients that have asked for that.
            *response.version_mut() = Version::HTTP_10;
        }
    }
}

/// Has a worker answer, or whoever answers in its place.
async fn forward(
    conversation: &Conversation,
    mut incoming: Box<Incoming>,
    aim: Aim,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Failure> {
    let thread = &conversation.thread;
    let path = path_info(aim.target.as_str().as_bytes())
        .map_err(|_| ProxyError::BadRequest("the path contains an encoded control character"))?;
    if let Some(response) = sent_elsewhere(conversation, &incoming.head.method, &aim) {
        return Ok(answered(conversation, response));
    }
    let mut course = Course::new(conversation, &incoming.head, &aim, record);
    let mut said = None;
    let mut outgoing: Option<Box<Outgoing>> = None;
    let mut told_for: Option<u64> = None;
    let mut waiting_since = None;
    let mut held: Option<Lease> = None;
    loop {
        let table = thread.table();
        let (app, matched) = route(&table, &aim.to_route(conversation, &path))?;
        let failed = |error, worker| Failure {
            error,
            app: Some(Arc::clone(app)),
            worker,
        };
        let said = match &mut said {
            Some(said) => said,
            none => {
                let new = incoming.clean(conversation, &table, app, course.record);
                course.asked.id = Some(new.id.clone());
                none.insert(new)
            }
        };
        // Also when it has waited, or is to be repeated: the table may know more by now.
        course.once = judge(app, &course.asked).map_err(|error| failed(error, None))?;
        if outgoing.is_none() || app.spec.files.is_some() {
            let origin = said.origin.or(conversation.client.peer);
            refuse_early(app, origin).map_err(|error| failed(error, None))?;
        }
        if let Some(files) = &app.spec.files {
            if let Some(request) = outgoing {
                // It was for another app.
                incoming.head.headers = request.headers;
            }
            let asked = files::Asked {
                head: &incoming.head,
                path_info: &matched.path_info,
                target: &aim.target,
                host: conversation.client.host(aim.host.as_ref()),
            };
            let Course {
                asked: request,
                record,
                ..
            } = course;
            // Boxed, for the sake of requests that go to workers.
            let served = files::answer(conversation, app, files, &asked, request, record);
            return Box::pin(served).await.map_err(|error| failed(error, None));
        }
        let mut request = match outgoing.take() {
            Some(request) => request,
            None => incoming
                .outgoing(thread, app, &aim)
                .await
                .map_err(|error| failed(error, None))?,
        };
        let lease = match held.take().filter(|lease| app.names(lease.upstream().id())) {
            Some(lease) => lease,
            None => match acquire(thread, app, &mut waiting_since, course.record).await {
                Ok(Some(lease)) => lease,
                Ok(None) => {
                    outgoing = Some(request);
                    // The control loop may be about to hand this very table to the queues.
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(error) => return Err(failed(error, None)),
            },
        };
        let waited = waiting_since.is_some();
        if (waited || !app.names(lease.upstream().id())) && !Rc::ptr_eq(&thread.table(), &table) {
            // It waited while the table was replaced: the route may lead elsewhere now, or nowhere.
            outgoing = Some(request);
            held = Some(lease);
            continue;
        }
        if told_for.replace(app.version) != Some(app.version) {
            incoming.tell(conversation, app, &matched, &aim, said, &mut request);
        }
        match send(thread, app, lease, request, &mut course).await {
            Ok(answer) => {
                acquit(thread, &table, app, &course.asked);
                conversation.state.interim_written().await;
                let worker = Some(answer.lease.upstream().id());
                let Course { asked, record, .. } = course;
                if let Some(conditions) = &incoming.conditions
                    && files::is_named(&answer.head.headers)
                {
                    let codings = incoming.wishes.codings.map(|client| client.accepted);
                    let client = files::Client {
                        conditions,
                        codings,
                    };
                    let sent = files::send(conversation, app, answer, client, asked, record);
                    return Box::pin(sent).await.map_err(|error| failed(error, worker));
                }
                return accept_answer(conversation, app, answer, incoming.wishes, asked, record)
                    .map_err(|error| failed(error, worker));
            }
            Err(Failed::Final { error, worker }) => return Err(failed(error, Some(worker))),
            Err(Failed::Unanswered(unanswered)) => {
                outgoing = Some(unanswered);
                course.fresh = true;
            }
        }
    }
}

/// By a rule of the site, or because its listener only says where to go instead.
fn sent_elsewhere(
    conversation: &Conversation,
    method: &Method,
    aim: &Aim,
) -> Option<Response<ResponseBody>> {
    let (host, target) = (aim.host.as_ref(), &aim.target);
    let Some(port) = conversation.info.greeting.redirect else {
        let table = conversation.thread.table();
        return redirected(conversation, &table, host, target);
    };
    let host = conversation.client.host(host);
    Some(pages::to_https(host, port, method, target))
}

/// The app for a request, in one table.
fn route<'t, 'q>(
    table: &'t Snapshot,
    asked: &RequestTarget<'q>,
) -> Result<(&'t Arc<App>, Matched<'t, 'q>), ProxyError> {
    match table.router.route(asked) {
        Outcome::App(matched) => Ok((find_app(table, matched.app)?, matched)),
        Outcome::NotFound => Err(ProxyError::NotFound),
        Outcome::BadRequest => Err(ProxyError::BadRequest("the request target is no path")),
    }
}

fn find_app<'t>(table: &'t Snapshot, name: &str) -> Result<&'t Arc<App>, ProxyError> {
    table.apps.get(name).ok_or_else(|| ProxyError::Unloadable {
        reason: format!("the route table names the app `{name}`, but does not describe it"),
    })
}

/// Refusals that need no body: the client learns at once, and is not asked to send one (100 Continue).
fn refuse_early(app: &App, client: Option<SocketAddr>) -> Result<(), ProxyError> {
    use crate::router::message::Serving;
    if let Some(maintenance) = &app.spec.maintenance
        && !app.let_in.covers(client)
    {
        let message = maintenance.message.clone();
        let retry_after_s = maintenance.retry_after_s;
        return Err(ProxyError::Maintenance {
            message,
            retry_after_s,
        });
    }
    match app.spec.serving {
        Serving::Failed { retry_after_s } => Err(ProxyError::Failed { retry_after_s }),
        Serving::Stopped => Err(ProxyError::Stopped),
        Serving::Up | Serving::Idle => Ok(()),
    }
}

/// Whether a request may be sent once only, because it may be deadly.
///
/// # Errors
/// It was deadly several times in a row, and is refused for a while.
fn judge(app: &App, asked: &Asked) -> Result<bool, ProxyError> {
    if app.suspects.is_empty() {
        return Ok(false);
    }
    match app
        .suspects
        .treatment(asked.method.as_str(), asked.path(), Instant::now())
    {
        Treatment::Usual => Ok(false),
        Treatment::Once => Ok(true),
        Treatment::Refused { left, deaths } => Err(ProxyError::Deadly {
            retry_after_s: left.as_secs() + 1,
            deaths,
        }),
    }
}

/// There is an answer: if the request is a suspect by now, it is one no more.
fn acquit(thread: &Rc<Thread>, table: &Rc<Held>, app: &Arc<App>, asked: &Asked) {
    let in_force = thread.table();
    let app = if Rc::ptr_eq(&in_force, table) {
        app
    } else {
        match in_force.apps.get(&*app.name) {
            Some(app) => app,
            None => return,
        }
    };
    if !app.suspects.is_empty() {
        let (method, path) = (asked.method.as_str(), asked.path());
        let outbox = &thread.shared.outbox;
        app.suspects.answered(&app.name, method, path, outbox);
    }
}
