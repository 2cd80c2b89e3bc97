//! The conversation with one keeper and its worker, from the order to start until nothing of the worker is left.
//!
//! It can be frozen into plain data and descriptors, and thawed again: by this program, or by the one that takes its place
//! (`paster upgrade`).

use super::launch::{self, News, Site, give_to_proxy};
use super::machine::WorkerId;
use super::notify::{self, Notice, Throttle};
use super::readiness;
use super::upgrade::Descriptors;
use crate::confine::cgroup::Group;
use crate::keeper::message::{Ended, Fork, FromKeeper, KeeperSpec, ToKeeper, ToTemplate};
use crate::logs::{AllRead, Output, Released, Source, latin1};
use crate::plan::spec::Readiness;
use crate::router::message::WorkerAddress;
use crate::sys::process::Child;
use crate::sys::{passing, shortage};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{Framed, FramedParts, LinesCodec};

/// How long the rest of the output may take after everything that could write it was killed.
const LAST_OUTPUT: Duration = Duration::from_millis(500);
/// Longest message of a keeper: one step or error.
const MAX_LINE: usize = 64 * 1024;

/// A running worker or template, as the driver holds it. Dropping it ends the conversation, and by that the worker.
pub struct Launched {
    pub output: Output,
    /// None where the keeper is that of the template.
    pub keeper_pid: Option<u32>,
    orders: mpsc::UnboundedSender<Order>,
}

enum Order {
    Tell(ToKeeper),
    Fork(Fork, Vec<OwnedFd>),
    Freeze(oneshot::Sender<(Frozen, Descriptors)>),
}

impl Order {
    /// It comes too late. Who waits for a fork is told so, as the keeper would have done.
    fn refuse(self) {
        if let Order::Fork(_, descriptors) = self
            && let Some(link) = descriptors.into_iter().next()
            && let Ok(mut line) = serde_json::to_vec(&FromKeeper::Failed {
                step: "fork".to_owned(),
                error: "the template has ended".to_owned(),
            })
        {
            line.push(b'\n');
            let _ = std::os::unix::net::UnixStream::from(link).write_all(&line);
        }
    }
}

impl Launched {
    /// Unbounded, but a worker gets two orders in its life.
    pub fn order(&self, order: ToKeeper) {
        let _ = self.orders.send(Order::Tell(order));
    }

    /// A template is to fork a worker.
    pub(super) fn fork(&self, fork: Fork, descriptors: Vec<OwnedFd>) {
        if let Err(unsent) = self.orders.send(Order::Fork(fork, descriptors)) {
            unsent.0.refuse();
        }
    }

    /// Ends the conversation here and gives what is needed to go on with it. No answer: it is at its end, and tells so by
    /// [`News`].
    pub fn freeze(&self) -> oneshot::Receiver<(Frozen, Descriptors)> {
        let (reply, frozen) = oneshot::channel();
        let _ = self.orders.send(Order::Freeze(reply));
        frozen
    }

    /// One whose conversation has ended.
    fn ended(output: Output, keeper_pid: Option<u32>) -> Launched {
        let (orders, _) = mpsc::unbounded_channel();
        Launched {
            output,
            keeper_pid,
            orders,
        }
    }
}

/// A conversation at rest. Descriptors are given by their numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Frozen {
    link: RawFd,
    /// What the keeper has said that was not yet a whole line.
    unread: Vec<u8>,
    notify: RawFd,
    listener: Option<RawFd>,
    streams: [FrozenStream; 2],
    files: Vec<PathBuf>,
    #[serde(default)]
    group: Option<Group>,
    readiness: Readiness,
    spawned: bool,
    ready: bool,
    #[serde(default)]
    template: Option<TemplateState>,
}

/// A pipe of the worker's output; none at its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FrozenStream {
    pipe: Option<RawFd>,
    /// The beginning of a line.
    #[serde(with = "latin1")]
    partial: Vec<u8>,
}

/// Everything that belongs to the conversation but the reading of the output.
pub(super) struct Conversation {
    pub(super) id: WorkerId,
    /// None for a worker whose keeper is that of its template: the end of the link is the end of all that is the worker's.
    pub(super) keeper: Option<Child>,
    pub(super) link: Framed<UnixStream, LinesCodec>,
    pub(super) notify: UnixDatagram,
    /// Removed at the end.
    pub(super) files: Vec<PathBuf>,
    /// Ended at the end, if the keeper was killed before it could.
    pub(super) group: Option<Group>,
    pub(super) proxy_uid: Option<u32>,
    pub(super) readiness: Readiness,
    /// The worker's listening socket, where we created it, until it is ready: then only the worker has it, so that nobody can
    /// connect to one that is dead.
    pub(super) listener: Option<Arc<UnixListener>>,
    /// None for a template.
    pub(super) address: Option<WorkerAddress>,
    pub(super) spawned: bool,
    pub(super) ready: bool,
    /// It is not a worker.
    pub(super) template: Option<TemplateState>,
}

/// A template may end before its keeper, which is that of its workers, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TemplateState {
    Alive,
    Ended,
}

impl Conversation {
    /// Before the first word, with a worker that tells by itself when it is ready; what only some have is missing.
    pub(super) fn new(
        site: &Site,
        id: WorkerId,
        link: UnixStream,
        notify: UnixDatagram,
        files: Vec<PathBuf>,
    ) -> Conversation {
        Conversation {
            id,
            keeper: None,
            link: Framed::new(link, LinesCodec::new_with_max_length(MAX_LINE)),
            notify,
            files,
            group: None,
            proxy_uid: site.proxy_uid,
            readiness: Readiness::Notify,
            listener: None,
            address: None,
            spawned: false,
            ready: false,
            template: None,
        }
    }
}

/// Begins the conversation, with `spec` unless the keeper has it already. `output` is that of the worker, and tells when it
/// has been read.
pub(super) fn start(
    site: &Site,
    conversation: Conversation,
    spec: Option<KeeperSpec>,
    (output, all_read): (Output, AllRead),
) -> Launched {
    let (orders, received) = mpsc::unbounded_channel();
    let launched = Launched {
        output: output.clone(),
        keeper_pid: conversation.keeper.as_ref().map(Child::pid),
        orders,
    };
    let task = Task {
        conversation,
        news: site.news.clone(),
        orders: received,
        output,
        all_read,
    };
    tokio::spawn(task.run(spec));
    launched
}

/// Goes on with a frozen conversation; where there is none, it has ended, and its last news is on its way.
///
/// # Errors
/// A descriptor that was not handed over, or that the runtime cannot watch.
pub(super) fn thaw(
    site: &Site,
    app: &str,
    source: Source,
    (keeper_pid, address): (Option<u32>, Option<WorkerAddress>),
    frozen: Option<Frozen>,
    descriptors: &mut Descriptors,
) -> io::Result<Launched> {
    let Some(frozen) = frozen else {
        let (output, _) = site.logs.attach(app, source, Default::default())?;
        return Ok(Launched::ended(output, keeper_pid));
    };
    let link = std::os::unix::net::UnixStream::from(descriptors.take(frozen.link)?);
    let notify = std::os::unix::net::UnixDatagram::from(descriptors.take(frozen.notify)?);
    let mut parts = FramedParts::new::<String>(
        UnixStream::from_std(link)?,
        LinesCodec::new_with_max_length(MAX_LINE),
    );
    parts.read_buf.extend_from_slice(&frozen.unread);
    let listener = match frozen.listener {
        Some(number) => Some(Arc::new(UnixListener::from(descriptors.take(number)?))),
        None => None,
    };
    let mut pipe = |frozen: FrozenStream| -> io::Result<Released> {
        let read_end = frozen.pipe.map(|number| descriptors.take(number));
        Ok(Released {
            read_end: read_end.transpose()?,
            partial: frozen.partial,
        })
    };
    let [stdout, stderr] = frozen.streams;
    let pipes = [pipe(stdout)?, pipe(stderr)?];
    let id = source.worker;
    let output = site.logs.attach(app, source, pipes)?;
    let conversation = Conversation {
        id,
        keeper: keeper_pid.map(Child::watch).transpose()?,
        link: Framed::from_parts(parts),
        notify: UnixDatagram::from_std(notify)?,
        files: frozen.files,
        group: frozen.group,
        proxy_uid: site.proxy_uid,
        readiness: frozen.readiness,
        listener,
        address,
        spawned: frozen.spawned,
        ready: frozen.ready,
        template: frozen.template,
    };
    Ok(start(site, conversation, None, output))
}

/// Waits until a program that does not notify can serve.
type Probe<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

struct Task {
    conversation: Conversation,
    news: mpsc::Sender<(WorkerId, News)>,
    orders: mpsc::UnboundedReceiver<Order>,
    output: Output,
    all_read: AllRead,
}

enum End {
    Ended(News),
    Freeze(oneshot::Sender<(Frozen, Descriptors)>),
}

impl Task {
    async fn run(mut self, spec: Option<KeeperSpec>) {
        match self.converse(spec).await {
            End::Freeze(reply) => {
                // Who asked waits for this. (If not, paster is on its way out, and the end of the link ends the keeper.)
                let _ = reply.send(self.freeze().await);
            }
            End::Ended(news) => self.finish(news).await,
        }
    }

    async fn finish(mut self, news: News) {
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            order.refuse();
        }
        let Conversation {
            id,
            keeper,
            mut link,
            files,
            group,
            template,
            ..
        } = self.conversation;
        let had_no_time = match keeper {
            // The keeper goes when nothing of the worker is left: by itself, or because this is the end of the link.
            Some(keeper) => {
                drop(link);
                let status = keeper.wait().await;
                !status.is_ok_and(|status| status.success())
            }
            // It closes the link when nothing of the worker is left; or it was killed.
            None => {
                let _ = link.get_mut().shutdown().await;
                while let Some(Ok(_)) = link.next().await {}
                true
            }
        };
        if let Some(group) = group.filter(|_| had_no_time) {
            let _ = tokio::task::spawn_blocking(move || group.end()).await;
        }
        // That of a template was waited for when it ended.
        let all_read = match template {
            Some(TemplateState::Ended) => Ok(()),
            _ => tokio::time::timeout(LAST_OUTPUT, self.all_read)
                .await
                .map(drop),
        };
        if all_read.is_err() {
            // Something that is not the worker's still holds the pipe; nobody listens to it any more.
            drop(self.output.release().await);
        }
        launch::remove(files).await;
        // The driver is gone only when paster ends.
        let _ = self.news.send((id, news)).await;
    }

    async fn freeze(self) -> (Frozen, Descriptors) {
        let mut descriptors = Descriptors::default();
        let streams = self.output.release().await.map(|pipe| FrozenStream {
            pipe: pipe.read_end.map(|fd| descriptors.put(fd)),
            partial: pipe.partial,
        });
        let Conversation {
            link,
            notify,
            listener,
            files,
            group,
            readiness,
            spawned,
            ready,
            template,
            ..
        } = self.conversation;
        let parts = link.into_parts();
        let unread = parts.read_buf.to_vec();
        let mut put =
            |fd: io::Result<std::os::fd::OwnedFd>| fd.map_or(-1, |fd| descriptors.put(fd));
        let link = put(parts.io.into_std().map(Into::into));
        let notify = put(notify.into_std().map(Into::into));
        // The probe is at its end, so this is the only one.
        let listener = listener
            .and_then(Arc::into_inner)
            .map(|listener| put(Ok(listener.into())));
        let frozen = Frozen {
            link,
            unread,
            notify,
            listener,
            streams,
            files,
            group,
            readiness,
            spawned,
            ready,
            template,
        };
        (frozen, descriptors)
    }

    /// From the order to start until the worker's end.
    async fn converse(&mut self, spec: Option<KeeperSpec>) -> End {
        let exited = |ended| {
            End::Ended(News::Exited {
                ended,
                at: Instant::now(),
            })
        };
        let lost = || exited(Ended::WITH_ITS_KEEPER);
        let Conversation {
            id,
            link,
            notify,
            proxy_uid,
            readiness,
            listener,
            address,
            spawned,
            ready,
            template,
            ..
        } = &mut self.conversation;
        if let Some(spec) = spec {
            // A keeper that does not take it has ended, and may have said why.
            tell(link, &spec).await;
        }
        let own_socket = listener.is_none();
        let mut probe: Probe = match &*address {
            Some(address) if !*ready => {
                Box::pin(readiness::wait(readiness, address, listener.clone()))
            }
            _ => Box::pin(std::future::pending()),
        };
        let share_own_socket = || {
            if own_socket && let Some(WorkerAddress::Unix(path)) = &*address {
                // A socket that the program made itself belongs to its user.
                let _ = give_to_proxy(path, *proxy_uid);
            }
        };
        let mut datagram = vec![0; 4096];
        let mut throttle = Throttle::new(Instant::now());
        let mut deaf_until: Option<Instant> = None;
        loop {
            let said = tokio::select! {
                line = link.next() => match line {
                    Some(Ok(line)) => match serde_json::from_str(&line) {
                        Ok(FromKeeper::Spawned { pid, root }) => {
                            *spawned = true;
                            self.output.set_pid(pid);
                            News::Spawned { pid, root }
                        }
                        Ok(FromKeeper::Failed { step, error }) => {
                            return End::Ended(News::Failed { step, error });
                        }
                        Ok(FromKeeper::Exited(ended)) if template.is_some() => {
                            *template = Some(TemplateState::Ended);
                            // Whoever waited for it is told why.
                            let _ = tokio::time::timeout(LAST_OUTPUT, &mut self.all_read).await;
                            News::Exited { ended, at: Instant::now() }
                        }
                        Ok(FromKeeper::Exited(ended)) => {
                            let end = exited(ended);
                            // What it told just before its end is still there, and says how far it came.
                            while let Ok(length) = notify.try_recv(&mut datagram) {
                                for said in news_of(&datagram[..length]) {
                                    if matches!(said, News::Status(_) | News::Files(_)) {
                                        let _ = self.news.send((*id, said)).await;
                                    }
                                }
                            }
                            return end;
                        }
                        Err(_) => continue,
                    },
                    Some(Err(_)) | None if *template == Some(TemplateState::Ended) => {
                        return End::Ended(News::Gone);
                    }
                    Some(Err(_)) | None => return lost(),
                },
                order = self.orders.recv() => match order {
                    // No driver any more: the end of the link ends the keeper and the worker.
                    None => return lost(),
                    Some(Order::Freeze(reply)) if reply.is_closed() => continue,
                    Some(Order::Freeze(reply)) => return End::Freeze(reply),
                    Some(Order::Tell(order)) => {
                        tell(link, &order).await;
                        continue;
                    }
                    Some(Order::Fork(fork, descriptors)) => {
                        tell_with(link, &ToTemplate::Fork { fork }, &descriptors).await;
                        continue;
                    }
                },
                () = sleep_until(deaf_until), if deaf_until.is_some() => {
                    deaf_until = None;
                    continue;
                }
                // Not before its pid is known, which comes another way.
                received = notify.recv(&mut datagram), if *spawned && deaf_until.is_none() => {
                    let Ok(length) = received else {
                        deaf_until = Some(Instant::now() + shortage::PAUSE);
                        continue;
                    };
                    deaf_until = throttle.took(Instant::now());
                    for said in news_of(&datagram[..length]) {
                        if matches!(said, News::Ready) {
                            if *ready {
                                continue;
                            }
                            *ready = true;
                            // Ends its connection too: a server that serves one at a time would wait for it.
                            probe = Box::pin(std::future::pending());
                            *listener = None;
                            share_own_socket();
                        }
                        let _ = self.news.send((*id, said)).await;
                    }
                    continue;
                }
                () = &mut probe, if *spawned && !*ready => {
                    *ready = true;
                    probe = Box::pin(std::future::pending());
                    *listener = None;
                    share_own_socket();
                    News::Ready
                }
            };
            let _ = self.news.send((*id, said)).await;
        }
    }
}

/// Writes a line, past the codec, which holds nothing back. An error is the end of the keeper, which its reader sees.
async fn tell(link: &mut Framed<UnixStream, LinesCodec>, message: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let _ = shortage::write_all_async(link.get_mut(), &line).await;
    }
}

/// As [`tell`], with descriptors.
async fn tell_with(
    link: &mut Framed<UnixStream, LinesCodec>,
    message: &impl Serialize,
    descriptors: &[OwnedFd],
) {
    let Ok(mut line) = serde_json::to_vec(message) else {
        return;
    };
    line.push(b'\n');
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    let link = link.get_mut();
    loop {
        let send = || passing::send(&*link, &line, &borrowed);
        match link.async_io(Interest::WRITABLE, send).await {
            Ok(sent) => {
                let _ = shortage::write_all_async(link, &line[sent..]).await;
                return;
            }
            Err(error) if shortage::will_pass(&error) => tokio::time::sleep(shortage::PAUSE).await,
            // The end of the keeper, which its reader sees; the descriptors are closed, which the worker's sees.
            Err(_) => return,
        }
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// What a worker says in a datagram; the files together.
fn news_of(datagram: &[u8]) -> Vec<News> {
    let mut news = Vec::new();
    let mut files = Vec::new();
    for notice in notify::parse(datagram) {
        match notice {
            Notice::Ready => news.push(News::Ready),
            Notice::Status(text) => news.push(News::Status(text)),
            Notice::Extend(by) => news.push(News::Extend(by)),
            Notice::Alive => news.push(News::Alive),
            Notice::Stopping => news.push(News::Status("stopping".to_owned())),
            Notice::File(path) => files.push(path),
        }
    }
    if !files.is_empty() {
        // First, so that nothing that is told later is acted on without them.
        news.insert(0, News::Files(files));
    }
    news
}
