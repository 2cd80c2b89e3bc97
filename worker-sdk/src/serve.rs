//! HTTP/1.1 on the listener until told to stop, then the drain.

use crate::error::{BoxError, Error, told};
use crate::listener::Accept;
use crate::notify::Notifier;
use crate::shutdown::Shutdown;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// Pause after a failed accept: descriptors that ran out do not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until SIGTERM; returns when the last response has been sent.
///
/// Pings for the watchdog come from this loop, where connections are accepted: a program whose runtime is blocked is
/// silent.
pub(crate) async fn serve<L, S, B>(
    listener: L,
    service: S,
    notifier: &Notifier,
    watchdog: Option<Duration>,
    mut shutdown: Shutdown,
) -> Result<(), Error>
where
    L: Accept,
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let http = protocol();
    // Each connection holds a receiver for as long as it is open.
    let (connections, _) = watch::channel(());
    let mut pings = Pings::new(watchdog);
    let mut failures: u32 = 0;
    notifier.ready()?;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    failures = 0;
                    let connection = http.serve_connection(TokioIo::new(stream), service.clone()).with_upgrades();
                    tokio::spawn(finish(connection, connections.subscribe()));
                }
                Err(error) => {
                    if failures == 0 {
                        log(&format!("cannot accept connections, trying on: {error}"));
                    }
                    failures = failures.saturating_add(1);
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            () = shutdown.requested() => break,
            () = pings.due() => notifier.alive(),
        }
    }

    drop(listener);
    notifier.stopping();
    connections.send_replace(());
    loop {
        tokio::select! {
            () = connections.closed() => return Ok(()),
            () = shutdown.insisted() => return Err(Error::CutShort { open: connections.receiver_count() }),
            () = pings.due() => notifier.alive(),
        }
    }
}

/// Serves a connection to its end. When `drain` changes, the request on it is the last one, and without a request it is
/// closed.
async fn finish<C: Drainable>(connection: C, mut drain: watch::Receiver<()>) {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased; // a request that is already here counts as in flight
        ended = connection.as_mut() => ended,
        _ = drain.changed() => {
            connection.as_mut().drain();
            connection.await
        }
    };
    if let Err(error) = ended {
        log_failure(&error);
    }
}

/// A connection of hyper's; its own type has five bounds.
trait Drainable: Future<Output = hyper::Result<()>> {
    fn drain(self: Pin<&mut Self>);
}

impl<I, S, B> Drainable for http1::UpgradeableConnection<I, S>
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    fn drain(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// hyper applies its timeout for request heads to idle connections too, and only the proxy may close those: so there is
/// none. Heads are timed by the proxy.
fn protocol() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(None);
    http
}

/// Only what the service did is worth a line: a peer that goes away is everyday life.
fn log_failure(error: &hyper::Error) {
    if error.is_user() {
        log(&format!("request failed: {}", told(error)));
    }
}

/// stderr is the log of a worker.
fn log(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Signs of life, twice in each period that the supervisor allows (sd_watchdog_enabled(3)).
struct Pings(Option<Interval>);

impl Pings {
    fn new(watchdog: Option<Duration>) -> Pings {
        Pings(watchdog.map(|period| {
            let mut interval = interval((period / 2).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::body::Bytes;
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    fn connect() -> (DuplexStream, watch::Sender<()>, JoinHandle<()>) {
        let (client, server) = duplex(4096);
        let (connections, drain) = watch::channel(());
        let service = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"here"))))
        });
        let connection = protocol()
            .serve_connection(TokioIo::new(server), service)
            .with_upgrades();
        (client, connections, tokio::spawn(finish(connection, drain)))
    }

    async fn answer(client: &mut DuplexStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"here") {
            assert_ne!(
                client.read_buf(&mut text).await.expect("readable"),
                0,
                "closed after {text:?}"
            );
        }
        String::from_utf8(text).expect("text")
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_never_closed() {
        let (mut client, _connections, _served) = connect();
        sleep(Duration::from_secs(3600)).await;
        for _ in 0..2 {
            client.write_all(REQUEST).await.expect("open");
            assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
            sleep(Duration::from_secs(3600)).await;
        }
        client.write_all(&REQUEST[..10]).await.expect("open");
        sleep(Duration::from_secs(3600)).await;
        client.write_all(&REQUEST[10..]).await.expect("open");
        answer(&mut client).await;
    }

    #[tokio::test]
    async fn a_request_that_is_already_here_is_answered_by_the_drain() {
        let (mut client, connections, served) = connect();
        client.write_all(REQUEST).await.expect("open");
        connections.send_replace(());
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200"));
        served.await.expect("no panic");
        assert!(connections.is_closed());
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_closed_by_the_drain() {
        let (mut client, connections, served) = connect();
        connections.send_replace(());
        assert_eq!(client.read(&mut [0]).await.expect("readable"), 0);
        served.await.expect("no panic");
    }
}
