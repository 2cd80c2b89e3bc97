//! Where reports are kept, for how long, and who reads them.

use super::{one_app, output, reports, requests, steps, text, the_report, wait_for_reports};
use crate::harness::{Paster, Site};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
