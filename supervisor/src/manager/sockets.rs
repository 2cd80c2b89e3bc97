//! Listening sockets that were passed to us: by a socket unit, or from the manager's store, where we had put them.

use crate::sys::fd;
use nix::sys::socket::{getsockopt, sockopt};
use serde::{Deserialize, Serialize};
use socket2::{SockRef, Type};
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// The number of the first passed descriptor (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// Names of sockets that we have put into the manager's store begin with this.
pub const STORE_PREFIX: &str = "paster.";

/// A socket that was passed.
#[derive(Debug)]
pub struct Passed {
    pub name: String,
    pub address: PassedAddress,
    pub socket: OwnedFd,
}

/// What a passed socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PassedAddress {
    /// `dual`: an IPv6 socket that takes IPv4 connections too.
    Tcp {
        address: SocketAddr,
        dual: bool,
    },
    Unix {
        path: PathBuf,
    },
}

/// Takes over the passed descriptors, which have these names. Called once, before anything else is opened.
/// Those that cannot be listened on are closed, and told of.
pub fn take(names: &[String]) -> (Vec<Passed>, Vec<String>) {
    let (mut sockets, mut complaints) = (Vec::new(), Vec::new());
    for (name, number) in names.iter().zip(FIRST..) {
        let taken = fd::inherit(number).map_err(|error| error.to_string());
        match taken.and_then(|socket| passed(name, socket)) {
            Ok(socket) => sockets.push(socket),
            Err(error) => complaints.push(format!(
                "the passed descriptor {number} (`{name}`) is not used: {error}"
            )),
        }
    }
    (sockets, complaints)
}

fn passed(name: &str, socket: OwnedFd) -> Result<Passed, String> {
    let view = SockRef::from(&socket);
    let wrong = || "it is no listening stream socket".to_owned();
    let is_stream = view.r#type().is_ok_and(|kind| kind == Type::STREAM);
    if !is_stream || !view.is_listener().unwrap_or(false) {
        return Err(wrong());
    }
    let bound = view.local_addr().map_err(|error| error.to_string())?;
    let address = if let Some(address) = bound.as_socket() {
        let dual = address.is_ipv6() && !getsockopt(&socket, sockopt::Ipv6V6Only).unwrap_or(true);
        PassedAddress::Tcp { address, dual }
    } else if let Some(path) = bound.as_pathname() {
        let path = path.to_path_buf();
        PassedAddress::Unix { path }
    } else {
        return Err("it is bound to no address that clients can be told".to_owned());
    };
    view.set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    Ok(Passed {
        name: name.to_owned(),
        address,
        socket,
    })
}

/// The name under which the manager keeps the socket of `address`: ASCII without a colon, at most 255 bytes (`sd_notify(3)`).
pub fn store_name(address: &str) -> String {
    const LONGEST: usize = 200;
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') {
            c
        } else {
            '_'
        }
    };
    let name: String = address.chars().take(LONGEST).map(safe).collect();
    format!("{STORE_PREFIX}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_taken_and_anything_else_is_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let bound = listener.local_addr().expect("bound");
        let taken = passed("http", listener.into()).expect("it listens");
        let expected = PassedAddress::Tcp {
            address: bound,
            dual: false,
        };
        assert_eq!((taken.name.as_str(), taken.address), ("http", expected));
        let (one, _two) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert!(passed("http", one.into()).is_err());
        let file = std::fs::File::open("/dev/null").expect("it is everywhere");
        assert!(passed("http", file.into()).is_err());
    }

    #[test]
    fn a_dual_stack_socket_is_known_as_such() {
        let Ok(listener) = std::net::TcpListener::bind("[::]:0") else {
            return; // a machine without IPv6
        };
        let taken = passed("http", listener.into()).expect("it listens");
        assert!(matches!(taken.address, PassedAddress::Tcp { dual, .. } if dual));
    }

    #[test]
    fn a_name_in_the_store_has_no_colon() {
        assert_eq!(store_name("127.0.0.1:80"), "paster.127.0.0.1_80");
        assert_eq!(store_name("unix:/run/a b"), "paster.unix__run_a_b");
    }
}
