//! PEP 3333 on the line: lengths, chunks, streams, and what ends early.

use crate::fixtures::{site, wait_for_file};
use crate::harness::Site;
use crate::harness::http::Connection;
use std::fs;

const CHECKED: &str = "
[composite:main]
use = egg:Paste#urlmap
/valid = validated
/lint = linted
/free = tools

[filter-app:validated]
paste.filter_app_factory = probe:validated
next = tools

[filter-app:linted]
paste.filter_app_factory = probe:linted
next = tools

[app:tools]
paste.app_factory = probe:tools
";

#[test]
fn the_checkers_of_pep_3333_have_nothing_to_say() {
    let paster = site(CHECKED).serve();
    for prefix in ["/valid", "/lint"] {
        for (method, path, body, status) in [
            ("GET", "/hello", "", 200),
            ("HEAD", "/hello", "", 200),
            ("GET", "/no-content", "", 204),
            ("GET", "/not-modified", "", 304),
            ("POST", "/body", "some text", 200),
            ("GET", "/writes", "", 200),
            ("GET", "/exc-info", "", 500),
            ("GET", "/big-headers?q=%20", "", 200),
        ] {
            if (prefix, path) == ("/lint", "/writes") {
                continue; // WebTest's lint wants neither `write` nor what comes after it.
            }
            let response = paster
                .connect()
                .request(
                    method,
                    &format!("{prefix}{path}"),
                    &[("Content-Type", "text/plain")],
                    body.as_bytes(),
                )
                .expect("an answer");
            assert_eq!(
                response.status,
                status,
                "{method} {prefix}{path}: {}",
                response.text()
            );
        }
    }
    let log = paster.stderr().text();
    assert!(!log.contains("AssertionError"), "{log}");
    assert!(!log.contains("WSGIWarning"), "{log}");
}

#[test]
fn one_connection_carries_answers_of_every_kind() {
    let paster = site(CHECKED).serve();
    let mut connection = paster.connect();
    let head = connection
        .request("HEAD", "/free/hello", &[], b"")
        .expect("an answer");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("6"))
    );
    let empty = connection.get("/free/no-content").expect("an answer");
    assert_eq!((empty.status, empty.header("x-kept")), (204, Some("yes")));
    assert_eq!(
        (
            empty.header("content-length"),
            empty.header("transfer-encoding")
        ),
        (None, None)
    );
    let cached = connection.get("/free/not-modified").expect("an answer");
    assert_eq!(
        (cached.status, cached.header("etag")),
        (304, Some("\"one\""))
    );
    let changed = connection.get("/free/exc-info").expect("an answer");
    assert_eq!(
        (
            changed.status,
            changed.reason.as_str(),
            changed.text().as_str()
        ),
        (500, "Sorry", "sorry\n")
    );
    let written = connection.get("/free/writes").expect("an answer");
    assert_eq!(written.text(), "written returned\n");
    let file = connection.get("/free/file").expect("an answer");
    assert_eq!(
        file.body,
        fs::read(paster.site().path("probe.py")).expect("written by the test")
    );
    let value = "v".repeat(12_000);
    let big = connection
        .request("GET", "/free/big-headers", &[("X-Big", &value)], b"")
        .expect("an answer");
    assert_eq!(
        (big.header("x-size"), big.header("x-back").map(str::len)),
        (Some("12000"), Some(16_000))
    );
    assert_eq!(
        big.headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .count(),
        2
    );
    assert!(connection.reusable);
    assert_eq!(
        connection.get("/free/raises").expect("an answer").status,
        500
    );
    assert_eq!(
        connection
            .get("/free/hello")
            .expect("the connection lives on")
            .text(),
        "hello\n"
    );
}

#[test]
fn an_exception_in_mid_stream_is_no_complete_response() {
    let paster = site(CHECKED).serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /free/dribble HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    assert_eq!(connection.head().expect("the head").status, 200);
    // The stream was cut off.
    let rest = connection.rest().unwrap_or_default();
    assert!(
        rest.starts_with(b"6\r\nfirst\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    assert!(
        !rest.ends_with(b"0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
    assert_eq!(paster.text("/free/hello"), "hello\n");
}

/// 20 MB that no compression and no constant would get right, and its SHA-256 by Python.
fn megabytes() -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut bytes = vec![0; 20_000_000];
    rng.fill(&mut bytes);
    bytes
}

fn sha256(site: &Site, bytes: &[u8]) -> String {
    let path = site.path("upload");
    fs::write(&path, bytes).expect("the site's own directory");
    let output = std::process::Command::new("python3")
        .args(["-c", "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"])
        .arg(path)
        .output()
        .expect("python3 is there");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn a_large_body_arrives_whole_with_a_length_and_in_chunks() {
    let paster = site(CHECKED).serve();
    let bytes = megabytes();
    let expected = format!("{} {}", bytes.len(), sha256(paster.site(), &bytes));
    assert_eq!(paster.post("/free/body", &bytes).text(), expected);
    let mut connection = paster.connect();
    connection
        .send(b"POST /free/body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("it reads");
    for chunk in bytes.chunks(77_777) {
        connection
            .send(format!("{:x}\r\n", chunk.len()).as_bytes())
            .expect("it reads");
        connection.send(chunk).expect("it reads");
        connection.send(b"\r\n").expect("it reads");
    }
    connection.send(b"0\r\n\r\n").expect("it reads");
    assert_eq!(connection.response().expect("an answer").text(), expected);
}

#[test]
fn a_client_that_expects_100_is_told_to_go_on() {
    let paster = site(CHECKED).serve();
    let mut connection = paster.connect();
    connection
        .send(b"POST /free/body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .expect("it reads");
    assert_eq!(connection.head().expect("an interim response").status, 100);
    connection.send(b"hello").expect("it reads");
    assert!(
        connection
            .response()
            .expect("the final response")
            .text()
            .starts_with("5 ")
    );
}

#[test]
fn the_first_event_of_a_stream_is_there_before_the_second_is_made() {
    let paster = site(CHECKED).serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /free/first-then-wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    assert_eq!(connection.head().expect("the head").status, 200);
    connection.line().expect("a chunk size");
    assert_eq!(connection.line().expect("the first event"), "data: first");
    fs::write(paster.site().path("go"), "").expect("the site's own directory");
    let rest = connection_rest(&mut connection);
    assert!(rest.contains("data: second"), "{rest}");
}

/// Up to the last chunk.
fn connection_rest(connection: &mut Connection) -> String {
    let mut text = String::new();
    loop {
        let line = connection.line().expect("more lines");
        if line == "0" {
            return text;
        }
        text.push_str(&line);
        text.push('\n');
    }
}

#[test]
fn a_client_that_goes_away_ends_its_response_in_the_worker() {
    let paster = site(CHECKED).serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /free/endless HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    assert_eq!(connection.head().expect("the head").status, 200);
    drop(connection);
    wait_for_file(&paster.site().path("closed"));
}
