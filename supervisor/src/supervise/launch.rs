//! Starting one worker: its sockets, its pipes, its keeper, and the tasks that listen to them.

use super::contract::{self, Placeholders, Seat};
use super::machine::WorkerId;
use super::notify::{self, Notice};
use super::output::{self, Ring, Sink};
use super::{python_host, readiness};
use crate::keeper::message::{self, Exit, FromKeeper, Identity, KeeperSpec, ToKeeper};
use crate::plan::spec::{AppKind, AppSpec, Readiness, User};
use crate::router::message::WorkerAddress;
use command_fds::CommandFdExt;
use command_fds::FdMapping;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// News of one worker, for the driver.
#[derive(Debug)]
pub enum News {
    Spawned {
        pid: u32,
    },
    Ready,
    Status(String),
    Extend(Duration),
    /// It has pinged its watchdog.
    Alive,
    /// It could not be started: the step and the error.
    Failed {
        step: String,
        error: String,
    },
    /// It has ended, nothing of it is left, and all its output has been read.
    Exited {
        exit: Exit,
    },
}

/// What launching needs to know about the site.
#[derive(Clone)]
pub struct Site {
    /// This program, to run the keeper from.
    pub program: PathBuf,
    pub config: PathBuf,
    pub workers_dir: PathBuf,
    /// The unprivileged user of the proxy, when it is not our own.
    pub proxy_uid: Option<u32>,
    pub stdout: Sink,
    pub stderr: Sink,
    pub news: mpsc::Sender<(WorkerId, News)>,
}

/// A launched worker, as the driver holds it. Dropping it ends the keeper and with it the worker.
pub struct Launched {
    pub address: WorkerAddress,
    pub ring: Ring,
    pub keeper_pid: Option<u32>,
    orders: mpsc::UnboundedSender<ToKeeper>,
}

impl Launched {
    /// Unbounded, but a worker gets two orders in its life.
    pub fn order(&self, order: ToKeeper) {
        let _ = self.orders.send(order);
    }
}

/// Starts the keeper of worker `id`. How the start goes on is told by [`News`].
///
/// # Errors
/// What the operating system refuses: descriptors, processes, space.
pub fn launch(
    site: &Site,
    app: &AppSpec,
    id: WorkerId,
    slot: u32,
    generation: u64,
) -> io::Result<Launched> {
    let seat = Seat {
        app,
        slot,
        generation,
    };
    let user = app.settings.user.as_ref();
    let place = Place::prepare(site, app, id)?;
    let notify_path = site.workers_dir.join(format!("{id}.notify"));
    let notify = UnixDatagram::bind(&notify_path)?;
    fs::set_permissions(&notify_path, Permissions::from_mode(0o600))?;
    if let Some(user) = user {
        std::os::unix::fs::chown(&notify_path, Some(user.uid), None)?;
        check_reachable(&notify_path, user)?;
    }
    let is_python = matches!(app.kind, AppKind::Python { .. });
    let spec = KeeperSpec {
        argv: contract::argv(seat, &place.placeholders),
        env: contract::environment(environment(), seat, place.listener.is_some(), &notify_path),
        directory: app.settings.directory.clone(),
        has_listener: place.listener.is_some(),
        has_host: is_python,
        identity: user.map(|user| Identity {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
        }),
        umask: app.settings.umask,
        nice: app.settings.nice,
        limits: app.settings.limits.clone(),
        no_new_privileges: app.settings.no_new_privileges,
    };
    let (stdout, worker_stdout) = io::pipe()?;
    let (stderr, worker_stderr) = io::pipe()?;
    let (link, keeper_link) = std::os::unix::net::UnixStream::pair()?;
    let configuration = contract::configuration(seat, &site.config, &site.program)?;
    let host = if is_python {
        memory_file("paster-host", &python_host::bundle())?
    } else {
        nothing()?
    };
    let listener = match &place.listener {
        Some(listener) => OwnedFd::from(listener.try_clone()?),
        None => nothing()?,
    };
    let mut command = Command::new(&site.program);
    command
        .arg0(format!("paster: keeper of {}:{slot}", app.name))
        .arg(crate::keeper::ROLE)
        .stdin(Stdio::null())
        .stdout(worker_stdout)
        .stderr(worker_stderr)
        .process_group(0)
        .fd_mappings(vec![
            FdMapping {
                parent_fd: keeper_link.into(),
                child_fd: message::CONTROL_FD,
            },
            FdMapping {
                parent_fd: listener,
                child_fd: message::LISTENER_FD,
            },
            FdMapping {
                parent_fd: memory_file("paster-config", &configuration)?,
                child_fd: message::CONFIG_FD,
            },
            FdMapping {
                parent_fd: host,
                child_fd: message::HOST_FD,
            },
        ])
        .map_err(|_| io::Error::other("descriptor numbers collide"))?;
    let keeper = command.spawn()?;
    let keeper_pid = keeper.id();
    // The command holds our copies of the worker's ends; they must not outlive this call.
    drop(command);
    link.set_nonblocking(true)?;
    let ring = Ring::default();
    let prefix = format!("[{}:{slot}] ", app.name);
    let readers = [
        tokio::spawn(output::pump(
            receiver(stdout.into())?,
            prefix.clone(),
            ring.clone(),
            site.stdout.clone(),
        )),
        tokio::spawn(output::pump(
            receiver(stderr.into())?,
            prefix,
            ring.clone(),
            site.stderr.clone(),
        )),
    ];
    let (orders, orders_receiver) = mpsc::unbounded_channel();
    let address = place.address.clone();
    let task = KeeperTask {
        id,
        news: site.news.clone(),
        keeper,
        link: UnixStream::from_std(link)?,
        notify,
        orders: orders_receiver,
        files: vec![notify_path, place.path.clone()],
        proxy_uid: site.proxy_uid,
        readiness: if is_python {
            Readiness::Notify
        } else {
            app.settings.ready.clone()
        },
        listener: place.listener,
        address: place.address,
    };
    tokio::spawn(task.run(spec, readers));
    Ok(Launched {
        address,
        ring,
        keeper_pid,
        orders,
    })
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

fn receiver(read_end: OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(read_end)
}

fn nothing() -> io::Result<OwnedFd> {
    Ok(File::open("/dev/null")?.into())
}

/// An anonymous file with `content`, positioned at its start.
fn memory_file(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// Where a worker listens.
struct Place {
    address: WorkerAddress,
    /// The socket that we created for it.
    listener: Option<UnixListener>,
    placeholders: Placeholders,
    /// Removed at its end.
    path: PathBuf,
}

impl Place {
    fn prepare(site: &Site, app: &AppSpec, id: WorkerId) -> io::Result<Place> {
        let path = site.workers_dir.join(format!("{id}.sock"));
        let uses = |what: &str| match &app.kind {
            AppKind::Exec { argv, .. } => argv.iter().any(|arg| arg.contains(what)),
            AppKind::Python { .. } | AppKind::Upstream { .. } => false,
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
                path,
            });
        }
        if uses("{socket}") {
            // The program creates the socket itself, so it needs a directory in which it may.
            let dir = site.workers_dir.join(format!("{id}.d"));
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
                path: dir,
            });
        }
        let listener = UnixListener::bind(&path)?;
        give_to_proxy(&path, site.proxy_uid)?;
        Ok(Place {
            address: WorkerAddress::Unix(path.clone()),
            listener: Some(listener),
            placeholders: Placeholders::default(),
            path,
        })
    }
}

/// Only the proxy connects to a worker (connect(2) needs write permission).
fn give_to_proxy(socket: &Path, proxy_uid: Option<u32>) -> io::Result<()> {
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

/// How long the rest of the output may take after everything that could write it was killed.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

struct KeeperTask {
    id: WorkerId,
    news: mpsc::Sender<(WorkerId, News)>,
    keeper: Child,
    link: UnixStream,
    notify: UnixDatagram,
    orders: mpsc::UnboundedReceiver<ToKeeper>,
    files: Vec<PathBuf>,
    proxy_uid: Option<u32>,
    readiness: Readiness,
    listener: Option<UnixListener>,
    address: WorkerAddress,
}

impl KeeperTask {
    async fn run(mut self, spec: KeeperSpec, readers: [JoinHandle<()>; 2]) {
        let end = self.converse(&spec).await;
        // The keeper goes when nothing of the worker is left.
        let _ = self.keeper.wait().await;
        let all_read = async {
            for reader in readers {
                let _ = reader.await;
            }
        };
        let _ = tokio::time::timeout(LAST_OUTPUT, all_read).await;
        for file in &self.files {
            let _ = if file.is_dir() {
                fs::remove_dir_all(file)
            } else {
                fs::remove_file(file)
            };
        }
        self.tell(end).await;
    }

    async fn tell(&self, news: News) {
        // The driver is gone only when paster ends.
        let _ = self.news.send((self.id, news)).await;
    }

    /// From the order to start until the worker's end.
    async fn converse(&mut self, spec: &KeeperSpec) -> News {
        let lost = News::Exited {
            exit: Exit::Unknown,
        };
        let (news, id) = (self.news.clone(), self.id);
        let (reader, mut writer) = self.link.split();
        let mut lines = BufReader::new(reader).lines();
        let Ok(mut text) = serde_json::to_vec(spec) else {
            return lost;
        };
        text.push(b'\n');
        if writer.write_all(&text).await.is_err() {
            return lost;
        }
        let own_socket = self.listener.is_none();
        let mut probe: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(readiness::wait(
            &self.readiness,
            &self.address,
            self.listener.take(),
        ));
        let share_own_socket = || {
            if own_socket && let WorkerAddress::Unix(path) = &self.address {
                // A socket that the program made itself belongs to its user.
                let _ = give_to_proxy(path, self.proxy_uid);
            }
        };
        let (mut spawned, mut ready) = (false, false);
        let mut datagram = vec![0; 4096];
        loop {
            let said = tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) => match serde_json::from_str(&line) {
                        Ok(FromKeeper::Spawned { pid }) => {
                            spawned = true;
                            News::Spawned { pid }
                        }
                        Ok(FromKeeper::Failed { step, error }) => return News::Failed { step, error },
                        Ok(FromKeeper::Exited { exit }) => return News::Exited { exit },
                        Err(_) => continue,
                    },
                    Ok(None) | Err(_) => return lost,
                },
                order = self.orders.recv() => {
                    // No driver any more: the end of the link ends the keeper and the worker.
                    let Some(order) = order else { return lost };
                    if let Ok(mut text) = serde_json::to_vec(&order) {
                        text.push(b'\n');
                        let _ = writer.write_all(&text).await;
                    }
                    continue;
                }
                Ok(length) = self.notify.recv(&mut datagram) => {
                    for notice in notify::parse(&datagram[..length]) {
                        let said = match notice {
                            Notice::Ready if ready => continue,
                            Notice::Ready => {
                                ready = true;
                                // Ends its connection too: a server that serves one at a time would wait for it.
                                probe = Box::pin(std::future::pending());
                                share_own_socket();
                                News::Ready
                            }
                            Notice::Status(text) => News::Status(text),
                            Notice::Extend(by) => News::Extend(by),
                            Notice::Alive => News::Alive,
                            Notice::Stopping => News::Status("stopping".to_owned()),
                        };
                        let _ = news.send((id, said)).await;
                    }
                    continue;
                }
                () = &mut probe, if spawned && !ready => {
                    ready = true;
                    share_own_socket();
                    News::Ready
                }
            };

            let _ = news.send((id, said)).await;
        }
    }
}
