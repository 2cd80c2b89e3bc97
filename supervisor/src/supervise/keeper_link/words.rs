//! What goes to a keeper, and what comes from a worker.

use crate::supervise::launch::News;
use crate::supervise::notify::{self, Notice};
use crate::sys::{passing, shortage};
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LinesCodec};

/// Writes a line, past the codec, which holds nothing back. An error is the end of the keeper, which its reader sees.
pub(super) async fn tell(link: &mut Framed<UnixStream, LinesCodec>, message: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let _ = shortage::write_all_async(link.get_mut(), &line).await;
    }
}

/// As [`tell`], with descriptors.
pub(super) async fn tell_with(
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

/// What a worker says in a datagram; the files together.
pub(super) fn news_of(datagram: &[u8]) -> Vec<News> {
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
