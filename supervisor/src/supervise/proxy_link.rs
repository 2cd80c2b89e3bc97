//! One proxy process, seen from the supervisor.

use crate::router::message::{CONTROL_FD, FromProxy, Hello, PROXY_ROLE, Table, ToProxy};
use command_fds::{CommandFdExt, FdMapping};
use futures_util::{SinkExt, StreamExt};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LinesCodec};

/// The proxy is not trusted; a longer line from it ends it.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// Number of a proxy process, counted from 1.
pub type Instance = u64;

/// News of a proxy, for the driver.
#[derive(Debug)]
pub enum ProxyNews {
    Said(FromProxy),
    /// It has ended.
    Exited(Option<ExitStatus>),
}

/// A running proxy, as the driver holds it. Dropping it ends the process.
#[derive(Debug)]
pub struct ProxyLink {
    pub instance: Instance,
    pub pid: Option<u32>,
    messages: mpsc::UnboundedSender<ToProxy>,
}

impl ProxyLink {
    /// Starts a proxy with its own copies of `listeners`, in the directory of the workers' sockets: from there it reaches
    /// them by their names alone, without a right to search the directories above.
    ///
    /// # Errors
    /// What the operating system refuses: descriptors, processes.
    pub fn start(
        program: &Path,
        workers_dir: &Path,
        instance: Instance,
        hello: Hello,
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
        let mut command = Command::new(program);
        command
            .arg0("paster: proxy")
            .arg(PROXY_ROLE)
            .stdin(Stdio::null())
            .current_dir(workers_dir)
            // Not in the terminal's foreground group: Ctrl-C is for the supervisor, which drains the proxy.
            .process_group(0)
            .fd_mappings(mappings)
            .map_err(|_| io::Error::other("descriptor numbers collide"))?;
        let mut child = command.spawn()?;
        drop(command);
        let pid = child.id();
        link.set_nonblocking(true)?;
        let framed = Framed::new(
            UnixStream::from_std(link)?,
            LinesCodec::new_with_max_length(MAX_LINE),
        );
        let (messages, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            converse(framed, outgoing, instance, &news).await;
            // The end of the link ends the proxy; one that does not see it is not waited for.
            let status =
                match tokio::time::timeout(std::time::Duration::from_secs(1), child.wait()).await {
                    Ok(status) => status.ok(),
                    Err(_) => {
                        let _ = child.start_kill();
                        child.wait().await.ok()
                    }
                };
            let _ = news.send((instance, ProxyNews::Exited(status))).await;
        });
        let link = ProxyLink {
            instance,
            pid,
            messages,
        };
        link.send(ToProxy::Hello(hello));
        link.send(ToProxy::Table(table));
        Ok(link)
    }

    /// Unbounded, but tables come only as fast as workers come and go.
    pub fn send(&self, message: ToProxy) {
        let _ = self.messages.send(message);
    }
}

async fn converse(
    mut framed: Framed<UnixStream, LinesCodec>,
    mut outgoing: mpsc::UnboundedReceiver<ToProxy>,
    instance: Instance,
    news: &mpsc::Sender<(Instance, ProxyNews)>,
) {
    loop {
        tokio::select! {
            message = outgoing.recv() => {
                let Some(message) = message else { return };
                let Ok(line) = serde_json::to_string(&message) else { continue };
                if framed.send(line).await.is_err() {
                    return;
                }
            }
            line = framed.next() => match line {
                Some(Ok(line)) => match serde_json::from_str(&line) {
                    Ok(said) => {
                        let _ = news.send((instance, ProxyNews::Said(said))).await;
                    }
                    Err(error) => {
                        tracing::error!(%error, "the proxy said something strange; it is replaced");
                        return;
                    }
                },
                Some(Err(_)) | None => return,
            }
        }
    }
}
