//! HTTP/2 as RFC 9113, RFC 7541, RFC 8441 and RFC 9218 have it, case by case, with frames that are written by hand.
//!
//! A table per subject; a case says which frames are sent and what is due for them. Where a case ends a stream, the
//! connection must go on; where it ends the connection, others must. The same cases can be played against other servers.

mod abuse;
mod case;
mod client;
mod flow;
mod interim;
mod judge;
mod made_up;
mod script;

mod bodies;
mod fields;
mod heads;
mod settings;
mod sizes;
mod streams;

use crate::harness::cases::{Tables, subjects};
use case::Exchange;

const TABLES: Tables<Exchange> = Tables {
    subjects: &[
        ("settings", settings::CASES),
        ("sizes", sizes::CASES),
        ("streams", streams::CASES),
        ("heads", heads::CASES),
        ("fields", fields::CASES),
        ("bodies", bodies::CASES),
    ],
    settings: "max_body = 200000",
};

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
    TABLES.check_names(290);
}

#[test]
#[ignore = "about other servers: see docs/testing.md"]
fn other_servers_by_frames() {
    TABLES.show_others();
}
