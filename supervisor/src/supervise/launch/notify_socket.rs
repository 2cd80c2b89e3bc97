//! The socket on which a worker tells that it is ready: made where its user can reach it.

use super::{LaunchError, Site, step};
use crate::plan::spec::User;
use crate::supervise::contract::Seat;
use crate::supervise::machine::WorkerId;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tokio::net::UnixDatagram;

/// With its path, which is one of the `files`.
pub(super) fn notify_socket(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<(UnixDatagram, PathBuf), LaunchError> {
    let path = site.workers_dir.join(format!("{id}.notify"));
    files.push(path.clone());
    let bound = bind_notify_socket(&path, seat.app.settings.user.as_ref());
    Ok((bound.map_err(step("its notify socket"))?, path))
}

fn bind_notify_socket(path: &Path, user: Option<&User>) -> io::Result<UnixDatagram> {
    let notify = UnixDatagram::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    if let Some(user) = user {
        std::os::unix::fs::chown(path, Some(user.uid), None)?;
        check_reachable(path, user)?;
    }
    Ok(notify)
}

/// A worker that cannot reach its notify socket would never become ready, and not know why.
fn check_reachable(path: &Path, user: &User) -> io::Result<()> {
    for dir in path.ancestors().skip(1) {
        let metadata = fs::metadata(dir)?;
        let search = if metadata.uid() == user.uid {
            0o100
        } else if metadata.gid() == user.gid || user.groups.contains(&metadata.gid()) {
            0o010
        } else {
            0o001
        };
        if user.uid != 0 && metadata.mode() & search == 0 {
            return Err(io::Error::other(format!(
                "user `{}` may not search {}, where the runtime directory is; choose another with --run-dir",
                user.name,
                dir.display()
            )));
        }
    }
    Ok(())
}
