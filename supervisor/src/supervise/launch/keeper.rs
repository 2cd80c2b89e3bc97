//! The process around a worker: started with what it needs, and with the ways on which it is spoken to and its output is read.

use super::{LaunchError, Site, THIS_PROGRAM, step};
use crate::keeper::message::{self, Identity, KeeperSpec};
use crate::logs::{AllRead, Output, Released, Source};
use crate::manager::VARIABLES;
use crate::plan::spec::{AppKind, AppSpec};
use crate::supervise::contract::{self, Seat};
use crate::supervise::machine::WorkerId;
use crate::supervise::python_host;
use crate::supervise::upgrade::memory_file;
use crate::sys::process::Child;
use command_fds::{CommandFdExt, FdMapping};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use tokio::net::UnixStream;

/// What does not depend on how a worker is started.
pub(super) fn spec(app: &AppSpec) -> KeeperSpec {
    let settings = &app.settings;
    KeeperSpec {
        argv: Vec::new(),
        env: BTreeMap::new(),
        directory: settings.directory.clone(),
        has_listener: false,
        has_host: matches!(app.kind, AppKind::Python { .. }),
        identity: settings.user.as_ref().map(|user| Identity {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
        }),
        umask: settings.umask,
        nice: settings.nice,
        limits: settings.limits.clone(),
        no_new_privileges: settings.no_new_privileges,
        confinement: None,
        template: false,
    }
}

type Attached = (Output, AllRead);

/// Starts a keeper, which waits for its orders on the link.
pub(super) fn start_keeper(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    title: &str,
    listener: OwnedFd,
) -> Result<(Child, UnixStream, Attached), LaunchError> {
    let (stdout, worker_stdout) = io::pipe().map_err(step("a pipe for its output"))?;
    let (stderr, worker_stderr) = io::pipe().map_err(step("a pipe for its output"))?;
    let (link, keeper_link) = link_pair()?;
    let tell_files = site.reload.is_some();
    let configuration = contract::configuration(seat, &site.config, &site.program, tell_files)
        .map_err(|error| step("its configuration")(error.into()))?;
    let configuration =
        memory_file("paster-config", &configuration).map_err(step("its configuration"))?;
    let host = match seat.app.kind {
        AppKind::Python { .. } => memory_file("paster-host", &python_host::bundle()),
        AppKind::Exec { .. } | AppKind::Upstream { .. } | AppKind::Static(_) => nothing(),
    };
    let host = host.map_err(step("the Python host"))?;
    let output = attach(site, seat, id, stdout, stderr)?;
    // From here on nothing can fail but the start of the keeper itself.
    let mut command = Command::new(THIS_PROGRAM);
    let mapping = |parent_fd, child_fd| FdMapping {
        parent_fd,
        child_fd,
    };
    command
        .arg0(title)
        .arg(crate::keeper::ROLE)
        .stdin(Stdio::null())
        .stdout(worker_stdout)
        .stderr(worker_stderr)
        .process_group(0)
        .fd_mappings(vec![
            mapping(keeper_link.into(), message::CONTROL_FD),
            mapping(listener, message::LISTENER_FD),
            mapping(configuration, message::CONFIG_FD),
            mapping(host, message::HOST_FD),
        ])
        .map_err(|_| step("its keeper")(io::Error::other("descriptor numbers collide")))?;
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let keeper = command.spawn().map_err(step("its keeper"))?;
    // The command holds our copies of the worker's ends; they must not outlive this call.
    drop(command);
    let keeper = Child::watch_or_kill(keeper).map_err(step("its keeper"))?;
    Ok((keeper, link, output))
}

/// Our end, and that of a keeper.
pub(super) fn link_pair() -> Result<(UnixStream, std::os::unix::net::UnixStream), LaunchError> {
    let pair = std::os::unix::net::UnixStream::pair();
    let (ours, keepers) = pair.map_err(step("a socket for its keeper"))?;
    let ours = ours
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(ours));
    Ok((ours.map_err(step("a socket for its keeper"))?, keepers))
}

pub(super) fn attach(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    stdout: io::PipeReader,
    stderr: io::PipeReader,
) -> Result<Attached, LaunchError> {
    let pipe = |read_end: io::PipeReader| Released {
        read_end: Some(read_end.into()),
        partial: Vec::new(),
    };
    let source = Source::new(id, seat.slot, seat.generation, None);
    (site.logs)
        .attach(&seat.app.name, source, [pipe(stdout), pipe(stderr)])
        .map_err(step("a pipe for its output"))
}

pub(super) fn nothing() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}
