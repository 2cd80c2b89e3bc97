//! Clients that ask in the old place learn the new one.

use crate::harness::{DEADLINE, Paster, Site, poll};
use std::fs;

const RULES: &str = "redirects =\n    /old /new?from=old 301\n    /docs/* /manual/* 308\n    http://old.example/* https://new.example/*";

fn location(paster: &Paster, method: &str, target: &str, host: &str) -> (u16, String) {
    let mut connection = paster.connect();
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nxx");
    connection.send(request.as_bytes()).expect("it reads");
    let answer = connection.response_to(method).expect("an answer");
    let location = answer.header("location").unwrap_or_default().to_owned();
    // The connection goes on.
    assert!(answer.status == 200 || connection.get("/").expect("an answer").status == 200);
    (answer.status, location)
}

#[test]
fn requests_are_sent_where_the_rules_say() {
    let paster = Site::new()
        .actor("app", "/")
        .policy("", RULES)
        .policy("", "response_headers = X-Site: yes")
        .policy("", "access_log = access.log")
        .serve();
    for (method, target, host, status, to) in [
        ("GET", "/old?x=1", "a", 301, "/new?from=old"),
        ("HEAD", "/docs/a/b%20c?x=1", "a", 308, "/manual/a/b%20c?x=1"),
        ("POST", "/docs/", "a", 308, "/manual/"),
        (
            "GET",
            "/any?x",
            "Old.Example:8080",
            302,
            "https://new.example/any?x",
        ),
        ("GET", "/docs", "a", 404, ""),
        ("GET", "/", "a", 200, ""),
    ] {
        let expected = (status, to.to_owned());
        assert_eq!(
            location(&paster, method, target, host),
            expected,
            "{target}"
        );
    }
    assert_eq!(paster.get("/old").header("x-site"), Some("yes"));
    let log = paster.site().path("access.log");
    let logged = poll(DEADLINE, || {
        let text = fs::read_to_string(&log).ok()?;
        text.contains("\"GET /old?x=1 HTTP/1.1\" 301 0")
            .then_some(())
    });
    logged.expect("redirects are logged");
}

#[test]
fn a_reload_changes_them() {
    let mut paster = Site::new().actor("app", "/").serve();
    assert_eq!(paster.get("/old").status, 404);
    paster.edit(|site| site.policy("", RULES));
    paster.command(&["reload"]).succeeded();
    assert_eq!(paster.get("/old").status, 301);
}

#[test]
fn what_is_no_rule_is_refused_with_its_line() {
    for (rule, part) in [
        ("redirects = /a /a/b 200", "301, 302"),
        ("redirects = /* /new", "lead to itself"),
    ] {
        let site = Site::new().actor("app", "/").policy("", rule);
        let refused = Paster::refused(&site);
        assert!(refused.stderr.contains(part), "{refused:?}");
        assert!(refused.stderr.contains("site.ini:"), "{refused:?}");
    }
    let site = Site::new().actor("app", "/").policy("app", RULES);
    let refused = Paster::refused(&site);
    assert!(
        refused.stderr.contains("no setting of a single app"),
        "{refused:?}"
    );
}
