//! A bound listener: what it is, how its clients are spoken to, and what another program must know to go on with it.

use crate::plan::spec::{Endpoint, Listen, Redirect};
use crate::router::message::{Greeting, ListenerInfo};
use crate::supervise::upgrade::Descriptors;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// What a listener is until [`equip`] says otherwise.
const HTTP: &str = "http";

/// The ports that clients mean who name none: those of a unix socket.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A bound listener. The supervisor keeps it for life, so that a proxy can be replaced.
#[derive(Debug)]
pub struct Bound {
    pub listen: Listen,
    pub info: ListenerInfo,
    pub socket: OwnedFd,
    /// Its socket file.
    pub path: Option<PathBuf>,
    pub keeping: Keeping,
}

/// Who else has a listener, and so what becomes of it when paster lets it go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeping {
    /// Nobody: its socket file goes with it.
    Own,
    /// The service manager, which has passed it.
    Passed,
    /// The service manager, which keeps it for our next start under this name.
    Stored(String),
}

/// A listener as it is handed to another program; the socket is given by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenListener {
    listen: Listen,
    info: ListenerInfo,
    socket: RawFd,
    path: Option<PathBuf>,
    keeping: Keeping,
}

impl Bound {
    fn is_tcp(&self) -> bool {
        self.path.is_none()
    }

    /// What another program needs to go on with this listener.
    ///
    /// # Errors
    /// No free descriptor for the copy of the socket.
    pub fn freeze(&self, descriptors: &mut Descriptors) -> io::Result<FrozenListener> {
        Ok(FrozenListener {
            listen: self.listen.clone(),
            info: self.info.clone(),
            socket: descriptors.put(self.socket.try_clone()?),
            path: self.path.clone(),
            keeping: self.keeping.clone(),
        })
    }

    /// # Errors
    /// The socket was not handed over.
    pub fn thaw(frozen: FrozenListener, descriptors: &mut Descriptors) -> io::Result<Bound> {
        Ok(Bound {
            listen: frozen.listen,
            info: frozen.info,
            socket: descriptors.take(frozen.socket)?,
            path: frozen.path,
            keeping: frozen.keeping,
        })
    }
}

/// Tells all listeners how `endpoints` wants their clients to be spoken to. Called when all are bound: one may send its clients to
/// another, whose port is known only then.
pub fn equip(listeners: &mut [Bound], endpoints: &[Endpoint]) {
    let manner = |bound: &Bound| {
        let endpoint = endpoints.iter().find(|known| known.listen == bound.listen);
        endpoint.map(|endpoint| &endpoint.manner)
    };
    let secure = listeners
        .iter()
        .find(|bound| bound.is_tcp() && manner(bound).is_some_and(|manner| manner.tls.is_some()));
    let secure = secure.map_or(HTTPS_PORT, |bound| bound.info.server_port);
    for bound in listeners {
        let Some(manner) = manner(bound) else {
            continue;
        };
        bound.info.scheme = manner.scheme().to_owned();
        if !bound.is_tcp() {
            let https = manner.scheme() != HTTP;
            bound.info.server_port = if https { HTTPS_PORT } else { HTTP_PORT };
        }
        bound.info.greeting = Greeting {
            proxy_protocol: manner.proxy_protocol,
            tls: manner.tls.as_ref().map(|_| manner.server.clone()),
            redirect: manner.redirect.map(|to| match to {
                Redirect::Ours => secure,
                Redirect::Port(port) => port,
            }),
        };
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let (Some(path), Keeping::Own) = (&self.path, &self.keeping) {
            let _ = std::fs::remove_file(path);
        }
    }
}

pub(super) fn tcp_info(address: SocketAddr, server_name: &str) -> ListenerInfo {
    ListenerInfo {
        address: address.to_string(),
        scheme: HTTP.to_owned(),
        server_name: server_name.to_owned(),
        server_port: address.port(),
        greeting: Greeting::default(),
    }
}

pub(super) fn unix_info(path: &Path) -> ListenerInfo {
    ListenerInfo {
        address: format!("unix:{}", path.display()),
        scheme: HTTP.to_owned(),
        server_name: "localhost".to_owned(),
        server_port: HTTP_PORT,
        greeting: Greeting::default(),
    }
}
