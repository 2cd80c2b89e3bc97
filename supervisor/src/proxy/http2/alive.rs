//! Whether the client of a silent connection is still there.

use h2::{Ping, PingPong};
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Whether the client was heard since the last look.
#[derive(Debug, Default)]
pub(super) struct Heard(Cell<bool>);

impl Heard {
    /// Something has come.
    pub(super) fn note(&self) {
        self.0.set(true);
    }

    fn take(&self) -> bool {
        self.0.take()
    }
}

/// Ends when the client is taken for gone: it says nothing for an `interval`, is asked by a PING, and says nothing for
/// `patience` again. All that it sends is a sign of life, not only the answer, which may wait behind much else on a slow line.
pub(super) async fn until_silent(
    mut pings: PingPong,
    heard: &Heard,
    interval: Duration,
    patience: Duration,
) {
    loop {
        sleep(interval).await;
        if heard.take() {
            continue;
        }
        let mut answer = pin!(pings.ping(Ping::opaque()));
        loop {
            match timeout(patience, answer.as_mut()).await {
                Ok(Ok(_)) => break,
                // The connection ends, and says so itself.
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) if heard.take() => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const INTERVAL: Duration = Duration::from_millis(20);
    const PATIENCE: Duration = Duration::from_millis(200);
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// Whether a client that does `client` is taken for gone before that ends.
    fn is_given_up(client: impl AsyncFnOnce(DuplexStream), heard: &Heard) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = duplex(1 << 16);
            theirs.write_all(PREFACE).await.unwrap();
            let mut connection: h2::server::Connection<_, Bytes> =
                h2::server::handshake(ours).await.unwrap();
            let pings = connection.ping_pong().unwrap();
            let serving = std::future::poll_fn(|cx| connection.poll_closed(cx));
            tokio::select! {
                biased;
                _ = serving => panic!("the connection does not end"),
                () = until_silent(pings, heard, INTERVAL, PATIENCE) => true,
                () = client(theirs) => false,
            }
        })
    }

    #[test]
    fn who_says_nothing_is_given_up() {
        let given_up = is_given_up(
            async |_kept| sleep(Duration::from_secs(10)).await,
            &Heard::default(),
        );
        assert!(given_up);
    }

    #[test]
    fn whoever_answers_is_there() {
        let mut answered = 0;
        let answer = async |mut io: DuplexStream| {
            while answered < 5 {
                let mut head = [0; 9];
                io.read_exact(&mut head).await.unwrap();
                let mut payload = vec![0; usize::from(head[2])];
                io.read_exact(&mut payload).await.unwrap();
                if head[3] == 6 && head[4] == 0 {
                    answered += 1;
                    head[4] = 1;
                    io.write_all(&[&head[..], &payload].concat()).await.unwrap();
                }
            }
        };
        assert!(!is_given_up(answer, &Heard::default()));
        assert_eq!(answered, 5);
    }

    #[test]
    fn whoever_says_something_else_is_there() {
        let heard = Heard::default();
        let talk = async |_kept| {
            for _ in 0..50 {
                heard.note();
                sleep(INTERVAL / 2).await;
            }
        };
        assert!(!is_given_up(talk, &heard));
    }
}
