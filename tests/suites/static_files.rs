//! Apps of `egg:Paste#static`, which the proxy serves itself: as the original does, and better where docs/proxy.md says so.

use crate::fixtures::{Undivided, site};
use crate::harness::curl::curl;
use crate::harness::http::{Connection, Response};
use crate::harness::{Paster, Site, process};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The original's factory; it need not be installed for the proxy to do its work.
const FACTORY: &str = "egg:Paste#static";
const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const TAG: &str = "\"1700000000.25-10\"";

/// Files at `/files`, all of the same age.
fn files() -> Site {
    aged(
        Site::new()
            .file("public/index.html", "<p>index</p>")
            .file("public/ten.txt", "0123456789")
            .file("public/empty.txt", "")
            .file("public/sub/index.html", "<p>sub</p>")
            .file("public/bare/page.txt", "a page")
            .section("files", "/files", FACTORY)
            .option("files", "document_root = %(here)s/public"),
    )
}

fn aged(site: Site) -> Site {
    let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let age = |path: &Path| {
        let file = File::options()
            .write(true)
            .open(path)
            .expect("our own file");
        file.set_modified(time).expect("our own file");
    };
    for entry in walk(&site.path("public")) {
        age(&entry);
    }
    site
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)
        .expect("our own directory")
        .flatten()
    {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path),
        }
    }
    found
}

/// One request with these fields.
#[track_caller]
fn ask(paster: &Paster, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    paster
        .connect()
        .request(method, path, headers, b"")
        .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

/// What `paster check` says.
fn check(paster: &Paster) -> String {
    let config = paster.site().config().display().to_string();
    Paster::run(paster.site(), &["check", &config])
        .succeeded()
        .stdout
}

#[test]
fn no_process_is_needed() {
    let paster = files().serve();
    let response = paster.get("/files/ten.txt");
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "0123456789")
    );
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-length", "10"),
        ("etag", TAG),
        ("last-modified", DATE),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(response.header(name), Some(value), "{response:?}");
    }
    assert!(response.header("vary").is_none() && response.header("cache-control").is_none());
    let status = paster.wait_until("the request is counted", |s| s.app("files").requests == 1);
    let app = status.app("files");
    assert_eq!((app.state.as_str(), app.workers.len()), ("ready", 0));
    let check = check(&paster);
    assert!(check.contains("the proxy serves them itself"), "{check}");
}

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

const SAME_INI: &str = "
[composite:main]
use = egg:Paste#urlmap
/files = files
/aged = aged

[app:files]
use = egg:Paste#static
document_root = %(here)s/public

[app:aged]
use = egg:Paste#static
document_root = %(here)s/public
cache_max_age = 3600
";

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
    let part = |range: &str| ask(&paster, "GET", "/files/ten.txt", &[("Range", range)]);
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
        ask(&paster, "GET", "/files/ten.txt", &fields).status
    };
    assert_eq!(with(&[("If-Range", TAG)]), 206);
    assert_eq!(with(&[("If-Range", DATE)]), 206);
    assert_eq!(with(&[("If-Range", "\"other\"")]), 200);
    assert_eq!(with(&[("If-Match", "\"other\"")]), 412);
    let head = ask(&paster, "HEAD", "/files/ten.txt", &[("Range", "bytes=0-0")]);
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
        ask(&paster, "GET", "/files/app.js", &fields)
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
    let found = ask(
        &paster,
        "GET",
        "/files/ten.txt",
        &[("Accept-Encoding", "gzip")],
    );
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
fn nothing_outside_is_served() {
    let site = files().file("secret.txt", "secret");
    symlink("../secret.txt", site.path("public/out.txt")).expect("linked");
    symlink("ten.txt", site.path("public/inside.txt")).expect("linked");
    let paster = site.serve();
    assert_eq!(paster.text("/files/inside.txt"), "0123456789");
    paster.expect_log("a symbolic link leads out of the directory");
    assert_eq!(paster.get("/files/out.txt").status, 403);
    for path in [
        "/files/../secret.txt",
        "/files/%2e%2e%2fsecret.txt",
        "/files/sub/../../secret.txt",
        "/files//../secret.txt",
    ] {
        assert_eq!(paster.get(path).status, 404, "{path}");
    }
    assert_eq!(paster.get("/files/%00").status, 400);
}

#[test]
fn a_file_that_may_not_be_read_is_forbidden() {
    if !nix::unistd::geteuid().is_root() {
        // Only then the proxy is somebody else.
        return;
    }
    let site = files();
    let secret = fs::Permissions::from_mode(0o600);
    fs::set_permissions(site.path("public/ten.txt"), secret).expect("our own file");
    let paster = site.serve();
    paster.expect_log("the user of the proxy may not read it");
    assert_eq!(paster.get("/files/ten.txt").status, 403);
    assert_eq!(paster.get("/files/").status, 200);
}

#[test]
fn commands_on_files() {
    let paster = files().serve();
    paster.command(&["restart", "files"]).succeeded();
    paster.command(&["stop", "files"]).succeeded();
    assert_eq!(paster.get("/files/ten.txt").status, 503);
    assert_eq!(paster.status().app("files").state, "stopped");
    paster.command(&["start", "files"]).succeeded();
    assert_eq!(paster.get("/files/ten.txt").status, 200);
    let scale = paster.command(&["scale", "files", "2"]);
    assert_eq!(scale.code, Some(1));
    assert!(
        scale.stderr.contains("served by the proxy itself"),
        "{scale:?}"
    );
}

#[test]
fn workers_serve_what_the_proxy_may_not() {
    let text = format!("{SAME_INI}\n[isolate:aged]\nnice = 1\n[isolate:files]\nstatic = off\n");
    let paster = aged(site(&text).file("public/ten.txt", "0123456789")).serve();
    let status = paster.status();
    assert_eq!(status.app("files").workers.len(), 1);
    assert_eq!(status.app("aged").workers.len(), 1);
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
    let check = check(&paster);
    assert!(check.contains("for a worker: `static = off`"), "{check}");
    assert!(
        check.contains("for a worker: `nice` is about a process"),
        "{check}"
    );
}

#[test]
fn a_worker_needs_paste() {
    let site = files()
        .file("env/pyvenv.cfg", "version = 3.11.7\n")
        .file("env/bin/python", "")
        .policy("", "python = env")
        .policy("files", "static = off");
    site.write();
    let config = site.config().display().to_string();
    let check = Paster::run(&site, &["check", &config]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(
        check
            .stderr
            .contains("the distribution `Paste` is not installed in"),
        "{check:?}"
    );
    assert!(check.stderr.contains("use = egg:Paste#static"), "{check:?}");
}

#[test]
fn a_reload_lets_the_proxy_into_other_directories() {
    let mut paster = files()
        .actor("home", "/")
        .file("other/a.txt", "other")
        .serve();
    let proxy = paster.status().proxy.pid;
    let load = paster.load("/", 2, 100);
    paster.edit(|site| {
        site.section("more", "/more", FACTORY)
            .option("more", "document_root = %(here)s/other")
    });
    let reload = paster.command(&["reload"]).succeeded();
    assert!(reload.stdout.contains("more: added"), "{reload:?}");
    assert_eq!(paster.text("/more/a.txt"), "other");
    assert_ne!(paster.status().proxy.pid, proxy);
    paster.edit(|site| site.option("files", "document_root = %(here)s/other"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.text("/files/a.txt"), "other");
    assert_eq!(paster.get("/files/ten.txt").status, 404);
    let load = load.finish();
    assert!(load.is_clean(), "{load:?}");
}

#[test]
fn an_upgrade_and_a_dead_proxy_change_nothing() {
    let paster = files().serve();
    let load = paster.load("/files/ten.txt", 2, 100);
    load.wait_for(20);
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
    let report = load.finish();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(paster.status().app("files").state, "ready");
    let proxy = paster.status().proxy.pid.expect("a proxy");
    paster.expect_log("the proxy ended; it is replaced");
    process::signal(proxy, nix::sys::signal::Signal::SIGKILL);
    paster.wait_until("another proxy is there", |status| {
        status.proxy.pid.is_some_and(|pid| pid != proxy)
    });
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
}

#[test]
fn a_directory_that_is_built_again_is_served() {
    let paster = files().serve();
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
    let public = paster.site().path("public");
    fs::remove_dir_all(&public).expect("our own directory");
    fs::create_dir(&public).expect("our own directory");
    fs::write(public.join("ten.txt"), "built again").expect("our own file");
    paster.wait_for("the new directory is served", || {
        let response = paster.get("/files/ten.txt");
        assert!(matches!(response.status, 200 | 404 | 503), "{response:?}");
        response.status == 200 && response.text() == "built again"
    });
}

#[test]
fn another_release_is_served_without_an_error() {
    let mut paster = Site::new()
        .file("1/a.txt", "one")
        .file("2/a.txt", "two")
        .file("3/a.txt", "three")
        .section("files", "/", FACTORY)
        .option("files", "document_root = %(here)s/1")
        .serve();
    let load = paster.load("/a.txt", 3, 300);
    load.wait_for(20);
    let current = paster.site().path("current");
    symlink("2", &current).expect("a link");
    paster.edit(|site| site.option("files", "document_root = %(here)s/current"));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.text("/a.txt"), "two");
    let next = paster.site().path("next");
    symlink("3", &next).expect("a link");
    fs::rename(&next, &current).expect("our own link");
    paster.wait_for("what the link leads to is served", || {
        paster.text("/a.txt") == "three"
    });
    let load = load.finish();
    assert!(load.is_clean(), "{load:?}");
}

#[test]
fn a_directory_may_come_later() {
    let paster = Site::new()
        .section("files", "/", FACTORY)
        .option("files", "document_root = %(here)s/later")
        .serve();
    paster.allow_log("there is no directory");
    assert_eq!(paster.get("/a.txt").status, 404);
    let later = paster.site().path("later");
    fs::create_dir(&later).expect("our own directory");
    fs::write(later.join("a.txt"), "a").expect("our own file");
    paster.wait_for("it is served", || paster.get("/a.txt").status == 200);
}

#[test]
fn a_large_file_costs_no_memory_and_a_slow_reader_nobody_else() {
    const SIZE: u64 = 2 << 30;
    let site = files();
    let large = File::create(site.path("public/large.bin")).expect("our own file");
    large.set_len(SIZE).expect("a file of holes");
    let paster = site.serve();
    paster.text("/files/ten.txt");
    let proxy = paster.status().proxy.pid.expect("a proxy");
    let before = process::rss(proxy);
    let mut slow = paster.connect();
    slow.send(b"GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    let head = slow.head().expect("a head");
    assert_eq!(
        head.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    let mut quick = paster.connect();
    quick
        .send(b"GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(quick.head().expect("a head").status, 200);
    let mut most = 0;
    for _ in 0..64 {
        assert!(
            quick
                .bytes(1 << 20)
                .expect("more")
                .iter()
                .all(|&byte| byte == 0)
        );
        most = most.max(process::rss(proxy));
    }
    assert!(most < before + (8 << 20), "{before} bytes, then {most}");
    assert_eq!(paster.text("/files/ten.txt"), "0123456789");
}

#[test]
fn what_is_not_in_the_cache_of_the_kernel_is_read_from_the_disk() {
    let numbers: String = (0..2_000_000)
        .map(|number| format!("{number:07}\n"))
        .collect();
    let site = files()
        .file("public/numbers.txt", &numbers)
        .file("public/few.txt", "0123456789");
    let paster = site.serve();
    for (name, range, expected) in [
        ("numbers.txt", "bytes=0-", numbers.as_str()),
        ("numbers.txt", "bytes=8000000-8000006", "1000000"),
        ("few.txt", "bytes=0-", "0123456789"),
    ] {
        let file = File::open(paster.site().path("public").join(name)).expect("our own file");
        file.sync_all().expect("our own file");
        let forget = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        nix::fcntl::posix_fadvise(&file, 0, 0, forget).expect("an advice");
        let part = ask(
            &paster,
            "GET",
            &format!("/files/{name}"),
            &[("Range", range)],
        );
        assert_eq!(part.status, 206);
        assert!(
            part.text() == expected,
            "{name} {range}: {} bytes",
            part.body.len()
        );
    }
}

#[test]
fn a_file_that_is_cut_does_not_look_whole() {
    let site = files();
    let large = File::create(site.path("public/large.bin")).expect("our own file");
    large.set_len(64 << 20).expect("a file of holes");
    let paster = site.serve();
    let mut connection = paster.connect();
    connection
        .send(b"GET /files/large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(connection.head().expect("a head").status, 200);
    large.set_len(1).expect("our own file");
    let rest = connection.rest().map(|rest| rest.len()).unwrap_or(0);
    assert!(rest < 64 << 20, "{rest}");
}

#[test]
fn files_are_in_the_access_log() {
    let paster = files()
        .policy("", "access_log = log")
        .policy("", "access_log_format = json")
        .serve();
    paster.text("/files/ten.txt");
    ask(
        &paster,
        "HEAD",
        "/files/ten.txt",
        &[("X-Request-Id", "mine")],
    );
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
