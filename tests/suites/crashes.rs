//! Every death that nobody asked for leaves a report, which survives paster itself.

use crate::harness::confinement::if_it_can;
use crate::harness::{Paster, Site, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What `paster crashes --json` prints.
#[track_caller]
fn reports(paster: &Paster, words: &[&str]) -> Vec<Value> {
    let words = [&["crashes", "--json"], words].concat();
    let listed = paster.command(&words).succeeded();
    assert_eq!(listed.stderr, "");
    serde_json::from_str(&listed.stdout).expect("a JSON list")
}

/// Waits for `count` reports of `app`; an older one may have been repeated meanwhile.
#[track_caller]
fn wait_for_reports(paster: &Paster, app: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    paster.wait_for(&format!("{count} reports of {app}"), || {
        found = reports(paster, &[app]);
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// The only report of `app`.
#[track_caller]
fn the_report(paster: &Paster, app: &str) -> Value {
    wait_for_reports(paster, app, 1).remove(0)
}

#[track_caller]
fn text<'a>(report: &'a Value, field: &str) -> &'a str {
    report[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {report:#}"))
}

fn steps(report: &Value) -> Vec<String> {
    let steps = report["steps"].as_array().expect("a list");
    steps.iter().map(|s| text(s, "what").to_owned()).collect()
}

/// What was printed on one stream, or on both.
fn output(report: &Value, stream: Option<&str>) -> String {
    let lines = report["output"].as_array().expect("a list");
    lines
        .iter()
        .filter(|line| stream.is_none_or(|stream| line["stream"] == stream))
        .map(|line| format!("{}\n", text(line, "text")))
        .collect()
}

/// `METHOD PATH` of each request, sorted.
fn requests(report: &Value) -> Vec<String> {
    let requests = report["requests"].as_array().expect("a list");
    let mut names: Vec<String> = requests
        .iter()
        .map(|r| format!("{} {}", text(r, "method"), text(r, "path")))
        .collect();
    names.sort();
    names
}

fn one_app() -> Site {
    Site::new()
        .actor("home", "/")
        .policy("home", "restart_delay = 20ms")
}

#[test]
fn an_exit_is_told_with_all_that_was_known() {
    let paster = one_app().serve();
    paster.expect_death("exited with status 7");
    let pid = paster.status().app("home").pid();
    paster.text("/print?out=to-stdout&err=to-stderr");
    let id = [("X-Request-Id", "req-4711")];
    let answer = paster
        .connect()
        .request("POST", "/exit?code=7&password=secret", &id, b"body")
        .expect("an answer");
    assert_eq!(answer.status, 502);

    let report = the_report(&paster, "home");
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["app"], "home");
    assert_eq!(
        (&report["slot"], &report["generation"]),
        (&0.into(), &1.into())
    );
    assert_eq!(report["pid"], pid);
    assert_eq!(report["kind"], "exit");
    assert_eq!(report["exit"]["status"], 7);
    assert!(report["exit"]["signal"].is_null() && report["why"].is_null());
    assert!(text(&report, "what").contains(&format!("(pid {pid})")));
    assert!(text(&report, "what").contains("exited with status 7"));
    assert!(text(&report, "decision").starts_with("next start in "));
    let time = text(&report, "time");
    assert!(
        time.len() == "2025-06-01T12:00:00.000Z".len() && time.ends_with('Z'),
        "{time}"
    );
    assert!(report["uptime_s"].as_f64().is_some_and(|up| up > 0.0));
    assert!(
        report["max_rss_bytes"]
            .as_u64()
            .is_some_and(|rss| rss > 4_000_000)
    );
    assert!(report["cpu_user_s"].as_f64().is_some_and(|cpu| cpu > 0.0));
    assert!(report["cpu_system_s"].is_f64());

    assert_eq!(requests(&report), ["POST /exit"]);
    let request = &report["requests"][0];
    assert_eq!(request["id"], "req-4711");
    assert_eq!(request["progress"], "waiting");
    assert!(request["age_s"].as_f64().is_some_and(|age| age >= 0.0));
    assert!(
        !report.to_string().contains("secret"),
        "queries are private"
    );

    let steps = steps(&report);
    let place = |part: &str| {
        let found = steps.iter().position(|step| step.contains(part));
        found.unwrap_or_else(|| panic!("no `{part}` in {steps:?}"))
    };
    assert!(place(&format!("spawned (pid {pid})")) < place("STATUS=importing actor"));
    assert!(place("STATUS=importing actor") < place("ready"));
    assert!(place("ready") < place("healthy"));
    assert_eq!(output(&report, Some("stdout")), "to-stdout\n");
    assert!(output(&report, Some("stderr")).contains("to-stderr\n"));

    // It is found by the name that the log and the status tell.
    let name = text(&report, "id").to_owned();
    paster.wait_for_log(&format!("report={name}"));
    assert_eq!(paster.status().app("home").last_report, Some(name.clone()));
    let shown = paster.command(&["status"]).succeeded();
    assert!(
        shown.stdout.contains(&format!("(report {name})")),
        "{shown:#?}"
    );
    assert_eq!(reports(&paster, &["--id", &name]), [report]);
}

#[test]
fn a_segmentation_fault_is_told_with_its_traceback() {
    let paster = one_app().serve();
    paster.expect_death("SIGSEGV");
    assert_eq!(paster.post("/segv", b"").status, 502);
    let report = the_report(&paster, "home");
    assert_eq!(report["kind"], "signal");
    assert_eq!(report["exit"]["signal"], 11);
    assert_eq!(report["exit"]["signal_name"], "SIGSEGV");
    assert!(report["exit"]["core_dumped"].is_boolean());
    let stderr = output(&report, Some("stderr"));
    assert!(stderr.contains("Segmentation fault"), "{stderr}");
    assert!(stderr.contains("in do_segv"), "{stderr}");
}

#[test]
fn a_worker_that_was_killed_while_idle_has_no_request_to_blame() {
    let paster = one_app().serve();
    paster.expect_death("SIGKILL");
    process::sigkill(paster.status().app("home").pid());
    let report = the_report(&paster, "home");
    assert_eq!(report["exit"]["signal"], 9);
    assert_eq!(requests(&report), Vec::<String>::new());
    assert_eq!(report["refused"], Value::Array(Vec::new()));
}

#[test]
fn a_worker_that_a_real_time_signal_killed_is_missed() {
    let paster = one_app().serve();
    paster.expect_death("was killed by signal 36");
    let pid = paster.status().app("home").pid();
    // nix has no names for these.
    let killed = std::process::Command::new("kill")
        .args(["-36", &pid.to_string()])
        .status();
    assert!(killed.expect("kill exists").success());
    assert_eq!(the_report(&paster, "home")["exit"]["signal"], 36);
    paster.wait_until("it is replaced", |s| {
        s.app("home").is_ready() && s.app("home").pid() != pid
    });
}

#[test]
fn a_program_that_cannot_be_executed_is_told_with_the_step() {
    let paster = Site::new()
        .exec("absent", "/", "no-such-program-anywhere")
        .serve_unready();
    paster.expect_log("no-such-program-anywhere");
    paster.allow_log("crash loop");
    let report = the_report(&paster, "absent");
    assert_eq!(report["kind"], "start_failure");
    assert!(report["pid"].is_null() && report["exit"]["status"].is_null());
    let what = text(&report, "what");
    assert!(
        what.contains("`no-such-program-anywhere` is not in PATH"),
        "{what}"
    );
    assert!(
        steps(&report).concat().contains("find the program"),
        "{report:#}"
    );
    paster.wait_until("starts are counted", |s| s.app("absent").restarts >= 2);
}

#[test]
fn a_worker_that_is_never_ready_is_told_and_counted() {
    let paster = Site::new()
        .actor("slow", "/")
        .option("slow", "boot = 60")
        .policy("slow", "start_timeout = 400ms")
        .policy("slow", "restart_delay = 20ms")
        .policy("slow", "crash_limit = 100")
        .serve_unready();
    paster.expect_log("worker not ready in time; it is killed; next start");
    paster.wait_until("it was started again", |s| s.app("slow").restarts >= 2);
    let mut report = Value::Null;
    paster.wait_for("a report of both", || {
        let mut found = reports(&paster, &["slow"]);
        // How far it came may differ from start to start on a busy machine.
        report = found.pop().unwrap_or_default();
        report["kind"] == "start_timeout"
    });
    assert_eq!(text(&report, "why"), "was not ready within 400ms");
    assert_eq!(report["exit"]["signal"], 9);
    assert!(text(&report, "decision").starts_with("next start "));
    let steps = steps(&report).join("\n");
    assert!(
        steps.contains("SIGKILL was sent") && !steps.contains("healthy"),
        "{steps}"
    );
    let status = paster.status();
    let last_death = status.app("slow").last_death.clone().unwrap_or_default();
    assert!(
        last_death.contains("was not ready within 400ms"),
        "{last_death}"
    );
}

#[test]
fn a_hang_is_told_with_its_request_and_its_stacks() {
    let paster = one_app()
        .policy("home", "request_timeout = 500ms")
        .policy("home", "stop_timeout = 300ms")
        .serve();
    paster.expect_log("worker hangs: it did not answer `POST /slow` within 500ms");
    paster.allow_log("worker ignored SIGTERM; it is killed");
    assert_eq!(paster.post("/slow?s=60", b"").status, 504);
    let report = the_report(&paster, "home");
    assert_eq!(report["kind"], "hang");
    assert_eq!(
        text(&report, "why"),
        "did not answer `POST /slow` within 500ms"
    );
    assert_eq!(requests(&report), ["POST /slow"]);
    assert_eq!(report["requests"][0]["progress"], "timed_out");
    assert!(
        report["requests"][0]["age_s"]
            .as_f64()
            .is_some_and(|age| age >= 0.5)
    );
    assert!(
        output(&report, Some("stderr")).contains("in do_slow"),
        "{report:#}"
    );
    assert!(steps(&report).concat().contains("SIGTERM was sent"));
    // The line of the hang names the report that is still to come.
    let name = text(&report, "id");
    let log = paster.stderr().text();
    let line = log.lines().find(|line| line.contains("worker hangs"));
    assert!(
        line.is_some_and(|line| line.contains(name)),
        "{line:?}, {name}"
    );
}

#[test]
fn a_missed_watchdog_is_told() {
    let paster = one_app().policy("home", "watchdog = 500ms").serve();
    paster.expect_log("worker hangs: it missed its watchdog of 500ms");
    process::signal(paster.status().app("home").pid(), Signal::SIGSTOP);
    let report = the_report(&paster, "home");
    assert_eq!(report["kind"], "hang");
    assert_eq!(text(&report, "why"), "missed its watchdog of 500ms");
}

#[test]
fn a_lost_keeper_is_told() {
    let paster = one_app().serve();
    paster.expect_death("ended with its keeper");
    let pid = paster.status().app("home").pid();
    process::sigkill(process::parent(pid).expect("the keeper"));
    let report = the_report(&paster, "home");
    assert_eq!(report["kind"], "keeper_lost");
    assert_eq!(report["pid"], pid);
    assert!(report["max_rss_bytes"].is_null(), "nobody could ask");
    paster.wait_until("it is replaced", |s| s.app("home").is_ready());
}

#[test]
fn a_worker_over_its_memory_limit_is_told() {
    let site = Site::new()
        .prisoner("bad", "/")
        .policy("bad", "cgroup_memory = 80M");
    let Some(site) = if_it_can(site) else {
        return;
    };
    let paster = site.serve();
    paster.expect_death("over cgroup_memory = 80M");
    assert_eq!(paster.post("/eat?mb=500", b"").status, 502);
    let report = the_report(&paster, "bad");
    assert_eq!(report["kind"], "over_memory");
    assert_eq!(report["exit"]["signal_name"], "SIGKILL");
    assert!(text(&report, "what").contains("over cgroup_memory = 80M"));
    assert_eq!(requests(&report), ["POST /eat"]);
}

#[test]
fn a_crash_while_it_was_drained_is_told() {
    let paster = one_app().serve();
    paster.allow_log("the proxy cannot connect to a worker");
    let old = paster.status().app("home").pid();
    let slow = paster.post_in_background("/slow?s=60", b"");
    paster.wait_until("it is in flight", |s| {
        s.app("home").workers[0].in_flight == 1
    });
    paster.command(&["restart", "home"]).succeeded();
    process::signal(old, Signal::SIGABRT);
    let report = the_report(&paster, "home");
    assert_eq!(
        (&report["pid"], &report["exit"]["signal"]),
        (&old.into(), &6.into())
    );
    assert_eq!(requests(&report), ["POST /slow"]);
    assert_eq!(text(&report, "decision"), "none; it was to end anyway");
    assert_eq!(
        slow.join().expect("no panic").expect("an answer").status,
        502
    );
    assert_eq!(paster.status().app("home").restarts, 0);
}

#[test]
fn a_crash_of_an_app_that_is_being_removed_is_told() {
    let mut paster = one_app().actor("other", "/other").serve();
    paster.allow_log("the proxy cannot connect to a worker");
    let pid = paster.status().app("other").pid();
    let slow = paster.post_in_background("/other/slow?s=60", b"");
    paster.wait_until("it is in flight", |s| {
        s.app("other").workers[0].in_flight == 1
    });
    paster.edit(|site| site.without("other"));
    let reload = paster.command_in_background(&["reload"]);
    paster.wait_until("it is removed", |s| s.find("other").is_none());
    process::signal(pid, Signal::SIGABRT);
    reload.join().expect("no panic").succeeded();
    let report = the_report(&paster, "other");
    assert_eq!(report["pid"], pid);
    assert_eq!(requests(&report), ["POST /other/slow"]);
    let answer = slow.join().expect("no panic").expect("an answer");
    assert_eq!(answer.status, 502);
}

#[test]
fn ends_that_were_asked_for_leave_no_report() {
    let paster = one_app().serve();
    paster.command(&["restart", "home"]).succeeded();
    paster.command(&["stop", "home"]).succeeded();
    let site = paster.finish();
    assert!(!site.state_dir().exists(), "nothing was there to keep");
}

#[test]
fn all_requests_in_flight_are_told_apart() {
    let source = r#"
import os, time
def factory(global_conf, **local_conf):
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/die":
            os.abort()
        if path == "/wait":
            time.sleep(60)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return stream() if path == "/stream" else [b"well"]
    def stream():
        while True:
            yield b"x"
            time.sleep(0.05)
    return app
"#;
    let paster = Site::new()
        .python("app", "/", source)
        .policy("app", "threads = 8")
        .serve();
    paster.expect_death("SIGABRT");
    let waiting = [0, 1].map(|_| paster.post_in_background("/wait?x=1", b""));
    let mut streaming = paster.connect();
    streaming
        .send(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    assert_eq!(streaming.head().expect("a head").status, 200);
    paster.wait_until("all are in flight", |s| {
        s.app("app").workers[0].in_flight == 3
    });
    assert_eq!(paster.post("/die", b"").status, 502);
    let report = the_report(&paster, "app");
    assert_eq!(
        requests(&report),
        ["GET /stream", "POST /die", "POST /wait", "POST /wait"]
    );
    for request in report["requests"].as_array().expect("a list") {
        let progress = match text(request, "path") {
            "/stream" => "answering",
            _ => "waiting",
        };
        assert_eq!(request["progress"], progress, "{request}");
    }
    for request in waiting {
        let answer = request.join().expect("no panic").expect("an answer");
        assert_eq!(answer.status, 502);
    }
}

#[test]
fn reports_are_private_survive_restarts_and_are_read_without_paster() {
    let paster = one_app().serve();
    paster.expect_death("exited with status 3");
    assert_eq!(paster.post("/exit", b"").status, 502);
    let first = the_report(&paster, "home");
    let site = paster.finish();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
    let dir = site.state_dir().join("crashes/home");
    let files: Vec<_> = fs::read_dir(&dir).expect("readable").flatten().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(mode(&files[0].path()), 0o600);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&site.state_dir()), 0o700);

    let state_dir = site.state_dir().display().to_string();
    let words = ["crashes", "site.ini", "--state-dir", &state_dir];
    let shown = Paster::run(&site, &words).succeeded();
    for part in [
        text(&first, "id"),
        text(&first, "what"),
        "POST /exit",
        "spawned",
    ] {
        assert!(
            shown.stdout.contains(part),
            "no `{part}` in {}",
            shown.stdout
        );
    }

    let mut paster = site.serve();
    paster.expect_death("exited with status 4");
    assert_eq!(paster.post("/exit?code=4", b"").status, 502);
    let both = wait_for_reports(&paster, "home", 2);
    assert_eq!(both[0], first);
    assert_eq!(both[1]["exit"]["status"], 4, "the newest last");
    // Not even a SIGKILL takes them along.
    paster.signal(Signal::SIGKILL);
    paster.wait_for_end();
    let site = paster.finish();
    let json = Paster::run(&site, &[&words[..], &["--json"]].concat()).succeeded();
    let kept: Vec<Value> = serde_json::from_str(&json.stdout).expect("a JSON list");
    assert_eq!(kept, both);
}

#[test]
fn an_upgrade_keeps_what_is_known_of_workers_that_live() {
    let paster = one_app().serve();
    paster.expect_death("exited with status 3");
    paster.text("/print?out=before-the-upgrade&err=this-too");
    let pid = paster.status().app("home").pid();
    paster.command(&["upgrade"]).succeeded();
    assert_eq!(paster.post("/exit", b"").status, 502);
    let report = the_report(&paster, "home");
    assert_eq!(report["pid"], pid);
    assert_eq!(requests(&report), ["POST /exit"]);
    assert!(
        steps(&report).contains(&format!("spawned (pid {pid})")),
        "{report:#}"
    );
    assert!(output(&report, Some("stdout")).contains("before-the-upgrade"));
    assert!(output(&report, Some("stderr")).contains("this-too"));
}

#[test]
fn a_death_just_before_the_end_of_paster_is_not_lost() {
    let mut paster = one_app().serve();
    paster.expect_death("exited with status 3");
    assert_eq!(paster.post("/exit", b"").status, 502);
    paster.wait_for_log("exited with status 3");
    paster.signal(Signal::SIGTERM);
    paster.wait_for_end();
    let site = paster.finish();
    let dir = site.state_dir().join("crashes/home");
    assert_eq!(fs::read_dir(dir).expect("it is there").count(), 1);
}

#[test]
fn only_the_last_reports_are_kept() {
    let paster = one_app()
        .policy("home", "keep_reports = 2")
        .policy("home", "deadly_requests = off")
        .policy("home", "crash_limit = 100")
        .serve();
    for code in 11..=14 {
        paster.expect_death(&format!("exited with status {code}"));
        let death = format!("exited with status {code}");
        assert_eq!(paster.post(&format!("/exit?code={code}"), b"").status, 502);
        paster.wait_until("it is told", |s| {
            let app = s.app("home");
            app.is_ready() && app.last_death.as_ref().is_some_and(|d| d.contains(&death))
        });
    }
    let codes = || -> Vec<i64> {
        let found = reports(&paster, &["home"]);
        found
            .iter()
            .filter_map(|r| r["exit"]["status"].as_i64())
            .collect()
    };
    paster.wait_for("the last two are there", || codes() == [13, 14]);
    assert_eq!(reports(&paster, &["-n", "1"]).len(), 1);
    let files = fs::read_dir(paster.site().state_dir().join("crashes/home"));
    assert_eq!(files.expect("it is there").count(), 2);
}

#[test]
fn a_crash_loop_is_one_report_with_a_count() {
    let paster = Site::new()
        .actor("loop", "/")
        .option("loop", "exit = 9")
        .policy("loop", "restart_delay = 20ms")
        .policy("loop", "restart_max_delay = 50ms")
        .policy("loop", "crash_limit = 3")
        .serve_unready();
    paster.expect_log("exited with status 9");
    paster.expect_log("crash loop: requests get 503");
    let mut report = Value::Null;
    paster.wait_for("six deaths are counted", || {
        report = reports(&paster, &["loop"]).pop().unwrap_or_default();
        report["count"].as_u64().is_some_and(|count| count >= 6)
    });
    let found = reports(&paster, &["loop"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(text(&report, "decision").starts_with("crash loop, the app is failed; next start in "));
    // All of them are found by their own names.
    let last = report["repeats"].as_array().expect("a list").last();
    let id = text(last.expect("there were some"), "id");
    assert_eq!(reports(&paster, &["--id", id])[0]["id"], report["id"]);
    let told = paster
        .stderr()
        .text()
        .matches("crash loop: requests get 503")
        .count();
    assert_eq!(told, 1, "once, not for each attempt");
}

#[test]
fn no_reports_are_written_where_none_are_wanted() {
    let paster = one_app().policy("home", "keep_reports = 0").serve();
    paster.expect_death("exited with status 3");
    assert_eq!(paster.post("/exit", b"").status, 502);
    let status = paster.wait_until("it died", |s| s.app("home").last_death.is_some());
    assert_eq!(status.app("home").last_report, None);
    let none = paster.command(&["crashes", "home"]).succeeded();
    assert_eq!(none.stdout, "");
    assert!(
        none.stderr.contains("no crash reports of home"),
        "{none:#?}"
    );
    assert_eq!(reports_of_nobody(&paster), Vec::<Value>::new());
    assert!(!paster.stderr().text().contains("report="));
    let site = paster.finish();
    assert!(!site.state_dir().exists());
}

fn reports_of_nobody(paster: &Paster) -> Vec<Value> {
    reports(paster, &["nobody"])
}

#[test]
fn a_report_that_is_not_there_is_an_error() {
    let paster = one_app().serve();
    let missing = paster.command(&["crashes", "--id", "ffffffff"]);
    assert_eq!(missing.code, Some(1), "{missing:#?}");
    assert!(
        missing.stderr.contains("there is no report `ffffffff`"),
        "{missing:#?}"
    );
    let odd = paster.command(&["crashes", "--id", "ffffffff", "-n", "2"]);
    assert_eq!(odd.code, Some(2), "{odd:#?}");
}

#[test]
fn a_state_directory_that_cannot_be_used_is_told_once_and_harms_nobody() {
    let paster = one_app()
        .policy("home", "deadly_requests = off")
        // In the way of the directory.
        .file("state", "")
        .serve();
    paster.expect_log("crash reports cannot be kept; everything else goes on");
    for code in [11, 12, 13] {
        paster.expect_death(&format!("exited with status {code}"));
        let before = paster.status().app("home").restarts;
        assert_eq!(paster.post(&format!("/exit?code={code}"), b"").status, 502);
        paster.wait_until("it serves again", |s| {
            s.app("home").is_ready() && s.app("home").restarts > before
        });
    }
    let log = paster.stderr().text();
    assert_eq!(log.matches("crash reports cannot be kept").count(), 1);
}
