//! The task that holds a conversation.

use super::words::{news_of, tell, tell_with};
use super::{Conversation, Order, TemplateState};
use crate::keeper::message::{Ended, FromKeeper, KeeperSpec, ToTemplate};
use crate::logs::{AllRead, Output};
use crate::router::message::WorkerAddress;
use crate::supervise::launch::{self, News, give_to_proxy};
use crate::supervise::machine::WorkerId;
use crate::supervise::notify::Throttle;
use crate::supervise::readiness;
use crate::supervise::upgrade::Descriptors;
use crate::sys::shortage;
use futures_util::StreamExt;
use std::io;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::LinesCodecError;

/// How long the rest of the output may take after everything that could write it was killed.
const LAST_OUTPUT: Duration = Duration::from_millis(500);

pub(super) struct Task {
    pub(super) conversation: Conversation,
    pub(super) news: mpsc::Sender<(WorkerId, News)>,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) output: Output,
    pub(super) all_read: AllRead,
}

enum End {
    Ended(News),
    Freeze(oneshot::Sender<(super::Frozen, Descriptors)>),
}

impl End {
    fn exited(ended: Ended) -> End {
        End::Ended(News::Exited {
            ended,
            at: Instant::now(),
        })
    }

    fn lost() -> End {
        End::exited(Ended::WITH_ITS_KEEPER)
    }
}

/// How a worker is heard past its keeper.
struct Ears {
    datagram: Vec<u8>,
    throttle: Throttle,
    /// It says too much, or we are short of something.
    deaf_until: Option<Instant>,
    /// Waits until a program that does not notify can serve.
    probe: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The program makes the socket itself.
    own_socket: bool,
}

impl Ears {
    fn new(conversation: &Conversation) -> Ears {
        let listener = conversation.listener.clone();
        let own_socket = listener.is_none();
        let readiness = conversation.readiness.clone();
        let probe: Pin<Box<dyn Future<Output = ()> + Send>> = match conversation.address.clone() {
            Some(address) if !conversation.ready => {
                Box::pin(async move { readiness::wait(&readiness, &address, listener).await })
            }
            _ => Box::pin(std::future::pending()),
        };
        Ears {
            datagram: vec![0; 4096],
            throttle: Throttle::new(Instant::now()),
            deaf_until: None,
            probe,
            own_socket,
        }
    }
}

impl Task {
    pub(super) async fn run(mut self, spec: Option<KeeperSpec>) {
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

    /// From the order to start until the worker's end.
    async fn converse(&mut self, spec: Option<KeeperSpec>) -> End {
        if let Some(spec) = spec {
            // A keeper that does not take it has ended, and may have said why.
            tell(&mut self.conversation.link, &spec).await;
        }
        let mut ears = Ears::new(&self.conversation);
        loop {
            let Conversation {
                link,
                notify,
                spawned,
                ready,
                ..
            } = &mut self.conversation;
            let end = tokio::select! {
                line = link.next() => self.heard(line, &mut ears).await,
                order = self.orders.recv() => self.ordered(order).await,
                () = sleep_until(ears.deaf_until), if ears.deaf_until.is_some() => {
                    ears.deaf_until = None;
                    None
                }
                // Not before its pid is known, which comes another way.
                received = notify.recv(&mut ears.datagram), if *spawned && ears.deaf_until.is_none() => {
                    self.notified(received, &mut ears).await;
                    None
                }
                () = &mut ears.probe, if *spawned && !*ready => {
                    self.note_ready(&mut ears);
                    self.report(News::Ready).await;
                    None
                }
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn report(&self, news: News) {
        let _ = self.news.send((self.conversation.id, news)).await;
    }

    /// What the keeper says.
    async fn heard(
        &mut self,
        line: Option<Result<String, LinesCodecError>>,
        ears: &mut Ears,
    ) -> Option<End> {
        let Some(Ok(line)) = line else {
            return Some(match self.conversation.template {
                Some(TemplateState::Ended) => End::Ended(News::Gone),
                _ => End::lost(),
            });
        };
        match serde_json::from_str(&line) {
            Ok(FromKeeper::Spawned { pid, root }) => {
                self.conversation.spawned = true;
                self.output.set_pid(pid);
                self.report(News::Spawned { pid, root }).await;
                None
            }
            Ok(FromKeeper::Failed { step, error }) => {
                Some(End::Ended(News::Failed { step, error }))
            }
            Ok(FromKeeper::Exited(ended)) if self.conversation.template.is_some() => {
                self.conversation.template = Some(TemplateState::Ended);
                // Whoever waited for it is told why.
                let _ = tokio::time::timeout(LAST_OUTPUT, &mut self.all_read).await;
                let at = Instant::now();
                self.report(News::Exited { ended, at }).await;
                None
            }
            Ok(FromKeeper::Exited(ended)) => {
                let end = End::exited(ended);
                self.hear_last_words(&mut ears.datagram).await;
                Some(end)
            }
            Err(_) => None,
        }
    }

    /// What a worker told just before its end is still there, and says how far it came.
    async fn hear_last_words(&self, datagram: &mut [u8]) {
        while let Ok(length) = self.conversation.notify.try_recv(datagram) {
            for said in news_of(&datagram[..length]) {
                if matches!(said, News::Status(_) | News::Files(_)) {
                    self.report(said).await;
                }
            }
        }
    }

    /// What the driver wants.
    async fn ordered(&mut self, order: Option<Order>) -> Option<End> {
        let link = &mut self.conversation.link;
        match order {
            // No driver any more: the end of the link ends the keeper and the worker.
            None => return Some(End::lost()),
            Some(Order::Freeze(reply)) if reply.is_closed() => {}
            Some(Order::Freeze(reply)) => return Some(End::Freeze(reply)),
            Some(Order::Tell(order)) => tell(link, &order).await,
            Some(Order::Fork(fork, descriptors)) => {
                tell_with(link, &ToTemplate::Fork { fork }, &descriptors).await;
            }
        }
        None
    }

    /// What the worker says.
    async fn notified(&mut self, received: io::Result<usize>, ears: &mut Ears) {
        let Ok(length) = received else {
            ears.deaf_until = Some(Instant::now() + shortage::PAUSE);
            return;
        };
        ears.deaf_until = ears.throttle.took(Instant::now());
        for said in news_of(&ears.datagram[..length]) {
            if matches!(said, News::Ready) {
                if self.conversation.ready {
                    continue;
                }
                self.note_ready(ears);
            }
            self.report(said).await;
        }
    }

    fn note_ready(&mut self, ears: &mut Ears) {
        let conversation = &mut self.conversation;
        conversation.ready = true;
        // Ends its connection too: a server that serves one at a time would wait for it.
        ears.probe = Box::pin(std::future::pending());
        conversation.listener = None;
        if ears.own_socket
            && let Some(WorkerAddress::Unix(path)) = &conversation.address
        {
            // A socket that the program made itself belongs to its user.
            let _ = give_to_proxy(path, conversation.proxy_uid);
        }
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
