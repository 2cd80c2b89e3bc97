//! `paster status`, for people and for scripts (docs/cli.md).

use crate::harness::{Paster, Site, Status};
use serde_json::Value;

#[test]
fn the_json_has_every_documented_field() {
    let paster = Site::new()
        .actor("blog", "/blog")
        .actor("wiki", "/wiki")
        .serve();
    paster.text("/blog/");
    paster.wait_until("the request is counted", |s| s.app("blog").requests == 1);
    let command = paster.command(&["status", "--json"]).succeeded();
    let value: Value = serde_json::from_str(&command.stdout).expect("it is JSON");
    for field in [
        "schema_version",
        "pid",
        "version",
        "config",
        "uptime_s",
        "listen",
        "proxy",
        "apps",
    ] {
        assert!(!value[field].is_null(), "{field}: {value}");
    }
    let status: Status = serde_json::from_value(value).expect("the documented types");
    assert_eq!(status.schema_version, 1);
    assert_eq!(status.pid, paster.pid());
    assert!(!status.version.is_empty() && status.uptime_s > 0.0);
    assert_eq!(status.config, paster.site().config().display().to_string());
    assert_eq!(status.listen, paster.addresses());
    assert!(
        status.proxy.pid.is_some()
            && status.proxy.table_version > 0
            && status.proxy.connections < 10
    );
    let blog = status.app("blog");
    assert_eq!(
        (blog.mounts.as_slice(), blog.generation, blog.queued),
        (&["/blog".to_owned()][..], 1, 0)
    );
    assert!(blog.last_death.is_none());
    let worker = &blog.workers[0];
    assert_eq!(
        (worker.slot, worker.generation, worker.in_flight),
        (0, 1, 0)
    );
    assert_eq!(worker.state, "ready");
    assert!(
        worker.uptime_s > 0.0 && worker.rss_bytes.is_some_and(|rss| rss > 1_000_000),
        "{worker:?}"
    );
    assert_eq!(Some(blog.pid()), worker.pid);
}

#[test]
fn an_app_with_fewer_workers_than_wanted_is_degraded() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "processes = 2")
        .policy("home", "restart_delay = 1s")
        .serve();
    paster.expect_death("exited with status 3");
    assert_eq!(paster.post("/exit", b"").status, 502);
    let status = paster.wait_until("it is degraded", |s| s.app("home").state == "degraded");
    assert_eq!(status.app("home").pids().len(), 1);
    assert_eq!(paster.get("/").status, 200, "the other one serves");
    paster.wait_until("it is ready again", |s| {
        s.app("home").is_ready() && s.app("home").pids().len() == 2
    });
}

#[test]
fn requests_in_flight_and_in_the_queue_are_shown() {
    let paster = Site::new()
        .actor("home", "/")
        .policy("home", "threads = 1")
        .serve();
    // The proxy tells its figures once a second.
    let requests = [0, 1].map(|_| paster.get_in_background("/slow?s=1.3"));
    paster.wait_until("one runs, the other waits", |s| {
        let app = s.app("home");
        app.queued == 1 && app.workers[0].in_flight == 1
    });
    for request in requests {
        assert_eq!(
            request
                .join()
                .expect("it does not panic")
                .expect("it is answered")
                .status,
            200
        );
    }
    paster.wait_until("nothing is left", |s| {
        s.app("home").queued == 0 && s.app("home").requests == 2
    });
}

#[test]
fn the_text_for_people_names_apps_states_and_mounts() {
    let paster = Site::new()
        .actor("blog", "/blog")
        .actor("wiki", "/wiki")
        .serve();
    paster.command(&["stop", "wiki"]).succeeded();
    let shown = paster.command(&["status"]).succeeded();
    let line = |app: &str| {
        shown
            .stdout
            .lines()
            .find(|line| line.trim_start().starts_with(app))
            .map(str::to_owned)
    };
    let (blog, wiki) = (
        line("blog").unwrap_or_default(),
        line("wiki").unwrap_or_default(),
    );
    assert!(
        blog.contains("ready") && blog.contains("/blog"),
        "{shown:#?}"
    );
    assert!(
        blog.contains(&paster.status().app("blog").pid().to_string()),
        "{shown:#?}"
    );
    assert!(wiki.contains("stopped"), "{shown:#?}");
    assert!(shown.stdout.contains(&paster.addresses()[0]), "{shown:#?}");
}

#[test]
fn every_command_exits_with_3_when_nothing_runs() {
    let site = Site::new().actor("home", "/");
    site.write();
    let run_dir = site.run_dir().display().to_string();
    for command in ["status", "restart", "reload", "stop", "start", "events"] {
        let result = Paster::run(&site, &[command, "site.ini", "--run-dir", &run_dir]);
        assert_eq!(result.code, Some(3), "{command}: {result:#?}");
        assert!(
            result.stderr.starts_with("error: "),
            "{command}: {result:#?}"
        );
        assert!(result.stdout.is_empty(), "{command}: {result:#?}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_exits_with_2() {
    let result = Paster::run(&Site::new(), &["status"]);
    assert_eq!(result.code, Some(2), "{result:#?}");
}

#[test]
fn the_json_of_a_restart_says_what_was_done() {
    let paster = Site::new().actor("home", "/").serve();
    let restart = paster.command(&["restart", "home", "--json"]).succeeded();
    let value: Value = serde_json::from_str(&restart.stdout).expect("it is JSON");
    assert_eq!(value["apps"][0]["app"], "home");
    assert_eq!(value["apps"][0]["action"], "restarted");
    assert_eq!(value["apps"][0]["generation"], 2);
    assert!(value["apps"][0]["error"].is_null());
}

#[test]
fn the_json_says_that_nothing_runs() {
    let site = Site::new().actor("home", "/");
    site.write();
    let run_dir = site.run_dir().display().to_string();
    for command in ["status", "restart", "reload", "stop", "start", "events"] {
        let words = [command, "site.ini", "--run-dir", &run_dir, "--json"];
        let result = Paster::run(&site, &words);
        assert_eq!(result.code, Some(3), "{command}: {result:#?}");
        let outcome: Value = serde_json::from_str(&result.stdout).expect("it is JSON");
        assert_eq!(outcome["ok"], false, "{command}: {outcome}");
        assert_eq!(outcome["error"]["class"], "not_running", "{outcome}");
        assert!(outcome["error"]["hint"].is_string(), "{outcome}");
    }
}

#[test]
fn cpu_time_is_that_of_the_worker_with_all_that_it_has_started() {
    let source = r#"
import os, subprocess, sys
def factory(global_conf):
    def app(environ, start_response):
        loop = "while True: pass"
        if environ["PATH_INFO"] == "/child":
            subprocess.Popen([sys.executable, "-c", loop], start_new_session=True)
        start_response("200 OK", [("Content-Length", "0")])
        return []
    return app
"#;
    let paster = Site::new().python("busy", "/", source).serve();
    let cpu = |s: &Status| s.app("busy").workers[0].cpu_s.unwrap_or_default();
    let before = cpu(&paster.status());
    assert_eq!(paster.get("/child").status, 200);
    let status = paster.wait_until("the child is counted", |s| cpu(s) > before + 0.5);
    assert!(status.cpu_s.is_some() && status.proxy.cpu_s.is_some());
    assert!(status.rss_bytes.is_some() && status.proxy.rss_bytes.is_some());
}
