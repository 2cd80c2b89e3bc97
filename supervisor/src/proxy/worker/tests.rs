//! Exchanges with a worker that is the other end of a socket pair.

use super::{AnswerBody, Part, WorkerConnection};
use crate::proxy::body::RequestBody;
use crate::proxy::exchange::Outgoing;
use crate::proxy::socket::Socket;
use crate::proxy::told::Told;
use crate::proxy::unix_stream::UnixStream;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use std::future::{Future, poll_fn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::{Builder, LocalOptions};

pub(super) fn run<R>(test: impl Future<Output = R>) -> R {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(test)
}

pub(super) fn pair() -> (WorkerConnection, tokio::net::UnixStream) {
    let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
    let socket = Socket::Unix(UnixStream::from_tokio(ours).unwrap());
    (WorkerConnection::new(socket, 1, 1), theirs)
}

pub(super) fn request(fields: &[(&'static str, &'static str)]) -> Outgoing {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    Outgoing {
        method: Method::PUT,
        target: PathAndQuery::from_static("/x"),
        headers,
        told: Told::default(),
        body: RequestBody::Empty,
    }
}

/// Data, number of parts that were trailers, and whether it came to its end.
pub(super) async fn read(
    mut answer: AnswerBody,
) -> (Vec<u8>, usize, Option<WorkerConnection>, bool) {
    let (mut data, mut trailers) = (Vec::new(), 0);
    loop {
        match poll_fn(|cx| answer.poll_part(cx)).await {
            Some(Ok(Part::Data(more))) => data.extend_from_slice(&more),
            Some(Ok(Part::Trailers(_))) => trailers += 1,
            Some(Err(_)) => return (data, trailers, None, false),
            None => return (data, trailers, answer.into_connection(), true),
        }
    }
}

/// What becomes of an answer of these bytes, behind which the worker closes if `closes`.
fn answered(bytes: &'static str, closes: bool) -> (String, usize, bool, bool) {
    run(async {
        let (connection, mut worker) = pair();
        worker.write_all(bytes.as_bytes()).await.unwrap();
        if closes {
            worker.shutdown().await.unwrap();
        }
        let request = request(&[]);
        let asked = connection.exchange(&request, RequestBody::Empty, |_, _| {});
        let Ok((_, _, body)) = asked.await else {
            panic!("there is an answer");
        };
        let (data, trailers, connection, ended) = read(body).await;
        let data = String::from_utf8(data).unwrap();
        (data, trailers, connection.is_some(), ended)
    })
}

#[test]
fn bodies_end_where_they_should() {
    let is = |text: &str, trailers, reusable, ended| (text.to_owned(), trailers, reusable, ended);
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
    assert_eq!(answered(length, false), is("abc", 0, true, true));
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1";
    assert_eq!(answered(more, false), is("abc", 0, false, true));
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc";
    assert_eq!(answered(cut, true), is("abc", 0, false, false));
    let open = "HTTP/1.1 200 OK\r\n\r\nabc";
    assert_eq!(answered(open, true), is("abc", 0, false, true));
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(answered(last, false), is("", 0, false, true));
    let chunks =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x\r\nbc\r\n0\r\n";
    let whole = format!("{chunks}\r\n").leak();
    assert_eq!(answered(whole, false), is("abc", 0, true, true));
    let trailers = format!("{chunks}X-Sum: 1\r\nX-Sum: 2\r\n\r\n").leak();
    assert_eq!(answered(trailers, false), is("abc", 1, true, true));
    let cut = format!("{chunks}X-Sum: 1\r\n").leak();
    assert_eq!(answered(cut, true), is("abc", 0, false, false));
    let malformed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n";
    assert_eq!(answered(malformed, false), is("a", 0, false, false));
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    run(async {
        let (mut connection, mut worker) = pair();
        let mut told = Vec::new();
        for number in 0..3 {
            worker
                .write_all(b"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            let request = request(&[]);
            let asked = connection.exchange(&request, RequestBody::Empty, |status, _| {
                told.push(status.as_u16());
            });
            let Ok((_, _, mut body)) = asked.await else {
                panic!("there is an answer");
            };
            assert_eq!(body.take_whole().unwrap(), "ok");
            connection = body.into_connection().unwrap();
            connection.rests(1);
            assert!(connection.is_usable(), "{number}");
        }
        assert_eq!(told, [103; 3]);
        drop(worker);
        tokio::task::yield_now().await;
        poll_fn(|cx| connection.socket.poll_disturbed(cx)).await;
        assert!(!connection.is_usable());
    });
}

#[test]
fn a_body_that_the_worker_does_not_read_waits_for_nobody() {
    run(async {
        let (connection, mut worker) = pair();
        let large = Bytes::from(vec![b'x'; 4 << 20]);
        let answer = b"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n";
        worker.write_all(answer).await.unwrap();
        let request = request(&[("content-length", "4194304")]);
        let asked = connection.exchange(&request, RequestBody::Whole(large), |_, _| {});
        let Ok((head, _, body)) = asked.await else {
            panic!("there is an answer");
        };
        assert_eq!(head.status, 413);
        let mut connection = body.into_connection().unwrap();
        assert!(!connection.is_done());
        let read = async {
            let mut received = vec![0; (4 << 20) + 100];
            let mut length = 0;
            while length < 4 << 20 {
                length += worker.read(&mut received[length..]).await.unwrap();
            }
        };
        let (done, ()) = tokio::join!(connection.done(), read);
        assert!(done);
        assert!(connection.is_usable());
    });
}

#[test]
fn what_was_not_sent_comes_back() {
    run(async {
        let (connection, worker) = pair();
        drop(worker);
        let body = RequestBody::Whole(Bytes::from(vec![b'x'; 100_000]));
        let request = request(&[]);
        let asked = connection.exchange(&request, body, |_, _| {});
        let Err((connection, failed)) = asked.await else {
            panic!("nobody is there");
        };
        assert_eq!(connection.traffic(), (0, 0));
        assert!(matches!(failed.body, Some(RequestBody::Whole(all)) if all.len() == 100_000));
    });
}
