//! One GET to a worker, made by the supervisor itself: is it ready, is it well?

use crate::router::message::WorkerAddress;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

/// A longer first line is no HTTP.
const MAX_LINE: u64 = 4096;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(super) async fn connect(address: &WorkerAddress) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        WorkerAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        WorkerAddress::Tcp(address) => Box::new(TcpStream::connect(address.as_str()).await?),
    })
}

/// GETs `path` on a connection of its own. Of the answer only the status is read.
///
/// # Errors
/// What was not as it should be, as in `answered with status 503`: no status from 200 to 399 within `timeout`.
pub(super) async fn get(
    address: &WorkerAddress,
    path: &str,
    timeout: Duration,
) -> Result<(), String> {
    match tokio::time::timeout(timeout, status(address, path)).await {
        Ok(Ok(Some(200..=399))) => Ok(()),
        Ok(Ok(Some(status))) => Err(format!("answered `GET {path}` with status {status}")),
        Ok(Ok(None)) => Err(format!("did not answer `GET {path}` in HTTP")),
        Ok(Err(error)) => Err(format!("did not answer `GET {path}`: {error}")),
        Err(_) => Err(format!("did not answer `GET {path}` within {timeout:?}")),
    }
}

async fn status(address: &WorkerAddress, path: &str) -> io::Result<Option<u16>> {
    let mut stream = connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: paster\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream.take(MAX_LINE));
    reader.read_until(b'\n', &mut line).await?;
    Ok(parse(&line))
}

/// The status of `HTTP/1.1 200 OK`.
fn parse(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use tokio::net::UnixListener;

    #[test]
    fn the_status_is_the_second_word_of_http() {
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n"), Some(204));
        assert_eq!(parse(b"HTTP/1.0 200\r\n"), Some(200));
        for line in [
            &b""[..],
            b"SSH-2.0 200 x",
            b"HTTP/1.1",
            b"HTTP/1.1 x",
            b"\xff 200",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    /// What comes of a GET to a server that says this, then nothing more.
    async fn asked(answer: &'static [u8]) -> Result<(), String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path: PathBuf = dir.path().join("s");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        let verdict = get(
            &WorkerAddress::Unix(path),
            "/up",
            Duration::from_millis(300),
        )
        .await;
        server.abort();
        verdict
    }

    #[tokio::test]
    async fn good_answers_are_told_from_bad_ones() {
        assert_eq!(asked(b"HTTP/1.1 200 OK\r\n").await, Ok(()));
        assert_eq!(asked(b"HTTP/1.1 302 Found\r\n").await, Ok(()));
        let bad = asked(b"HTTP/1.1 503 Service Unavailable\r\n").await;
        assert_eq!(bad, Err("answered `GET /up` with status 503".to_owned()));
        let silent = asked(b"HTTP/1.1 200").await;
        assert_eq!(
            silent,
            Err("did not answer `GET /up` within 300ms".to_owned())
        );
        let endless = asked(&[b'x'; 10_000]).await;
        assert_eq!(endless, Err("did not answer `GET /up` in HTTP".to_owned()));
    }

    #[tokio::test]
    async fn a_worker_that_is_not_there_is_not_well() {
        let nowhere = WorkerAddress::Unix("/nonexistent/s".into());
        let error = get(&nowhere, "/up", Duration::from_secs(1)).await;
        assert!(error.is_err_and(|error| error.starts_with("did not answer `GET /up`: ")));
    }
}
