//! Which app gets a request, and with which SCRIPT_NAME and PATH_INFO: exactly as `paste.urlmap` has it.

use crate::fixtures::{Undivided, site};
use crate::harness::http::{Connection, Response};
use crate::harness::{Paster, Site};
use serde_json::{Value, json};
use std::fmt::Write;

/// A map over two levels with domains, ports and prefixes that shadow each other.
const MAP: &str = "
[composite:main]
use = egg:Paste#urlmap
/ = root
/blog = blog
/blog/archive = archive
/Blog = upper
/a%%b = percent
/s%%20e = space
/inner = inner
domain shop.test / = shop
domain shop.test /blog = shopblog
domain shop.test port 8080 /admin = admin
/e/f/g/h = long

[composite:inner]
use = egg:Paste#urlmap
/blog = innerblog
/ = innerroot
/deep/er = deeper

[composite:deeper]
use = egg:Paste#urlmap
not_found_app = fallback
/x = deepx
";

const APPS: [&str; 14] = [
    "root",
    "blog",
    "archive",
    "upper",
    "percent",
    "space",
    "shop",
    "shopblog",
    "admin",
    "long",
    "innerblog",
    "innerroot",
    "deepx",
    "fallback",
];

/// The file, with each of its apps in the section's own words.
fn map(rest: &str) -> String {
    let mut text = MAP.to_owned();
    for app in APPS {
        let _ = write!(
            text,
            "\n[app:{app}]\npaste.app_factory = probe:where\nname = {app}\n"
        );
    }
    text + rest
}

struct Request {
    host: String,
    target: String,
}

/// Mostly near a prefix, or hardly anything would match.
fn requests(count: usize) -> Vec<Request> {
    let mut rng = fastrand::Rng::with_seed(2026);
    let hosts = [
        "site.test",
        "shop.test",
        "SHOP.test",
        "shop.test:8080",
        "shop.test:80",
        "other.test:8080",
    ];
    let segments = [
        "blog",
        "archive",
        "Blog",
        "a%25b",
        "s%2520e",
        "inner",
        "deep",
        "er",
        "x",
        "admin",
        "e",
        "f",
        "g",
        "h",
        "blogs",
        "%62log",
        "b%2Flog",
        "blog%2Farchive",
        "%C3%A9",
        "%E9",
        "..",
        ".",
        "%2e%2e",
        "a+b",
        "x;y=1",
        "",
    ];
    let prefixes = [
        "/blog",
        "/blog/archive",
        "/Blog",
        "/a%25b",
        "/s%2520e",
        "/inner",
        "/inner/blog",
        "/inner/deep/er",
        "/inner/deep/er/x",
        "/admin",
        "/e/f/g/h",
    ];
    (0..count)
        .map(|_| {
            let mut target = match rng.u8(..3) {
                0 => String::new(),
                _ => prefixes[rng.usize(..prefixes.len())].to_owned(),
            };
            for _ in 0..rng.usize(0..4) {
                let slash = if rng.u8(..8) == 0 { "//" } else { "/" };
                let _ = write!(target, "{slash}{}", segments[rng.usize(..segments.len())]);
            }
            if target.is_empty() || rng.u8(..4) == 0 {
                target.push('/');
            }
            if rng.u8(..6) == 0 {
                target.push_str("?q=/blog");
            }
            Request {
                host: hosts[rng.usize(..hosts.len())].to_owned(),
                target,
            }
        })
        .collect()
}

fn ask(connection: &mut Connection, request: &Request) -> Value {
    let response = connection
        .request("GET", &request.target, &[("Host", &request.host)], b"")
        .unwrap_or_else(|error| panic!("GET {}: {error}", request.target));
    seen(&response)
}

fn seen(response: &Response) -> Value {
    match response.status {
        200 => response.json(),
        status => json!({ "status": status }),
    }
}

#[test]
fn four_hundred_requests_reach_the_app_that_paste_urlmap_chooses() {
    let paster = site(&map("")).serve();
    let original = Undivided::start(&paster.site().config());
    let mut ours = paster.connect();
    let mut theirs = Connection::open(original.address).expect("it accepts connections");
    let mut reports = Vec::new();
    let mut apps = std::collections::BTreeSet::new();
    for request in requests(400) {
        let expected = ask(&mut theirs, &request);
        let found = ask(&mut ours, &request);
        apps.extend(expected["app"].as_str().map(str::to_owned));
        if found != expected {
            reports.push(format!(
                "{} at {}\n  {found}\ninstead of\n  {expected}",
                request.target, request.host
            ));
        }
    }
    assert!(
        reports.is_empty(),
        "{} differ\n{}",
        reports.len(),
        reports.join("\n")
    );
    assert!(apps.len() > 8, "only {apps:?} were reached");
}

#[test]
fn paster_routes_says_what_the_proxy_does() {
    let paster = site(&map("")).serve();
    let wanted = requests(150);
    let urls: Vec<String> = wanted
        .iter()
        .map(|request| format!("http://{}{}", request.host, request.target))
        .collect();
    let config = paster.site().config().display().to_string();
    let mut arguments = vec!["routes", &config, "--json"];
    arguments.extend(urls.iter().map(String::as_str));
    let answers = Paster::run(paster.site(), &arguments).succeeded();
    let answers: Vec<Value> = serde_json::from_str(&answers.stdout).expect("a list");
    let mut connection = paster.connect();
    for (request, said) in wanted.iter().zip(&answers) {
        let done = ask(&mut connection, request);
        if done["status"] == 404 {
            assert_eq!(said["app"], Value::Null, "{said}");
            continue;
        }
        for key in ["app", "script_name", "path_info"] {
            assert_eq!(
                said[key], done[key],
                "{key} of {} at {}",
                request.target, request.host
            );
        }
    }
}

#[test]
fn what_no_mount_matches_is_not_found_whatever_the_method() {
    let paster = Site::new().actor("blog", "/blog").serve();
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let response = paster
            .connect()
            .request(method, "/blogs", &[], b"")
            .expect("an answer");
        assert_eq!(response.status, 404, "{method}");
    }
    assert_eq!(paster.get("/blog").status, 200);
}

#[test]
fn a_section_that_is_mounted_twice_is_one_app_with_two_mounts() {
    let paster = site(
        "
[composite:main]
use = egg:Paste#urlmap
/a = one
/b/c = one

[app:one]
paste.app_factory = probe:where
name = one
",
    )
    .serve();
    assert_eq!(paster.status().app("one").mounts.len(), 2);
    assert_eq!(
        paster.get("/a/x").json(),
        json!({"app": "one", "script_name": "/a", "path_info": "/x"})
    );
    assert_eq!(
        paster.get("/b/c/x").json(),
        json!({"app": "one", "script_name": "/b/c", "path_info": "/x"})
    );
}
