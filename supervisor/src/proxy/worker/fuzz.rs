//! Made-up answers of workers: what is made of them does not depend on how they come, and is what hyper's client makes of
//! them, where that takes them at all.

use super::connection::WorkerConnection;
use super::tests::{pair, read, request, run};
use crate::fuzz::fuzz;
use crate::proxy::body::RequestBody;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::AsyncWriteExt;

const LINES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 404 \r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 \r\n",
    "HTTP/1.1 99 OK\r\n",
];

const FIELDS: &[&str] = &[
    "Content-Length: 3\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 3, 3\r\n",
    "Content-Length: 13\r\n",
    "Content-Length: +3\r\n",
    "Content-Length: 12345678901234567890123\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Connection: close\r\n",
    "X: y\r\n",
    "X: \t\r\n",
    "X : y\r\n",
    " folded\r\n",
];

const BODY: &[&str] = &[
    "3\r\nabc\r\n",
    "1;x=y\r\nd\r\n",
    "0a \r\n0123456789\r\n",
    "0\r\n\r\n",
    "0\r\n\r\n",
    "0\r\nX-Sum: 1\r\n\r\n",
    "0\r\nX Sum\r\n\r\n",
    "ffffffffffffffff\r\n",
    "abc",
    "\r\n",
    "\n",
    "\r",
    "\0",
];

/// Pieces of answers, good and bad, now and then with something else between them.
fn pieces(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        30 => select(of).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..=most).prop_map(|pieces| pieces.concat())
}

fn answers() -> impl Strategy<Value = Vec<u8>> {
    let end = pieces(&["\r\n"], 1);
    (select(LINES), pieces(FIELDS, 3), end, pieces(BODY, 5))
        .prop_map(|(line, fields, end, body)| [line.as_bytes(), &fields, &end, &body].concat())
}

/// Status and body of a whole answer.
type Heard = Option<(u16, Vec<u8>)>;

/// What we make of `bytes`, which come `step` at a time, and then the end.
fn ours(bytes: &[u8], step: usize) -> Heard {
    run(async {
        let (connection, mut worker) = pair();
        let say = async {
            for piece in bytes.chunks(step) {
                // Whoever has heard enough is gone.
                let _ = worker.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = worker.shutdown().await;
            worker
        };
        let (_worker, heard) = tokio::join!(say, hear(connection));
        heard
    })
}

async fn hear(connection: WorkerConnection) -> Heard {
    let request = request(&[]);
    let asked = connection.exchange(&request, RequestBody::Empty, |_, _| {});
    let (head, _, body) = asked.await.ok()?;
    let (data, _, _, ended) = read(body).await;
    ended.then(|| (head.status.as_u16(), data))
}

/// What hyper's client makes of them.
fn hypers(bytes: &[u8]) -> Heard {
    run(async {
        let (near, mut worker) = tokio::net::UnixStream::pair().ok()?;
        let say = async {
            let _ = worker.write_all(bytes).await;
            let _ = worker.shutdown().await;
            worker
        };
        let hear = async {
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(near));
            let (mut sender, connection) = handshake.await.ok()?;
            tokio::task::spawn_local(connection);
            let request = http::Request::put("/x").body(Empty::<Bytes>::new()).ok()?;
            let (head, body) = sender.send_request(request).await.ok()?.into_parts();
            let data = body.collect().await.ok()?.to_bytes();
            Some((head.status.as_u16(), data.to_vec()))
        };
        let (_worker, heard) = tokio::join!(say, hear);
        heard
    })
}

#[test]
fn every_answer_is_heard_as_hyper_hears_it_or_not_at_all() {
    fuzz(&answers(), |bytes| {
        let whole = ours(&bytes, usize::MAX);
        prop_assert_eq!(&whole, &ours(&bytes, 1));
        if whole.is_some() {
            prop_assert_eq!(whole, hypers(&bytes));
        }
        Ok(())
    });
}
