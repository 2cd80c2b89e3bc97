//! `paster check` and `paster routes` as a user sees them: the whole output for good and bad files.
//!
//! Each case is a file in `tests/fixtures/check` and what the program says about it. To accept a new output, run with
//! `UPDATE_EXPECTED=1` and read the difference.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot prepare its ground fails"
)]

mod fuzz;
mod run;

use run::{paster, paster_to, snapshot};
use serde_json::Value;
use std::process::Command;

#[test]
fn the_seed_file_is_good() {
    snapshot("seed", &["check", "site.ini"]);
}

#[test]
fn a_site_with_all_kinds_of_apps() {
    snapshot("kinds", &["check", "site.ini"]);
}

#[test]
fn filters_that_fan_out() {
    snapshot("fan_out", &["check", "site.ini"]);
}

#[test]
fn a_filter_that_prevents_a_finer_cut_is_named() {
    snapshot("blocked", &["check", "site.ini"]);
}

#[test]
fn without_a_server_section_it_listens_on_loopback() {
    snapshot("no_server", &["check", "site.ini"]);
}

#[test]
fn server_options_that_are_not_honoured_are_named() {
    snapshot("server_warnings", &["check", "site.ini"]);
}

#[test]
fn directories_of_log_files_that_are_missing_are_named() {
    snapshot("log_files", &["check", "site.ini"]);
}

#[test]
fn all_problems_are_reported_at_once() {
    snapshot("bad_everywhere", &["check", "site.ini"]);
}

#[test]
fn problems_of_a_setting_with_many_lines_name_the_line() {
    snapshot("lines", &["check", "site.ini"]);
}

#[test]
fn a_route_to_no_app() {
    snapshot("bad_route", &["check", "site.ini"]);
}

#[test]
fn a_certificate_that_is_missing_is_refused() {
    snapshot("tls", &["check", "site.ini"]);
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_unless_nobody_reads_it() {
    let full = || std::fs::File::options().write(true).open("/dev/full");
    for args in [
        &["check", "site.ini"][..],
        &["routes", "site.ini", "--json"],
    ] {
        let run = paster_to(full().unwrap().into(), "seed", args);
        assert_eq!(run.status, 1, "{run:#?}");
        let told = "error: cannot write the answer: No space left on device";
        assert!(run.stderr.contains(told), "{run:#?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = paster_to(writer.into(), "seed", args);
        assert_eq!(
            (run.status, run.stderr.contains("error")),
            (0, false),
            "{run:#?}"
        );
    }
}

#[test]
fn a_program_below_a_filter() {
    snapshot("program_in_pipeline", &["check", "site.ini"]);
}

#[test]
fn a_file_that_is_no_ini_file() {
    snapshot("garbage", &["check", "site.ini"]);
}

#[test]
fn the_route_table() {
    snapshot("routes", &["routes", "site.ini"]);
}

#[test]
fn a_site_is_the_same_however_its_path_is_written() {
    let apps = |path: &str| {
        let run = paster("no_server", &["check", "--json", path]);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        (
            report["config"] == "DIR/site.ini",
            report["apps"][0]["name"].clone(),
        )
    };
    for path in [
        "site.ini",
        "./site.ini",
        "env/../site.ini",
        "bin/../lib/.././site.ini",
    ] {
        assert_eq!(apps(path), (true, "main".into()), "{path}");
    }
}

#[test]
fn without_path_programs_are_where_a_shell_looks() {
    let check = |path: Option<&str>| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("site.ini"), "[app:main]\nuse = blog:make\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_paster"));
        command.args(["check", "--json", "site.ini"]);
        command.current_dir(dir.path()).env_clear();
        let run = command
            .envs(path.map(|path| ("PATH", path)))
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&run.stdout).unwrap();
        (
            report["apps"][0]["interpreter"].clone(),
            report["warnings"].clone(),
        )
    };
    assert_eq!(check(None), check(Some("/usr/local/bin:/usr/bin:/bin")));
}

#[test]
fn the_route_of_each_url() {
    let urls = [
        "/blog/1",
        "/blogger",
        "//blog//x/",
        "/caf%C3%A9",
        "http://ex.org/in/q",
        "https://EX.org:8080/",
        "/in/zz",
    ];
    snapshot("routes", &[&["routes", "site.ini"], &urls[..]].concat());
}

#[test]
fn urls_are_answered_in_json_with_null_where_nothing_matches() {
    let run = paster(
        "fan_out",
        &[
            "routes",
            "site.ini",
            "--json",
            "/blog/a%20b?q",
            "/none",
            "/",
        ],
    );
    assert_eq!(run.status, 0, "{run:?}");
    let answers: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = serde_json::json!([
        {"url": "/blog/a%20b?q", "app": "blog", "script_name": "/blog", "path_info": "/a b"},
        {"url": "/none", "app": "main", "script_name": "", "path_info": "/none"},
        {"url": "/", "app": "main", "script_name": "", "path_info": "/"},
    ]);
    assert_eq!(answers, expected);
    let run = paster(
        "routes",
        &[
            "routes",
            "site.ini",
            "--json",
            "http://ex.org/nothing",
            "/%00",
        ],
    );
    let answers: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(answers[0]["app"], Value::Null);
    assert_eq!(answers[1]["app"], Value::Null);
}

#[test]
fn the_json_of_check_has_everything() {
    let run = paster("kinds", &["check", "site.ini", "--json"]);
    assert_eq!(run.status, 0, "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["ok"], true);
    assert_eq!(report["listen"], serde_json::json!(["127.0.0.1:8080"]));
    let apps = report["apps"].as_array().unwrap();
    let blog = apps.iter().find(|app| app["name"] == "blog").unwrap();
    assert_eq!(
        blog["mounts"],
        serde_json::json!(["/weblog", "/blog", "/in/other"])
    );
    let setting = |key: &str| {
        blog["settings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()["value"]
            .clone()
    };
    assert_eq!(setting("processes"), "3");
    assert_eq!(setting("restart_delay"), "100ms");
}

#[test]
fn the_json_of_a_bad_file_has_its_errors() {
    let run = paster("bad_everywhere", &["check", "site.ini", "--json"]);
    assert_eq!(run.status, 1, "{run:?}");
    let failure: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(failure["ok"], false);
    let first = &failure["errors"][0];
    assert!(
        first["place"]["line"].as_u64().is_some_and(|line| line > 0),
        "{first}"
    );
}

#[test]
fn bad_usage_is_status_2() {
    assert_eq!(paster("routes", &["routes", "site.ini", "blog"]).status, 2);
    assert_eq!(
        paster("routes", &["check", "site.ini", "no-equals-sign"]).status,
        2
    );
    assert_eq!(paster("routes", &["check"]).status, 2);
}

#[test]
fn a_missing_file_is_status_1() {
    let run = paster("routes", &["check", "sitr.ini"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("sitr.ini"), "{run:?}");
}
