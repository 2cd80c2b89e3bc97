//! The calling side of the control socket.

use super::protocol::{Answer, Command};
use super::query::Query;
use super::stream::Line;
use crate::config::problem::Problem;
use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("paster does not run for this configuration (no control socket at {})", .0.display())]
    NotRunning(PathBuf),
    #[error("cannot use the control socket {}: {error}", path.display())]
    Connect { path: PathBuf, error: io::Error },
    #[error("paster ended before it answered")]
    Lost,
    /// A stream that does not end as it does when paster stops in order.
    #[error("paster was killed, and its answer ends here")]
    Cut,
    #[error("paster answered what this version does not understand: {0}")]
    Strange(String),
    /// Of another user.
    #[error("{0}")]
    NotAllowed(String),
    #[error("paster refuses that")]
    Refused(Vec<Problem>),
}

/// Sends a command and waits for its answer, as long as that takes.
pub async fn call(socket: &Path, command: &Command) -> Result<Answer, ControlError> {
    let body = serde_json::to_vec(command).map_err(strange)?;
    let request = Request::post("/v1/command").body(Full::new(Bytes::from(body)));
    answer(send(socket, request).await?).await
}

/// Reads a stream, for instance `/v1/events`, line by line until it ends or `line` has enough.
///
/// # Errors
/// [`ControlError::Cut`] where it did not end well, [`ControlError::Lost`] where it has not begun: paster was killed, or replaced itself.
pub async fn stream<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    query: &Query,
    mut line: impl FnMut(Line<T>) -> ControlFlow<()>,
) -> Result<(), ControlError> {
    let request = Request::get(format!("{path}?{}", query.write())).body(Full::default());
    let response = send(socket, request).await?;
    if response.status() != StatusCode::OK {
        return match answer(response).await? {
            Answer::Refused { errors } => Err(ControlError::Refused(errors)),
            other => Err(ControlError::Strange(format!("{other:?}"))),
        };
    }
    let mut body = response.into_body();
    let mut text = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ControlError::Cut)?;
        text.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let item = serde_json::from_slice(&text[..end]).map_err(strange)?;
            text.advance(end + 1);
            if line(item).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn send(
    socket: &Path,
    request: http::Result<Request<Full<Bytes>>>,
) -> Result<Response<Incoming>, ControlError> {
    let mut request = request.map_err(strange)?;
    let host = http::HeaderValue::from_static("paster");
    request.headers_mut().insert(http::header::HOST, host);
    let stream = connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ControlError::Lost)?;
    tokio::spawn(connection);
    sender
        .send_request(request)
        .await
        .map_err(|_| ControlError::Lost)
}

/// Connects, which fails with [`ControlError::NotRunning`] where nobody listens.
pub async fn connect(socket: &Path) -> Result<UnixStream, ControlError> {
    UnixStream::connect(socket)
        .await
        .map_err(|error| match error.kind() {
            // The last: whoever listened was killed before the connection was accepted.
            io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset => ControlError::NotRunning(socket.to_path_buf()),
            _ => ControlError::Connect {
                path: socket.to_path_buf(),
                error,
            },
        })
}

async fn answer(response: Response<Incoming>) -> Result<Answer, ControlError> {
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.map_err(|_| ControlError::Lost)?.to_bytes();
    match serde_json::from_slice(&body).map_err(strange)? {
        Answer::Refused { .. } if status == StatusCode::SERVICE_UNAVAILABLE => {
            Err(ControlError::Lost)
        }
        Answer::Refused { errors } if status == StatusCode::FORBIDDEN => {
            let why = errors.into_iter().map(|error| error.message).next();
            Err(ControlError::NotAllowed(why.unwrap_or_default()))
        }
        answer => Ok(answer),
    }
}

fn strange(error: impl ToString) -> ControlError {
    ControlError::Strange(error.to_string())
}
