//! The listeners. The supervisor binds them, because it may have the privilege that a low port needs, or it takes those that
//! the service manager has passed.

use crate::manager::{Passed, PassedAddress, STORE_PREFIX};
use crate::plan::spec::{Endpoint, Listen, Redirect};
use crate::router::message::{Greeting, ListenerInfo};
use crate::supervise::upgrade::Descriptors;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Connections that the kernel holds until the proxy accepts them (capped by `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

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

/// Makes listeners of addresses.
#[derive(Debug, Default)]
pub struct Binder {
    /// What a socket unit has passed. It stays ours to use, whatever the configuration says for now.
    passed: Vec<Passed>,
    /// What we have stored with the manager before our start, until it is taken.
    stored: Vec<Passed>,
}

impl Binder {
    /// Sorts what was passed to us.
    pub fn new(sockets: Vec<Passed>) -> Binder {
        let (stored, passed) = sockets
            .into_iter()
            .partition(|socket| socket.name.starts_with(STORE_PREFIX));
        Binder { passed, stored }
    }

    /// The passed sockets, for [`Binder::thaw`].
    ///
    /// # Errors
    /// No free descriptor for a copy.
    pub fn freeze(&self, descriptors: &mut Descriptors) -> io::Result<Vec<FrozenSocket>> {
        let frozen = self.passed.iter().map(|passed| {
            Ok(FrozenSocket {
                name: passed.name.clone(),
                address: passed.address.clone(),
                socket: descriptors.put(passed.socket.try_clone()?),
            })
        });
        frozen.collect()
    }

    /// # Errors
    /// A socket that was not handed over.
    pub fn thaw(frozen: Vec<FrozenSocket>, descriptors: &mut Descriptors) -> io::Result<Binder> {
        let passed = frozen.into_iter().map(|frozen| {
            Ok(Passed {
                name: frozen.name,
                address: frozen.address,
                socket: descriptors.take(frozen.socket)?,
            })
        });
        Ok(Binder {
            passed: passed.collect::<io::Result<_>>()?,
            stored: Vec::new(),
        })
    }

    /// Names of the sockets that a socket unit has passed.
    pub fn names(&self) -> Vec<String> {
        self.passed
            .iter()
            .map(|passed| passed.name.clone())
            .collect()
    }

    /// Takes the passed socket for one address of the plan, or binds it; a host name may stand for several.
    ///
    /// # Errors
    /// A text that says what is wrong and what to do.
    pub fn bind(&mut self, listen: &Listen) -> Result<Vec<Bound>, String> {
        match listen {
            Listen::Tcp { host, port } => self.bind_tcp(listen, host, *port),
            Listen::Unix { path, mode } => match self.passed_at(listen, path)? {
                Some(bound) => Ok(vec![bound]),
                None => bind_unix(listen, path, *mode).map(|bound| vec![bound]),
            },
            Listen::Passed { name } => self.by_name(listen, name),
        }
    }

    /// The names of stored sockets that were not taken; they are closed.
    pub fn drop_stored(&mut self) -> Vec<String> {
        self.stored.drain(..).map(|socket| socket.name).collect()
    }

    /// Name and address of the passed sockets that none of `listeners` is.
    pub fn unused(&self, listeners: &[Bound]) -> Vec<(String, String)> {
        let all = self
            .passed
            .iter()
            .map(|passed| (passed.name.clone(), info(&passed.address, None).address));
        all.filter(|(_, address)| !listeners.iter().any(|bound| bound.info.address == *address))
            .collect()
    }

    fn bind_tcp(&mut self, listen: &Listen, host: &str, port: u16) -> Result<Vec<Bound>, String> {
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
            let serves = |passed: &PassedAddress| serves(passed, address);
            if let Some(taken) = self.take(listen, Some(host), serves)? {
                bound.push(taken);
                continue;
            }
            match tcp_socket(address) {
                Ok(socket) => {
                    let port = socket
                        .local_addr()
                        .ok()
                        .and_then(|a| a.as_socket())
                        .map_or(address.port(), |a| a.port());
                    address.set_port(port);
                    bound.push(Bound {
                        listen: listen.clone(),
                        info: tcp_info(address, host),
                        socket: socket.into(),
                        path: None,
                        keeping: Keeping::Own,
                    });
                }
                // A machine without IPv6 still resolves localhost to ::1.
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    unusable = Some(error);
                }
                Err(error) => return Err(explain(&shown, port, &error)),
            }
        }
        match (bound.is_empty(), unusable) {
            (true, Some(error)) => Err(explain(&shown, port, &error)),
            (true, None) => Err(format!("cannot listen on {shown}: the name has no address")),
            (false, _) => Ok(bound),
        }
    }

    /// The socket at `path` that was passed, if clients still find it there.
    fn passed_at(&mut self, listen: &Listen, path: &Path) -> Result<Option<Bound>, String> {
        let is_socket = |m: std::fs::Metadata| m.file_type().is_socket();
        if !std::fs::symlink_metadata(path).is_ok_and(is_socket) {
            return Ok(None);
        }
        let absolute = |path: &Path| std::path::absolute(path).ok();
        let wanted = absolute(path);
        self.take(listen, None, |passed| match passed {
            PassedAddress::Unix { path } => absolute(path) == wanted,
            PassedAddress::Tcp { .. } => false,
        })
    }

    fn by_name(&self, listen: &Listen, name: &str) -> Result<Vec<Bound>, String> {
        let of_the_name = self.passed.iter().filter(|passed| passed.name == name);
        let found = of_the_name
            .map(|passed| copy(listen, passed, None))
            .collect::<Result<Vec<Bound>, String>>()?;
        if !found.is_empty() {
            return Ok(found);
        }
        let names = self.names().join(", ");
        let there = if names.is_empty() {
            "none was passed".to_owned()
        } else {
            format!("passed were {names}")
        };
        Err(format!(
            "cannot listen on fd:{name}: there is no socket of this name; {there}\nhint: sockets are passed by a socket unit of \
             systemd; `FileDescriptorName={name}` in it names them"
        ))
    }

    fn take(
        &mut self,
        listen: &Listen,
        host: Option<&str>,
        fits: impl Fn(&PassedAddress) -> bool,
    ) -> Result<Option<Bound>, String> {
        if let Some(passed) = self.passed.iter().find(|socket| fits(&socket.address)) {
            return copy(listen, passed, host).map(Some);
        }
        let index = self.stored.iter().position(|socket| fits(&socket.address));
        Ok(index.map(|index| {
            let stored = self.stored.swap_remove(index);
            let (info, path) = (info(&stored.address, host), path_of(&stored.address));
            Bound {
                listen: listen.clone(),
                info,
                path,
                keeping: Keeping::Stored(stored.name),
                socket: stored.socket,
            }
        }))
    }
}

/// A passed socket as it is handed to another program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenSocket {
    name: String,
    address: PassedAddress,
    socket: RawFd,
}

/// Whether a socket that is bound to `passed` takes the connections to `wanted`.
fn serves(passed: &PassedAddress, wanted: SocketAddr) -> bool {
    match *passed {
        PassedAddress::Tcp { address, .. } if address == wanted => true,
        // `ListenStream=80` is one socket for both families.
        PassedAddress::Tcp {
            address,
            dual: true,
        } => {
            wanted.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
                && address.ip().is_unspecified()
                && address.port() == wanted.port()
        }
        _ => false,
    }
}

fn copy(listen: &Listen, passed: &Passed, host: Option<&str>) -> Result<Bound, String> {
    let socket = passed.socket.try_clone();
    Ok(Bound {
        listen: listen.clone(),
        info: info(&passed.address, host),
        path: path_of(&passed.address),
        keeping: Keeping::Passed,
        socket: socket.map_err(|error| format!("cannot listen on {listen}: {error}"))?,
    })
}

fn path_of(address: &PassedAddress) -> Option<PathBuf> {
    match address {
        PassedAddress::Unix { path } => Some(path.clone()),
        PassedAddress::Tcp { .. } => None,
    }
}

fn info(address: &PassedAddress, host: Option<&str>) -> ListenerInfo {
    match address {
        PassedAddress::Tcp { address, .. } => {
            let ip = address.ip().to_string();
            tcp_info(*address, host.unwrap_or(&ip))
        }
        PassedAddress::Unix { path } => unix_info(path),
    }
}

fn tcp_info(address: SocketAddr, server_name: &str) -> ListenerInfo {
    ListenerInfo {
        address: address.to_string(),
        scheme: HTTP.to_owned(),
        server_name: server_name.to_owned(),
        server_port: address.port(),
        greeting: Greeting::default(),
    }
}

fn unix_info(path: &Path) -> ListenerInfo {
    ListenerInfo {
        address: format!("unix:{}", path.display()),
        scheme: HTTP.to_owned(),
        server_name: "localhost".to_owned(),
        server_port: HTTP_PORT,
        greeting: Greeting::default(),
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
    Ok(Bound {
        listen: listen.clone(),
        info: unix_info(path),
        socket: socket.into(),
        path: Some(path.to_path_buf()),
        keeping: Keeping::Own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(listen: &Listen) -> Result<Vec<Bound>, String> {
        Binder::default().bind(listen)
    }

    fn tcp(host: &str, port: u16) -> Listen {
        Listen::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    fn passed(name: &str, address: &str, dual: bool) -> Passed {
        Passed {
            name: name.to_owned(),
            address: PassedAddress::Tcp {
                address: address.parse().expect("an address"),
                dual,
            },
            socket: std::fs::File::open("/dev/null")
                .expect("it is everywhere")
                .into(),
        }
    }

    #[test]
    fn a_passed_socket_is_taken_by_its_address_and_keeps_the_name_of_the_host() {
        let sockets = vec![
            passed("a", "127.0.0.1:81", false),
            passed("paster.b", "[::]:82", true),
            passed("c", "[::]:83", false),
        ];
        let mut binder = Binder::new(sockets);
        let one = binder.bind(&tcp("localhost", 81)).expect("passed");
        assert_eq!(one[0].info.server_name, "localhost");
        assert_eq!(one[0].keeping, Keeping::Passed);
        let two = binder.bind(&tcp("0.0.0.0", 82)).expect("passed");
        assert_eq!(two[0].keeping, Keeping::Stored("paster.b".to_owned()));
        assert_eq!(two[0].info.address, "[::]:82");
        let bound: Vec<Bound> = one.into_iter().chain(two).collect();
        let unused = binder.unused(&bound);
        assert_eq!(unused, [("c".to_owned(), "[::]:83".to_owned())]);
        let again = binder.bind(&tcp("127.0.0.1", 81)).expect("it stays ours");
        assert_eq!(again[0].keeping, Keeping::Passed);
    }

    #[test]
    fn what_we_had_stored_and_do_not_need_is_let_go() {
        let mut binder = Binder::new(vec![passed("paster.x", "127.0.0.1:81", false)]);
        assert!(binder.names().is_empty());
        assert_eq!(binder.drop_stored(), ["paster.x"]);
        assert!(binder.drop_stored().is_empty());
    }

    #[test]
    fn all_sockets_of_a_name_are_taken_and_a_wrong_name_is_explained() {
        let sockets = vec![
            passed("http", "127.0.0.1:81", false),
            passed("http", "127.0.0.1:82", false),
            passed("other", "127.0.0.1:83", false),
        ];
        let mut binder = Binder::new(sockets);
        let name = |name: &str| Listen::Passed {
            name: name.to_owned(),
        };
        assert_eq!(binder.bind(&name("http")).expect("passed").len(), 2);
        let error = binder.bind(&name("htpp")).expect_err("no such name");
        assert!(error.contains("passed were http, http, other"), "{error}");
    }

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
