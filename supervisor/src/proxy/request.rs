//! The straight line of a request: check, route, read ahead, wait, send, answer. Errors become responses in one place.

use super::accept_encoding::Accepted;
use super::access_log::Entry;
use super::asked::Asked;
use super::body::{BodyError, ClientBody, ReadAhead, RequestBody, ResponseBody, Trailers};
use super::compress;
use super::connection::{ConnectionState, Phase, Refusal};
use super::error::ProxyError;
use super::exchange::{Answer, Course, Failed, Finish, Outgoing, acquire, send};
use super::files;
use super::framing::{self, Announced};
use super::hop::{
    Peer, X_REQUEST_ID, announced_trailers, ask_for_trailers, strip_response, takes_trailers,
};
use super::limits;
use super::pages::{self, Details, Markup, Shown};
use super::record::Record;
use super::retry::Tries;
use super::rewrite::{Client, clean, hand_over, take_back};
use super::snapshot::{App, Snapshot};
use super::spool;
use super::suspects::Treatment;
use super::target::{self, Target};
use super::thread::{Held, Thread};
use super::trace;
use super::upgrade;
use super::upstream::Lease;
use crate::router::message::{Handover, ListenerInfo};
use crate::router::urlmap::{Matched, Outcome, RequestTarget, path_info};
use http::header::{CONNECTION, HOST, TRAILER, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the requests of one client connection have in common.
#[derive(Debug)]
pub(super) struct Conversation {
    pub(super) client: Rc<Client>,
    pub(super) state: Arc<ConnectionState>,
    pub(super) info: Rc<ListenerInfo>,
    pub(super) thread: Rc<Thread>,
}

/// Why a request failed, and whose page it is.
pub(super) struct Failure {
    error: ProxyError,
    app: Option<Arc<App>>,
    /// The worker that failed it.
    worker: Option<u64>,
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        let (app, worker) = (None, None);
        Self { error, app, worker }
    }
}

/// Answers a request, whatever happens.
pub(super) async fn answer(
    conversation: Rc<Conversation>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let state = &conversation.state;
    state.enter(Phase::Busy);
    let thread = &conversation.thread;
    if let Some(refusal) = state.take_refusal() {
        return Ok(refuse(&conversation, refusal));
    }
    let markup = Markup::accepted(request.headers());
    let version = request.version();
    let mut record = Record::start(&conversation, &request);
    let mut response = match forward(&conversation, request, &mut record).await {
        Ok(response) => {
            // What goes on with a worker's answer has taken it.
            record.answered_by_us(&response);
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
            drop(record);
            state.request_ended();
            response
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        close_if_needed(&mut response, version, thread.shared.is_draining());
    }
    Ok(response)
}

/// The answer to a head that was refused before it became a request.
fn refuse(conversation: &Conversation, refusal: Refusal) -> Response<ResponseBody> {
    let table = conversation.thread.table();
    let shown = Shown::by(&table.answers, &refusal.error);
    let mut response = pages::failure(&refusal.error, Markup::Plain, shown);
    without_app(&conversation.thread, &mut response);
    if let Some(logger) = &conversation.thread.shared.log {
        let client = &conversation.client;
        let status = response.status().as_u16();
        let mut entry = Entry::refused(refusal.line, client.peer, client.secured, status);
        entry.has_sent(response.body());
        logger.write(Box::new(entry));
    }
    conversation.state.request_ended();
    response
}

/// What the site does with an answer of ours.
pub(super) fn without_app(thread: &Thread, response: &mut Response<ResponseBody>) {
    thread.table().answers.headers.apply(response.headers_mut());
}

/// The last answer before a drain ends the connection, and one whose end is the end of the connection
/// (HTTP/1.0 knows no other when the length is not known).
fn close_if_needed(response: &mut Response<ResponseBody>, version: Version, draining: bool) {
    let endless = || {
        version == Version::HTTP_10
            && http_body::Body::size_hint(response.body())
                .exact()
                .is_none()
    };
    if draining || endless() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

async fn forward(
    conversation: &Conversation,
    mut request: Request<Incoming>,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Failure> {
    let thread = &conversation.thread;
    let client = &conversation.client;
    let mut wishes = Wishes {
        on_upgrade: upgrade::wanted(&mut request),
        trailers: Trailers::Drop,
        codings: None,
    };
    let (mut head, body) = request.into_parts();
    framing::check(&head.headers)?;
    let table = thread.table();
    let longest = table.limits.max_target;
    let target = match target::check(
        &head.method,
        &head.uri,
        head.version,
        &mut head.headers,
        longest,
    )? {
        Target::Path(target) => target,
        Target::Server => {
            return Ok(answered(conversation, pages::server_options()));
        }
    };
    let path = path_info(target.as_str().as_bytes())
        .map_err(|_| ProxyError::BadRequest("the path contains an encoded control character"))?;
    let announced = Announced::by(&head.headers);
    if takes_trailers(&head.headers) {
        wishes.trailers = Trailers::Pass;
    }
    let host = head.headers.get(HOST).cloned();
    let mut said = None;
    let mut trailers = None;
    let mut outgoing = None;
    let body = ClientBody::new(body, Arc::clone(&conversation.state));
    record.receives(body.account());
    let mut incoming = Some(body);
    if let Some(port) = conversation.info.greeting.redirect {
        let host = client.host(host.as_ref());
        let response = pages::to_https(host, port, &head.method, &target);
        return Ok(answered(conversation, response));
    }
    if let Some(response) = redirected(conversation, &table, host.as_ref(), &target) {
        return Ok(answered(conversation, response));
    }
    drop(table);
    let mut written_for: Option<u64> = None;
    let mut course = Course {
        asked: Asked {
            method: head.method.clone(),
            target: target.clone(),
            id: None,
            since: record.since(),
        },
        record,
        tries: Tries::default(),
        fresh: false,
        once: false,
        informed: (head.version == Version::HTTP_11).then(|| Arc::clone(&conversation.state)),
    };
    let mut waiting_since = None;
    let mut held: Option<Lease> = None;
    let mut conditions = None;
    loop {
        let table = thread.table();
        let asked = RequestTarget {
            host: Some(
                host.as_ref()
                    .map_or(conversation.info.server_name.as_bytes(), |h| h.as_bytes()),
            ),
            scheme: &conversation.info.scheme,
            path_info: &path,
            script_name: b"",
        };
        let (app, matched) = route(&table, &asked)?;
        let failed = |error, worker| Failure {
            error,
            app: Some(Arc::clone(app)),
            worker,
        };
        let said = said.get_or_insert_with(|| {
            course.record.is_for(app);
            let peer = Peer::of(client.peer, &table.trust);
            trailers = announced_trailers(&head.headers, peer);
            let said = clean(&mut head.headers, peer);
            if let Some(sampled) = app.spec.traced {
                trace::take_part(&mut head.headers, sampled);
            }
            course.record.traced(&head.headers);
            said
        });
        // Also when it has waited, or is to be repeated: the table may know more by now.
        course.once = judge(app, &course.asked).map_err(|error| failed(error, None))?;
        if let Some(served) = &app.spec.files {
            refuse_early(app, client).map_err(|error| failed(error, None))?;
            course.asked.id = head.headers.get(X_REQUEST_ID).cloned();
            let asked = files::Asked {
                head: &head,
                path_info: &matched.path_info,
                target: &target,
                host: client.host(host.as_ref()),
            };
            let Course {
                asked: request,
                record,
                ..
            } = course;
            return files::answer(conversation, app, served, &asked, request, record)
                .await
                .map_err(|error| failed(error, None));
        }
        if let Some(mut body) = incoming.take() {
            // WSGI has none.
            let trailers = trailers
                .take()
                .filter(|_| app.spec.handover != Handover::Environ);
            if trailers.is_some() {
                body.set_trailers(Trailers::Pass);
            }
            refuse_early(app, client).map_err(|error| failed(error, None))?;
            if let Some(most) = app.spec.max_body {
                body.set_limit(most).map_err(|error| failed(error, None))?;
            }
            let wait = if app.spec.buffering && wishes.on_upgrade.is_none() {
                ReadAhead::Wait
            } else {
                ReadAhead::Now
            };
            let body = before_a_worker(thread, body, announced, wait).await?;
            conditions = (!app.spec.sendfile.is_empty()).then(|| files::conditions(&head.headers));
            let mut headers = std::mem::take(&mut head.headers);
            if !app.answers.compress.codings.is_empty() {
                wishes.codings = Some(Accepted::by(&headers));
            }
            framing::write(&mut headers, body.length(), announced);
            if let Some(trailers) = trailers.filter(|_| headers.contains_key(TRANSFER_ENCODING)) {
                headers.insert(TRAILER, trailers);
            }
            course.asked.id = headers.get(X_REQUEST_ID).cloned();
            course.record.has_id(course.asked.id.as_ref());
            outgoing = Some(Outgoing {
                method: head.method.clone(),
                uri: Uri::from(target.clone()),
                headers,
                body,
            });
        }
        let lease = match held.take().filter(|lease| app.names(lease.upstream().id())) {
            Some(lease) => lease,
            None => match acquire(thread, app, &mut waiting_since, course.record).await {
                Ok(Some(lease)) => lease,
                Ok(None) => {
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
            held = Some(lease);
            continue;
        }
        let mut request = outgoing
            .take()
            .expect("put back by whoever goes on with the loop");
        if written_for != Some(app.version) {
            if written_for.replace(app.version).is_some() {
                take_back(&mut request.headers);
            }
            let to = hand_over(
                &mut request.headers,
                app.spec.handover,
                &matched,
                &target,
                client,
                said,
            );
            request.uri = Uri::from(to);
            if wishes.trailers == Trailers::Pass && app.spec.handover != Handover::Environ {
                ask_for_trailers(&mut request.headers);
            }
            if wishes.on_upgrade.is_some() {
                upgrade::ask(&mut request.headers);
            }
        }
        match send(thread, app, lease, request, &mut course).await {
            Ok(answer) => {
                acquit(thread, &table, app, &course.asked);
                conversation.state.interim_written().await;
                if let Some(conditions) = &conditions
                    && files::is_named(answer.response.headers())
                {
                    let worker = Some(answer.lease.upstream().id());
                    let Course { asked, record, .. } = course;
                    return files::send(conversation, app, answer, conditions, asked, record)
                        .await
                        .map_err(|error| failed(error, worker));
                }
                let Course { asked, record, .. } = course;
                return accept_answer(conversation, app, answer, wishes, asked, record)
                    .map_err(|(error, worker)| failed(error, Some(worker)));
            }
            Err(Failed::Final { error, worker }) => return Err(failed(error, Some(worker))),
            Err(Failed::Unanswered(unanswered)) => {
                outgoing = Some(*unanswered);
                course.fresh = true;
            }
        }
    }
}

/// By us, and it is no error.
fn answered(
    conversation: &Conversation,
    mut response: Response<ResponseBody>,
) -> Response<ResponseBody> {
    conversation.state.request_ended();
    without_app(&conversation.thread, &mut response);
    response
}

/// Sent elsewhere by a rule of the site.
fn redirected(
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

/// What of the body is read before a worker is taken: all of it, or what is there.
async fn before_a_worker(
    thread: &Rc<Thread>,
    body: ClientBody,
    announced: Announced,
    wait: ReadAhead,
) -> Result<RequestBody, ProxyError> {
    if announced == Announced::No {
        return Ok(RequestBody::Empty);
    }
    let account = body.account();
    let read = async {
        match (wait, body.read_ahead(wait).await?) {
            (ReadAhead::Wait, RequestBody::Stream { first, rest }) if !rest.has_ended() => {
                let spooled = spool::keep(rest, first.unwrap_or_default(), thread).await?;
                Ok(RequestBody::Spooled(spooled))
            }
            (_, read) => Ok::<_, BodyError>(read),
        }
    };
    read.await.map_err(|_| ProxyError::of_body(account.fault()))
}

fn find_app<'t>(table: &'t Snapshot, name: &str) -> Result<&'t Arc<App>, ProxyError> {
    table.apps.get(name).ok_or_else(|| ProxyError::Unloadable {
        reason: format!("the route table names the app `{name}`, but does not describe it"),
    })
}

/// Refusals that need no body: the client learns at once, and is not asked to send one (100 Continue).
fn refuse_early(app: &App, client: &Client) -> Result<(), ProxyError> {
    use crate::router::message::Serving;
    if let Some(maintenance) = &app.spec.maintenance
        && !app.let_in.covers(client.peer)
    {
        let message = maintenance.message.clone();
        return Err(ProxyError::Maintenance { message });
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

/// What the client would have its answer like.
struct Wishes {
    on_upgrade: Option<hyper::upgrade::OnUpgrade>,
    trailers: Trailers,
    /// None: nobody has asked, for nothing is compressed.
    codings: Option<Accepted>,
}

fn accept_answer(
    conversation: &Conversation,
    app: &App,
    answer: Answer,
    wishes: Wishes,
    asked: Asked,
    record: &mut Record,
) -> Result<Response<ResponseBody>, (ProxyError, u64)> {
    let Answer {
        mut response,
        connection,
        lease,
    } = answer;
    let worker = lease.upstream().id();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some(on_upgrade) = wishes.on_upgrade.filter(|_| upgrade::agreed(&response)) else {
            return Err((ProxyError::BadAnswer, worker));
        };
        return Ok(upgrade::tunnel(
            conversation,
            on_upgrade,
            &mut response,
            lease,
            asked,
            record.take(),
        ));
    }
    let mut codings = response.headers().get_all(TRANSFER_ENCODING).iter();
    let known = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        _ => false,
    };
    if !known {
        return Err((ProxyError::BadAnswer, worker));
    }
    let (mut head, incoming) = response.into_parts();
    let announced = match wishes.trailers {
        Trailers::Pass => announced_trailers(&head.headers, Peer::Trusted),
        Trailers::Drop => None,
    };
    strip_response(&mut head.headers);
    if let Some(announced) = announced {
        head.headers.insert(TRAILER, announced);
    }
    app.answers.headers.apply(&mut head.headers);
    head.version = Version::HTTP_11;
    // An app may word its status line itself (PEP 3333 has the reason in `status`).
    let reason = head.extensions.remove::<hyper::ext::ReasonPhrase>();
    head.extensions.clear();
    if let Some(reason) = reason {
        head.extensions.insert(reason);
    }
    let encoder = wishes.codings.and_then(|accepted| {
        compress::begin(&app.answers.compress, &accepted, &asked.method, &mut head)
    });
    record.fields(&head.headers);
    let finish = Finish {
        thread: Rc::clone(&conversation.thread),
        state: Arc::clone(&conversation.state),
        connection: Some(connection),
        lease: Some(lease),
        asked,
        record: record.take(),
    };
    let body = match encoder {
        None => ResponseBody::worker(incoming, finish),
        Some(encoder) => ResponseBody::compressed(incoming, finish, encoder),
    };
    Ok(Response::from_parts(head, body))
}

/// The page for a failure. Under `debug` it waits a moment for the report of the death that it is about.
async fn explain(thread: &Rc<Thread>, failure: Failure, markup: Markup) -> Response<ResponseBody> {
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
