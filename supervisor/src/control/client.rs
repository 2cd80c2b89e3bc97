//! The calling side of the control socket.

use super::protocol::{Answer, Command};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::io;
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
    #[error("paster answered what this version does not understand: {0}")]
    Strange(String),
}

/// Sends a command and waits for its answer, as long as that takes.
pub async fn call(socket: &Path, command: &Command) -> Result<Answer, ControlError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NotRunning(socket.to_path_buf())
            }
            _ => ControlError::Connect {
                path: socket.to_path_buf(),
                error,
            },
        })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ControlError::Lost)?;
    tokio::spawn(connection);
    let body =
        serde_json::to_vec(command).map_err(|error| ControlError::Strange(error.to_string()))?;
    let request = Request::post("/v1/command")
        .header(http::header::HOST, "paster")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| ControlError::Strange(error.to_string()))?;
    let response = sender
        .send_request(request)
        .await
        .map_err(|_| ControlError::Lost)?;
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|_| ControlError::Lost)?
        .to_bytes();
    serde_json::from_slice(&body).map_err(|error| ControlError::Strange(error.to_string()))
}
