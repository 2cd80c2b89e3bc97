//! The conversation with one keeper and its worker, from the order to start until nothing of the worker is left.
//!
//! It can be frozen into plain data and descriptors, and thawed again: by this program, or by the one that takes its place
//! (`paster upgrade`).

mod frozen;
mod task;
mod words;

pub(super) use frozen::{Frozen, thaw};

use super::launch::Site;
use super::machine::WorkerId;
use super::upgrade::Descriptors;
use crate::confine::cgroup::Group;
use crate::keeper::message::{Fork, FromKeeper, KeeperSpec, ToKeeper};
use crate::logs::{AllRead, Output};
use crate::plan::spec::Readiness;
use crate::router::message::WorkerAddress;
use crate::sys::process::Child;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use task::Task;
use tokio::net::{UnixDatagram, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{Framed, LinesCodec};

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
    /// [`News`](super::launch::News).
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
