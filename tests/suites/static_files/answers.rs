//! What is answered: as the original does, and conditions, parts, smaller copies and fields of answers as docs/proxy.md says.

use super::{DATE, SAME_INI, TAG, aged, files};
use crate::fixtures::{Undivided, site};
use crate::harness::curl::curl;
use crate::harness::http::{Connection, Response};
use std::fs::{self};

/// Method, target and fields.
type Asked = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// What the original answers, and we.
const SAME: &[Asked] = &[
    ("GET", "/files", &[]),
    ("GET", "/files?a=b", &[]),
    ("GET", "/files/", &[]),
    ("GET", "/files/ten.txt", &[]),
    ("HEAD", "/files/ten.txt", &[]),
    ("GET", "/files/ten.txt/", &[]),
    ("GET", "/files/ten.txt/more", &[]),
    ("GET", "/files/ten.txt?a=b", &[]),
    ("GET", "/files/ten%2Etxt", &[]),
    ("GET", "/files/empty.txt", &[]),
    ("GET", "/files/sub", &[]),
    ("GET", "/files/sub?a=b", &[]),
    ("POST", "/files/sub", &[]),
    ("GET", "/files/sub/", &[]),
    ("GET", "/files/sub%2Findex.html", &[]),
    ("GET", "/files/sub/../ten.txt", &[]),
    ("GET", "/files/./ten.txt", &[]),
    ("GET", "/files/.", &[]),
    ("GET", "/files/..", &[]),
    ("GET", "/files/../site.ini", &[]),
    ("GET", "/files/%2e%2e/site.ini", &[]),
    ("GET", "/files/bare", &[]),
    ("GET", "/files/bare/", &[]),
    ("GET", "/files/.hidden", &[]),
    ("GET", "/files/missing", &[]),
    ("GET", "/files/TEN.TXT", &[]),
    ("POST", "/files/ten.txt", &[]),
    ("DELETE", "/files/ten.txt", &[]),
    ("OPTIONS", "/files/ten.txt", &[]),
    ("POST", "/files/missing", &[]),
    ("GET", "/files/script.js.gz", &[]),
    ("GET", "/files/a.tar.gz", &[]),
    ("GET", "/files/image.svgz", &[]),
    ("GET", "/files/noending", &[]),
    ("GET", "/files/page.css", &[]),
    ("GET", "/files/page.json", &[]),
    ("GET", "/files/large.bin", &[]),
    ("HEAD", "/files/large.bin", &[]),
    ("GET", "/files/with%20space.txt", &[]),
    ("GET", "/aged/ten.txt", &[]),
    ("GET", "/files/ten.txt", &[("If-None-Match", TAG)]),
    ("GET", "/files/ten.txt", &[("If-None-Match", "\"other\"")]),
    ("GET", "/files/ten.txt", &[("If-None-Match", "*")]),
    ("HEAD", "/files/ten.txt", &[("If-None-Match", TAG)]),
    ("GET", "/aged/ten.txt", &[("If-None-Match", TAG)]),
    ("GET", "/files/ten.txt", &[("If-Modified-Since", DATE)]),
    (
        "GET",
        "/files/ten.txt",
        &[("If-Modified-Since", "Tue, 14 Nov 2023 22:13:19 GMT")],
    ),
    ("GET", "/files/ten.txt", &[("Range", "bytes=2-4")]),
    ("GET", "/files/ten.txt", &[("Range", "bytes=2-")]),
    ("GET", "/files/ten.txt", &[("Range", "bytes=99-")]),
];

#[test]
fn answers_are_those_of_the_original() {
    let large = "x".repeat(100_000);
    let paster = aged(
        site(SAME_INI)
            .file("public/index.html", "<p>index</p>")
            .file("public/ten.txt", "0123456789")
            .file("public/empty.txt", "")
            .file("public/.hidden", "hidden")
            .file("public/sub/index.html", "<p>sub</p>")
            .file("public/bare/page.txt", "a page")
            .file("public/script.js.gz", "no gzip")
            .file("public/a.tar.gz", "no gzip")
            .file("public/image.svgz", "no gzip")
            .file("public/noending", "text")
            .file("public/page.css", "p {}")
            .file("public/page.json", "{}")
            .file("public/with space.txt", "space")
            .file("public/large.bin", &large),
    )
    .serve();
    assert!(
        paster
            .status()
            .apps
            .iter()
            .all(|app| app.workers.is_empty())
    );
    let original = Undivided::start(&paster.site().config());
    for (method, target, headers) in SAME {
        let ask = |address| {
            let headers = [&[("Host", "files.test")], *headers].concat();
            let mut connection = Connection::open(address).expect("it accepts");
            connection
                .request(method, target, &headers, b"")
                .expect("it answers")
        };
        let (theirs, ours) = (ask(original.address), ask(paster.address()));
        assert_eq!(
            essence(&ours),
            essence(&theirs),
            "{method} {target} {headers:?}"
        );
    }
}

/// What a client goes by.
fn essence(response: &Response) -> (u16, Vec<(&'static str, Option<String>)>, String) {
    // Their pages of errors and redirections have words of their own, 304 loses what RFC 9110 wants kept, and a date that is
    // not in GMT is none.
    let is_file = matches!(response.status, 200 | 206);
    let names: &[&str] = match response.status {
        200 | 206 => &[
            "content-type",
            "content-encoding",
            "content-length",
            "etag",
            "last-modified",
            "cache-control",
            "accept-ranges",
        ],
        304 => &["etag", "cache-control"],
        301 => &["location"],
        _ => &[],
    };
    let fields = names.iter().map(|name| {
        let value = response.header(name);
        (*name, value.map(|value| value.replace(" -0000", " GMT")))
    });
    let body = if is_file {
        response.text()
    } else {
        String::new()
    };
    (response.status, fields.collect(), body)
}

#[test]
fn parts_of_a_file() {
    let paster = files().serve();
    let part = |range: &str| paster.ask("GET", "/files/ten.txt", &[("Range", range)]);
    let one = part("bytes=-3");
    assert_eq!((one.status, one.text().as_str()), (206, "789"));
    assert_eq!(one.header("content-range"), Some("bytes 7-9/10"));
    assert_eq!(one.header("content-length"), Some("3"));
    let none = part("bytes=10-");
    assert_eq!(
        (none.status, none.header("content-range")),
        (416, Some("bytes */10"))
    );
    let several = part("bytes=0-1,8-");
    assert_eq!(several.status, 206);
    let kind = several.header("content-type").expect("a type").to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let expected = format!(
        "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
         \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
         \r\n--{boundary}--\r\n"
    );
    assert_eq!(several.text(), expected);
    assert_eq!(
        several.header("content-length"),
        Some(expected.len().to_string().as_str())
    );
    assert_eq!(part("bytes=nonsense").status, 200);
    let with = |fields: &[(&str, &str)]| {
        let fields = [&[("Range", "bytes=0-0")], fields].concat();
        paster.ask("GET", "/files/ten.txt", &fields).status
    };
    assert_eq!(with(&[("If-Range", TAG)]), 206);
    assert_eq!(with(&[("If-Range", DATE)]), 206);
    assert_eq!(with(&[("If-Range", "\"other\"")]), 200);
    assert_eq!(with(&[("If-Match", "\"other\"")]), 412);
    let head = paster.ask("HEAD", "/files/ten.txt", &[("Range", "bytes=0-0")]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
}

#[test]
fn a_smaller_copy_is_sent_to_those_who_take_it() {
    let paster = aged(
        files()
            .file("public/app.js", "long")
            .file("public/app.js.gz", "gzip")
            .file("public/app.js.br", "br"),
    )
    .serve();
    let get = |accepted: &str| {
        let fields = [("Accept-Encoding", accepted)];
        paster.ask("GET", "/files/app.js", &fields)
    };
    let plain = get("identity");
    assert_eq!(
        (plain.text().as_str(), plain.header("content-encoding")),
        ("long", None)
    );
    let gzip = get("gzip, deflate");
    assert_eq!(
        (gzip.text().as_str(), gzip.header("content-encoding")),
        ("gzip", Some("gzip"))
    );
    assert_eq!(gzip.header("content-type"), Some("text/javascript"));
    assert_eq!(gzip.header("vary"), Some("accept-encoding"));
    assert_ne!(gzip.header("etag"), plain.header("etag"));
    let brotli = get("gzip, br, zstd");
    assert_eq!(
        (brotli.text().as_str(), brotli.header("content-encoding")),
        ("br", Some("br"))
    );
    // Who edits the file and forgets the copies serves the file.
    fs::write(paster.site().path("public/app.js"), "edited").expect("our own file");
    assert_eq!(get("gzip, br").text(), "edited");
}

#[test]
fn connections_and_versions_are_as_for_other_apps() {
    let paster = files().serve();
    let mut connection = paster.connect();
    for _ in 0..3 {
        assert_eq!(
            connection.get("/files/ten.txt").expect("an answer").text(),
            "0123456789"
        );
    }
    let refused = connection.request("POST", "/files/ten.txt", &[], b"a body");
    let refused = refused.expect("an answer");
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, HEAD"))
    );
    let url = format!("http://{}/files/ten.txt", paster.address());
    let answer = curl(&["--http2-prior-knowledge", &url]).succeeded();
    assert_eq!(
        (answer.status_line(), answer.body.as_str()),
        ("HTTP/2 200", "0123456789")
    );
    let answer = curl(&["--http2-prior-knowledge", "--head", &url]).succeeded();
    assert!(answer.head.contains("content-length: 10"), "{answer:?}");
    let answer = curl(&["--http1.0", "--range", "3-5", &url]).succeeded();
    assert_eq!(answer.body, "345");
}

#[test]
fn what_the_site_says_of_answers_holds_for_files() {
    let paster = files()
        .file("missing.html", "<p>ours</p>")
        .policy("", "response_headers = X-Site: ours")
        .policy("files", "error_pages = 404 = missing.html")
        .policy("", "compress = on")
        .serve();
    let found = paster.ask("GET", "/files/ten.txt", &[("Accept-Encoding", "gzip")]);
    assert_eq!(
        (found.header("x-site"), found.text().as_str()),
        (Some("ours"), "0123456789")
    );
    let missing = paster.get("/files/missing");
    assert_eq!(
        (missing.status, missing.text().as_str()),
        (404, "<p>ours</p>")
    );
    assert_eq!(missing.header("x-site"), Some("ours"));
    let status = paster.wait_until("both are counted", |s| s.app("files").requests == 2);
    assert_eq!(status.app("files").state, "ready");
}

#[test]
fn files_are_in_the_access_log() {
    let paster = files()
        .policy("", "access_log = log")
        .policy("", "access_log_format = json")
        .serve();
    paster.text("/files/ten.txt");
    paster.ask("HEAD", "/files/ten.txt", &[("X-Request-Id", "mine")]);
    paster.get("/files/missing");
    let path = paster.site().path("log");
    let mut lines: Vec<serde_json::Value> = Vec::new();
    paster.wait_for("three lines", || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        lines.len() == 3
    });
    let fields = |line: &serde_json::Value| (line["status"].as_u64(), line["bytes"].as_u64());
    let logged: Vec<_> = lines.iter().map(fields).collect();
    assert_eq!(logged[0], (Some(200), Some(10)));
    assert_eq!(logged[1], (Some(200), Some(0)));
    assert_eq!(logged[2].0, Some(404));
    assert!(
        lines
            .iter()
            .all(|line| line["app"] == "files" && line["pid"].is_null())
    );
    assert_eq!(lines[1]["request_id"], "mine");
}
