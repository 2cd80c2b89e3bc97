//! What is told of a death, by its kind.

use super::{one_app, output, reports, requests, steps, text, the_report};
use crate::harness::confinement::if_it_can;
use crate::harness::{Site, process};
use nix::sys::signal::Signal;
use serde_json::Value;

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
