use super::*;
use crate::plan::spec::{LogTo, User};
use std::time::Duration;

struct Nobody;

impl Accounts for Nobody {
    fn own(&self) -> User {
        User {
            name: "me".to_owned(),
            uid: 1000,
            gid: 1000,
            groups: vec![1000],
        }
    }
    fn user(&self, name: &str) -> Option<User> {
        (name == "www").then(|| User {
            name: name.to_owned(),
            uid: 33,
            gid: 33,
            groups: vec![33],
        })
    }
    fn group(&self, _: &str) -> Option<u32> {
        None
    }
}

fn place(line: usize) -> Place {
    Place {
        file: "site.ini".into(),
        line,
    }
}

fn part(app: Option<&str>, line: usize, entries: &[(&str, &str)]) -> Part {
    let entries = entries
        .iter()
        .enumerate()
        .map(|(index, (key, value))| Entry {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            place: place(line + 1 + index),
            lines: Vec::new(),
        })
        .collect();
    Part {
        app: app.map(str::to_owned),
        place: place(line),
        entries,
    }
}

fn read(parts: Vec<Part>) -> (Sheet, Vec<Problem>) {
    let mut problems = Vec::new();
    let sheet = Sheet::read(parts, Settings::default(), Path::new("/srv"), &mut problems);
    (sheet, problems)
}

#[test]
fn an_app_overlays_the_defaults() {
    let (sheet, problems) = read(vec![
        part(
            Some("blog"),
            5,
            &[("processes", "3"), ("environment", "B=2")],
        ),
        part(
            None,
            1,
            &[
                ("processes", "2"),
                ("queue", "7"),
                ("environment", "A=1 B=1"),
            ],
        ),
    ]);
    assert_eq!(problems, []);
    let mut problems = Vec::new();
    let blog = sheet.app("blog", &Nobody, &mut problems).settings;
    assert_eq!((blog.processes, blog.queue), (3, 7));
    assert_eq!(blog.environment.get("B").map(String::as_str), Some("2"));
    assert_eq!(blog.environment.get("A").map(String::as_str), Some("1"));
    assert_eq!(
        sheet.app("wiki", &Nobody, &mut problems).settings.processes,
        2
    );
    assert_eq!(problems, []);
}

#[test]
fn an_unknown_key_is_an_error_with_its_line_and_a_suggestion() {
    let (_, problems) = read(vec![part(None, 1, &[("proceses", "2")])]);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].to_string(),
        "site.ini:2: unknown setting `proceses`"
    );
    assert_eq!(
        problems[0].hint.as_deref(),
        Some("did you mean `processes`?")
    );
}

#[test]
fn words_of_other_servers_are_told_their_place() {
    for (key, hint) in [
        ("workers", "it is `processes` here"),
        ("client_max_body_size", "it is `max_body` here"),
        ("certfile", "it belongs into [server:main]"),
    ] {
        let (_, problems) = read(vec![part(None, 1, &[(key, "2")])]);
        assert_eq!(problems[0].hint.as_deref(), Some(hint));
    }
}

#[test]
fn all_bad_values_are_reported_at_once_and_once() {
    let (sheet, problems) = read(vec![
        part(None, 1, &[("processes", "0"), ("queue_timeout", "10")]),
        part(Some("a"), 9, &[("nice", "x")]),
    ]);
    assert_eq!(problems.len(), 3);
    let mut later = Vec::new();
    sheet.app("a", &Nobody, &mut later);
    assert_eq!(later, []);
}

#[test]
fn site_settings_are_not_for_one_app() {
    let (_, problems) = read(vec![part(Some("a"), 1, &[("fan_out", "off")])]);
    assert_eq!(problems[0].hint.as_deref(), Some("move it to [isolate]"));
}

#[test]
fn delays_that_contradict_each_other_are_an_error() {
    let (sheet, _) = read(vec![part(None, 1, &[("restart_delay", "1m")])]);
    let mut problems = Vec::new();
    sheet.app("a", &Nobody, &mut problems);
    assert_eq!(
        problems[0].to_string(),
        "site.ini:2: `restart_delay` is longer than `restart_max_delay`"
    );
}

#[test]
fn fewer_processes_at_most_than_at_least_are_an_error() {
    let (sheet, _) = read(vec![
        part(None, 1, &[("max_processes", "2")]),
        part(Some("a"), 5, &[("processes", "3")]),
    ]);
    let mut problems = Vec::new();
    sheet.app("a", &Nobody, &mut problems);
    assert_eq!(
        problems[0].to_string(),
        "site.ini:2: `max_processes` is less than `processes`"
    );
    let mut problems = Vec::new();
    sheet.app("b", &Nobody, &mut problems);
    assert_eq!(problems, []);
}

#[test]
fn health_is_not_checked_more_often_than_it_can_be_judged() {
    let (sheet, _) = read(vec![part(None, 1, &[("health_interval", "500ms")])]);
    let mut problems = Vec::new();
    sheet.app("a", &Nobody, &mut problems);
    assert_eq!(
        problems[0].to_string(),
        "site.ini:2: `health_interval` is less than a second"
    );
}

#[test]
fn another_user_needs_privilege() {
    let (sheet, _) = read(vec![part(None, 1, &[("user", "www")])]);
    let mut problems = Vec::new();
    sheet.app("a", &Nobody, &mut problems);
    assert!(
        problems[0].message.starts_with("only root"),
        "{}",
        problems[0].message
    );
}

#[test]
fn a_section_for_no_app_is_a_warning_with_a_suggestion() {
    let (sheet, _) = read(vec![part(Some("blgo"), 4, &[])]);
    let warnings = sheet.strangers(&["blog", "wiki"]);
    assert_eq!(
        warnings[0].hint.as_deref(),
        Some("did you mean [isolate:blog]?")
    );
    assert_eq!(sheet.strangers(&["blgo"]), []);
}

#[test]
fn the_sections_are_recognised_by_name() {
    assert_eq!(subject("isolate"), Some(None));
    assert_eq!(subject("isolate: blog"), Some(Some("blog".to_owned())));
    assert_eq!(subject("isolated"), None);
    assert_eq!(subject("app:isolate"), None);
}

#[test]
fn the_output_goes_to_one_place() {
    let both = [("log", "journald"), ("log_file", "/var/log/{app}.log")];
    let (_, problems) = read(vec![part(None, 1, &both)]);
    assert_eq!(
        problems[0].to_string(),
        "site.ini:3: `log` and `log_file` both say where the output goes"
    );
    let (sheet, problems) = read(vec![
        part(None, 1, &both[1..]),
        part(Some("a"), 4, &both[..1]),
    ]);
    assert_eq!(problems, []);
    let to = |app| sheet.app(app, &Nobody, &mut Vec::new()).settings.log.to;
    assert!(matches!(to("a"), LogTo::Journald(_)));
    assert!(matches!(to("b"), LogTo::File(_)));
}

#[test]
fn durations_reach_the_settings() {
    let (sheet, _) = read(vec![part(
        None,
        1,
        &[("drain_timeout", "5m"), ("request_timeout", "2s")],
    )]);
    let settings = sheet.app("a", &Nobody, &mut Vec::new()).settings;
    assert_eq!(settings.drain_timeout, Duration::from_secs(300));
    assert_eq!(settings.request_timeout, Some(Duration::from_secs(2)));
}
