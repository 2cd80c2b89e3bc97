//! HTTP/1.1 as RFC 9110 and RFC 9112 have it, case by case, by raw bytes on both sides of the real program.
//!
//! A table per subject; a case says what is sent, what the backend answers and what may come of it. The same cases can
//! be played against other servers ([`other_servers`]), which shows that they are fair.

mod case;
mod client;
mod judge;

mod chunked;
mod connection;
mod expect;
mod fields;
mod framing;
mod host;
mod limits;
mod methods;
mod old;
mod pipelining;
mod responses;
mod targets;
mod trailers;
mod upgrade;

use crate::harness::cases::backend::Backend;
use crate::harness::cases::{Tables, subjects};
use crate::harness::{DEADLINE, poll};
use case::Exchange;

const TABLES: Tables<Exchange> = Tables {
    subjects: &[
        ("framing", framing::CASES),
        ("chunked", chunked::CASES),
        ("fields", fields::CASES),
        ("targets", targets::CASES),
        ("host", host::CASES),
        ("connection", connection::CASES),
        ("expect", expect::CASES),
        ("methods", methods::CASES),
        ("trailers", trailers::CASES),
        ("HTTP/1.0", old::CASES),
        ("pipelining", pipelining::CASES),
        ("responses", responses::CASES),
        ("upgrade", upgrade::CASES),
        ("limits", limits::CASES),
    ],
    settings: "access_log = access.log\naccess_log_format = json",
};

subjects! {
    the_length_of_a_request_is_never_ambiguous: "framing",
    chunked_bodies: "chunked",
    lines_and_fields: "fields",
    request_targets: "targets",
    the_host_field: "host",
    connections_and_what_ends_at_a_hop: "connection",
    expectations: "expect",
    methods_and_statuses_without_a_body: "methods",
    trailers_pass: "trailers",
    old_clients: "HTTP/1.0",
    pipelined_requests: "pipelining",
    what_a_backend_answers: "responses",
    upgrades: "upgrade",
    sizes: "limits",
}

#[test]
fn requests_that_were_refused_are_logged() {
    let backend = Backend::start(Vec::new());
    let paster = TABLES.front(&backend);
    let refused = [
        ("GET /lf HTTP/1.1\nHost: a\r\n\r\n", 400),
        ("GET /name HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n", 400),
        ("GET /host HTTP/1.1\r\n\r\n", 400),
        ("GET /old HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("\x16\x03\x01 \"x", 400),
    ];
    for (bytes, status) in refused {
        let mut connection = paster.connect();
        connection.send(bytes.as_bytes()).expect("it reads");
        let answer = connection.response().expect("an answer");
        assert_eq!(answer.status, status, "{bytes:?}");
    }
    let path = paster.site().path("access.log");
    let text = poll(DEADLINE, || {
        std::fs::read_to_string(&path)
            .ok()
            .filter(|text| text.lines().count() >= refused.len())
    })
    .expect("all are logged");
    for (bytes, status) in refused {
        let line = bytes.split(['\r', '\n']).next().unwrap_or_default();
        let words = line.splitn(3, ' ');
        let found = text.lines().any(|entry| {
            let entry: serde_json::Value = serde_json::from_str(entry).expect("an object");
            entry["status"] == status
                && entry["method"].as_str() == words.clone().next()
                && entry["target"].as_str() == words.clone().nth(1)
        });
        assert!(found, "{line:?} is not in {text}");
    }
}

#[test]
fn every_case_has_a_name_of_its_own() {
    TABLES.check_names(300);
}

#[test]
#[ignore = "about other servers: see docs/testing.md"]
fn other_servers() {
    TABLES.show_others();
}
