//! Waiting until a program that does not notify can serve.

use crate::plan::spec::Readiness;
use crate::router::message::WorkerAddress;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

const INTERVAL: Duration = Duration::from_millis(20);
/// A probe request may take this long before the next one is made.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns when the probe that `readiness` asks for has succeeded; never for [`Readiness::Notify`].
/// The caller bounds the wait. `listener` is the worker's own listening socket, where we created it.
pub(super) async fn wait(
    readiness: &Readiness,
    address: &WorkerAddress,
    listener: Option<UnixListener>,
) {
    match (readiness, listener) {
        (Readiness::Notify, _) => std::future::pending().await,
        (Readiness::Auto | Readiness::Accept, Some(listener)) => accepted(address, &listener).await,
        (Readiness::Auto | Readiness::Accept, None) => {
            while connect(address).await.is_err() {
                tokio::time::sleep(INTERVAL).await;
            }
        }
        (Readiness::Http(path), _) => {
            while !answers(address, path).await {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }
}

/// A connect to a listening socket succeeds before the program has called accept(2), so that alone says nothing.
/// But a listening socket is readable while a connection waits in its queue: when ours has left the
/// queue, the program has accepted it.
async fn accepted(address: &WorkerAddress, listener: &UnixListener) {
    loop {
        if let Ok(_connection) = connect(address).await {
            loop {
                let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
                if poll(&mut fds, PollTimeout::ZERO) == Ok(0) {
                    return;
                }
                tokio::time::sleep(INTERVAL).await;
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn connect(address: &WorkerAddress) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        WorkerAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        WorkerAddress::Tcp(address) => Box::new(TcpStream::connect(address.as_str()).await?),
    })
}

/// True for a status from 200 to 399.
async fn answers(address: &WorkerAddress, path: &str) -> bool {
    let probe = async {
        let mut stream = BufReader::new(connect(address).await?);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: paster\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut status_line = String::new();
        stream.read_line(&mut status_line).await?;
        io::Result::Ok(status_line)
    };
    match tokio::time::timeout(PROBE_TIMEOUT, probe).await {
        Ok(Ok(line)) => {
            let status: u16 = line
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .unwrap_or(0);
            (200..400).contains(&status)
        }
        _ => false,
    }
}
