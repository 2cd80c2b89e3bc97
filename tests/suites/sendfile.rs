//! `sendfile`: apps say which file it is, and the proxy sends it.

use crate::harness::{Paster, Site};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

/// An app that answers with the fields that the query names, and text.
const APP: &str = r#"
from urllib.parse import parse_qsl


def factory(global_conf, **local_conf):
    def app(environ, start_response):
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        status = query.pop("status", "200 OK")
        headers = [("Content-Type", "text/x-own"), ("Set-Cookie", "a=b"), ("Content-Length", "4")]
        if query.pop("untyped", None):
            del headers[0]
        start_response(status, headers + list(query.items()))
        return [b"text"]
    return app
"#;

const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

/// An app at `/`, and files in `private`.
fn site(sendfile: &str) -> Site {
    let site = Site::new()
        .python("app", "/", APP)
        .policy("app", &format!("sendfile = {sendfile}"))
        .file("private/ten.txt", "0123456789")
        .file("private/a b.txt", "space")
        .file("secret.txt", "secret");
    let ten = File::options()
        .write(true)
        .open(site.path("private/ten.txt"));
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    ten.and_then(|ten| ten.set_modified(time))
        .expect("our own file");
    site
}

/// The query by which the app names a file of the site.
fn named(paster: &Paster, file: &str) -> String {
    format!("/?X-Sendfile={}", paster.site().path(file).display())
}

#[test]
fn without_the_setting_nothing_is_touched() {
    let paster = site("off").serve();
    let response = paster.get("/?X-Sendfile=/etc/passwd");
    assert_eq!(response.text(), "text");
    assert_eq!(response.header("x-sendfile"), Some("/etc/passwd"));
}

#[test]
fn the_file_is_sent_with_the_fields_of_the_app() {
    let paster = site("private").serve();
    let ten = named(&paster, "private/ten.txt");
    let response = paster.get(&ten);
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "0123456789")
    );
    for (name, value) in [
        ("content-type", Some("text/x-own")),
        ("set-cookie", Some("a=b")),
        ("content-length", Some("10")),
        ("last-modified", Some(DATE)),
        ("accept-ranges", Some("bytes")),
        ("x-sendfile", None),
    ] {
        assert_eq!(response.header(name), value, "{name}: {response:?}");
    }
    let tag = response.header("etag").expect("a tag").to_owned();
    let part = paster.ask("GET", &ten, &[("Range", "bytes=2-3")]);
    assert_eq!((part.status, part.text().as_str()), (206, "23"));
    assert_eq!(part.header("content-range"), Some("bytes 2-3/10"));
    let several = paster.ask("GET", &ten, &[("Range", "bytes=0-0,9-9")]);
    assert!(
        several
            .text()
            .contains("Content-Type: text/x-own\r\nContent-Range: bytes 9-9/10\r\n\r\n9")
    );
    for field in [("If-None-Match", tag.as_str()), ("If-Modified-Since", DATE)] {
        let same = paster.ask("GET", &ten, &[field]);
        assert_eq!((same.status, same.body.len()), (304, 0), "{field:?}");
        assert!(same.header("x-sendfile").is_none());
    }
    let head = paster.ask("HEAD", &ten, &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    let post = paster.ask("POST", &ten, &[("Range", "bytes=2-3")]);
    assert_eq!((post.status, post.text().as_str()), (200, "0123456789"));
    let page = paster.get(&format!("{ten}&status=404+Not+Found"));
    assert_eq!((page.status, page.text().as_str()), (404, "0123456789"));
    let untyped = paster.get(&format!("{ten}&untyped=1"));
    assert_eq!(untyped.header("content-type"), Some("text/plain"));
}

#[test]
fn what_the_app_says_of_the_file_counts() {
    let paster = site("private").serve();
    let ten = format!("{}&ETag=W/%22mine%22", named(&paster, "private/ten.txt"));
    let response = paster.get(&ten);
    assert_eq!(response.header("etag"), Some("W/\"mine\""));
    let status = |fields: &[(&str, &str)]| paster.ask("GET", &ten, fields).status;
    assert_eq!(status(&[("If-None-Match", "\"mine\"")]), 304);
    assert_eq!(
        status(&[("If-Range", "W/\"mine\""), ("Range", "bytes=0-1")]),
        200
    );
    // One that has looked at the range itself, as Werkzeug does.
    let partial = format!("{ten}&status=206+Partial+Content&Content-Range=bytes+0-1/10");
    let part = paster.ask("GET", &partial, &[("Range", "bytes=0-1")]);
    assert_eq!((part.status, part.text().as_str()), (206, "01"));
    assert_eq!(paster.ask("GET", &partial, &[]).status, 200);
    let unchanged = paster.get(&format!("{ten}&status=304+Not+Modified"));
    assert_eq!(
        (unchanged.status, unchanged.header("x-sendfile")),
        (304, None)
    );
}

#[test]
fn a_file_is_compressed_as_any_other_answer() {
    let line = "a line of text that is like the others\n";
    let paster = site("private")
        .file("private/long.txt", &line.repeat(500))
        .policy("app", "compress = on")
        .serve();
    let long = named(&paster, "private/long.txt");
    let get = |fields: &[(&str, &str)]| {
        let all = [&[("Accept-Encoding", "gzip")], fields].concat();
        paster.ask("GET", &long, &all)
    };
    let answer = get(&[]);
    assert_eq!(
        answer.header("content-encoding"),
        Some("gzip"),
        "{answer:?}"
    );
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert_eq!(answer.header("set-cookie"), Some("a=b"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(answer.body.as_slice())
        .read_to_string(&mut text)
        .expect("gzip");
    assert_eq!(text, line.repeat(500));
    let tag = answer.header("etag").expect("a tag");
    assert!(tag.starts_with("W/"), "{tag}");
    let same = get(&[("If-None-Match", tag)]);
    assert_eq!((same.status, same.header("etag")), (304, Some(tag)));
    let part = get(&[("Range", "bytes=2-5")]);
    assert_eq!((part.status, part.text().as_str()), (206, "line"));
    let plain = paster.ask("GET", &long, &[]);
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.body.len(), line.len() * 500);
    let short = named(&paster, "private/ten.txt");
    let short = paster.ask("GET", &short, &[("Accept-Encoding", "gzip")]);
    assert_eq!(short.header("content-encoding"), None);
    let own = format!("{long}&Content-Encoding=br");
    let own = paster.ask("GET", &own, &[("Accept-Encoding", "gzip")]);
    assert_eq!(own.header("content-encoding"), Some("br"));
    assert_eq!(own.body.len(), line.len() * 500);
}

#[test]
fn files_are_named_as_nginx_has_it() {
    let paster = site("/in/=private").serve();
    let get = |value: &str| paster.get(&format!("/?X-Accel-Redirect={value}"));
    assert_eq!(get("/in/ten.txt").text(), "0123456789");
    assert_eq!(get("/in/a%2520b.txt").text(), "space");
    assert_eq!(get("/in/missing").status, 404);
    assert_eq!(
        paster.text(&named(&paster, "private/ten.txt")),
        "0123456789"
    );
    paster.expect_log("an app names a file that is in no directory of its `sendfile`");
    assert_eq!(get("/elsewhere/ten.txt").status, 502);
}

#[test]
fn nothing_outside_is_sent() {
    let site = site("private");
    symlink("../secret.txt", site.path("private/out.txt")).expect("linked");
    let paster = site.serve();
    paster.expect_log("an app names a file that is in no directory of its `sendfile`");
    paster.allow_log("a file cannot be served");
    for (file, status) in [
        ("secret.txt", 502),
        ("private/../secret.txt", 502),
        ("private/out.txt", 502),
        ("private-not/ten.txt", 502),
        ("private", 502),
        ("private/", 502),
        ("private/missing", 404),
    ] {
        let response = paster.get(&named(&paster, file));
        assert_eq!(response.status, status, "{file}: {response:?}");
        assert!(!response.text().contains("secret"));
    }
    assert_eq!(paster.get("/?X-Sendfile=private/ten.txt").status, 502);
}

#[test]
fn the_worker_is_free_while_the_client_reads() {
    let site = site("private").policy("app", "threads = 1");
    let large = File::create(site.path("private/large.bin")).expect("our own file");
    large.set_len(1 << 30).expect("a file of holes");
    let paster = site.serve();
    let mut slow = paster.connect();
    let path = named(&paster, "private/large.bin");
    slow.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .expect("sent");
    let head = slow.head().expect("a head");
    assert_eq!(head.header("content-length"), Some("1073741824"));
    for _ in 0..3 {
        assert_eq!(paster.text("/"), "text");
    }
    assert!(
        slow.bytes(1 << 20)
            .expect("it goes on")
            .iter()
            .all(|&byte| byte == 0)
    );
}

#[test]
fn a_large_file_is_sent_byte_for_byte() {
    let numbers: String = (0..200_000)
        .map(|number| format!("{number:07}\n"))
        .collect();
    let paster = site("private").file("private/large.txt", &numbers).serve();
    let path = named(&paster, "private/large.txt");
    let mut connection = paster.connect();
    for _ in 0..2 {
        let whole = connection.get(&path).expect("an answer");
        assert!(
            whole.body == numbers.as_bytes(),
            "{} bytes",
            whole.body.len()
        );
        let range = [("Range", "bytes=300001-1000000")];
        let part = connection.request("GET", &path, &range, b"");
        assert!(part.expect("an answer").body == numbers.as_bytes()[300_001..=1_000_000]);
        assert_eq!(connection.get("/").expect("an answer").text(), "text");
    }
}

#[test]
fn a_reload_changes_the_directories() {
    let mut paster = site("off").file("more/ten.txt", "more").serve();
    let pid = paster.status().app("app").pid();
    paster.edit(|site| site.policy("app", "sendfile = private more"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.text(&named(&paster, "more/ten.txt")), "more");
    assert_eq!(
        paster.status().app("app").pid(),
        pid,
        "no worker is restarted"
    );
}
