//! Files that are more than buffers hold, which the kernel sends by itself: every byte in its place, whatever the client does.

use crate::harness::certificates::{Authority, write_private};
use crate::harness::curl::curl;
use crate::harness::http::{Connection, Response};
use crate::harness::{Paster, Site, process};
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Of `numbers.txt`: more than the buffers of a connection hold, and no round number.
const SIZE: usize = 8 * 1_000_000 + 3;

/// Each eight bytes say where they are.
fn numbers() -> Vec<u8> {
    let lines = (0..=SIZE / 8).flat_map(|number| format!("{number:07}\n").into_bytes());
    lines.take(SIZE).collect()
}

/// An app of files at `/`, with an access log.
fn site() -> Site {
    let numbers = String::from_utf8(numbers()).expect("digits");
    Site::new()
        .file("public/numbers.txt", &numbers)
        .file("public/ten.txt", "0123456789")
        .section("files", "/", "egg:Paste#static")
        .option("files", "document_root = %(here)s/public")
        .policy("", "access_log = log")
        .policy(
            "",
            "access_log_format = $request_method $status $body_bytes_sent",
        )
}

/// The lines of the access log, when there are so many.
fn logged(paster: &Paster, count: usize) -> Vec<String> {
    let path = paster.site().path("log");
    let mut lines = Vec::new();
    paster.wait_for("lines of the access log", || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        lines = text.lines().map(str::to_owned).collect();
        lines.len() >= count
    });
    lines
}

fn part(connection: &mut Connection, ranges: &str) -> Response {
    connection
        .request("GET", "/numbers.txt", &[("Range", ranges)], b"")
        .expect("an answer")
}

#[track_caller]
fn assert_same(found: &[u8], expected: &[u8]) {
    let differ = found.iter().zip(expected).position(|(a, b)| a != b);
    assert_eq!(
        (found.len(), differ),
        (expected.len(), None),
        "lengths, and the first place where they differ"
    );
}

#[test]
fn every_byte_is_in_its_place() {
    let numbers = numbers();
    let paster = site().serve();
    let mut connection = paster.connect();
    let whole = connection.get("/numbers.txt").expect("an answer");
    assert_same(&whole.body, &numbers);
    let mut bytes = vec![SIZE];
    for span in [
        0..SIZE,
        1..SIZE,
        0..65_536,
        0..65_537,
        7..262_151,
        262_143..262_145,
        262_144..524_288,
        100_000..700_001,
        SIZE - 65_537..SIZE,
    ] {
        let Range { start, end } = span.clone();
        let part = part(&mut connection, &format!("bytes={start}-{}", end - 1));
        assert_eq!(part.status, 206);
        assert_same(&part.body, &numbers[span]);
        bytes.push(end - start);
    }
    assert!(connection.reusable);
    let lines = logged(&paster, bytes.len());
    for (index, (line, sent)) in lines.iter().zip(bytes).enumerate() {
        let status = if index == 0 { 200 } else { 206 };
        assert_eq!(*line, format!("GET {status} {sent}"));
    }
}

#[test]
fn parts_stand_between_their_heads() {
    let numbers = numbers();
    let paster = site().serve();
    let mut connection = paster.connect();
    let spans = [300_000..900_000, 5..6, 0..300_000, 7_000_000..SIZE];
    let ranges: Vec<String> = spans
        .iter()
        .map(|span| format!("{}-{}", span.start, span.end - 1))
        .collect();
    let several = part(&mut connection, &format!("bytes={}", ranges.join(",")));
    let kind = several.header("content-type").expect("a type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let mut expected = Vec::new();
    for (span, range) in spans.into_iter().zip(&ranges) {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/{SIZE}\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&numbers[span]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_same(&several.body, &expected);
    assert_eq!(
        connection.get("/ten.txt").expect("an answer").text(),
        "0123456789"
    );
    let lines = logged(&paster, 2);
    assert_eq!(lines[0], format!("GET 206 {}", expected.len()));
}

#[test]
fn requests_that_are_sent_together_are_answered_in_turn() {
    let numbers = numbers();
    let paster = site().serve();
    let mut connection = paster.connect();
    let ask = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    let all = [
        ask("GET", "/numbers.txt", ""),
        ask("GET", "/ten.txt", ""),
        ask("HEAD", "/numbers.txt", ""),
        ask("GET", "/numbers.txt", "Range: bytes=500000-999999\r\n"),
        ask("GET", "/missing", ""),
        ask("GET", "/numbers.txt", "Connection: close\r\n"),
    ];
    connection.send(all.concat().as_bytes()).expect("sent");
    assert_same(&connection.response().expect("an answer").body, &numbers);
    let ten = connection.response().expect("an answer");
    assert_eq!(ten.text(), "0123456789");
    let head = connection.response_to("HEAD").expect("an answer");
    assert_eq!(
        head.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    let part = connection.response().expect("an answer");
    assert_same(&part.body, &numbers[500_000..1_000_000]);
    assert_eq!(connection.response().expect("an answer").status, 404);
    assert_same(&connection.response().expect("an answer").body, &numbers);
    assert!(connection.rest().expect("the end").is_empty());
}

#[test]
fn it_is_the_same_in_every_version() {
    let numbers = numbers();
    let paster = site().serve();
    let mut old = paster.connect();
    old.send(b"GET /numbers.txt HTTP/1.0\r\n\r\n")
        .expect("sent");
    assert_eq!(old.head().expect("a head").status, 200);
    assert_same(&old.rest().expect("the rest"), &numbers);
    let url = format!("http://{}/numbers.txt", paster.address());
    let answer = curl(&["--http2-prior-knowledge", &url]).succeeded();
    assert_same(answer.body.as_bytes(), &numbers);
}

#[test]
fn it_is_the_same_in_tls() {
    let authority = Authority::new();
    let site = listening("host = 127.0.0.1\nport = 0\ncertfile = a.pem");
    authority.write(&site.path("ca.pem"));
    let issued = authority.issue(&["a.example"]);
    write_private(&site.path("a.pem"), &issued.in_one());
    let paster = site.serve();
    let port = paster.address().port();
    let resolve = format!("a.example:{port}:127.0.0.1");
    let authority = paster.site().path("ca.pem").display().to_string();
    let url = format!("https://a.example:{port}/numbers.txt");
    for version in ["--http1.1", "--http2"] {
        let options = ["--cacert", &authority, "--resolve", &resolve, version];
        let answer = curl(&[&options[..], &[&url]].concat()).succeeded();
        assert_same(answer.body.as_bytes(), &numbers());
    }
}

#[test]
fn it_is_the_same_on_a_unix_socket() {
    let paster = listening("unix_socket = s").serve();
    let socket = paster.site().path("s").display().to_string();
    let url = "http://localhost/numbers.txt";
    let answer = curl(&["--unix-socket", &socket, url]).succeeded();
    assert_same(answer.body.as_bytes(), &numbers());
}

/// The same with a server section of this kind.
fn listening(server: &str) -> Site {
    let site = site().listen_as_configured();
    let text = site.text().replace("host = 127.0.0.1\nport = 0", server);
    site.ini(&text)
}

/// A client whose kernel takes little for it.
fn slow(paster: &Paster) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(paster.address()).expect("it accepts");
    setsockopt(&stream, sockopt::RcvBuf, &65_536).expect("a small buffer");
    let mut stream = BufReader::with_capacity(1000, stream);
    stream
        .get_mut()
        .write_all(b"GET /numbers.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .expect("sent");
    stream
}

fn skip_head(stream: &mut impl BufRead) {
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert_ne!(stream.read_line(&mut line).expect("a head"), 0);
    }
}

#[test]
fn clients_that_take_little_at_a_time_get_all_of_it() {
    let numbers = numbers();
    let paster = site().serve();
    let mut clients = [slow(&paster), slow(&paster)];
    clients.iter_mut().for_each(skip_head);
    let mut bodies = [Vec::new(), Vec::new()];
    let mut buffer = [0; 1000];
    while bodies[0].len() < 1_000_000 {
        for (client, body) in clients.iter_mut().zip(&mut bodies) {
            let read = client.read(&mut buffer).expect("more");
            assert_ne!(read, 0);
            body.extend_from_slice(&buffer[..read]);
        }
    }
    assert_eq!(paster.text("/ten.txt"), "0123456789");
    for (client, body) in clients.iter_mut().zip(&mut bodies) {
        client.read_to_end(body).expect("the rest");
        assert_same(body, &numbers);
    }
}

#[test]
fn a_client_that_leaves_lets_go_of_the_file() {
    let site = site();
    let large = File::create(site.path("public/large.bin")).expect("our own file");
    large.set_len(1 << 30).expect("a file of holes");
    let paster = site.serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(connection.head().expect("a head").status, 200);
    connection.bytes(100_000).expect("the beginning");
    let proxy = paster.status().proxy.pid.expect("a proxy");
    let is_open = || {
        let open = process::descriptors(proxy);
        open.iter().any(|target| target.ends_with("/large.bin"))
    };
    assert!(is_open());
    drop(connection);
    paster.wait_for("the file is closed", || !is_open());
    let lines = logged(&paster, 1);
    let sent = lines[0].strip_prefix("GET 200 ").expect("its line");
    let sent: u64 = sent.parse().expect("a number");
    assert!((100_000..1 << 30).contains(&sent), "{sent}");
    assert_eq!(paster.text("/ten.txt"), "0123456789");
}

#[test]
fn what_was_not_sent_to_a_client_that_leaves_is_not_logged_as_sent() {
    let paster = listening("unix_socket = s").serve();
    let mut client = UnixStream::connect(paster.site().path("s")).expect("it accepts");
    client
        .write_all(b"GET /numbers.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    // A unix socket holds what was sent where it can be counted; its client takes nothing, so that soon is all.
    let here = || rustix::io::ioctl_fionread(&client).expect("our own socket");
    let (mut before, mut same) = (0, 0);
    paster.wait_for("no more is sent", || {
        let now = here();
        same = if now == before && now > 0 {
            same + 1
        } else {
            0
        };
        before = now;
        same >= 20
    });
    let received = here();
    let mut head = [0; 4096];
    let peeked = recv(client.as_raw_fd(), &mut head, MsgFlags::MSG_PEEK).expect("the beginning");
    let head = head[..peeked]
        .windows(4)
        .position(|part| part == b"\r\n\r\n");
    let head = head.expect("a whole head") as u64 + 4;
    drop(client);
    let lines = logged(&paster, 1);
    let sent = lines[0].strip_prefix("GET 200 ").expect("its line");
    let sent: u64 = sent.parse().expect("a number");
    assert_eq!(sent, received - head);
}

#[test]
fn a_file_that_is_cut_ends_its_connection_only() {
    let numbers = numbers();
    let paster = site().serve();
    let mut cut = paster.connect();
    let mut other = paster.connect();
    cut.send(
        b"GET /numbers.txt HTTP/1.1\r\nHost: a\r\n\r\nGET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .expect("sent");
    let head = cut.head().expect("a head");
    assert_eq!(
        head.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    let file = File::options()
        .write(true)
        .open(paster.site().path("public/numbers.txt"))
        .expect("our own file");
    file.set_len(1000).expect("our own file");
    let rest = cut.rest().unwrap_or_default();
    assert!(rest.len() < SIZE, "{}", rest.len());
    let now = other.get("/numbers.txt").expect("an answer");
    assert_same(&now.body, &numbers[..1000]);
    assert_eq!(
        other.get("/ten.txt").expect("an answer").text(),
        "0123456789"
    );
}

#[test]
fn what_the_kernel_has_forgotten_comes_from_the_disk() {
    let numbers = numbers();
    let paster = site().serve();
    let file = File::open(paster.site().path("public/numbers.txt")).expect("our own file");
    file.sync_all().expect("our own file");
    let forget = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    let mut connection = paster.connect();
    for (start, length) in [(3_000_000, 2_000_000), (0, 100_000), (7_900_000, 0)] {
        nix::fcntl::posix_fadvise(&file, start, length, forget).expect("an advice");
        let whole = connection.get("/numbers.txt").expect("an answer");
        assert_same(&whole.body, &numbers);
    }
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let site = site().policy("", "write_timeout = 1s");
    let large = File::create(site.path("public/large.bin")).expect("our own file");
    large.set_len(1 << 30).expect("a file of holes");
    let paster = site.serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let lines = logged(&paster, 1);
    let sent: Option<u64> = lines[0].split(' ').next_back().and_then(|n| n.parse().ok());
    assert!(sent.is_some_and(|sent| sent < 1 << 30), "{lines:?}");
    let rest = connection.rest().map_or(0, |rest| rest.len());
    assert!(rest < 1 << 30, "{rest}");
}
