//! The serving side of the control socket.

use super::feed::{Feed, Followed};
use super::peer::{self, Doorkeeper};
use super::protocol::{Answer, Command, Event};
use super::query::Query;
use super::stream::{self, Body};
use crate::config::problem::Problem;
use crate::logs::{Logs, Wanted};
use crate::sys::shortage::Complaints;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// A command and where its answer goes.
pub type Call = (Command, oneshot::Sender<Answer>);

/// A command is a few names.
const MAX_BODY: usize = 64 * 1024;
/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Connections at a time that follow something.
const MAX_FOLLOWERS: usize = 32;
/// How long a connection may be without a request, or a request without its end: whoever forgets to close must not keep others out.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long somebody who is refused may take to read that.
const FAREWELL: Duration = Duration::from_secs(1);

/// What can be followed.
#[derive(Clone)]
pub struct Feeds {
    pub logs: Logs,
    pub events: Feed<Arc<Event>>,
}

/// What a connection needs.
#[derive(Clone)]
struct Server {
    calls: mpsc::Sender<Call>,
    feeds: Feeds,
    followers: Arc<Semaphore>,
}

/// Binds the control socket, for our own user only.
///
/// # Errors
/// bind(2).
pub fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Accepts for ever; each connection is a task of its own, tracked so that the last answers can be waited for.
pub async fn serve(
    listener: std::os::unix::net::UnixListener,
    calls: mpsc::Sender<Call>,
    feeds: Feeds,
    connections: TaskTracker,
) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot serve the control socket; signals still work");
            return;
        }
    };
    let server = Server {
        calls,
        feeds,
        followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut doorkeeper = Doorkeeper::default();
    let mut complaints = Complaints::default();
    loop {
        if places.available_permits() == 0 && complaints.are_due() {
            tracing::warn!(
                open = MAX_CONNECTIONS,
                "there are as many connections to the control socket as there may be; more wait"
            );
        }
        let place = places.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => match doorkeeper.admit(&stream) {
                Ok(()) => {
                    let server = server.clone();
                    connections.spawn(async move {
                        let _held = place;
                        connection(stream, server).await;
                    });
                }
                Err(refusal) => {
                    connections.spawn(async move {
                        let _held = place;
                        let _ = tokio::time::timeout(FAREWELL, farewell(stream, refusal)).await;
                    });
                }
            },
            Err(error) => {
                if complaints.are_due() {
                    tracing::warn!(%error, "cannot accept on the control socket, trying again");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, server: Server) {
    let service = service_fn(move |request| {
        let server = server.clone();
        async move {
            let response = respond(request, &server).await;
            Ok::<_, Infallible>(response.unwrap_or_else(Response::from))
        }
    });
    // A client that leaves early has changed what is wanted all the same.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Tells a stranger why there is no answer.
async fn farewell(stream: UnixStream, refusal: peer::Refusal) {
    let service = service_fn(move |_: Request<Incoming>| {
        let refused = Refused::new(StatusCode::FORBIDDEN, refusal);
        async move { Ok::<_, Infallible>(Response::from(refused)) }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Why a request is not answered as it wishes.
struct Refused {
    status: StatusCode,
    errors: Vec<Problem>,
}

impl Refused {
    fn new(status: StatusCode, why: impl ToString) -> Refused {
        Refused {
            status,
            errors: vec![Problem::new("Refused", why.to_string())],
        }
    }
}

impl From<Refused> for Response<Body> {
    fn from(refused: Refused) -> Response<Body> {
        let errors = refused.errors;
        json(refused.status, &Answer::Refused { errors })
    }
}

async fn respond(request: Request<Incoming>, server: &Server) -> Result<Response<Body>, Refused> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/status") => server.command(Command::Status).await,
        (&Method::POST, "/v1/command") => {
            let bad = |why: String| Refused::new(StatusCode::BAD_REQUEST, why);
            let body = Limited::new(request.into_body(), MAX_BODY).collect();
            let body = tokio::time::timeout(PATIENCE, body)
                .await
                .map_err(|_| bad("the command did not come in time".to_owned()))?;
            let body = body.map_err(|error| bad(error.to_string()))?.to_bytes();
            let command = serde_json::from_slice(&body)
                .map_err(|error| bad(format!("not a command: {error}")))?;
            server.command(command).await
        }
        (&Method::GET, "/v1/events") => server.events(request.uri().query()).await,
        (&Method::GET, "/v1/logs") => server.logs(request.uri().query()).await,
        _ => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "GET /v1/status, GET /v1/events, GET /v1/logs or POST /v1/command",
        )),
    }
}

impl Server {
    async fn command(&self, command: Command) -> Result<Response<Body>, Refused> {
        Ok(json(StatusCode::OK, &self.call(command).await?))
    }

    /// # Errors
    /// Nobody is there to carry it out.
    async fn call(&self, command: Command) -> Result<Answer, Refused> {
        let gone = |why: &str| Refused::new(StatusCode::SERVICE_UNAVAILABLE, why);
        let (reply, answer) = oneshot::channel();
        self.calls
            .send((command, reply))
            .await
            .map_err(|_| gone("paster is stopping"))?;
        answer
            .await
            .map_err(|_| gone("paster stopped before this was done"))
    }

    async fn events(&self, query: Option<&str>) -> Result<Response<Body>, Refused> {
        let query = self.query(query).await?;
        let wanted = move |event: &Arc<Event>| {
            let since = query.since.as_ref();
            since.is_none_or(|since| event.time >= *since)
                && (query.apps.is_empty()
                    || event
                        .app
                        .as_ref()
                        .is_some_and(|app| query.apps.contains(app)))
        };
        self.stream(&self.feeds.events, query.follow, query.last, wanted)
    }

    async fn logs(&self, query: Option<&str>) -> Result<Response<Body>, Refused> {
        let query = self.query(query).await?;
        let place = query.follow.then(|| self.place()).transpose()?;
        let wanted = Wanted {
            apps: query.apps,
            last: query.last.map(|last| last as u64),
            since: query.since,
            follow: query.follow,
        };
        let (sender, lines) = mpsc::channel(1);
        tokio::spawn(self.feeds.logs.clone().tail(wanted, sender));
        let body = stream::sent(lines, place);
        Ok(response(StatusCode::OK, "application/x-ndjson", body))
    }

    /// A place among those who follow.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        self.followers.clone().try_acquire_owned().map_err(|_| {
            let why = format!("{MAX_FOLLOWERS} others follow already; end one of them");
            Refused::new(StatusCode::TOO_MANY_REQUESTS, why)
        })
    }

    /// What a stream was asked for, if that makes sense and there are these apps.
    async fn query(&self, text: Option<&str>) -> Result<Query, Refused> {
        let query = Query::read(text.unwrap_or_default())
            .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, error))?;
        if !query.apps.is_empty() {
            let apps = query.apps.clone();
            if let Answer::Refused { errors } = self.call(Command::Find { apps }).await? {
                let status = StatusCode::NOT_FOUND;
                return Err(Refused { status, errors });
            }
        }
        Ok(query)
    }

    /// The last items of `feed` that are `wanted` and, if it is followed, those to come.
    fn stream<T>(
        &self,
        feed: &Feed<T>,
        follow: bool,
        last: Option<usize>,
        wanted: impl Fn(&T) -> bool + Send + 'static,
    ) -> Result<Response<Body>, Refused>
    where
        T: Clone + serde::Serialize + Send + 'static,
    {
        let (mut followed, place) = if follow {
            let place = self.place()?;
            (feed.follow(), Some(place))
        } else {
            let (kept, live) = (feed.kept(), None);
            (Followed { kept, live }, None)
        };
        followed.kept.retain(&wanted);
        let beyond = last.map_or(0, |last| followed.kept.len().saturating_sub(last));
        followed.kept.drain(..beyond);
        let body = stream::lines(followed, wanted, place);
        Ok(response(StatusCode::OK, "application/x-ndjson", body))
    }
}

fn json(status: StatusCode, answer: &Answer) -> Response<Body> {
    let mut text = serde_json::to_vec(answer).expect("an answer has string keys only");
    text.push(b'\n');
    response(status, "application/json", stream::whole(Bytes::from(text)))
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, content_type);
    response
}
