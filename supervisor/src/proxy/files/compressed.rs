//! A file on its way through an encoder, a chunk in each turn, so that other requests on the thread get theirs.

use super::body::FileBody;
use crate::proxy::body::BodyError;
use crate::proxy::compress::ENOUGH;
use crate::proxy::encoder::Encoder;
use bytes::Bytes;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Files that are compressed at a time on one thread; others go out as they are. An encoder has up to 2 MB, for as long as its client takes.
const MOST: usize = 32;

/// For the files that are being compressed on one thread.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Places(Rc<()>);

/// The right to be one of them.
pub(super) type Place = Rc<()>;

impl Places {
    pub(super) fn take(&self) -> Option<Place> {
        (Rc::strong_count(&self.0) <= MOST).then(|| Rc::clone(&self.0))
    }
}

/// None at its end.
#[derive(Debug)]
pub(in crate::proxy) struct CompressedFile(Option<AtWork>);

#[derive(Debug)]
struct AtWork {
    file: FileBody,
    encoder: Encoder,
    /// Others had a turn since the last chunk.
    rested: bool,
    _place: Place,
}

impl CompressedFile {
    pub(super) fn new(file: FileBody, encoder: Encoder, place: Place) -> Self {
        Self(Some(AtWork {
            file,
            encoder,
            rested: true,
            _place: place,
        }))
    }

    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    /// More of it; none at its end.
    pub(in crate::proxy) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(AtWork {
            file,
            encoder,
            rested,
            ..
        }) = &mut self.0
        else {
            return Poll::Ready(None);
        };
        if !*rested {
            *rested = true;
            return rest(cx);
        }
        let data = match ready!(file.poll_data(cx)) {
            Ok(data) => data,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        *rested = false;
        if encoder.write(&data).is_err() {
            return failed();
        }
        if file.left() > 0 {
            if encoder.ready() < ENOUGH {
                *rested = true;
                return rest(cx);
            }
            let out = encoder.take();
            file.sent(out.len());
            return Poll::Ready(Some(Ok(Bytes::from(out))));
        }
        let Some(Ok((mut file, out))) = self.0.take().map(AtWork::end) else {
            return failed();
        };
        file.sent(out.len());
        file.complete();
        Poll::Ready(Some(Ok(Bytes::from(out))))
    }
}

impl AtWork {
    fn end(self) -> std::io::Result<(FileBody, Vec<u8>)> {
        Ok((self.file, self.encoder.finish()?))
    }
}

/// Goes on when all others had their turn, those for whom something has come from the network included.
fn rest<T>(cx: &mut Context<'_>) -> Poll<T> {
    // Its first poll has the runtime wake this task then.
    if pin!(tokio::task::yield_now()).poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
    Poll::Pending
}

fn failed() -> Poll<Option<Result<Bytes, BodyError>>> {
    Poll::Ready(Some(Err(BodyError("the file could not be compressed"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_places() {
        let places = Places::default();
        let mut taken: Vec<Place> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(taken.len(), MOST);
        taken.pop();
        assert!(places.take().is_some());
    }
}
