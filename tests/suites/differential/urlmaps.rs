//! Which app gets a request: our router, `paster routes`, and a running site, against `paste.urlmap`.

use crate::oracle::Oracle;
use crate::proxied::Served;
use crate::{judge, program};
use fastrand::Rng;
use paster::router::message::{Route, RouteNode};
use paster::router::urlmap::{Outcome, RequestTarget, Router};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MAPS: usize = 150;
const REQUESTS: usize = 60;
/// Files for `paster routes`, and URLs for each.
const SITES: u64 = 60;
const URLS: usize = 40;
/// Sites that are served, for each app of which a process is started.
const SERVED: u64 = 8;

/// Upper case is left out of domains: there we deviate and match, while the original never does.
const DOMAINS: [&str; 8] = [
    "ex.org",
    "ex.org.",
    "www.ex.org",
    "[::1]",
    "localhost",
    "z",
    "xn--caf-dma",
    "a_b",
];
const PORTS: [&str; 6] = ["80", "443", "8080", "", "080", ":1]:8080"];
/// No segment whose UTF-8 bytes are white space in Latin-1: see [`wsgi`].
const SEGMENTS: [&str; 14] = [
    "a", "b", "ab", "A", "é", "日本", "v2.1", "..", ".", "%2F", "a;v=1", "~", "+", "http:",
];

/// Bytes as a WSGI string: one Latin-1 character each. Keys are handed to the original in this form too, because it
/// compares a prefix beyond ASCII with the wrong characters, and we do not.
fn wsgi(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn path(rng: &mut Rng, most: usize) -> String {
    (0..rng.usize(..=most)).fold(String::new(), |mut path, _| {
        let slashes = if rng.u8(..8) == 0 { "//" } else { "/" };
        let _ = write!(path, "{slashes}{}", pick(rng, &SEGMENTS));
        path
    })
}

/// The key of a route, as in an INI file.
fn key(rng: &mut Rng) -> String {
    let mut path = path(rng, 3);
    path.push_str(pick(rng, &["", "", "/", "//"]));
    if rng.bool() {
        return if path.is_empty() {
            "/".to_owned()
        } else {
            path
        };
    }
    let domain = pick(rng, &DOMAINS);
    let port = pick(rng, &PORTS);
    match rng.u8(..4) {
        0 if !port.is_empty() => format!("domain {domain} port {port} {path}"),
        1 if !port.is_empty() => format!("{path} port {port} domain {domain}"),
        _ => format!("domain {domain} {}", path.trim_start_matches('/')),
    }
}

/// Different keys, one at least, in an order of their own.
fn keys(rng: &mut Rng, fits: fn(&str) -> bool) -> Vec<String> {
    let mut keys: Vec<String> = (0..rng.usize(1..12))
        .map(|_| key(rng))
        .filter(|key| fits(key))
        .collect();
    keys.push("/last".to_owned());
    keys.sort();
    keys.dedup();
    rng.shuffle(&mut keys);
    keys
}

struct Request {
    host: String,
    scheme: &'static str,
    path_info: Vec<u8>,
    script_name: &'static str,
}

fn request(rng: &mut Rng, keys: &[String]) -> Request {
    let mut host = pick(rng, &DOMAINS).to_owned();
    if rng.u8(..3) == 0 {
        host = host.to_uppercase();
    }
    if rng.u8(..3) == 0 {
        let _ = write!(host, ":{}", pick(rng, &PORTS));
    }
    // Mostly near a key, or hardly anything would match.
    let mut path_info = match keys[rng.usize(..keys.len())]
        .split(' ')
        .find(|word| word.starts_with('/'))
    {
        Some(prefix) if rng.u8(..4) > 0 => {
            format!("{}{}", prefix.trim_end_matches('/'), path(rng, 2))
        }
        _ => path(rng, 4),
    }
    .into_bytes();
    match rng.u8(..30) {
        0 => path_info = b"*".to_vec(),
        1 => path_info.extend(b"x"),
        2 => path_info = [b"http://ex.org", &path_info[..]].concat(),
        3 => path_info.push(0xe9),
        4..9 => path_info.push(b'/'),
        _ => {}
    }
    Request {
        host,
        scheme: pick(rng, &["http", "https", "http", "wss"]),
        path_info,
        script_name: pick(rng, &["", "", "/outer"]),
    }
}

/// A map as the planner makes it of the original's order.
fn node(answer: &Value) -> RouteNode {
    let order = answer["order"]
        .as_array()
        .expect("the original accepts these keys");
    let text = |value: &Value| {
        // Back from Latin-1 characters to the UTF-8 that was written.
        let bytes = value
            .as_str()?
            .chars()
            .map(u8::try_from)
            .collect::<Result<_, _>>()
            .expect("Latin-1");
        Some(String::from_utf8(bytes).expect("keys are UTF-8"))
    };
    let routes = order.iter().map(|route| Route {
        domain: text(&route["domain"]).map(|domain| domain.to_lowercase()),
        prefix: text(&route["prefix"]).expect("a prefix is a string"),
        to: RouteNode::App {
            app: route["app"].as_str().expect("an app is named").to_owned(),
        },
    });
    RouteNode::Map {
        routes: routes.collect(),
        not_found: None,
        shift: true,
    }
}

fn ours(router: &Router, request: &Request) -> Value {
    let target = RequestTarget {
        host: Some(request.host.as_bytes()),
        scheme: request.scheme,
        path_info: &request.path_info,
        script_name: request.script_name.as_bytes(),
    };
    let untouched = |app: Option<&str>| json!({ "app": app, "script_name": request.script_name, "path_info": wsgi(&request.path_info) });
    match router.route(&target) {
        Outcome::App(found) => {
            json!({ "app": found.app, "script_name": wsgi(&found.script_name), "path_info": wsgi(&found.path_info) })
        }
        Outcome::NotFound => untouched(None),
        // The original fails on such a path; we answer 400.
        Outcome::BadRequest => json!("AssertionError"),
    }
}

#[test]
fn the_router_sends_each_request_where_paste_urlmap_does() {
    let mut oracle = Oracle::start();
    let mut reports = Vec::new();
    let (mut matched, mut all) = (0, 0);
    for seed in 0..MAPS as u64 {
        let mut rng = Rng::with_seed(judge::seed().wrapping_add(seed));
        let keys = keys(&mut rng, |_| true);
        let requests: Vec<Request> = (0..REQUESTS).map(|_| request(&mut rng, &keys)).collect();
        let asked: Vec<Value> = requests
            .iter()
            .map(|request| {
                json!({ "host": request.host, "scheme": request.scheme, "script_name": request.script_name,
                        "path_info": wsgi(&request.path_info) })
            })
            .collect();
        let not_found = rng.u8(..4) == 0;
        let wsgi_keys: Vec<String> = keys.iter().map(|key| wsgi(key.as_bytes())).collect();
        let answer = oracle.ask(
            &json!({ "urlmap": { "keys": wsgi_keys, "not_found": not_found }, "requests": asked }),
        );
        let mut root = node(&answer);
        if let RouteNode::Map { not_found: to, .. } = &mut root
            && not_found
        {
            *to = Some(Box::new(RouteNode::App {
                app: "NOT FOUND".to_owned(),
            }));
        }
        let router = Router::new(&root);
        let theirs = answer["answers"]
            .as_array()
            .expect("an answer for each request");
        for (request, (asked, theirs)) in requests.iter().zip(asked.iter().zip(theirs)) {
            let theirs = theirs.get("error").unwrap_or(theirs);
            let ours = ours(&router, request);
            all += 1;
            matched += usize::from(theirs["app"].is_string());
            if ours != *theirs {
                reports.push(format!(
                    "seed {seed} {keys:?}\nrequest {asked}\nours {ours}\nthe original {theirs}"
                ));
            }
        }
    }
    judge::fail_with("urlmaps", &reports, all);
    assert!(
        matched * 2 > all,
        "only {matched} of {all} requests reach an app"
    );
}

#[test]
fn paster_routes_tells_where_paste_urlmap_sends_a_url() {
    let mut oracle = Oracle::start();
    let scratch = TempDir::new().expect("create a temporary directory");
    let sites: Vec<Site> = (0..SITES)
        .map(|number| {
            site(
                &mut Rng::with_seed(judge::seed().wrapping_add(number)),
                scratch.path(),
                number,
            )
        })
        .collect();
    let printed = program::parallel(&sites, |site| {
        program::routes(&site.directory, "main.ini", &site.urls)
    });
    let mut reports = Vec::new();
    for (site, printed) in sites.iter().zip(&printed) {
        let answer = oracle.ask(
            &json!({ "urlmap": { "keys": site.keys, "not_found": false }, "requests": site.asked }),
        );
        let theirs = answer["answers"]
            .as_array()
            .expect("an answer for each URL");
        for (index, (url, theirs)) in site.urls.iter().zip(theirs).enumerate() {
            let mut wanted = json!({ "url": url, "app": null });
            if let Some(key) = theirs["app"].as_str() {
                let number = site
                    .keys
                    .iter()
                    .position(|known| known == key)
                    .expect("it was given");
                wanted["app"] = json!(format!("app{number}"));
                wanted["script_name"] = theirs["script_name"].clone();
                wanted["path_info"] = theirs["path_info"].clone();
            }
            let mut ours = printed[index].clone();
            if wanted["app"].is_null()
                && let Some(ours) = ours.as_object_mut()
            {
                // Nobody sees the rest.
                ours.retain(|member, _| matches!(member.as_str(), "url" | "app"));
            }
            if ours != wanted {
                reports.push(format!(
                    "{:?}\nours {ours}\nthe original {wanted}\nall of ours {printed:#}",
                    site.keys
                ));
            }
        }
    }
    judge::fail_with("routes", &reports, sites.len() * URLS);
}

#[test]
fn a_running_site_sends_each_request_where_paste_urlmap_does() {
    let mut oracle = Oracle::start();
    let scratch = TempDir::new().expect("create a temporary directory");
    let (mut reports, mut all, mut matched) = (Vec::new(), 0, 0);
    for number in 0..SERVED {
        let mut rng = Rng::with_seed(judge::seed().wrapping_add(number));
        let site = site(&mut rng, scratch.path(), number);
        let requests: Vec<Request> = std::iter::repeat_with(|| request(&mut rng, &site.keys))
            .filter(|request| request.path_info.starts_with(b"/") && is_sent(&request.host))
            .take(URLS)
            .collect();
        let asked: Vec<Value> = requests
            .iter()
            .map(|request| {
                json!({ "host": request.host, "scheme": "http", "script_name": "", "path_info": wsgi(&request.path_info) })
            })
            .collect();
        let answer = oracle.ask(
            &json!({ "urlmap": { "keys": site.keys, "not_found": false }, "requests": asked }),
        );
        let theirs = answer["answers"].as_array().expect("an answer for each");
        let served = Served::start(&site.directory);
        for (request, theirs) in requests.iter().zip(theirs) {
            let mut wanted = Value::Null;
            if let Some(key) = theirs["app"].as_str() {
                let number = site.keys.iter().position(|known| known == key);
                wanted = theirs.clone();
                wanted["app"] = json!(format!("app{}", number.expect("it was given")));
                matched += 1;
            }
            let ours = served.ask(&request.host, &target(&request.path_info));
            all += 1;
            if ours != wanted {
                let (keys, host) = (&site.keys, &request.host);
                let path = wsgi(&request.path_info);
                reports.push(format!(
                    "{keys:?}\nrequest {host} {path}\nours {ours}\nthe original {wanted}"
                ));
            }
        }
    }
    judge::fail_with("served urlmaps", &reports, all);
    assert!(
        matched * 2 > all,
        "only {matched} of {all} requests reach an app"
    );
}

/// A `Host` that means the same to everybody; of the others, the proxy refuses some.
fn is_sent(host: &str) -> bool {
    !host.contains('[') && !host.ends_with(':') && host.matches(':').count() < 2
}

/// All bytes but the first slash are encoded.
fn target(path_info: &[u8]) -> String {
    path_info[1..]
        .iter()
        .fold("/".to_owned(), |mut target, byte| {
            let _ = write!(target, "%{byte:02X}");
            target
        })
}

/// A map in a file, and URLs as both are asked about them.
struct Site {
    directory: PathBuf,
    /// The app of the n-th is `appN`.
    keys: Vec<String>,
    urls: Vec<String>,
    asked: Vec<Value>,
}

fn site(rng: &mut Rng, scratch: &Path, number: u64) -> Site {
    let keys = keys(rng, |key| {
        key.is_ascii() && !key.contains([':', '=']) && !key.starts_with(' ')
    });
    let directory = scratch.join(number.to_string());
    fs::create_dir(&directory).expect("create the directory of a site");
    let mut text = "[composite:main]\nuse = egg:Paste#urlmap\n".to_owned();
    for (number, key) in keys.iter().enumerate() {
        let _ = writeln!(text, "{key} = app{number}");
    }
    for number in 0..keys.len() {
        let _ = write!(
            text,
            "[app:app{number}]\nuse = call:pair:make\nnumber = {number}\n"
        );
    }
    fs::write(directory.join("main.ini"), text).expect("write a site");

    let requests = std::iter::repeat_with(|| request(rng, &keys))
        .filter(|request| request.path_info.starts_with(b"/") && request.path_info.is_ascii())
        .filter(|request| request.scheme != "wss" && !request.host.contains('['));
    let (mut urls, mut asked) = (Vec::new(), Vec::new());
    for request in requests.take(URLS) {
        let target = target(&request.path_info);
        urls.push(format!(
            "{}://{}{target}?q=%2F",
            request.scheme, request.host
        ));
        asked.push(
            json!({ "host": request.host, "scheme": request.scheme, "script_name": "",
                           "path_info": wsgi(&request.path_info) }),
        );
    }
    Site {
        directory,
        keys,
        urls,
        asked,
    }
}
