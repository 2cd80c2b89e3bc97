//! Where a worker listens.

use super::Site;
use crate::plan::spec::{AppKind, AppSpec};
use crate::router::message::WorkerAddress;
use crate::supervise::contract::Placeholders;
use crate::supervise::machine::WorkerId;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Address and socket of a worker, and what its arguments say of them.
pub(super) struct Place {
    pub(super) address: WorkerAddress,
    /// The socket that we created for it.
    pub(super) listener: Option<UnixListener>,
    pub(super) placeholders: Placeholders,
}

impl Place {
    /// Adds what it makes to `files` before it makes it.
    pub(super) fn prepare(
        site: &Site,
        app: &AppSpec,
        id: WorkerId,
        files: &mut Vec<PathBuf>,
    ) -> io::Result<Place> {
        let uses = |what: &str| match &app.kind {
            AppKind::Exec { argv, .. } => argv.iter().any(|arg| arg.contains(what)),
            AppKind::Python { .. } | AppKind::Upstream { .. } | AppKind::Static(_) => false,
        };
        if uses("{port}") {
            let port = free_port()?;
            return Ok(Place {
                address: WorkerAddress::Tcp(format!("127.0.0.1:{port}")),
                listener: None,
                placeholders: Placeholders {
                    socket: None,
                    port: Some(port),
                },
            });
        }
        if uses("{socket}") {
            // The program creates the socket itself, so it needs a directory in which it may.
            let dir = site.workers_dir.join(format!("{id}.d"));
            files.push(dir.clone());
            fs::create_dir(&dir)?;
            fs::set_permissions(
                &dir,
                Permissions::from_mode(if site.proxy_uid.is_some() {
                    0o711
                } else {
                    0o700
                }),
            )?;
            if let Some(user) = &app.settings.user {
                std::os::unix::fs::chown(&dir, Some(user.uid), Some(user.gid))?;
            }
            let socket = dir.join("http.sock");
            return Ok(Place {
                address: WorkerAddress::Unix(socket.clone()),
                listener: None,
                placeholders: Placeholders {
                    socket: Some(socket),
                    port: None,
                },
            });
        }
        let path = site.workers_dir.join(format!("{id}.sock"));
        files.push(path.clone());
        let listener = UnixListener::bind(&path)?;
        give_to_proxy(&path, site.proxy_uid)?;
        Ok(Place {
            address: WorkerAddress::Unix(path),
            listener: Some(listener),
            placeholders: Placeholders::default(),
        })
    }
}

/// Only the proxy connects to a worker (connect(2) needs write permission).
pub(in super::super) fn give_to_proxy(socket: &Path, proxy_uid: Option<u32>) -> io::Result<()> {
    fs::set_permissions(socket, Permissions::from_mode(0o600))?;
    match proxy_uid {
        Some(uid) => std::os::unix::fs::chown(socket, Some(uid), None),
        None => Ok(()),
    }
}

/// A loopback port that is free now. Another program may take it before the worker does; then the start
/// fails and is repeated with another one.
fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}
