//! Fields that the configuration wants in answers, whoever makes them.

use crate::harness::curl::curl;
use crate::harness::{Paster, Site};

const APP: &str = r#"
def factory(global_conf):
    def app(environ, start_response):
        status = environ["PATH_INFO"].strip("/") or "200"
        fields = [("Server", "app"), ("X-Frame-Options", "ALLOW"), ("X-Frame-Options", "SAMEORIGIN"),
                  ("Set-Cookie", "a=1"), ("Content-Type", "text/plain")]
        if environ["QUERY_STRING"]:
            fields.append(("Cache-Control", environ["QUERY_STRING"]))
        start_response(status + " Word", fields)
        return [b"x"]
    return app
"#;

const RULES: &str = "response_headers =\n    X-Frame-Options: DENY\n    -Server\n    +Set-Cookie: b=2; Path=/\n    ?Cache-Control: no-store";

fn all<'a>(answer: &'a crate::harness::http::Response, name: &str) -> Vec<&'a str> {
    answer
        .headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

#[test]
fn every_answer_of_an_app_follows_the_rules() {
    let paster = Site::new()
        .python("app", "/", APP)
        .policy("app", RULES)
        .serve();
    for path in ["/", "/404", "/500", "/?max-age=5"] {
        let answer = paster.get(path);
        assert_eq!(all(&answer, "x-frame-options"), ["DENY"], "{path}");
        assert!(all(&answer, "server").is_empty(), "{path}");
        assert_eq!(all(&answer, "set-cookie"), ["a=1", "b=2; Path=/"], "{path}");
        let cache = if path.contains('?') {
            "max-age=5"
        } else {
            "no-store"
        };
        assert_eq!(all(&answer, "cache-control"), [cache], "{path}");
    }
    let url = format!("http://{}/", paster.address());
    let answer = curl(&["--http2-prior-knowledge", &url]).succeeded();
    assert!(answer.head.contains("x-frame-options: DENY"), "{answer:?}");
}

#[test]
fn answers_of_the_proxy_follow_those_of_the_app_or_of_the_site() {
    let paster = Site::new()
        .python("app", "/app", APP)
        .policy("", "response_headers = X-Site: yes")
        .policy("app", "response_headers = X-App: yes")
        .serve();
    paster.command(&["stop", "app"]).succeeded();
    let stopped = paster.get("/app");
    assert_eq!(stopped.status, 503);
    assert_eq!(
        (all(&stopped, "x-app"), all(&stopped, "x-site")),
        (vec!["yes"], vec![])
    );
    let missing = paster.get("/elsewhere");
    assert_eq!(missing.status, 404);
    assert_eq!(all(&missing, "x-site"), ["yes"]);
    let mut connection = paster.connect();
    connection
        .send(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it reads");
    let malformed = connection.response().expect("an answer");
    assert_eq!(malformed.status, 400);
    assert_eq!(all(&malformed, "x-site"), ["yes"]);
}

#[test]
fn a_reload_changes_them_without_a_new_process() {
    let mut paster = Site::new().python("app", "/", APP).serve();
    let pid = paster.status().app("app").workers[0].pid;
    paster.edit(|site| site.policy("app", RULES));
    paster.command(&["reload"]).succeeded();
    assert_eq!(all(&paster.get("/"), "x-frame-options"), ["DENY"]);
    assert_eq!(paster.status().app("app").workers[0].pid, pid);
}

#[test]
fn what_is_no_rule_is_refused_with_its_line() {
    let bad = "response_headers =\n    X-A: b\n    Transfer-Encoding: chunked";
    let site = Site::new().python("app", "/", APP).policy("app", bad);
    let refused = Paster::refused(&site);
    for part in [
        "response_headers",
        "`Transfer-Encoding: chunked`",
        "site.ini:",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
}
