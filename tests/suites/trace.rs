//! Traces (W3C Trace Context): passed on as they come, or taken part in.

use crate::harness::{DEADLINE, Paster, Site, poll};
use crate::tls;
use serde_json::Value;
use std::fs;

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn serve(setting: &str) -> Paster {
    tls::site(
        "",
        &format!(
            "[isolate]\ntraceparent = {setting}\naccess_log = access.log\naccess_log_format = $trace_id $span_id\n"
        ),
    )
    .serve()
}

/// What the app is told of `traceparent` and `tracestate`.
fn told(paster: &Paster, fields: &[(&str, &str)]) -> (Value, Value) {
    let answer = paster.connect().request("GET", "/", fields, b"");
    let mut told = answer.expect("an answer").json();
    let mut take = |name: &str| told["headers"][name].take();
    (take("HTTP_TRACEPARENT"), take("HTTP_TRACESTATE"))
}

fn logged(paster: &Paster) -> Vec<String> {
    let log = paster.site().path("access.log");
    let lines = poll(DEADLINE, || {
        let text = fs::read_to_string(&log).ok()?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= 3).then_some(lines)
    });
    lines.expect("all are logged")
}

#[test]
fn without_the_setting_everything_is_passed_on_as_it_is() {
    let paster = serve("off");
    let (parent, state) = told(&paster, &[("traceparent", PARENT), ("tracestate", "a=1")]);
    assert_eq!((parent, state), (PARENT.into(), "a=1".into()));
    let (parent, state) = told(
        &paster,
        &[("traceparent", "strange"), ("tracestate", "a=1")],
    );
    assert_eq!((parent, state), ("strange".into(), "a=1".into()));
    assert_eq!(told(&paster, &[]), (Value::Null, Value::Null));
    let expected = [format!("{ID} 00f067aa0ba902b7"), "- -".into(), "- -".into()];
    assert_eq!(logged(&paster), expected);
}

#[test]
fn the_proxy_takes_part_in_a_trace_and_begins_one() {
    let paster = serve("on");
    let (parent, state) = told(
        &paster,
        &[("Traceparent", PARENT), ("tracestate", "a=1,b=2")],
    );
    let parent = parent.as_str().expect("a text").to_owned();
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", ID, "01"));
    assert_ne!(parts[2], "00f067aa0ba902b7", "the proxy asks");
    assert_eq!(state, "a=1,b=2");
    let mut begun = Vec::new();
    for fields in [
        &[][..],
        &[("traceparent", "strange"), ("tracestate", "a=1")],
    ] {
        let (parent, state) = told(&paster, fields);
        assert_eq!(state, Value::Null, "it belongs to no trace");
        begun.push(parent.as_str().expect("a text").to_owned());
    }
    let logged = logged(&paster);
    assert_eq!(logged[0], format!("{ID} {}", parts[2]));
    for (parent, line) in begun.iter().zip(&logged[1..]) {
        let parts: Vec<&str> = parent.split('-').collect();
        assert_eq!((parts[0], parts[3]), ("00", "03"), "sampled, and random");
        assert_eq!(*line, format!("{} {}", parts[1], parts[2]));
    }
    assert_ne!(begun[0], begun[1]);
}

#[test]
fn a_share_of_none_begins_traces_that_are_not_sampled() {
    let paster = serve("0");
    let (parent, _) = told(&paster, &[]);
    assert!(
        parent.as_str().is_some_and(|text| text.ends_with("-02")),
        "{parent}"
    );
    let (parent, _) = told(&paster, &[("traceparent", PARENT)]);
    assert!(
        parent.as_str().is_some_and(|text| text.ends_with("-01")),
        "{parent}"
    );
    let refused = Paster::refused(
        &Site::new()
            .actor("home", "/")
            .policy("home", "traceparent = 2"),
    );
    assert!(
        refused.stderr.contains("a share from 0 to 1"),
        "{}",
        refused.stderr
    );
}
