//! The serving side of the control socket.

use super::protocol::{Answer, Command};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

/// A command and where its answer goes.
pub type Call = (Command, oneshot::Sender<Answer>);

/// A command is a few names.
const MAX_BODY: usize = 64 * 1024;

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
    connections: TaskTracker,
) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot serve the control socket; signals still work");
            return;
        }
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_allowed(&stream) => {
                connections.spawn(connection(stream, calls.clone()));
            }
            Ok(_) => tracing::warn!("refused a control connection of another user"),
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// The socket is 0600 in a private directory; this holds should someone widen that (SO_PEERCRED, unix(7)).
fn is_allowed(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
}

async fn connection(stream: UnixStream, calls: mpsc::Sender<Call>) {
    let service = service_fn(move |request| {
        let calls = calls.clone();
        async move { Ok::<_, Infallible>(respond(request, &calls).await) }
    });
    // A client that leaves early has changed what is wanted all the same.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn respond(request: Request<Incoming>, calls: &mpsc::Sender<Call>) -> Response<Full<Bytes>> {
    let command = match (request.method(), request.uri().path()) {
        (&Method::GET, "/v1/status") => Command::Status,
        (&Method::POST, "/v1/command") => {
            match Limited::new(request.into_body(), MAX_BODY).collect().await {
                Ok(body) => match serde_json::from_slice(&body.to_bytes()) {
                    Ok(command) => command,
                    Err(error) => {
                        return refuse(StatusCode::BAD_REQUEST, format!("not a command: {error}"));
                    }
                },
                Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
            }
        }
        _ => {
            return refuse(
                StatusCode::NOT_FOUND,
                "GET /v1/status or POST /v1/command".to_owned(),
            );
        }
    };
    let (reply, answer) = oneshot::channel();
    if calls.send((command, reply)).await.is_err() {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "paster is stopping".to_owned(),
        );
    }
    match answer.await {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(_) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "paster stopped before this was done".to_owned(),
        ),
    }
}

fn refuse(status: StatusCode, error: String) -> Response<Full<Bytes>> {
    json(
        status,
        &Answer::Refused {
            errors: vec![error],
        },
    )
}

fn json(status: StatusCode, answer: &Answer) -> Response<Full<Bytes>> {
    let mut body = serde_json::to_vec(answer).expect("an answer has string keys only");
    body.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}
