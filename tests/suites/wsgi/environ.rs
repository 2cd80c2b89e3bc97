//! The environ of a request, beside that of the undivided program.

use crate::fixtures::{Undivided, site};
use crate::harness::http::Connection;
use serde_json::{Map, Value, json};
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
