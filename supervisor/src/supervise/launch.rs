//! Starting one worker: its sockets, its pipes, its keeper, and the tasks that listen to them.

use super::contract::{self, Placeholders, Seat};
use super::keeper_link::{self, Conversation, Launched, TemplateState};
use super::machine::WorkerId;
use super::python_host;
use super::upgrade::{memory_file, moment};
use crate::confine::cgroup::{self, Group};
use crate::confine::{Confinement, directory_name, worker};
use crate::keeper::message::{self, Ended, Fork, FromKeeper, Identity, KeeperSpec};
use crate::logs::{AllRead, Logs, Output, Released, Source};
use crate::manager::VARIABLES;
use crate::plan::needs::needs;
use crate::plan::spec::{AppKind, AppSpec, Readiness, User};
use crate::router::message::WorkerAddress;
use crate::sys::process::Child;
use crate::sys::shortage;
use command_fds::{CommandFdExt, FdMapping};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::mpsc;

/// The program that runs now, to run its other roles from: also when a new version was installed in its place (proc(5)).
pub(super) const THIS_PROGRAM: &str = "/proc/self/exe";

/// News of one worker, for the driver.
#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    Spawned {
        pid: u32,
        /// The process below which all of it is, where that is not its keeper.
        #[serde(default)]
        root: Option<u32>,
    },
    Ready,
    Status(String),
    Extend(Duration),
    /// Files that it is made of.
    Files(Vec<PathBuf>),
    /// It has pinged its watchdog.
    Alive,
    /// Its health was checked; an error is in words, as in `answered with status 503`.
    Checked(Result<(), String>),
    /// It could not be started: the step and the error.
    Failed {
        step: String,
        error: String,
    },
    /// It has ended, nothing of it is left, and all its output has been read.
    Exited {
        ended: Ended,
        /// When it ended.
        #[serde(with = "moment")]
        at: Instant,
    },
    /// The keeper of a template has ended, some time after the template.
    Gone,
}

/// What launching needs to know about the site.
#[derive(Clone)]
pub struct Site {
    /// Where this program is, for workers that ask it.
    pub program: PathBuf,
    /// As it was called: where a new version will be.
    pub invoked_as: PathBuf,
    pub config: PathBuf,
    pub workers_dir: PathBuf,
    /// What the site's control group is called.
    pub name: String,
    /// The apps' private temporary directories are made below.
    pub private_tmp: PathBuf,
    /// What is to survive a restart of paster; made when there is something.
    pub state_dir: PathBuf,
    /// The unprivileged user of the proxy, when it is not our own.
    pub proxy_uid: Option<u32>,
    /// With `--reload`: how often files are looked at.
    pub reload: Option<Duration>,
    pub logs: Logs,
    pub news: mpsc::Sender<(WorkerId, News)>,
}

/// Why a worker could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not be started: {step}: {error}")]
pub struct LaunchError {
    step: &'static str,
    error: io::Error,
}

/// Names the step that failed.
fn step(step: &'static str) -> impl FnOnce(io::Error) -> LaunchError {
    move |error| LaunchError { step, error }
}

/// A worker that is being started, and where it will listen.
pub struct Worker {
    pub launched: Launched,
    pub address: WorkerAddress,
}

/// Starts the keeper of worker `id`. How the start goes on is told by [`News`].
///
/// # Errors
/// What the operating system refuses: descriptors, processes, space. Nothing is left of the worker then.
pub(super) fn launch(site: &Site, seat: Seat<'_>, id: WorkerId) -> Result<Worker, LaunchError> {
    tidily(|files| start(site, seat, id, files))
}

/// Starts the template of a generation: what it is made of is told by [`News`], too. Its output is shown as that of `slot`.
///
/// # Errors
/// As [`launch`].
pub(super) fn launch_template(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
) -> Result<Launched, LaunchError> {
    tidily(|files| start_template(site, seat, id, files))
}

/// Prepares a worker, and the order to fork it. Until the order has been given, who has it is its keeper.
///
/// # Errors
/// As [`launch`].
pub(super) fn prepare_fork(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
) -> Result<(Worker, ForkOrder), LaunchError> {
    tidily(|files| start_forked(site, seat, id, files))
}

/// Removes what was made, where something fails.
fn tidily<T>(
    start: impl FnOnce(&mut Vec<PathBuf>) -> Result<T, LaunchError>,
) -> Result<T, LaunchError> {
    let mut files = Vec::new();
    let started = start(&mut files);
    if started.is_err() {
        tokio::spawn(remove(files));
    }
    started
}

/// Removes what belonged to a worker, when the system lets us. A directory may hold anything that a program has put there.
pub(super) async fn remove(files: Vec<PathBuf>) {
    let work = tokio::task::spawn_blocking(move || {
        for file in files {
            while let Err(error) = remove_one(&file)
                && shortage::will_pass(&error)
            {
                std::thread::sleep(shortage::PAUSE);
            }
        }
    });
    // It does not panic.
    let _ = work.await;
}

fn remove_one(file: &Path) -> io::Result<()> {
    if file.is_dir() {
        fs::remove_dir_all(file)
    } else {
        fs::remove_file(file)
    }
}

/// Tells by `files` what is to be removed, also where it fails.
fn start(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<Worker, LaunchError> {
    let app = seat.app;
    let place = Place::prepare(site, app, id, files).map_err(step("its socket"))?;
    let (notify, notify_path) = notify_socket(site, seat, id, files)?;
    let is_python = matches!(app.kind, AppKind::Python { .. });
    let spec = KeeperSpec {
        argv: contract::argv(seat, &place.placeholders),
        env: contract::environment(environment(), seat, place.listener.is_some(), &notify_path),
        has_listener: place.listener.is_some(),
        confinement: confinement(site, seat, id, &notify_path, &place.placeholders),
        ..spec(app)
    };
    let listener = match &place.listener {
        Some(listener) => listener.try_clone().map(OwnedFd::from),
        None => nothing(),
    };
    let listener = listener.map_err(step("its socket"))?;
    let readiness = match is_python {
        true => Readiness::Notify,
        false => app.settings.ready.clone(),
    };
    let title = format!("paster: keeper of {}:{}", app.name, seat.slot);
    let (keeper, link, output) = start_keeper(site, seat, id, &title, listener)?;
    let conversation = Conversation {
        keeper: Some(keeper),
        group: spec.confinement.as_ref().and_then(control_group),
        readiness,
        listener: place.listener.map(Arc::new),
        address: Some(place.address.clone()),
        ..Conversation::new(site, id, link, notify, files.clone())
    };
    Ok(Worker {
        launched: keeper_link::start(site, conversation, Some(spec), output),
        address: place.address,
    })
}

fn start_template(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<Launched, LaunchError> {
    let app = seat.app;
    let (notify, notify_path) = notify_socket(site, seat, id, files)?;
    let spec = KeeperSpec {
        argv: contract::template_argv(seat),
        env: contract::template_environment(environment(), seat, &notify_path),
        confinement: confinement(site, seat, id, &notify_path, &Placeholders::default()),
        template: true,
        ..spec(app)
    };
    let listener = nothing().map_err(step("its keeper"))?;
    let title = format!("paster: keeper of {} (preload)", app.name);
    let (keeper, link, output) = start_keeper(site, seat, id, &title, listener)?;
    let conversation = Conversation {
        keeper: Some(keeper),
        group: spec.confinement.as_ref().and_then(control_group),
        template: Some(TemplateState::Alive),
        ..Conversation::new(site, id, link, notify, files.clone())
    };
    Ok(keeper_link::start(site, conversation, Some(spec), output))
}

fn start_forked(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    files: &mut Vec<PathBuf>,
) -> Result<(Worker, ForkOrder), LaunchError> {
    let app = seat.app;
    let place = Place::prepare(site, app, id, files).map_err(step("its socket"))?;
    let listener = place.listener.as_ref().map(UnixListener::try_clone);
    let listener = listener
        .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
        .map_err(step("its socket"))?;
    // No path: in a mount namespace of the template's it could not be reached.
    let (notify, its_notify) = UnixDatagram::pair().map_err(step("its notify socket"))?;
    let its_notify = its_notify.into_std().map_err(step("its notify socket"))?;
    let (stdout, worker_stdout) = io::pipe().map_err(step("a pipe for its output"))?;
    let (stderr, worker_stderr) = io::pipe().map_err(step("a pipe for its output"))?;
    let (link, keepers_link) = link_pair()?;
    let output = attach(site, seat, id, stdout, stderr)?;
    let cgroup = app.confined.confinement.cgroup.as_ref();
    let group = cgroup.map(|cgroup| (cgroup.clone(), group_name(site, seat, id)));
    let conversation = Conversation {
        group: group
            .as_ref()
            .map(|(cgroup, name)| Group::named(cgroup, name)),
        listener: place.listener.map(Arc::new),
        address: Some(place.address.clone()),
        ..Conversation::new(site, id, link, notify, files.clone())
    };
    let order = ForkOrder {
        link: keepers_link,
        fork: Fork {
            env: contract::forked_environment(seat),
            group,
        },
        for_worker: vec![
            listener.into(),
            its_notify.into(),
            worker_stdout.into(),
            worker_stderr.into(),
        ],
    };
    let worker = Worker {
        launched: keeper_link::start(site, conversation, None, output),
        address: place.address,
    };
    Ok((worker, order))
}

/// A worker that is to be forked. As long as that has not been ordered, this is the keeper's end of its link.
pub(super) struct ForkOrder {
    link: std::os::unix::net::UnixStream,
    fork: Fork,
    /// Listener, notifications, stdout, stderr.
    for_worker: Vec<OwnedFd>,
}

impl ForkOrder {
    /// To the keeper of the template.
    pub(super) fn give(self, template: &Launched) {
        let mut descriptors = vec![self.link.into()];
        descriptors.extend(self.for_worker);
        template.fork(self.fork, descriptors);
    }

    /// There will be no worker: says so as its keeper would.
    pub(super) fn call_off(mut self, why: &FromKeeper) {
        if let Ok(mut line) = serde_json::to_vec(why) {
            line.push(b'\n');
            // A short line into an empty socket. Should it be refused, the end says enough.
            let _ = self.link.write_all(&line);
        }
    }
}

/// What does not depend on how a worker is started.
fn spec(app: &AppSpec) -> KeeperSpec {
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
fn start_keeper(
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
fn link_pair() -> Result<(UnixStream, std::os::unix::net::UnixStream), LaunchError> {
    let pair = std::os::unix::net::UnixStream::pair();
    let (ours, keepers) = pair.map_err(step("a socket for its keeper"))?;
    let ours = ours
        .set_nonblocking(true)
        .and_then(|()| UnixStream::from_std(ours));
    Ok((ours.map_err(step("a socket for its keeper"))?, keepers))
}

fn attach(
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

/// With its path, which is one of the `files`.
fn notify_socket(
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

/// What the keeper needs to confine the worker; none where nothing is asked for.
fn confinement(
    site: &Site,
    seat: Seat<'_>,
    id: WorkerId,
    notify_path: &Path,
    placeholders: &Placeholders,
) -> Option<worker::Spec> {
    let app = seat.app;
    let confinement = &app.confined.confinement;
    if *confinement == Confinement::default() {
        return None;
    }
    let here = site.config.parent().unwrap_or(&site.config);
    let mut needed = needs(&app.kind, &app.settings, here);
    needed.extend([notify_path.to_owned(), site.program.clone()]);
    Some(worker::Spec {
        confinement: confinement.clone(),
        group: group_name(site, seat, id),
        tmp: site.private_tmp.join(directory_name(&app.name)),
        workers_dir: site.workers_dir.clone(),
        needed,
        own: placeholders
            .socket
            .iter()
            .filter_map(|socket| socket.parent())
            .map(Path::to_owned)
            .collect(),
    })
}

fn group_name(site: &Site, seat: Seat<'_>, id: WorkerId) -> cgroup::Name {
    cgroup::Name {
        site: site.name.clone(),
        generation: cgroup::Name::generation(&seat.app.name, seat.generation),
        worker: format!("{id}.{}", std::process::id()),
    }
}

fn control_group(spec: &worker::Spec) -> Option<Group> {
    let cgroup = spec.confinement.cgroup.as_ref()?;
    Some(Group::named(cgroup, &spec.group))
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

fn environment() -> impl Iterator<Item = (String, String)> {
    // What is not UTF-8 cannot be put into JSON; such variables are not passed on.
    std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
}

fn nothing() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}

/// Where a worker listens.
struct Place {
    address: WorkerAddress,
    /// The socket that we created for it.
    listener: Option<UnixListener>,
    placeholders: Placeholders,
}

impl Place {
    /// Adds what it makes to `files` before it makes it.
    fn prepare(
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
pub(super) fn give_to_proxy(socket: &Path, proxy_uid: Option<u32>) -> io::Result<()> {
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
