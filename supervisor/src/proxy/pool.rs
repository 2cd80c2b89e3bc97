//! Connections to workers: per thread, last in first out, so that the surplus grows old and is closed, by us and never
//! by the worker.

use super::limits;
use super::socket::Socket;
use super::unix_stream::UnixStream;
use super::upstream::Upstream;
use super::worker::WorkerConnection;
use crate::router::message::{WorkerAddress, WorkerId};
use crate::sys::shortage;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};

/// Which connections will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Any: the request could be sent again.
    Any,
    /// Used a moment ago: the request could not be sent again.
    Sure,
    /// A new one.
    Fresh,
}

/// The idle connections of a thread.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: RefCell<BTreeMap<WorkerId, Vec<WorkerConnection>>>,
}

impl Pool {
    /// An idle connection, the one that was used last.
    pub(super) fn take(&self, worker: WorkerId, wanted: Wanted) -> Option<WorkerConnection> {
        if wanted == Wanted::Fresh {
            return None;
        }
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(&worker)?;
        while let Some(last) = connections.last() {
            if wanted == Wanted::Sure {
                let idle_for = super::clock::now_ms().saturating_sub(last.idle_since());
                if idle_for > millis(limits::POOL_SURE) {
                    return None;
                }
            }
            let connection = connections.pop()?;
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    /// After the end of a response.
    pub(super) fn put(&self, mut connection: WorkerConnection, now: u64) {
        if now.saturating_sub(connection.opened()) > millis(limits::POOL_AGE) {
            return;
        }
        connection.rests(now);
        let mut idle = self.idle.borrow_mut();
        let of_worker = idle.entry(connection.worker()).or_default();
        of_worker.push(connection);
    }

    /// Closes what was idle for long or is closed by its worker, and everything to workers that are not `named` any more.
    pub(super) fn clean(&self, now: u64, named: impl Fn(WorkerId) -> bool) {
        self.idle.borrow_mut().retain(|worker, connections| {
            if !named(*worker) {
                return false;
            }
            connections.retain(|connection| {
                connection.is_usable()
                    && now.saturating_sub(connection.idle_since()) < millis(limits::POOL_IDLE)
            });
            !connections.is_empty()
        });
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Not now: the worker's backlog is full (an immediate `EAGAIN` of a unix socket), or we are short of descriptors or
    /// memory. It says nothing about whether the worker lives.
    Busy,
    /// Nobody is there.
    Unreachable(io::Error),
}

/// Opens a connection.
pub(super) async fn connect(upstream: &Upstream) -> Result<WorkerConnection, ConnectError> {
    let address = &upstream.worker.address;
    let socket = match tokio::time::timeout(limits::CONNECT, open(address)).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) if shortage::will_pass(&error) => return Err(ConnectError::Busy),
        Ok(Err(error)) => return Err(ConnectError::Unreachable(error)),
        Err(_) => return Err(ConnectError::Unreachable(io::ErrorKind::TimedOut.into())),
    };
    Ok(WorkerConnection::new(
        socket,
        upstream.id(),
        super::clock::now_ms(),
    ))
}

async fn open(address: &WorkerAddress) -> io::Result<Socket> {
    match address {
        WorkerAddress::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        WorkerAddress::Tcp(address) => {
            let addresses: Vec<SocketAddr> = lookup_host(address.as_str()).await?.collect();
            let stream = first_of(&addresses).await?;
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
    }
}

/// A connection to the first address where there is somebody. Each has its share of the time: one that is silent, as behind a
/// firewall, leaves some to the others.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let share = limits::CONNECT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failed = io::ErrorKind::NotFound.into();
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{Backlog, listen};

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_time_to_the_next() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // Its queue is full when one has come.
        listen(&silent, Backlog::new(0).unwrap()).unwrap();
        let full = silent.local_addr().unwrap();
        let _first = TcpStream::connect(full).await.unwrap();
        let good = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [full, good.local_addr().unwrap()];
        let stream = tokio::time::timeout(limits::CONNECT, first_of(&addresses)).await;
        assert_eq!(stream.unwrap().unwrap().peer_addr().unwrap(), addresses[1]);
        let none = first_of(&[full]).await;
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(first_of(&[]).await.is_err());
    }
}
