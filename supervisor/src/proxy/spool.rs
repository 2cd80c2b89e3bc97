//! Request bodies that are kept until they are complete (`request_buffering`), so that a client which is slow occupies no worker.
//! What is more than a small buffer goes to a file without a name in the directory for temporary files: nobody else
//! can open it, and it ends with the request.

use super::body::{BodyError, BodyFault, ClientBody, SharedAccount};
use super::disk::{Disk, Outcome};
use super::limits;
use super::thread::Thread;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A complete body in a file, on its way to a worker. Can be had again from its beginning.
#[derive(Debug)]
pub(super) struct Spooled {
    file: Arc<File>,
    length: u64,
    /// What has been read.
    at: u64,
    reading: Option<Outcome<Bytes>>,
    account: SharedAccount,
    thread: Rc<Thread>,
}

/// Reads `body` to its end. `first` is what was read of it before.
///
/// # Errors
/// The client breaks off or is late, or there is no room; the fault of the body says which.
pub(super) async fn keep(
    mut body: ClientBody,
    first: Bytes,
    thread: &Rc<Thread>,
) -> Result<Spooled, BodyError> {
    let account = body.account();
    let mut batch = BytesMut::from(first);
    let mut file = None;
    let mut length = 0;
    loop {
        let ended = fill(&mut batch, &mut body).await?;
        let part = std::mem::take(&mut batch).freeze();
        let size = part.len() as u64;
        let written = thread.disk.run(write(file.take(), part, length)).await;
        let kept = written.map_err(|error| cannot_keep(&thread.disk, &account, &error))?;
        length += size;
        if ended {
            return Ok(Spooled {
                file: Arc::new(kept),
                length,
                at: 0,
                reading: None,
                account,
                thread: Rc::clone(thread),
            });
        }
        file = Some(kept);
    }
}

/// Writes behind what is there, to a new file if there is none.
fn write(
    file: Option<File>,
    part: Bytes,
    at: u64,
) -> impl FnOnce() -> io::Result<File> + Send + 'static {
    move || {
        let file = match file {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        file.write_all_at(&part, at)?;
        Ok(file)
    }
}

/// Collects bytes until they are worth a write. True at the end of the body.
async fn fill(batch: &mut BytesMut, body: &mut ClientBody) -> Result<bool, BodyError> {
    std::future::poll_fn(|cx| {
        while batch.len() < limits::SPOOL_CHUNK {
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => batch.extend_from_slice(&data),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(false))
    })
    .await
}

fn cannot_keep(disk: &Disk, account: &SharedAccount, error: &io::Error) -> BodyError {
    if disk.may_complain() {
        let directory = std::env::temp_dir();
        tracing::warn!(%error, directory = %directory.display(), "cannot keep a request body; the client gets 503");
    }
    account.blame(BodyFault::NotKept);
    BodyError("the body cannot be kept")
}

impl Spooled {
    /// The same from its beginning.
    pub(super) fn again(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            length: self.length,
            at: 0,
            reading: None,
            account: Rc::clone(&self.account),
            thread: Rc::clone(&self.thread),
        }
    }

    pub(super) fn account(&self) -> SharedAccount {
        Rc::clone(&self.account)
    }

    /// Bytes that have not been read.
    pub(super) fn left(&self) -> u64 {
        self.length - self.at
    }

    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let disk = &self.thread.disk;
        if self.reading.is_none() {
            let size = self.left().min(limits::SPOOL_CHUNK as u64) as usize;
            match disk.start(read(Arc::clone(&self.file), self.at, size)) {
                Ok(reading) => self.reading = Some(reading),
                Err(error) => {
                    return Poll::Ready(Some(Err(cannot_keep(disk, &self.account, &error))));
                }
            }
        }
        let Some(reading) = &mut self.reading else {
            return Poll::Pending;
        };
        let Poll::Ready(outcome) = Pin::new(reading).poll(cx) else {
            return Poll::Pending;
        };
        self.reading = None;
        let outcome = outcome.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        Poll::Ready(Some(match outcome {
            Ok(data) => {
                self.at += data.len() as u64;
                Ok(data)
            }
            Err(error) => Err(cannot_keep(disk, &self.account, &error)),
        }))
    }
}

fn read(
    file: Arc<File>,
    at: u64,
    size: usize,
) -> impl FnOnce() -> io::Result<Bytes> + Send + 'static {
    move || {
        let mut data = vec![0; size];
        file.read_exact_at(&mut data, at)?;
        Ok(Bytes::from(data))
    }
}
