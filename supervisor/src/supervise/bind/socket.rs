//! Sockets that we bind ourselves, and why that cannot be done.

use super::bound::{Bound, Keeping, unix_info};
use crate::plan::spec::Listen;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Connections that the kernel holds until the proxy accepts them (capped by `net.core.somaxconn`).
const BACKLOG: i32 = 4096;

pub(super) fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
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

pub(super) fn bind_unix(listen: &Listen, path: &Path, mode: u32) -> Result<Bound, String> {
    let shown = path.display();
    let failed = |error: io::Error| format!("cannot listen on unix:{shown}: {error}");
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(format!(
                "cannot listen on unix:{shown}: there is a file that is no socket"
            ));
        }
        Ok(_) if is_served(path) => {
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

/// Whether somebody listens there. Whose queue is full is not waited for.
fn is_served(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match connect() {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

pub(super) fn explain(shown: &str, port: u16, error: &io::Error) -> String {
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
