//! Request bodies that are kept until they are complete (`request_buffering`).

use crate::backend::{Backend, field};
use crate::client::Client;
use crate::front::{Front, app, eventually, site, worker};
use paster::router::message::{App, FromProxy, Worker};

/// More than is kept in memory, and no multiple of it.
const SIZE: usize = 1_234_567;
/// What a debug build may use at most, however large the bodies are.
const MEMORY: u64 = 40 << 20;

fn buffering(workers: Vec<Worker>) -> App {
    App {
        buffering: true,
        ..app(workers)
    }
}

fn body() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    fastrand::Rng::with_seed(3).fill(&mut bytes);
    bytes
}

/// Says what it got: a checksum and how the length was announced.
fn checking() -> Backend {
    Backend::answering(|request| {
        let length = field(&request.head, "content-length").unwrap_or("none");
        format!("{} {length}", sum(&request.body))
    })
}

fn sum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(*byte);
    bytes.iter().fold(14_695_981_039_346_656_037, step)
}

#[test]
fn a_worker_gets_a_body_when_it_is_complete_with_its_length() {
    let backend = checking();
    let front = Front::start(site(buffering(vec![worker(1, backend.path())])));
    let body = body();
    let mut client = Client::new(&front);
    client.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (most, last) = body.split_at(SIZE - 1000);
    for chunk in most.chunks(77_777) {
        client.write(format!("{:x}\r\n", chunk.len()));
        client.write(chunk);
        client.write("\r\n");
    }
    eventually("a part is in a file", || front.nameless_files() == 1);
    assert_eq!(Client::new(&front).post("/", b"other").status, 200);
    assert_eq!(backend.connections(), 1, "the slow one has none");
    client.write(format!("{:x}\r\n", last.len()));
    client.write(last);
    client.write("\r\n0\r\n\r\n");
    let expected = format!("{} {SIZE}", sum(&body));
    assert_eq!(client.answer().unwrap().text(), expected);
    eventually("the file is closed", || front.nameless_files() == 0);
    assert_eq!(client.post("/", &body).text(), expected);
}

#[test]
fn a_file_is_closed_when_its_client_leaves() {
    let backend = checking();
    let front = Front::start(site(buffering(vec![worker(1, backend.path())])));
    let mut client = Client::new(&front);
    client.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    client.write(&body()[..SIZE / 2]);
    eventually("a part is in a file", || front.nameless_files() == 1);
    drop(client);
    eventually("the file is closed", || front.nameless_files() == 0);
    assert_eq!(backend.connections(), 0);
}

#[test]
fn a_large_put_whose_worker_died_is_answered_by_another() {
    let dying = Backend::new(|mut peer| {
        peer.request();
    });
    let good = checking();
    let front = Front::start(site(buffering(vec![
        worker(1, dying.path()),
        worker(2, good.path()),
    ])));
    let body = body();
    for _ in 0..4 {
        let mut client = Client::new(&front);
        client.write(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
        ));
        client.write(&body);
        let expected = format!("{} {SIZE}", sum(&body));
        assert_eq!(client.answer().unwrap().text(), expected);
    }
    assert!(dying.connections() > 0);
}

#[test]
fn the_size_of_a_body_is_no_matter_of_memory() {
    let backend = Backend::answering(|request| request.body.len().to_string());
    let front = Front::start(site(buffering(vec![worker(1, backend.path())])));
    let size = 50 << 20;
    let answer = Client::new(&front).post("/", &vec![7; size]);
    assert_eq!(answer.text(), size.to_string());
    assert!(front.peak_memory() < MEMORY, "{}", front.peak_memory());
}

#[test]
fn without_room_the_client_may_try_again_later_and_small_bodies_pass() {
    let backend = checking();
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let front = Front::with_temporary(site(buffering(vec![worker(1, backend.path())])), &missing);
    let answer = Client::new(&front).post("/", &body());
    assert_eq!(answer.status, 503);
    assert_eq!(answer.field("retry-after"), Some("1"));
    assert_eq!(Client::new(&front).post("/", b"small").status, 200);
    assert!(!front.has_said(|message| matches!(message, FromProxy::Unreachable { .. })));
}
