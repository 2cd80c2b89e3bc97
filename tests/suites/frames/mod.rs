//! HTTP/2 as RFC 9113, RFC 7541, RFC 8441 and RFC 9218 have it, case by case, with frames that are written by hand.
//!
//! A table per subject; a case says which frames are sent and what is due for them. Where a case ends a stream, the
//! connection must go on; where it ends the connection, others must. The same cases can be played against other servers.

mod abuse;
mod case;
mod flow;
mod made_up;
mod run;
mod script;

mod bodies;
mod fields;
mod heads;
mod settings;
mod sizes;
mod streams;

use crate::conformance::backend::Backend;
use crate::conformance::others;
use crate::harness::{Paster, Site};
use case::Case;
use run::{Measure, run};

/// Every table, by its subject.
const SUBJECTS: &[(&str, &[Case])] = &[
    ("settings", settings::CASES),
    ("sizes", sizes::CASES),
    ("streams", streams::CASES),
    ("heads", heads::CASES),
    ("fields", fields::CASES),
    ("bodies", bodies::CASES),
];

fn front(backend: &Backend) -> Paster {
    let ini = format!(
        "[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = 0\n\
         [app:main]\nuse = http://{}\n\
         [isolate]\nthreads = 200\nmax_body = 200000\n",
        backend.address
    );
    Site::new().ini(&ini).serve()
}

fn backend(cases: &[Case]) -> Backend {
    Backend::start(cases.iter().map(Case::script).collect())
}

#[track_caller]
fn hold(subject: &str) {
    let (_, cases) = SUBJECTS
        .iter()
        .find(|(name, _)| *name == subject)
        .expect("it is in the list");
    let backend = backend(cases);
    let paster = front(&backend);
    let findings = run(cases, paster.address(), &backend, Measure::Ours);
    let texts: Vec<_> = findings.iter().map(|(_, text)| text.as_str()).collect();
    assert!(
        findings.is_empty(),
        "{} of {} cases fail:\n{}",
        findings.len(),
        cases.len(),
        texts.join("\n")
    );
}

macro_rules! subjects {
    ($($test:ident: $subject:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                hold($subject);
            }
        )*
    };
}

subjects! {
    settings_and_what_concerns_the_connection: "settings",
    sizes_of_frames: "sizes",
    states_of_streams: "streams",
    compressed_heads: "heads",
    fields_of_requests: "fields",
    bodies_and_answers: "bodies",
}

#[test]
fn every_case_has_a_name_of_its_own() {
    let mut names: Vec<_> = SUBJECTS
        .iter()
        .flat_map(|(_, cases)| cases.iter().map(|case| case.name))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is used twice");
    assert!(count >= 150, "{count} cases");
}

/// Prints a table; never fails.
#[test]
#[ignore = "about other servers: see docs/testing.md"]
fn other_servers_by_frames() {
    let verbose = std::env::var_os("PASTER_TEST_VERBOSE").is_some();
    let mut table = String::new();
    for (name, configure) in others::OTHERS {
        for (subject, cases) in SUBJECTS {
            let backend = backend(cases);
            let Some(other) = others::start(configure, backend.address, others::Speaks::Http2)
            else {
                table += &format!("{name:10} is not installed\n");
                break;
            };
            // What asked whether it serves.
            backend.forget();
            let findings = run(cases, other.address, &backend, Measure::Fair);
            let names: Vec<_> = findings.iter().map(|(name, _)| *name).collect();
            table += &format!(
                "{name:10} {subject:12} {:3} of {:3} fail: {}\n",
                findings.len(),
                cases.len(),
                names.join(", ")
            );
            if verbose {
                findings.iter().for_each(|(_, text)| table += text);
            }
        }
    }
    others::show(&table);
}
