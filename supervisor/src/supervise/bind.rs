//! The listeners. The supervisor binds them, because it may have the privilege that a low port needs, or it takes those that
//! the service manager has passed.

mod bound;
mod socket;
#[cfg(test)]
mod tests;

pub use bound::{Bound, FrozenListener, Keeping, equip};

use crate::manager::{Passed, PassedAddress, STORE_PREFIX};
use crate::plan::spec::Listen;
use crate::router::message::ListenerInfo;
use crate::supervise::upgrade::Descriptors;
use bound::{tcp_info, unix_info};
use serde::{Deserialize, Serialize};
use socket::{bind_unix, explain, tcp_socket};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The addresses of hosts that are to be listened on, asked for where one may wait: a server of names may be silent.
#[derive(Debug, Default)]
pub struct Hosts(BTreeMap<(String, u16), Result<Vec<SocketAddr>, String>>);

impl Hosts {
    /// Asks for all of them, and waits for the answers.
    pub fn look_up<'a>(listens: impl Iterator<Item = &'a Listen>) -> Hosts {
        let hosts = listens.filter_map(|listen| match listen {
            Listen::Tcp { host, port } => Some(((host.clone(), *port), addresses(host, *port))),
            Listen::Unix { .. } | Listen::Passed { .. } => None,
        });
        Hosts(hosts.collect())
    }

    /// Of one that was not asked for, too.
    fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let known = self.0.get(&(host.to_owned(), port));
        known.cloned().unwrap_or_else(|| addresses(host, port))
    }
}

/// Each once.
fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, port).to_socket_addrs();
    let found: BTreeSet<SocketAddr> = found.map_err(|error| error.to_string())?.collect();
    Ok(found.into_iter().collect())
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
    pub fn bind(&mut self, listen: &Listen, hosts: &Hosts) -> Result<Vec<Bound>, String> {
        match listen {
            Listen::Tcp { host, port } => self.bind_tcp(listen, (host, *port), hosts),
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

    fn bind_tcp(
        &mut self,
        listen: &Listen,
        (host, port): (&str, u16),
        hosts: &Hosts,
    ) -> Result<Vec<Bound>, String> {
        let shown = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let addresses = hosts
            .addresses(host, port)
            .map_err(|error| format!("cannot listen on {shown}: {error}"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
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
