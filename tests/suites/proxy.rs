//! What clients see of the proxy when apps stream, hang, die or upgrade.

use crate::fixtures::{site, wait_for_file};
use crate::harness::http::Connection;
use crate::harness::{DEADLINE, Paster, poll};
use std::fs;
use std::time::{Duration, Instant};

const TOOLS: &str = "
[composite:main]
use = egg:Paste#urlmap
/tools = tools
/other = tools2

[app:tools]
paste.app_factory = probe:tools

[app:tools2]
paste.app_factory = probe:where
";

fn tools(more: &str) -> Paster {
    site(&format!("{TOOLS}\n{more}")).serve()
}

/// A WebSocket server: says its pid, then echoes.
pub(crate) const ECHO: &str = r#"
import asyncio, os, signal, sys
from websockets.asyncio.server import serve


async def echo(connection):
    await connection.send("pid %d at %s" % (os.getpid(), connection.request.path))
    async for message in connection:
        await connection.send(message)


async def main():
    stop = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: stop.done() or stop.set_result(None))
    server = await serve(echo, "127.0.0.1", int(sys.argv[1]))
    await stop
    server.close(close_connections=False)
    await server.wait_closed()

asyncio.run(main())
"#;

/// Opens a tunnel, says that it is open, and echoes again when the file `restarted` is there.
const CLIENT: &str = r#"
import os, sys, time
from websockets.sync.client import connect

url, here = sys.argv[1:]
with connect(url, proxy=None) as old:
    print(old.recv(timeout=20), flush=True)
    big = "x" * 300000
    for message in ("hello", big):
        old.send(message)
        assert old.recv(timeout=20) == message
    open(os.path.join(here, "open"), "w").close()
    deadline = time.monotonic() + 20
    while not os.path.exists(os.path.join(here, "restarted")) and time.monotonic() < deadline:
        time.sleep(0.01)
    old.send("still here")
    print(old.recv(timeout=20), flush=True)
with connect(url, proxy=None) as new:
    print(new.recv(timeout=20), flush=True)
"#;

#[test]
fn a_websocket_outlives_the_restart_of_its_app() {
    let paster = site(
        "[composite:main]\nuse = egg:Paste#urlmap\n/ws = echo\n\n[app:echo]\nuse = exec:{python} {here}/echo.py {port}\n",
    )
    .file("echo.py", ECHO)
    .file("client.py", CLIENT)
    .serve();
    let here = paster.site().dir().to_owned();
    let client = std::process::Command::new(crate::fixtures::python())
        .arg(here.join("client.py"))
        .arg(format!("ws://{}/ws/room", paster.address()))
        .arg(&here)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("start the client");
    wait_for_file(&here.join("open"));
    let before = paster.status().app("echo").pid();
    let restart = paster.command_in_background(&["restart", "echo"]);
    paster.wait_until("the new worker serves", |s| {
        s.app("echo")
            .workers
            .iter()
            .any(|w| w.state == "ready" && w.pid.is_some_and(|pid| pid != before))
    });
    fs::write(here.join("restarted"), "").expect("the site's own directory");
    let output = client.wait_with_output().expect("our own child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("pid {before} at /room"));
    assert_eq!(lines[1], "still here");
    assert_ne!(lines[2], lines[0]);
    restart.join().expect("the command was run").succeeded();
}

#[test]
fn a_request_over_its_time_gets_504_and_the_other_app_notices_nothing() {
    let paster = tools("[isolate:tools]\nrequest_timeout = 500ms\n");
    paster.allow_log("tools");
    paster.allow_log("request");
    let begin = Instant::now();
    let late = paster.get("/tools/wait?1");
    assert_eq!(late.status, 504);
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(paster.get("/other/").status, 200);
    fs::write(paster.site().path("go"), "").expect("the site's own directory");
    assert_eq!(paster.get("/tools/hello").status, 200);
}

#[test]
fn a_full_queue_answers_at_once() {
    let paster = tools("[isolate:tools]\nthreads = 1\nqueue = 1\n");
    let running = paster.get_in_background("/tools/wait?1");
    wait_for_file(&paster.site().path("waiting-1"));
    let queued = paster.get_in_background("/tools/wait?2");
    paster.wait_until("one request waits", |s| s.app("tools").queued == 1);
    let begin = Instant::now();
    let refused = paster.get("/tools/hello");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert!(
        begin.elapsed() < Duration::from_secs(2),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(paster.get("/other/").status, 200);
    fs::write(paster.site().path("go"), "").expect("the site's own directory");
    for request in [running, queued] {
        let response = request.join().expect("it ran").expect("an answer");
        assert_eq!(response.status, 200);
    }
}

#[test]
fn a_request_has_an_id_that_the_app_sees_too() {
    let paster = site("[app:main]\npaste.app_factory = probe:environ\n").serve();
    let ask = |headers: &[(&str, &str)]| {
        let response = paster
            .connect()
            .request("GET", "/", headers, b"")
            .expect("an answer");
        response.json()["environ"]["HTTP_X_REQUEST_ID"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(
        ask(&[("X-Request-Id", "from-the-client")]).as_deref(),
        Some("from-the-client")
    );
    let (one, two) = (ask(&[]), ask(&[]));
    assert!(one.as_ref().is_some_and(|id| id.len() >= 8), "{one:?}");
    assert_ne!(one, two);
}

fn page_of_a_death(debug: &str) -> String {
    let paster = site(&format!("[DEFAULT]\ndebug = {debug}\n{TOOLS}")).serve();
    paster.allow_log("tools");
    let response = paster.post("/tools/dies", b"");
    assert_eq!(response.status, 502, "{response:?}");
    assert_eq!(paster.get("/other/").status, 200);
    response.text()
}

#[test]
fn under_debug_the_page_says_what_died_and_its_last_words() {
    let page = page_of_a_death("true");
    assert!(page.contains("these are the last words"), "{page}");
    assert!(page.contains("tools"), "{page}");
    assert!(page.contains('3'), "{page}");
}

#[test]
fn without_debug_the_page_says_nothing_of_it() {
    let page = page_of_a_death("false");
    assert!(
        !page.contains("last words") && !page.contains("tools"),
        "{page}"
    );
}

fn access_log(format: &str) -> String {
    let site = site(&format!(
        "{TOOLS}\n[isolate]\naccess_log = access.log\naccess_log_format = {format}\n"
    ));
    let paster = site.serve();
    let headers = [
        ("Referer", "http://from.test/"),
        ("User-Agent", "a \"quoted\" agent"),
        ("X-Request-Id", "id-1"),
    ];
    paster
        .connect()
        .request("GET", "/tools/hello?q=1", &headers, b"")
        .expect("an answer");
    paster.get("/nothing/here");
    let path = paster.site().path("access.log");
    poll(DEADLINE, || {
        fs::read_to_string(&path)
            .ok()
            .filter(|text| text.lines().count() >= 2)
    })
    .expect("both requests are logged")
}

#[test]
fn the_access_log_has_the_format_that_was_asked_for() {
    let common = access_log("common");
    let first = common.lines().next().unwrap_or_default();
    assert!(first.starts_with("127.0.0.1 - - ["), "{common}");
    assert!(
        first.ends_with("\"GET /tools/hello?q=1 HTTP/1.1\" 200 6"),
        "{common}"
    );
    assert!(
        common.contains("\"GET /nothing/here HTTP/1.1\" 404"),
        "{common}"
    );

    let combined = access_log("combined");
    let first = combined.lines().next().unwrap_or_default();
    assert!(
        first.contains("200 6 \"http://from.test/\" \"a "),
        "{combined}"
    );
    assert!(
        !first.contains("\"a \"quoted"),
        "quotes are escaped: {combined}"
    );

    for line in access_log("json").lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("one object per line");
        assert_eq!(entry["method"], "GET");
        assert!(
            matches!(entry["status"].as_u64(), Some(200 | 404)),
            "{entry}"
        );
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let paster = tools("");
    let mut connection = paster.connect();
    connection
        .send(b"GET /tools/hello HTTP/1.1\r\nHost: a\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: a\r\n\r\nGET /other/x HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    let next = |connection: &mut Connection| connection.response().expect("an answer").status;
    assert_eq!(
        [
            next(&mut connection),
            next(&mut connection),
            next(&mut connection)
        ],
        [200, 404, 200]
    );
}

/// proc(5): mode 2 is a filter.
#[test]
fn the_proxy_has_no_privileges_and_a_filter_for_its_system_calls() {
    let paster = tools("");
    let proxy = paster.status().proxy.pid.expect("it runs");
    let status = fs::read_to_string(format!("/proc/{proxy}/status")).expect("it runs");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("proc(5) has it").trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("CapEff:"), "0000000000000000");
}
