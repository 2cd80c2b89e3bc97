//! Programs that know nothing of paster, behind `exec:`, `unix:` and `http:`.

use crate::fixtures::site;
use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use serde_json::Value;

/// A WSGI and an ASGI application that say what they see.
const SERVED: &str = r#"
import json, os


def wsgi(environ, start_response):
    seen = {key: value for key, value in environ.items() if isinstance(value, str)}
    body = json.dumps({"environ": seen, "pid": os.getpid()}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = json.dumps({"path": scope["path"], "headers": headers, "pid": os.getpid()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
"#;

fn program(command: &str) -> Paster {
    site(&ini(command)).file("served.py", SERVED).serve()
}

fn ini(command: &str) -> String {
    format!(
        "[composite:main]\nuse = egg:Paste#urlmap\n/tool/one = tool\n\n[app:tool]\nuse = exec:{command}\n"
    )
}

/// A GET with fields that a client must not be able to set.
fn forged(paster: &Paster, target: &str) -> Value {
    let headers = [
        ("Host", "site.test:81"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.test"),
        ("X-Script-Name", "/evil"),
        ("X-Forwarded-Prefix", "/evil"),
    ];
    let response = paster
        .connect()
        .request("GET", target, &headers, b"")
        .expect("an answer");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn gunicorn_serves_on_the_socket_that_it_is_passed() {
    let text = ini(
        "{python} -m gunicorn --chdir {here} --keep-alive 3600 --workers 1 --no-control-socket --log-level warning served:wsgi",
    );
    let paster = site(&text).file("served.py", SERVED).serve();
    let seen = &forged(&paster, "/tool/one/a%20b?q=1")["environ"];
    assert_eq!(seen["PATH_INFO"], "/a b");
    assert_eq!(seen["QUERY_STRING"], "q=1");
    assert_eq!(seen["HTTP_HOST"], "site.test:81");
    assert_eq!(seen["HTTP_X_FORWARDED_FOR"], "127.0.0.1");
    assert_eq!(seen["HTTP_X_FORWARDED_PROTO"], "http");
    assert_eq!(seen["HTTP_X_FORWARDED_HOST"], "site.test:81");
    assert_eq!(seen["HTTP_X_SCRIPT_NAME"], "/tool/one");
    assert_eq!(seen["HTTP_X_FORWARDED_PREFIX"], "/tool/one");
    let before = paster.status().app("tool").pid();
    paster.command(&["restart", "tool"]).succeeded();
    assert_ne!(paster.status().app("tool").pid(), before);
    assert_eq!(paster.get("/tool/one").status, 200);
}

#[test]
fn uvicorn_serves_on_descriptor_3() {
    let paster = program(
        "{python} -m uvicorn --app-dir {here} --fd 3 --timeout-keep-alive 3600 --log-level warning served:asgi",
    );
    let seen = forged(&paster, "/tool/one/x/y");
    assert_eq!(seen["path"], "/x/y");
    assert_eq!(seen["headers"]["x-script-name"], "/tool/one");
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(forged(&paster, "/tool/one")["path"], "/");
}

#[test]
fn waitress_serves_on_a_unix_socket_of_its_own() {
    let paster = program(
        "{python} -m waitress --unix-socket={socket} --channel-timeout 3600 --url-scheme=http served:wsgi",
    );
    assert_eq!(forged(&paster, "/tool/one/x")["environ"]["PATH_INFO"], "/x");
}

#[test]
fn a_program_with_a_port_of_its_own_is_replaced_after_a_crash_and_on_request() {
    let paster = site(&ini(
        "{python} -m http.server --bind 127.0.0.1 --directory {here}/public {port}",
    ))
    .file("public/page.txt", "a page\n")
    .serve();
    assert_eq!(paster.text("/tool/one/page.txt"), "a page\n");
    let first = paster.status().app("tool").pid();
    paster.allow_log("worker");
    process::signal(first, Signal::SIGKILL);
    paster.wait_until("the next worker is ready", |s| {
        s.app("tool")
            .pids()
            .first()
            .is_some_and(|pid| *pid != first)
    });
    assert_eq!(paster.text("/tool/one/page.txt"), "a page\n");
    assert_eq!(paster.status().app("tool").restarts, 1);
    paster.command(&["restart", "tool"]).succeeded();
    assert_eq!(paster.text("/tool/one/page.txt"), "a page\n");
}

#[test]
fn strip_prefix_off_leaves_the_target_as_it_is() {
    let text = ini(
        "{python} -m uvicorn --app-dir {here} --fd 3 --timeout-keep-alive 3600 --log-level warning served:asgi",
    );
    let paster = site(&format!("{text}\n[isolate:tool]\nstrip_prefix = off\n"))
        .file("served.py", SERVED)
        .serve();
    assert_eq!(forged(&paster, "/tool/one/x")["path"], "/tool/one/x");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let paster = Site::new()
        .actor("well", "/")
        .exec("gone", "/gone", "./no-such-program --flag")
        .serve_unready();
    paster.allow_log("gone");
    paster.expect_log("there is no program");
    paster.wait_for_log("could not be started");
    let log = paster.stderr().text();
    let line = log
        .lines()
        .find(|line| line.contains("could not be started"))
        .unwrap_or_default();
    assert!(line.contains("no-such-program: No such file"), "{line}");
    let death = paster.wait_until("status says why", |s| s.app("gone").last_death.is_some());
    let death = death.app("gone").last_death.clone().unwrap_or_default();
    assert!(death.contains("no-such-program: No such file"), "{death}");
    assert_eq!(paster.get("/").status, 200);
}

#[test]
fn upstreams_that_run_elsewhere_are_never_started_or_stopped() {
    let elsewhere = Site::new().actor("far", "/").serve();
    let paster = Site::new()
        .section("tcp", "/tcp", &format!("http://{}", elsewhere.address()))
        .section("gone", "/gone", "unix:/nonexistent/none.sock")
        .policy("gone", "queue_timeout = 1s")
        .serve_unready();
    assert!(paster.text("/tcp/").contains("\"app\": \"far\""));
    paster.allow_log("cannot connect");
    let missing = paster.get("/gone/");
    assert!(matches!(missing.status, 502 | 503), "{missing:?}");
    paster.finish();
    assert_eq!(elsewhere.get("/").status, 200);
}

#[test]
fn status_tells_of_an_upstream_that_is_not_there_until_it_answers() {
    let far = Site::new().actor("far", "/").serve();
    let address = far.address();
    far.finish();
    let paster = Site::new()
        .section("away", "/", &format!("http://{address}"))
        .policy("away", "queue_timeout = 500ms")
        .serve_unready();
    assert_eq!(paster.status().app("away").unreachable, None, "not asked");
    paster.allow_log("cannot connect");
    assert_eq!(paster.get("/").status, 503);
    let status = paster.wait_until("it is told", |s| s.app("away").unreachable.is_some());
    let why = status.app("away").unreachable.as_deref().unwrap_or("");
    assert!(why.contains("refused"), "{why}");
    let shown = paster.command(&["status"]).succeeded().stdout;
    assert!(shown.contains(" unreachable "), "{shown}");
    assert!(shown.contains("away cannot be reached: "), "{shown}");

    let back = Site::new()
        .actor("far", "/")
        .listen(&address.to_string())
        .serve();
    paster.wait_for("it is back", || paster.get("/").status == 200);
    paster.wait_until("that is told", |s| s.app("away").unreachable.is_none());
    back.finish();
}

#[test]
fn an_upstream_on_a_unix_socket_is_reached() {
    let elsewhere = Site::new().actor("far", "/");
    let socket = elsewhere.path("far.sock");
    let far = elsewhere
        .listen(&format!("unix:{}", socket.display()))
        .serve();
    // The proxy may be another user.
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&socket, everybody).expect("our own socket");
    let paster = Site::new()
        .section("near", "/near", &format!("unix:{}", socket.display()))
        .serve_unready();
    assert!(paster.text("/near/").contains("\"app\": \"far\""));
    paster.finish();
    far.finish();
}
