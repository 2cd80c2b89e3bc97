//! The straight line of a request: check, route, read ahead, wait, send, answer. Errors become responses in one place.

use super::accept::{Wishes, accept_answer};
use super::arriving::Arriving;
use super::asked::Asked;
use super::body::{BodyError, ClientBody, ReadAhead, RequestBody, ResponseBody, Trailers};
use super::compress;
use super::connection::{ConnectionState, Phase};
use super::error::ProxyError;
use super::exchange::{Course, Failed, Outgoing, acquire, send};
use super::files;
use super::framing::{self, Announced};
use super::hop::{Peer, X_REQUEST_ID, announced_trailers, ask_for_trailers, takes_trailers};
use super::leftover;
use super::pages::{self, Markup};
use super::record::Record;
use super::reply::{Failure, answered, explain, redirected, refuse, without_app};
use super::retry::Tries;
use super::rewrite::{Client, clean, hand_over, take_back};
use super::seen::Seen;
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
use http::header::{CONNECTION, EXPECT, HOST, TRAILER, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
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
    let mut response = match forward(&conversation, request, seen, &mut record).await {
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

async fn forward(
    conversation: &Conversation,
    mut request: Request<Arriving>,
    seen: Seen,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Failure> {
    let thread = &conversation.thread;
    let client = &conversation.client;
    let mut wishes = Wishes {
        on_upgrade: match seen.upgrade {
            true => upgrade::wanted(&mut request),
            false => None,
        },
        trailers: Trailers::Drop,
        codings: None,
    };
    let (mut head, body) = request.into_parts();
    framing::check(&head.headers, seen)?;
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
    let announced = Announced::by(seen);
    if seen.te && takes_trailers(&head.headers) {
        wishes.trailers = Trailers::Pass;
    }
    let host = head.headers.get(HOST).cloned();
    let mut said = None;
    let mut trailers = None;
    let mut outgoing = None;
    let body = match announced {
        Announced::No => None,
        Announced::Yes => {
            let body = ClientBody::new(body, Arc::clone(&conversation.state));
            let account = body.account();
            if head.headers.contains_key(EXPECT) {
                account.sends_when_asked();
            }
            record.receives(account);
            Some(body)
        }
    };
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
        informed: (head.version >= Version::HTTP_11).then(|| Arc::clone(&conversation.state)),
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
            if seen.trailer {
                trailers = announced_trailers(&head.headers, peer);
            }
            let said = clean(&mut head.headers, seen, peer, &table.trust);
            course.record.comes_from(said.origin);
            if let Some(sampled) = app.spec.traced {
                trace::take_part(&mut head.headers, sampled);
            }
            course.record.traced(&head.headers);
            said
        });
        // Also when it has waited, or is to be repeated: the table may know more by now.
        course.once = judge(app, &course.asked).map_err(|error| failed(error, None))?;
        if let Some(served) = &app.spec.files {
            refuse_early(app, said.origin.or(client.peer)).map_err(|error| failed(error, None))?;
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
        if let Some(body) = incoming.take() {
            // WSGI has none.
            let trailers = trailers
                .take()
                .filter(|_| app.spec.handover != Handover::Environ);
            refuse_early(app, said.origin.or(client.peer)).map_err(|error| failed(error, None))?;
            let body = match body {
                None => RequestBody::Empty,
                Some(mut body) => {
                    if trailers.is_some() {
                        body.set_trailers(Trailers::Pass);
                    }
                    if let Some(most) = app.spec.max_body {
                        body.set_limit(most).map_err(|error| failed(error, None))?;
                    }
                    let wait = if app.spec.buffering && wishes.on_upgrade.is_none() {
                        ReadAhead::Wait
                    } else {
                        ReadAhead::Now
                    };
                    before_a_worker(thread, body, wait).await?
                }
            };
            conditions = (!app.spec.sendfile.is_empty()).then(|| files::conditions(&head.headers));
            let mut headers = std::mem::take(&mut head.headers);
            if !app.answers.compress.codings.is_empty() {
                wishes.codings = Some(compress::Client::by(&headers));
            }
            framing::write(&mut headers, body.length(), announced);
            if let Some(trailers) = trailers.filter(|_| headers.contains_key(TRANSFER_ENCODING)) {
                headers.insert(TRAILER, trailers);
            }
            course.asked.id = headers.get(X_REQUEST_ID).cloned();
            course.record.has_id(course.asked.id.as_ref());
            outgoing = Some(Outgoing {
                method: head.method.clone(),
                target: target.clone(),
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
            request.target = hand_over(
                &mut request.headers,
                app.spec.handover,
                &matched,
                &target,
                client,
                said,
            );
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
                    && files::is_named(&answer.head.headers)
                {
                    let worker = Some(answer.lease.upstream().id());
                    let Course { asked, record, .. } = course;
                    let client = files::Client {
                        conditions,
                        codings: wishes.codings.map(|client| client.accepted),
                    };
                    return files::send(conversation, app, answer, client, asked, record)
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
    wait: ReadAhead,
) -> Result<RequestBody, ProxyError> {
    let account = body.account();
    let read = async {
        match (wait, body.read_ahead(wait).await?) {
            (ReadAhead::Wait, RequestBody::Stream { first, rest }) if !rest.has_ended() => {
                let spooled = spool::keep(*rest, first.unwrap_or_default(), thread).await?;
                Ok(RequestBody::Spooled(Box::new(spooled)))
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
