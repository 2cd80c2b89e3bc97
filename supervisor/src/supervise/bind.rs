//! Binding the listeners. The supervisor does it, because it may have the privilege that a low port needs.

use crate::plan::spec::Listen;
use crate::router::message::ListenerInfo;
use crate::supervise::upgrade::Descriptors;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Connections that the kernel holds until the proxy accepts them (capped by `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// A bound listener. The supervisor keeps it for life, so that a proxy can be replaced.
#[derive(Debug)]
pub struct Bound {
    pub listen: Listen,
    pub info: ListenerInfo,
    pub socket: OwnedFd,
    /// A socket file to remove at the end.
    path: Option<PathBuf>,
}

/// A listener as it is handed to another program; the socket is given by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenListener {
    listen: Listen,
    info: ListenerInfo,
    socket: RawFd,
    path: Option<PathBuf>,
}

impl Bound {
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
        })
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds one address of the plan; a host name may stand for several.
///
/// # Errors
/// A text that says what is wrong and what to do.
pub fn bind(listen: &Listen) -> Result<Vec<Bound>, String> {
    match listen {
        Listen::Tcp { host, port } => bind_tcp(listen, host, *port),
        Listen::Unix { path, mode } => bind_unix(listen, path, *mode).map(|bound| vec![bound]),
    }
}

fn bind_tcp(listen: &Listen, host: &str, port: u16) -> Result<Vec<Bound>, String> {
    let shown = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("cannot listen on {shown}: {error}"))?
        .collect();
    addresses.sort();
    addresses.dedup();
    let mut bound: Vec<Bound> = Vec::new();
    let mut unusable = None;
    for mut address in addresses {
        // `localhost:0` is one port on all its addresses.
        if let Some(first) = bound.first().filter(|_| port == 0) {
            address.set_port(first.info.server_port);
        }
        match tcp_socket(address) {
            Ok(socket) => {
                let port = socket
                    .local_addr()
                    .ok()
                    .and_then(|a| a.as_socket())
                    .map_or(address.port(), |a| a.port());
                address.set_port(port);
                let info = ListenerInfo {
                    address: address.to_string(),
                    scheme: "http".to_owned(),
                    server_name: host.to_owned(),
                    server_port: port,
                };
                bound.push(Bound {
                    listen: listen.clone(),
                    info,
                    socket: socket.into(),
                    path: None,
                });
            }
            // A machine without IPv6 still resolves localhost to ::1.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => unusable = Some(error),
            Err(error) => return Err(explain(&shown, port, &error)),
        }
    }
    match (bound.is_empty(), unusable) {
        (true, Some(error)) => Err(explain(&shown, port, &error)),
        (true, None) => Err(format!("cannot listen on {shown}: the name has no address")),
        (false, _) => Ok(bound),
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // As nginx: an IPv6 address means IPv6, so that `[::]` and `0.0.0.0` can stand side by side.
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn explain(shown: &str, port: u16, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "port {port} needs privilege\nhint: run as root, allow it with `sysctl net.ipv4.ip_unprivileged_port_start={port}`, or use \
             another address with --listen 127.0.0.1:8080"
        ),
        io::ErrorKind::AddrInUse => {
            "another program listens there\nhint: stop it, or use another address with --listen 127.0.0.1:8081".to_owned()
        }
        _ => error.to_string(),
    };
    format!("cannot listen on {shown}: {hint}")
}

fn bind_unix(listen: &Listen, path: &Path, mode: u32) -> Result<Bound, String> {
    let shown = path.display();
    let failed = |error: io::Error| format!("cannot listen on unix:{shown}: {error}");
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(format!(
                "cannot listen on unix:{shown}: there is a file that is no socket"
            ));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(format!(
                "cannot listen on unix:{shown}: another program listens there"
            ));
        }
        // Left behind by a program that was killed.
        Ok(_) => std::fs::remove_file(path).map_err(failed)?,
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
    socket
        .bind(&SockAddr::unix(path).map_err(failed)?)
        .map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let info = ListenerInfo {
        address: format!("unix:{shown}"),
        scheme: "http".to_owned(),
        server_name: "localhost".to_owned(),
        server_port: 80,
    };
    Ok(Bound {
        listen: listen.clone(),
        info,
        socket: socket.into(),
        path: Some(path.to_path_buf()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bound_on_all_its_addresses_with_one_port() {
        let bound = bind(&Listen::Tcp {
            host: "localhost".to_owned(),
            port: 0,
        })
        .expect("free");
        assert!(bound.iter().all(|b| b.info.server_port == bound[0].info.server_port && b.info.server_port != 0));
    }

    #[test]
    fn a_taken_port_is_explained() {
        let first = bind(&Listen::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 0,
        })
        .expect("free");
        let port = first[0].info.server_port;
        let error = bind(&Listen::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        })
        .expect_err("taken");
        assert!(
            error.contains("another program") && error.contains("hint:"),
            "{error}"
        );
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("site.sock");
        let listen = Listen::Unix {
            path: path.clone(),
            mode: 0o600,
        };
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let live = bind(&listen).expect("stale");
        assert!(bind(&listen).expect_err("live").contains("another program"));
        drop(live);
        assert!(!path.exists());
    }
}
