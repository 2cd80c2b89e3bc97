//! One proxy process, seen from the supervisor.

use super::launch::{Site, THIS_PROGRAM};
use super::upgrade::Descriptors;
use crate::logs::LOG_VARIABLE;
use crate::manager::VARIABLES;
use crate::router::message::{CONTROL_FD, FromProxy, PROXY_ROLE, Table, ToProxy};
use crate::sys::process::Child;
use crate::sys::shortage;
use command_fds::{CommandFdExt, FdMapping};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{Framed, FramedParts, LinesCodec};

/// glibc's allocator keeps seven freed pieces of each size at hand, and none above 1 KiB. Sixty requests at the same time have
/// more, and each piece beyond those takes the long way: a twentieth of all the instructions of a request. Ignored by other C
/// libraries.
const TUNABLES: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.tcache_count=127:glibc.malloc.tcache_max=4096",
);

/// The proxy is not trusted; a longer line from it ends it.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Number of a proxy process, counted from 1.
pub type Instance = u64;

/// News of a proxy, for the driver.
#[derive(Debug, Serialize, Deserialize)]
pub enum ProxyNews {
    Said(FromProxy),
    /// It has ended.
    Exited(Option<String>),
}

/// How long a proxy may take to end after the end of its link.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// A running proxy, as the driver holds it. Dropping it ends the process.
pub struct ProxyLink {
    pub pid: u32,
    orders: mpsc::UnboundedSender<Order>,
}

impl ProxyLink {
    /// Starts a proxy with its own copies of `listeners`, and tells it `first` (`hello` at the head) and `table`. It runs in the
    /// directory of the workers' sockets: from there it reaches them by their names alone, without a right to search the
    /// directories above.
    ///
    /// # Errors
    /// What the operating system refuses: descriptors, processes.
    pub fn start(
        site: &Site,
        instance: Instance,
        first: Vec<ToProxy>,
        listeners: &[OwnedFd],
        table: Table,
        news: mpsc::Sender<(Instance, ProxyNews)>,
    ) -> io::Result<ProxyLink> {
        let (link, proxy_link) = std::os::unix::net::UnixStream::pair()?;
        let mut mappings = vec![FdMapping {
            parent_fd: proxy_link.into(),
            child_fd: CONTROL_FD,
        }];
        for (listener, child_fd) in listeners.iter().zip(CONTROL_FD + 1..) {
            mappings.push(FdMapping {
                parent_fd: listener.try_clone()?,
                child_fd: RawFd::from(child_fd),
            });
        }
        let mut command = Command::new(THIS_PROGRAM);
        command
            .arg0("paster: proxy")
            .arg(PROXY_ROLE)
            .stdin(Stdio::null())
            .current_dir(&site.workers_dir)
            // Not in the terminal's foreground group: Ctrl-C is for the supervisor, which drains the proxy.
            .process_group(0)
            .fd_mappings(mappings)
            .map_err(|_| io::Error::other("descriptor numbers collide"))?;
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        if let Some(level) = site.log_level {
            command.env(LOG_VARIABLE, level.to_string());
        }
        let (tunables, value) = TUNABLES;
        if std::env::var_os(tunables).is_none() {
            command.env(tunables, value);
        }
        link.set_nonblocking(true)?;
        let framed = Framed::new(
            UnixStream::from_std(link)?,
            LinesCodec::new_with_max_length(MAX_LINE),
        );
        // From here on nothing can fail but the start of the process itself.
        let child = command.spawn()?;
        drop(command);
        let child = Child::watch_or_kill(child)?;
        let link = ProxyLink::converse_with(instance, child, framed, news);
        first.into_iter().for_each(|message| link.send(message));
        link.send(ToProxy::Table(table));
        Ok(link)
    }

    /// Goes on with a frozen conversation.
    ///
    /// # Errors
    /// A descriptor that was not handed over, or that the runtime cannot watch.
    pub fn thaw(
        instance: Instance,
        pid: u32,
        frozen: Frozen,
        descriptors: &mut Descriptors,
        news: mpsc::Sender<(Instance, ProxyNews)>,
    ) -> io::Result<ProxyLink> {
        let link = std::os::unix::net::UnixStream::from(descriptors.take(frozen.link)?);
        let mut parts = FramedParts::new::<String>(
            UnixStream::from_std(link)?,
            LinesCodec::new_with_max_length(MAX_LINE),
        );
        parts.read_buf.extend_from_slice(&frozen.unread);
        let child = Child::watch(pid)?;
        Ok(ProxyLink::converse_with(
            instance,
            child,
            Framed::from_parts(parts),
            news,
        ))
    }

    fn converse_with(
        instance: Instance,
        child: Child,
        framed: Framed<UnixStream, LinesCodec>,
        news: mpsc::Sender<(Instance, ProxyNews)>,
    ) -> ProxyLink {
        let (orders, outgoing) = mpsc::unbounded_channel();
        let pid = child.pid();
        tokio::spawn(run(child, framed, outgoing, instance, news));
        ProxyLink { pid, orders }
    }

    /// Unbounded, but tables come only as fast as workers come and go.
    pub fn send(&self, message: ToProxy) {
        let _ = self.orders.send(Order::Tell(Box::new(message)));
    }

    /// A proxy whose conversation has ended; its last news is on its way.
    pub fn ended(pid: u32) -> ProxyLink {
        let (orders, _) = mpsc::unbounded_channel();
        ProxyLink { pid, orders }
    }

    /// Ends the conversation here and gives what is needed to go on with it. No answer: the proxy has ended, and its last
    /// news is there.
    pub fn freeze(&self) -> oneshot::Receiver<(Frozen, Descriptors)> {
        let (reply, frozen) = oneshot::channel();
        let _ = self.orders.send(Order::Freeze(reply));
        frozen
    }
}

enum Order {
    Tell(Box<ToProxy>),
    Freeze(oneshot::Sender<(Frozen, Descriptors)>),
}

/// A conversation at rest. The descriptor is given by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    link: RawFd,
    /// What the proxy has said that was not yet a whole line.
    unread: Vec<u8>,
}

async fn run(
    child: Child,
    mut framed: Framed<UnixStream, LinesCodec>,
    mut outgoing: mpsc::UnboundedReceiver<Order>,
    instance: Instance,
    news: mpsc::Sender<(Instance, ProxyNews)>,
) {
    if let Some(reply) = converse(&mut framed, &mut outgoing, instance, &news).await {
        let parts = framed.into_parts();
        let mut descriptors = Descriptors::default();
        if let Ok(link) = parts.io.into_std() {
            let frozen = Frozen {
                link: descriptors.put(link),
                unread: parts.read_buf.to_vec(),
            };
            // Who asked waits for this. (If not, paster is on its way out, and the end of the link ends the proxy.)
            let _ = reply.send((frozen, descriptors));
        }
        return;
    }
    // The end of the link ends the proxy; one that does not see it is not waited for.
    drop(framed);
    let status = match tokio::time::timeout(LAST_STEPS, child.wait()).await {
        Ok(status) => status.ok(),
        Err(_) => {
            child.kill();
            child.wait().await.ok()
        }
    };
    let status = status.map(|status| status.to_string());
    let _ = news.send((instance, ProxyNews::Exited(status))).await;
}

/// Until the proxy has gone, or someone wants to go on with the conversation elsewhere.
async fn converse(
    framed: &mut Framed<UnixStream, LinesCodec>,
    outgoing: &mut mpsc::UnboundedReceiver<Order>,
    instance: Instance,
    news: &mpsc::Sender<(Instance, ProxyNews)>,
) -> Option<oneshot::Sender<(Frozen, Descriptors)>> {
    loop {
        tokio::select! {
            order = outgoing.recv() => match order? {
                Order::Freeze(reply) if reply.is_closed() => continue,
                Order::Freeze(reply) => return Some(reply),
                Order::Tell(message) => {
                    let Ok(mut line) = serde_json::to_vec(&message) else { continue };
                    line.push(b'\n');
                    shortage::write_all_async(framed.get_mut(), &line).await.ok()?;
                }
            },
            line = framed.next() => match line {
                Some(Ok(line)) => match serde_json::from_str(&line) {
                    Ok(said) => {
                        let _ = news.send((instance, ProxyNews::Said(said))).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, "the proxy said something strange; it is replaced");
                        return None;
                    }
                },
                Some(Err(_)) | None => return None,
            }
        }
    }
}
