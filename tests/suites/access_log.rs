//! The access log: what a line says of a request, however it ended, and where lines go.

use crate::harness::certificates::Authority;
use crate::harness::{DEADLINE, Paster, Site, h2, poll};
use crate::tls;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

/// One app `home` with one place for requests, whose lines have this format.
fn logged(format: &str) -> Paster {
    Site::new()
        .actor("home", "/")
        .policy("home", "threads = 1")
        .policy("", "access_log = access.log")
        .policy("", &format!("access_log_format = {format}"))
        .serve()
}

/// The lines of the log, when there are so many.
#[track_caller]
fn lines(paster: &Paster, count: usize) -> Vec<String> {
    let path = paster.site().path("access.log");
    let read = || fs::read_to_string(&path).unwrap_or_default();
    let whole = || {
        let text = read();
        (text.lines().count() >= count).then_some(text)
    };
    let text = poll(DEADLINE, whole).unwrap_or_else(|_| panic!("{count} lines, not:\n{}", read()));
    text.lines().map(str::to_owned).collect()
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_format_of_ones_own_has_the_variables_of_nginx() {
    let paster = logged(
        r#"$remote_addr|$remote_user|$request|$status|$body_bytes_sent|$body_bytes_received|$http_x_thing|$app:$slot:$pid|$upstream_tries|$sent_http_content_type|$$"#,
    );
    let headers = [("X-Thing", "a \"b\""), ("Authorization", "Basic YW5uOng=")];
    let answer = paster
        .connect()
        .request("POST", "/echo?a=b", &headers, b"12345")
        .expect("an answer");
    assert_eq!(answer.text(), "5 bytes\n");
    paster.get("/nothing");
    let pid = paster.status().app("home").pid();
    let kind = answer
        .header("content-type")
        .expect("it has one")
        .to_owned();
    let expected = format!(
        r"127.0.0.1|ann|POST /echo?a=b HTTP/1.1|200|8|5|a \x22b\x22|home:0:{pid}|1|{kind}|$"
    );
    let lines = lines(&paster, 2);
    assert_eq!(lines[0], expected);
    assert!(
        lines[1].starts_with("127.0.0.1|-|GET /nothing HTTP/1.1|404|"),
        "{}",
        lines[1]
    );
}

#[test]
fn times_say_who_was_slow() {
    let paster = logged("json");
    let first = paster.get_in_background("/slow?s=3");
    paster.wait_until("it has the one worker", |status| {
        status
            .app("home")
            .workers
            .iter()
            .any(|worker| worker.in_flight == 1)
    });
    let second = paster.get_in_background("/slow?s=0.1");
    for pending in [first, second] {
        let answer = pending.join().expect("no panic").expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let lines = lines(&paster, 2);
    let (first, second) = (json(&lines[0]), json(&lines[1]));
    let ms = |line: &Value, field: &str| line[field].as_f64().expect(field);
    assert_eq!(ms(&first, "queue_ms"), 0.0);
    assert!(ms(&first, "upstream_header_ms") >= 3000.0, "{first}");
    assert!(
        ms(&first, "upstream_ms") >= ms(&first, "upstream_header_ms"),
        "{first}"
    );
    assert!(
        ms(&first, "duration_ms") >= ms(&first, "upstream_ms"),
        "{first}"
    );
    assert!(
        ms(&first, "upstream_connect_ms") <= ms(&first, "upstream_header_ms"),
        "{first}"
    );
    // It waited for the first one, and the worker then took its own time.
    assert!(ms(&second, "queue_ms") > 0.0, "{second}");
    let parts = ms(&second, "queue_ms") + ms(&second, "upstream_ms");
    assert!(ms(&second, "upstream_ms") >= 100.0, "{second}");
    assert!(parts <= ms(&second, "duration_ms") + 1.0, "{second}");
    assert_eq!(second["generation"], 1);
}

#[test]
fn a_client_that_leaves_is_logged_with_499() {
    let paster = logged("$request_uri $status");
    let mut leaving = paster.connect();
    leaving
        .send(b"GET /slow?s=4 HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    paster.wait_until("the worker has it", |status| {
        status
            .app("home")
            .workers
            .iter()
            .any(|worker| worker.in_flight == 1)
    });
    let mut waiting = paster.connect();
    waiting
        .send(b"GET /waits HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    paster.wait_until("the other one waits", |status| {
        status.app("home").queued == 1
    });
    drop(waiting);
    assert_eq!(lines(&paster, 1), ["/waits 499"]);
    drop(leaving);
    assert_eq!(lines(&paster, 2)[1], "/slow?s=4 499");
}

#[test]
fn an_error_says_whose_it_is() {
    let paster = logged("$request_uri $status $upstream_status $upstream_tries");
    paster.expect_death("exited with status 3");
    assert_eq!(paster.get("/nothing").status, 404);
    assert_eq!(paster.post("/exit", b"").status, 502);
    assert_eq!(lines(&paster, 2), ["/nothing 404 404 1", "/exit 502 - 1"]);
}

#[test]
fn what_head_is_told_of_a_body_is_not_sent() {
    let paster = Site::new()
        .actor("home", "/home")
        .policy("", "access_log = access.log")
        .policy(
            "",
            "access_log_format = $request_method $status $body_bytes_sent",
        )
        .serve();
    let mut connection = paster.connect();
    let length = connection.get("/none").expect("an answer").body.len();
    let head = connection.request("HEAD", "/none", &[], b"").expect("one");
    assert_eq!(head.header("content-length"), Some(&*length.to_string()));
    let expected = [format!("GET 404 {length}"), "HEAD 404 0".to_owned()];
    assert_eq!(lines(&paster, 2), expected);
}

#[test]
fn an_app_may_be_kept_out() {
    let paster = Site::new()
        .actor("home", "/")
        .actor("probe", "/probe")
        .policy("", "access_log = access.log")
        .policy("", "access_log_format = $app $status")
        .policy("probe", "access_log = off")
        .serve();
    assert_eq!(paster.get("/probe/health").status, 200);
    assert_eq!(paster.get("/health").status, 200);
    assert_eq!(lines(&paster, 1), ["home 200"]);
}

#[test]
fn the_log_is_put_aside_when_it_is_full() {
    let site = Site::new()
        .actor("home", "/")
        .file("logs/README", "")
        .policy("", "access_log = logs/access.log")
        .policy("", "access_log_format = $status $request_uri")
        .policy("", "access_log_max_size = 40")
        .policy("", "access_log_keep = 1");
    // The proxy is nobody, if paster is root.
    fs::set_permissions(site.path("logs"), fs::Permissions::from_mode(0o777)).expect("ours");
    let paster = site.serve();
    // 16 bytes a line.
    for number in 1..=5 {
        paster.get(&format!("/health?n={number}"));
    }
    let path = |name| paster.site().path(name);
    let read = |name| fs::read_to_string(path(name)).unwrap_or_default();
    paster.wait_for("the last line is there", || {
        read("logs/access.log").contains("n=5")
    });
    assert_eq!(read("logs/access.log"), "200 /health?n=5\n");
    assert_eq!(
        read("logs/access.log.1"),
        "200 /health?n=3\n200 /health?n=4\n"
    );
    assert!(!path("logs/access.log.2").exists());
}

#[test]
fn a_stop_loses_no_line() {
    let paster = logged("$request_uri");
    let mut connection = paster.connect();
    for number in 0..200 {
        connection
            .get(&format!("/health?n={number}"))
            .expect("an answer");
    }
    let site = paster.finish();
    let text = fs::read_to_string(site.path("access.log")).expect("it is there");
    assert_eq!(text.lines().last(), Some("/health?n=199"));
    assert_eq!(text.lines().count(), 200);
}

#[test]
fn tls_is_named() {
    let authority = Authority::new();
    let format = "$scheme $ssl_protocol $ssl_cipher $server_protocol $host";
    let more = format!("[isolate]\naccess_log = access.log\naccess_log_format = {format}\n");
    let paster = tls::certified_site(&authority, &["a.example"], "", &more).serve();
    for version in ["--http2", "--http1.1"] {
        tls::get(&paster, "a.example", "/", &[version, "--tlsv1.3"]).succeeded();
    }
    let lines = lines(&paster, 2);
    assert!(lines[0].starts_with("https TLSv1.3 TLS"), "{lines:?}");
    assert!(lines[0].ends_with(" HTTP/2.0 a.example"), "{lines:?}");
    assert!(lines[1].ends_with(" HTTP/1.1 a.example"), "{lines:?}");
}

#[test]
fn a_pipe_that_nobody_reads_holds_nobody_up() {
    let mut paster = logged("$status");
    let pipe = paster.site().path("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).expect("a pipe");
    paster.edit(|site| site.policy("", "access_log = pipe"));
    let refused = paster.command(&["reload"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(
        refused.stderr.contains("a pipe that nobody reads"),
        "{refused:?}"
    );
    paster.expect_log("the configuration is invalid");
    paster.expect_log("cannot open the access log");
    let reader = fs::File::options().read(true).write(true).open(&pipe);
    paster.command(&["reload"]).succeeded();
    paster.get("/");
    let mut line = String::new();
    BufReader::new(reader.expect("both ends"))
        .read_line(&mut line)
        .expect("text");
    assert_eq!(line, "200\n");
}

#[test]
fn what_is_malformed_on_a_stream_of_http_2_is_logged_too() {
    let paster = logged("$request|$status|$app|$body_bytes_sent");
    let sent = h2::run(async {
        let mut connection = h2::Connection::open(paster.address()).await;
        let mut of_two_minds = h2::get("/health");
        let host = "b.example".parse().expect("valid");
        of_two_minds.headers_mut().insert("host", host);
        let refused = connection.ask(of_two_minds).await.expect("an answer");
        assert_eq!(refused.status(), 400);
        h2::body(refused).await.expect("whole").len()
    });
    let line = lines(&paster, 1).remove(0);
    let expected = format!("GET https://a.example/health HTTP/2.0|400|-|{sent}");
    assert_eq!(line, expected);
}

#[test]
fn a_slip_of_the_pen_in_a_format_is_found() {
    let site = Site::new()
        .actor("home", "/")
        .policy("", "access_log_format = $status $requets_time");
    let refused = Paster::refused(&site);
    for part in [
        "site.ini:",
        "there is no variable `$requets_time`",
        "did you mean `$request_time`?",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let site = Site::new()
        .actor("home", "/")
        .policy("home", "access_log = home.log");
    let refused = Paster::refused(&site);
    assert!(
        refused
            .stderr
            .contains("an app has no access log of its own"),
        "{}",
        refused.stderr
    );
}
