//! Both kinds of service, and a program that runs without paster: one process, so one test.

use axum::Router;
use axum::routing::get;
use http_body_util::Full;
use hyper::body::Bytes;
use nix::sys::signal::{Signal, raise};
use paster_worker::{HttpService, Listener, Worker};
use std::convert::Infallible;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn is_service<K>(_: &impl HttpService<K>) {}

#[tokio::test]
async fn an_axum_router_is_served_and_idle_connections_do_not_hold_up_the_drain() {
    is_service(&hyper::service::service_fn(
        async |_: http::Request<paster_worker::Incoming>| {
            Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::new())))
        },
    ));

    let worker =
        Worker::from_env_and(["--listen=127.0.0.1:0", "greeting=hello"]).expect("a worker");
    assert!(matches!(
        Worker::from_env(),
        Err(paster_worker::Error::AlreadyTaken)
    ));
    assert_eq!(worker.document().local_conf["greeting"], "hello");
    assert_eq!((worker.slot(), worker.generation()), (0, 1));
    let Listener::Tcp(listener) = worker.listener() else {
        panic!("asked for TCP")
    };
    let address = listener.local_addr().expect("bound");
    let mut shutdown = worker.shutdown().expect("a signal");
    let app = Router::new().route("/hello", get(async || "hello from axum"));
    let served = tokio::spawn(worker.serve(app));

    let mut client = TcpStream::connect(address)
        .await
        .expect("the socket listens");
    for _ in 0..2 {
        client
            .write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello from axum") {
            let read = timeout(Duration::from_secs(10), client.read_buf(&mut answer)).await;
            assert_ne!(
                read.expect("in time").expect("readable"),
                0,
                "closed after {answer:?}"
            );
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    raise(Signal::SIGTERM).expect("sent");
    timeout(Duration::from_secs(10), shutdown.requested())
        .await
        .expect("the signal is seen");
    let result = timeout(Duration::from_secs(10), served)
        .await
        .expect("the drain ends")
        .expect("no panic");
    result.expect("drained");
    assert_eq!(
        client.read(&mut [0; 16]).await.expect("readable"),
        0,
        "the idle connection is closed"
    );
}
