//! Python apps see what they see in the undivided program, whatever Paste Deploy puts around them.

use crate::fixtures::{Undivided, complete, site, wait_for_file};
use crate::harness::http::Connection;
use crate::harness::{Paster, Site};
use serde_json::{Map, Value, json};
use std::fs;
use std::net::SocketAddr;

const MOUNTED: &str = "
[DEFAULT]
colour = red

[composite:main]
use = egg:Paste#urlmap
/ = seen
/app = seen
/app/deep = other

[app:seen]
paste.app_factory = probe:environ
option = one

[app:other]
paste.app_factory = probe:environ
option = two
set colour = blue
get borrowed = colour
";

struct Request {
    method: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static [u8],
}

const fn get(target: &'static str) -> Request {
    Request {
        method: "GET",
        target,
        headers: &[],
        body: b"",
    }
}

const REQUESTS: &[Request] = &[
    get("/"),
    get("/app"),
    get("/app/"),
    get("/app/x%20y?a=b%20c&d"),
    get("/app/deep/er?"),
    get("/app//deep/1"),
    get("/%C3%A9/%E9"),
    get("/app/a%2Fb;p=1"),
    get("/appx/../app"),
    Request {
        method: "POST",
        target: "/app/form",
        headers: &[("Content-Type", "application/x-www-form-urlencoded")],
        body: b"name=value&other=%20",
    },
    Request {
        method: "PUT",
        target: "/app/deep/thing",
        headers: &[
            ("Content-Type", "text/plain; charset=utf-8"),
            ("If-Match", "\"x\""),
        ],
        body: b"\x00\xff bytes",
    },
    Request {
        method: "DELETE",
        target: "/app/deep/thing",
        headers: &[],
        body: b"",
    },
    Request {
        method: "OPTIONS",
        target: "/app",
        headers: &[
            ("Origin", "http://other.test"),
            ("Access-Control-Request-Method", "PUT"),
        ],
        body: b"",
    },
    Request {
        method: "GET",
        target: "/app/headers",
        headers: &[
            ("X-Twice", "one"),
            ("X-Twice", "two"),
            ("Cookie", "a=1; b=2"),
            ("Accept", "text/html"),
            ("Accept-Language", "de, en;q=0.5"),
            ("Authorization", "Basic YTpi"),
            ("X-Mixed-CASE", "  padded  "),
            ("X-Latin", "caf\u{e9}"),
        ],
        body: b"",
    },
];

/// Keys that are the server's own business: what it is, where it listens, how it runs apps, and the fields that
/// paster adds (docs/worker-contract.md).
const OWN: &[&str] = &[
    "REMOTE_PORT",
    "REMOTE_HOST",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_SOFTWARE",
    "REQUEST_URI",
    "RAW_URI",
    "HTTP_X_REQUEST_ID",
    "wsgi.multiprocess",
    "wsgi.multithread",
    "waitress.client_disconnected",
    "wsgi.input_terminated",
    "paste.testing",
];

fn seen(address: SocketAddr, request: &Request) -> Value {
    let mut headers = vec![("Host", "site.test")];
    headers.extend_from_slice(request.headers);
    let response = Connection::open(address)
        .and_then(|mut connection| {
            connection.request(request.method, request.target, &headers, request.body)
        })
        .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target));
    assert_eq!(
        response.status,
        200,
        "{} {}: {}",
        request.method,
        request.target,
        response.text()
    );
    let mut seen = response.json();
    seen["pid"].take();
    let environ = seen["environ"].as_object_mut().expect("an object");
    environ.retain(|key, _| !OWN.contains(&key.as_str()));
    // An absent length and an empty one mean the same (PEP 3333).
    environ.retain(|key, value| {
        !(matches!(key.as_str(), "CONTENT_TYPE" | "CONTENT_LENGTH") && value == "")
    });
    // Servers join repeated fields with or without a space (RFC 9110 section 5.3 allows both).
    if let Some(twice) = environ.get_mut("HTTP_X_TWICE") {
        *twice = json!(twice.as_str().unwrap_or_default().replace(", ", ","));
    }
    if let Some(other) = seen["other"].as_object_mut() {
        other.retain(|key, _| !key.starts_with("wsgi.") && !OWN.contains(&key.as_str()));
    }
    seen
}

#[test]
fn the_environ_is_that_of_the_undivided_program() {
    let divided = site(MOUNTED).serve();
    let whole = site(MOUNTED).undivided().serve();
    let original = Undivided::start(&whole.site().config());
    let mut reports = Vec::new();
    for request in REQUESTS {
        let expected = seen(original.address, request);
        for (mode, paster) in [("--isolate", &divided), ("undivided", &whole)] {
            let found = seen(paster.address(), request);
            for part in ["environ", "other", "local_conf", "body"] {
                let (found, expected) = (object(&found[part]), object(&expected[part]));
                let keys: std::collections::BTreeSet<&String> =
                    found.keys().chain(expected.keys()).collect();
                for key in keys {
                    if found.get(key) != expected.get(key) {
                        reports.push(format!(
                            "{mode} {} {}: {part}.{key} is {:?} instead of {:?}",
                            request.method,
                            request.target,
                            found.get(key),
                            expected.get(key)
                        ));
                    }
                }
            }
            assert_eq!(
                found["global_conf"]["colour"],
                expected["global_conf"]["colour"]
            );
        }
    }
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

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

const COMPOSED: &str = "
[DEFAULT]
colour = red
shared = from the file

[composite:main]
use = egg:Paste#urlmap
/chosen = chosen
/methods = methods
/cascade = cascade
/with = with
/file = config:parts/other.ini#far
/egg = egg:Fixture-Site#flask
/set = set

[composite:chosen]
paste.composite_factory = probe:chosen
chain = a b seen

[composite:methods]
paste.composite_factory = probe:by_method
get = seen
post = config:parts/other.ini#far

[composite:cascade]
use = egg:Paste#cascade
app1 = nothing
app2 = seen

[app:nothing]
paste.app_factory = probe:missing

[app:with]
use = seen
filter-with = a
local = 1

[app:set]
use = seen
set colour = green
get borrowed = shared

[app:seen]
paste.app_factory = probe:environ

[filter:a]
paste.filter_factory = probe:tag_filter
tag = a

[filter:b]
use = egg:Fixture-Site#stamp
ink = black
";

const OTHER: &str = "
[DEFAULT]
colour = yellow

[app:far]
use = near
option = far

[app:near]
paste.app_factory = probe:environ
option = near
place = %(here)s
";

#[test]
fn whatever_paste_deploy_composes_is_what_the_original_composes() {
    let build = |site: Site| site.file("parts/other.ini", OTHER);
    let paster = build(site(COMPOSED)).serve();
    let whole = build(site(COMPOSED)).undivided().serve();
    let original = Undivided::start(&whole.site().config());
    let here = |paster: &Paster| paster.site().dir().display().to_string();
    for (method, target) in [
        ("GET", "/chosen/x"),
        ("GET", "/methods/x"),
        ("POST", "/methods/x"),
        ("GET", "/cascade/x"),
        ("GET", "/with/x"),
        ("GET", "/file/x"),
        ("GET", "/set/x"),
    ] {
        let look = |address: SocketAddr, here: &str| {
            let response = Connection::open(address)
                .and_then(|mut connection| {
                    connection.request(method, target, &[("Host", "a")], b"")
                })
                .expect("an answer");
            let tags: Vec<String> = response
                .headers
                .iter()
                .filter(|(name, _)| {
                    name.eq_ignore_ascii_case("x-tag") || name.eq_ignore_ascii_case("x-stamp")
                })
                .map(|(name, value)| format!("{}={value}", name.to_ascii_lowercase()))
                .collect();
            let seen = response.json();
            let text = json!({
                "tags": tags,
                "global_conf": seen["global_conf"],
                "local_conf": seen["local_conf"],
                "script_name": seen["environ"]["SCRIPT_NAME"],
                "path_info": seen["environ"]["PATH_INFO"],
                "probe": seen["environ"]["probe.tags"],
            })
            .to_string();
            text.replace(here, "HERE")
        };
        let expected = look(original.address, &here(&whole));
        assert_eq!(
            look(paster.address(), &here(&paster)),
            expected,
            "--isolate {method} {target}"
        );
        assert_eq!(
            look(whole.address(), &here(&whole)),
            expected,
            "{method} {target}"
        );
    }
}

#[test]
fn the_section_loggers_is_applied() {
    let paster = site(
        "
[app:main]
paste.app_factory = probe:logged

[loggers]
keys = root, probe

[handlers]
keys = file

[formatters]
keys = plain

[logger_root]
level = WARNING
handlers = file

[logger_probe]
level = INFO
handlers =
qualname = probe

[handler_file]
class = FileHandler
args = ('%(here)s/probe.log',)
formatter = plain

[formatter_plain]
format = %(levelname)s/%(name)s/%(message)s
",
    )
    .serve();
    assert_eq!(paster.text("/some/path"), "logged\n");
    let log = fs::read_to_string(paster.site().path("probe.log")).expect("the handler's file");
    assert_eq!(log, "INFO/probe/asked for /some/path\n");
}

const REAL: &str = "
[composite:main]
use = egg:Paste#urlmap
/flask = flask
/pyramid = pyramid
/django = egg:Fixture-Site#django
/test = egg:Paste#test
/files = files
/httpbin = httpbin
/debug = debug

[app:flask]
use = egg:Fixture-Site
greeting = Hello from Flask

[app:pyramid]
use = egg:Fixture-Site#pyramid
title = salmon

[app:files]
use = egg:Paste#static
document_root = %(here)s/public

[app:httpbin]
paste.app_factory = real:httpbin_app

[app:debug]
paste.app_factory = real:debug_app
";

const REAL_PY: &str = "
def httpbin_app(global_conf, **local_conf):
    from httpbin import app
    return app


def debug_app(global_conf, **local_conf):
    from webtest.debugapp import debug_app
    return debug_app
";

fn real() -> Paster {
    site(REAL)
        .file("real.py", REAL_PY)
        .file("public/index.html", "<p>index</p>")
        .file("public/deep/page.txt", "a page\n")
        .serve()
}

#[test]
fn applications_that_nobody_here_wrote_work_below_a_prefix() {
    let paster = real();
    let with = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("Host", "site.test")];
        all.extend_from_slice(headers);
        paster
            .connect()
            .request(method, path, &all, body)
            .expect("an answer")
    };
    let form = [("Content-Type", "application/x-www-form-urlencoded")];

    let page = with("GET", "/flask/", &[], b"");
    assert_eq!(
        page.text(),
        "Hello from Flask, nobody; http://site.test/flask/name"
    );
    let done = with("POST", "/flask/name", &form, b"name=Coho");
    assert_eq!(
        (done.status, done.header("location")),
        (302, Some("/flask/"))
    );
    let cookie = done
        .header("set-cookie")
        .expect("a session")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    assert!(
        with("GET", "/flask/", &[("Cookie", &cookie)], b"")
            .text()
            .starts_with("Hello from Flask, Coho")
    );

    let page = with("GET", "/pyramid/", &[], b"").json();
    assert_eq!(
        page,
        json!({"url": "http://site.test/pyramid/item/7", "title": "salmon", "path": "/pyramid/"})
    );
    assert_eq!(
        with("GET", "/pyramid/item/%C3%A9?a=1", &[], b"").json(),
        json!({"id": "é", "query": {"a": "1"}})
    );
    assert_eq!(with("GET", "/pyramid/none", &[], b"").status, 404);

    let page = with("GET", "/django/?q=1", &[], b"").json();
    assert_eq!(
        page,
        json!({"here": "http://site.test/django/?q=1", "item": "/django/item/7"})
    );
    assert_eq!(
        with("PUT", "/django/item/3", &[], b"12345").json(),
        json!({"number": 3, "method": "PUT", "body": 5})
    );
    let numbers: String = (0..1000).map(|number| format!("{number}\n")).collect();
    assert_eq!(with("GET", "/django/stream", &[], b"").text(), numbers);

    assert!(with("GET", "/test/", &[], b"").text().contains("simple"));
    assert_eq!(
        with("GET", "/files/deep/page.txt", &[], b"").text(),
        "a page\n"
    );
    assert_eq!(with("GET", "/files/", &[], b"").text(), "<p>index</p>");
    assert_eq!(with("GET", "/files/none", &[], b"").status, 404);
    let part = with(
        "GET",
        "/files/deep/page.txt",
        &[("Range", "bytes=2-5")],
        b"",
    );
    assert_eq!((part.status, part.text().as_str()), (206, "page"));

    let got = with("GET", "/httpbin/get?a=1", &[], b"").json();
    assert_eq!(
        (&got["args"]["a"], &got["url"]),
        (&json!("1"), &json!("http://site.test/httpbin/get?a=1"))
    );
    assert_eq!(
        with("POST", "/httpbin/post", &form, b"x=y").json()["form"],
        json!({"x": "y"})
    );
    assert_eq!(with("GET", "/httpbin/status/418", &[], b"").status, 418);
    assert_eq!(
        with("GET", "/httpbin/bytes/5000", &[], b"").body.len(),
        5000
    );
    assert_eq!(
        with("GET", "/httpbin/stream-bytes/5000?chunk_size=100", &[], b"")
            .body
            .len(),
        5000
    );
    assert_eq!(
        with("GET", "/httpbin/redirect/1", &[], b"").header("location"),
        Some("/httpbin/get")
    );
    assert_eq!(
        with("GET", "/httpbin/gzip", &[], b"").header("content-encoding"),
        Some("gzip")
    );

    assert!(
        with("POST", "/debug/x", &[], b"sent")
            .text()
            .contains("sent")
    );
}

#[test]
fn the_same_applications_work_in_one_process() {
    let ini = complete("[app:main]\nuse = egg:Fixture-Site#django\n");
    let paster = site("").ini(&ini).undivided().serve();
    assert_eq!(
        paster.get("/item/9").json(),
        json!({"number": 9, "method": "GET", "body": 0})
    );
}
