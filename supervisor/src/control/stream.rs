//! Answers that go on: one JSON value on each line (`application/x-ndjson`), for as long as both sides like.

use super::feed::Followed;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// The body of any answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One line of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line<T> {
    /// So many items were lost here, because the reader was too slow.
    Missed {
        missed: u64,
    },
    Item(T),
}

pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

/// What is kept and, if it was asked for, what comes, as far as it is `wanted`. The place of a follower is free again
/// when the stream ends or its reader has gone.
pub(super) fn lines<T>(
    followed: Followed<T>,
    wanted: impl Fn(&T) -> bool + Send + 'static,
    place: Option<OwnedSemaphorePermit>,
) -> Body
where
    T: Clone + Serialize + Send + 'static,
{
    let Followed { kept, live } = followed;
    let lines = stream::iter(kept).map(Line::Item).chain(new(live));
    let frames = lines
        .filter(move |line| {
            let wanted = match line {
                Line::Missed { .. } => true,
                Line::Item(item) => wanted(item),
            };
            std::future::ready(wanted)
        })
        .map(move |line| {
            let _held = &place;
            let mut text = serde_json::to_vec(&line).expect("plain data with string keys");
            text.push(b'\n');
            Ok(Frame::data(Bytes::from(text)))
        });
    StreamBody::new(frames).boxed_unsync()
}

/// Lines that are written as they are sent. The place of a follower is free again when they end or their reader has gone.
pub(super) fn sent(lines: mpsc::Receiver<Bytes>, place: Option<OwnedSemaphorePermit>) -> Body {
    let frames = stream::unfold((lines, place), |(mut lines, place)| async {
        let text = lines.recv().await?;
        Some((Ok(Frame::data(text)), (lines, place)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn new<T: Clone>(live: Option<Receiver<T>>) -> impl Stream<Item = Line<T>> {
    stream::unfold(live, |live| async {
        let mut live = live?;
        let line = match live.recv().await {
            Ok(item) => Line::Item(item),
            Err(RecvError::Lagged(missed)) => Line::Missed { missed },
            Err(RecvError::Closed) => return None,
        };
        Some((line, Some(live)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::feed::Feed;

    async fn text(body: Body) -> String {
        let bytes = body.collect().await.expect("infallible").to_bytes();
        String::from_utf8(bytes.to_vec()).expect("JSON")
    }

    #[tokio::test]
    async fn what_was_and_what_came_are_lines_and_a_gap_is_told() {
        let feed = Feed::new(2);
        feed.push(|number| number);
        let followed = feed.follow();
        (0..300).for_each(|_| feed.push(|number| number));
        feed.end();
        let text = text(lines(followed, |number| *number < 48, None)).await;
        assert_eq!(text, "1\n{\"missed\":44}\n46\n47\n");
    }

    #[test]
    fn lines_are_read_as_they_are_written() {
        for line in [Line::Missed { missed: 3 }, Line::Item(5_u64)] {
            let text = serde_json::to_string(&line).expect("it can be written");
            let read: Line<u64> = serde_json::from_str(&text).expect("it can be read");
            assert_eq!(read, line);
        }
    }
}
