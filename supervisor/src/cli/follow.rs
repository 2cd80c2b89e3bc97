//! `paster events` and `paster logs`: a stream of a running site, read to its end or, with `-f`, as long as paster runs.

use super::args::SiteArgs;
use super::exit::Exit;
use super::{outcome, output, remote};
use crate::control::client::{self, ControlError};
use crate::control::query::Query;
use crate::control::stream::Line;
use serde::de::DeserializeOwned;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How long after the end of a stream is looked whether it goes on.
const AGAIN: Duration = Duration::from_millis(100);

/// What becomes of the lines of a stream that is read again after its end, as another version may have taken over.
pub(super) trait Reading {
    type Item: DeserializeOwned;

    /// Prints the line, unless it was printed before.
    ///
    /// # Errors
    /// Nobody reads any more.
    fn line(&mut self, line: Line<Self::Item>) -> io::Result<()>;

    /// The stream is read again: what to ask for.
    fn go_on(&mut self, query: &mut Query);
}

/// How a stream came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// There is no more of what was asked for, or nobody reads it.
    Enough,
    /// Paster has stopped in order.
    Stopped,
}

/// Reads the stream at `path`.
pub(super) fn run(
    site: &SiteArgs,
    path: &str,
    query: Query,
    reading: &mut impl Reading,
    as_json: bool,
) -> Exit {
    let socket = remote::socket(site);
    match remote::block_on(&socket, read(&socket, path, query, reading)) {
        Ok(End::Stopped) if !as_json => {
            output::message("paster has stopped");
            Exit::Ok
        }
        Ok(_) => Exit::Ok,
        Err(error) => outcome::fail(&error, as_json),
    }
}

async fn read(
    socket: &Path,
    path: &str,
    mut query: Query,
    reading: &mut impl Reading,
) -> Result<End, ControlError> {
    // How the stream has ended, once nothing listens any more.
    let mut end = None;
    loop {
        let (mut unread, mut was_read) = (false, false);
        let print = |line| {
            was_read = true;
            unread = reading.line(line).is_err();
            match unread {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        let ended = client::stream(socket, path, &query, print).await;
        match (ended, &mut end) {
            (Ok(()), _) if unread || !query.follow => return Ok(End::Enough),
            // In order: paster has stopped, or another version takes over, and tells the rest.
            (Ok(()), end) => *end = Some(Ok(End::Stopped)),
            // It was killed, or it has replaced itself before we had read everything; or it was about to end when we came.
            (Err(error @ (ControlError::Cut | ControlError::Lost)), end) if query.follow => {
                // The first word counts: `Lost` is what follows when it is not quite gone yet.
                if was_read || end.is_none() {
                    *end = Some(Err(error));
                }
            }
            (Err(ControlError::NotRunning(_)), Some(_)) => return end.unwrap_or(Ok(End::Stopped)),
            (Err(error), _) => return Err(error),
        }
        tokio::time::sleep(AGAIN).await;
        reading.go_on(&mut query);
        query.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    /// Numbers that were read.
    #[derive(Default)]
    struct Numbers(Vec<u64>);

    impl Reading for Numbers {
        type Item = u64;

        fn line(&mut self, line: Line<u64>) -> io::Result<()> {
            if let Line::Item(number) = line {
                self.0.push(number);
            }
            Ok(())
        }

        fn go_on(&mut self, _: &mut Query) {}
    }

    /// Reads from a paster that answers so, each time on another connection, and is gone then.
    async fn followed(answers: &[&'static str]) -> (Vec<u64>, Result<End, ControlError>) {
        let dir = tempfile::tempdir().expect("a directory");
        let socket = dir.path().join("control.sock");
        let listener = UnixListener::bind(&socket).expect("a new socket");
        let gone = socket.clone();
        let answers = answers.to_vec();
        let paster = tokio::spawn(async move {
            for (position, answer) in answers.iter().enumerate() {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut request = [0; 1000];
                let _ = stream.read(&mut request).await.expect("a request");
                if position == answers.len() - 1 {
                    std::fs::remove_file(&gone).expect("it is there");
                }
                stream.write_all(answer.as_bytes()).await.expect("read");
            }
        });
        let mut numbers = Numbers::default();
        let query = Query {
            follow: true,
            ..Query::default()
        };
        let ended = read(&socket, "/v1/events", query, &mut numbers).await;
        paster.await.expect("it does not panic");
        (numbers.0, ended)
    }

    const IN_ORDER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1\n2\n";
    const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n3\n";

    #[tokio::test]
    async fn a_paster_that_is_about_to_end_has_ended_in_order() {
        let (numbers, ended) = followed(&[IN_ORDER, ""]).await;
        assert_eq!(numbers, [1, 2]);
        assert!(matches!(ended, Ok(End::Stopped)), "{ended:?}");
    }

    #[tokio::test]
    async fn a_paster_that_ends_in_the_middle_was_lost() {
        let (numbers, ended) = followed(&[IN_ORDER, CUT]).await;
        assert_eq!(numbers, [1, 2, 3]);
        assert!(matches!(ended, Err(ControlError::Cut)), "{ended:?}");
    }

    #[tokio::test]
    async fn a_paster_that_is_killed_in_silence_has_been_followed_all_the_same() {
        let silent = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
        for answers in [&[silent][..], &[silent, ""]] {
            let (_, ended) = followed(answers).await;
            assert!(matches!(ended, Err(ControlError::Cut)), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn what_never_answered_is_no_end_in_order() {
        let (_, ended) = followed(&[""]).await;
        assert!(matches!(ended, Err(ControlError::Lost)), "{ended:?}");
    }
}
