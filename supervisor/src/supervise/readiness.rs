//! Waiting until a program that does not notify can serve.

use super::probe;
use crate::plan::spec::Readiness;
use crate::router::message::WorkerAddress;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(20);
/// A probe request may take this long before the next one is made.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns when the probe that `readiness` asks for has succeeded; never for [`Readiness::Notify`].
/// The caller bounds the wait. `listener` is the worker's own listening socket, where we created it.
pub(super) async fn wait(
    readiness: &Readiness,
    address: &WorkerAddress,
    listener: Option<Arc<UnixListener>>,
) {
    match (readiness, listener) {
        (Readiness::Notify, _) => std::future::pending().await,
        (Readiness::Auto | Readiness::Accept, Some(listener)) => accepted(address, &listener).await,
        (Readiness::Auto | Readiness::Accept, None) => {
            while probe::connect(address).await.is_err() {
                tokio::time::sleep(INTERVAL).await;
            }
        }
        (Readiness::Http(path), _) => {
            while probe::get(address, path, PROBE_TIMEOUT).await.is_err() {
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
        if let Ok(_connection) = probe::connect(address).await {
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
