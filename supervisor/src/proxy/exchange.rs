//! One request, one worker, one answer: leases, tries, deadlines.

use super::asked::{Asked, Progress};
use super::body::{Account, RequestBody};
use super::connection::ConnectionState;
use super::error::ProxyError;
use super::incoming::Aim;
use super::limits;
use super::pool::{ConnectError, Wanted, connect};
use super::queue::{Grant, Refused};
use super::record::Record;
use super::request::Conversation;
use super::retry::{Failure, Next, Tries};
use super::seen::Seen;
use super::snapshot::App;
use super::thread::Thread;
use super::told::Told;
use super::upstream::{Lease, Upstream};
use super::worker::{self, AnswerBody, WorkerConnection};
use crate::router::message::{FromProxy, Serving};
use http::response::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Version};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Waits for a worker of `app`. None: the table has changed, look at it again.
///
/// # Errors
/// The refusals of a stopped, failed or unreachable app, and of a queue that is full or too slow.
pub(super) async fn acquire(
    thread: &Thread,
    app: &Arc<App>,
    waiting_since: &mut Option<Instant>,
    record: &mut Record,
) -> Result<Option<Lease>, ProxyError> {
    match app.spec.serving {
        Serving::Up => {}
        Serving::Idle => {
            if app.queue.first_to_want() {
                let app = app.name.to_string();
                thread.shared.outbox.tell(FromProxy::Wanted { app });
            }
        }
        Serving::Failed { retry_after_s } => return Err(ProxyError::Failed { retry_after_s }),
        Serving::Stopped => return Err(ProxyError::Stopped),
    }
    if app.queue.waiting() == 0
        && let Some(lease) = app.pick()
    {
        return Ok(Some(lease));
    }
    if app.is_down() {
        return Err(ProxyError::Unreachable);
    }
    let mut ticket = match app.queue.enter(app) {
        Ok(ticket) => ticket,
        Err(Refused::Stale) => return Ok(None),
        Err(Refused::Full) => return Err(ProxyError::QueueFull),
    };
    let since = *waiting_since.get_or_insert_with(Instant::now);
    let deadline = since + Duration::from_millis(app.spec.queue_timeout_ms);
    record.waits();
    let granted = tokio::time::timeout_at(deadline, ticket.granted()).await;
    record.has_waited();
    match granted {
        Ok(Grant::Lease(lease)) => Ok(Some(lease)),
        Ok(Grant::Changed) => Ok(None),
        Err(_) => Err(ProxyError::QueueTimeout),
    }
}

/// A request as it goes to a worker.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    /// Fields of ours, behind those.
    pub(super) told: Told,
    pub(super) body: RequestBody,
}

/// The head of an answer, with all that is held until its body has ended.
pub(super) struct Answer {
    pub(super) head: Parts,
    pub(super) seen: Seen,
    pub(super) body: AnswerBody,
    pub(super) lease: Lease,
}

/// Why a try ended without an answer.
pub(super) enum Failed {
    /// To be tried again, on a new connection, after a new [`acquire`].
    Unanswered(Box<Outgoing>),
    Final {
        error: ProxyError,
        worker: u64,
    },
}

/// A request on its way, from try to try.
pub(super) struct Course<'r> {
    pub(super) record: &'r mut Record,
    pub(super) asked: Asked,
    pub(super) tries: Tries,
    /// On a new connection only: an old one has failed.
    pub(super) fresh: bool,
    /// It may be deadly: not to be repeated once a worker had it.
    pub(super) once: bool,
    /// Who is told of interim answers (1xx).
    pub(super) informed: Option<Arc<ConnectionState>>,
}

impl<'r> Course<'r> {
    /// Nothing was tried yet.
    pub(super) fn new(
        conversation: &Conversation,
        head: &http::request::Parts,
        aim: &Aim,
        record: &'r mut Record,
    ) -> Self {
        let takes_interim = head.version >= Version::HTTP_11;
        Self {
            asked: Asked {
                method: head.method.clone(),
                target: aim.target.clone(),
                id: None,
                since: record.since(),
            },
            record,
            tries: Tries::default(),
            fresh: false,
            once: false,
            informed: takes_interim.then(|| Arc::clone(&conversation.state)),
        }
    }
}

/// Sends `request` over the worker of `lease`. The lease is given back unless there is an answer.
pub(super) async fn send(
    thread: &Rc<Thread>,
    app: &App,
    lease: Lease,
    mut request: Box<Outgoing>,
    course: &mut Course<'_>,
) -> Result<Answer, Failed> {
    let upstream = lease.upstream();
    let Course {
        record,
        asked,
        tries,
        fresh,
        once,
        informed,
    } = course;
    record.tries(upstream);
    let idempotent = request.method.is_idempotent();
    let repeatable = idempotent && request.body.is_whole() && !*once;
    let wanted = match (*fresh, repeatable) {
        (true, _) => Wanted::Fresh,
        (false, true) => Wanted::Any,
        (false, false) => Wanted::Sure,
    };
    let connection = match thread.pool.take(upstream.id(), wanted) {
        Some(connection) => connection,
        // Boxed, for the sake of requests that find a connection.
        None => match Box::pin(connect(upstream)).await {
            Ok(connection) => connection,
            Err(error) => {
                not_connected(thread, upstream, error).await;
                let next = tries.after(Failure::NotSent, repeatable);
                return Err(unanswered(request, next, upstream.id()));
            }
        },
    };
    record.connected();
    let reused = connection.is_reused();
    let account = request.body.account();
    let spare = request.body.replay();
    let (read, written) = connection.traffic();
    let limit = app.spec.request_timeout_ms.map(Duration::from_millis);
    let body = std::mem::replace(&mut request.body, RequestBody::Empty);
    let outcome = {
        let answered = connection.exchange(&request, body, |status, headers| {
            if let Some(state) = informed {
                state.inform(status, headers);
            }
        });
        let answered = pin!(answered);
        match limit {
            None => Some(answered.await),
            Some(limit) => in_time(limit, account.as_deref(), answered).await,
        }
    };
    let Some(outcome) = outcome else {
        let (worker, request) = (upstream.id(), asked.in_flight(Progress::Waiting));
        let told = FromProxy::TimedOut { worker, request };
        thread.shared.outbox.tell_if_room(told);
        let error = ProxyError::WorkerLate;
        return Err(Failed::Final { error, worker });
    };
    let (connection, worker::Failed { error, body }) = match outcome {
        Ok((head, seen, body)) => {
            upstream.trust();
            record.answered(head.status);
            return Ok(Answer {
                head,
                seen,
                body,
                lease,
            });
        }
        Err(failed) => failed,
    };
    if let Some(fault) = account.and_then(|account| account.fault()) {
        let error = ProxyError::of_body(Some(fault));
        let worker = upstream.id();
        return Err(Failed::Final { error, worker });
    }
    let (read_by_now, written_by_now) = connection.traffic();
    let failure = if read_by_now != read {
        Failure::Spoke
    } else if written_by_now == written {
        Failure::NotSent
    } else if reused {
        Failure::SilentReused
    } else {
        Failure::SilentFresh
    };
    if !reused && failure != Failure::Spoke {
        suspect(upstream);
    }
    if failure != Failure::NotSent {
        // While the lease is held: nothing of this worker is told after `Drained`.
        asked.lost_by(upstream, Progress::Waiting);
    }
    tracing::debug!(app = %app.name, worker = upstream.id(), %error, ?failure, "no answer");
    let next = tries.after(failure, repeatable);
    // What was not sent is whole, whatever it was.
    match (next, body.filter(|_| failure == Failure::NotSent).or(spare)) {
        (Next::GiveUp(error), _) => Err(Failed::Final {
            error,
            worker: upstream.id(),
        }),
        (next, Some(body)) => {
            request.body = body;
            Err(unanswered(request, next, upstream.id()))
        }
        (_, None) => Err(Failed::Final {
            error: ProxyError::WorkerGone,
            worker: upstream.id(),
        }),
    }
}

/// None if there is no answer for `limit`, not counting the time in which the client was waited for: a slow client is no
/// fault of the worker's.
async fn in_time<T>(
    limit: Duration,
    body: Option<&Account>,
    mut answered: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut left = limit;
    loop {
        if let Ok(outcome) = tokio::time::timeout(left, answered.as_mut()).await {
            return Some(outcome);
        }
        let now = super::clock::now_ms();
        let quiet = Duration::from_millis(body.map_or(u64::MAX, |body| body.quiet_for(now)));
        left = limit.checked_sub(quiet).filter(|left| !left.is_zero())?;
    }
}

fn unanswered(request: Box<Outgoing>, next: Next, worker: u64) -> Failed {
    match next {
        Next::GiveUp(error) => Failed::Final { error, worker },
        Next::Again | Next::Elsewhere => Failed::Unanswered(request),
    }
}

async fn not_connected(thread: &Rc<Thread>, upstream: &Arc<Upstream>, error: ConnectError) {
    match error {
        ConnectError::Busy => tokio::time::sleep(limits::BACKLOG_PAUSE).await,
        ConnectError::Unreachable(error) => {
            upstream.was_unreachable();
            if suspect(upstream) {
                thread.shared.outbox.tell_if_room(FromProxy::Unreachable {
                    worker: upstream.id(),
                    error: error.to_string(),
                });
            }
        }
    }
}

/// Keeps new requests from a worker that seems to be gone until the supervisor has noticed, then looks whether any
/// are still waiting for it. True when it was not suspect before.
fn suspect(upstream: &Arc<Upstream>) -> bool {
    let first = upstream.suspect(limits::SUSPECT.as_millis() as u64);
    if first {
        let queue = Arc::clone(&upstream.queue);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(limits::SUSPECT + Duration::from_millis(2)).await;
            queue.freed();
        });
    }
    first
}

/// What is to be done when the last byte of a response has been passed on; dropped earlier (the client left, or the
/// worker did) it only gives the lease back. The connection to the worker is to be dropped before: when the lease wakes a
/// waiting request, that finds this connection or none.
#[derive(Debug)]
pub(super) struct Finish {
    pub(super) thread: Rc<Thread>,
    pub(super) state: Arc<ConnectionState>,
    pub(super) lease: Option<Lease>,
    pub(super) asked: Asked,
    /// Of the request, to its end.
    pub(super) record: Record,
}

impl Finish {
    pub(super) fn sent(&mut self, bytes: usize) {
        self.record.sent(bytes);
    }

    /// `connection` can carry another request, or will do so when all of this one is written.
    pub(super) fn complete(mut self, connection: Option<WorkerConnection>) {
        let now = std::time::Instant::now();
        self.record.ended(now);
        if let Some(connection) = connection {
            keep(&self.thread, connection, super::clock::at_ms(now));
        }
    }

    /// The worker has broken off.
    pub(super) fn lost(mut self) {
        self.record.broken_off();
        self.state.cut();
        if let Some(lease) = &self.lease {
            self.asked.lost_by(lease.upstream(), Progress::Answering);
        }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.record.leaves(|| self.state.direct.left());
        self.lease = None;
        self.state.request_ended();
    }
}

/// Puts a connection into the pool, at once or when the rest of its request is written, which its worker has not waited for. It is
/// closed if that does not go on.
pub(super) fn keep(thread: &Rc<Thread>, mut connection: WorkerConnection, now: u64) {
    if connection.is_done() {
        thread.pool.put(connection, now);
        return;
    }
    let thread = Rc::clone(thread);
    tokio::task::spawn_local(async move {
        loop {
            let before = connection.traffic();
            match tokio::time::timeout(limits::LINGER, connection.done()).await {
                Ok(true) => return thread.pool.put(connection, super::clock::now_ms()),
                Ok(false) => return,
                Err(_) if connection.traffic() != before => {}
                // The worker reads no more of it, or the client sends no more. What still comes is thrown away, for as long again.
                Err(_) if connection.stop() => {}
                Err(_) => return,
            }
        }
    });
}
