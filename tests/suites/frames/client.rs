//! The client of a case: frames out, what comes in kept.

use super::case::{Case, Fields, GET, Step};
use super::judge::{ends, has_come, was_refused};
use crate::harness::cases::Measure;
use crate::harness::cases::backend::{Backend, PROBE, mark};
use crate::harness::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PREFACE, Raw, Seen, asking, frame, settings,
};
use crate::harness::hpack;
use crate::harness::{DEADLINE, poll};
use std::net::SocketAddr;
use std::time::Duration;

/// The stream of the request that only asks whether the connection still works.
pub(super) const PROBE_STREAM: u32 = 9001;

/// What a frame may hold unless more was agreed (RFC 9113 section 4.2).
const FRAME: usize = 16_384;

/// For a case at another server, which may never do what is due.
const PATIENCE: Duration = Duration::from_secs(4);

/// What became of a case.
pub(crate) struct Played {
    pub(super) seen: Seen,
    pub(super) trouble: Option<&'static str>,
}

/// Plays a case to its end.
pub(super) fn play(
    case: &Case,
    address: SocketAddr,
    backend: &Backend,
    measure: Measure,
) -> Played {
    let mut client = Raw::connect(address);
    let mut trouble = None;
    if measure == Measure::Fair {
        client.be_patient(PATIENCE);
    }
    if !case.exchange.is_bare {
        client.send(PREFACE);
        client.send(&settings(&[]));
        client.until(|seen| seen.settings_acks > 0);
    }
    let due = case.due_by(measure);
    // What is not waited for goes at once: the server sees all of it, or nothing.
    let mut together = Vec::new();
    for step in case.exchange.steps {
        if matches!(step, Step::Await(_) | Step::Arrival) {
            client.send(&std::mem::take(&mut together));
        }
        match *step {
            Step::Await(due) => {
                if !client.until(|seen| has_come(seen, due)) {
                    trouble = Some("what the client waited for did not come");
                    break;
                }
            }
            Step::Arrival => {
                if poll(DEADLINE, || {
                    (!backend.arrived(case.name).is_empty()).then_some(())
                })
                .is_err()
                {
                    trouble = Some("nothing arrived at the backend");
                    break;
                }
            }
            step => together.extend(bytes(step, case)),
        }
    }
    client.send(&together);
    let came = client.until(|seen| {
        due.iter().all(|due| has_come(seen, *due))
            || (measure == Measure::Fair && due.iter().any(|due| was_refused(seen, *due)))
    });
    if came && !due.iter().any(ends) && !client.seen.closed {
        let path = format!("/{}{PROBE}", mark(case.name));
        client.send(&frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            PROBE_STREAM,
            &hpack::encode(&asking(&path)),
        ));
        client.until(|seen| seen.is_over(PROBE_STREAM));
    }
    Played {
        seen: client.seen,
        trouble,
    }
}

fn bytes(step: Step, case: &Case) -> Vec<u8> {
    match step {
        Step::Bytes(bytes) => bytes.to_vec(),
        Step::Frame(kind, flags, stream, payload) => frame(kind, flags, stream, payload),
        Step::Zeros(kind, flags, stream, count) => frame(kind, flags, stream, &vec![0; count]),
        Step::Block(kind, flags, stream, fields) => {
            frame(kind, flags, stream, &block(fields, case))
        }
        Step::Coded(flags, stream, before, fields, behind) => {
            let middle = block(fields, case);
            let payload = [before, &middle, behind].concat();
            frame(HEADERS, END_HEADERS | flags, stream, &payload)
        }
        Step::Large(stream, name, count) => large(stream, name, count, case),
        Step::Times(count, step) => bytes(*step, case).repeat(count),
        Step::Await(_) | Step::Arrival => Vec::new(),
    }
}

fn block(fields: Fields, case: &Case) -> Vec<u8> {
    let marked: Vec<(&str, String)> = fields
        .iter()
        .map(|(name, value)| (*name, value.replace("{id}", &mark(case.name))))
        .collect();
    let fields: Vec<(&str, &str)> = marked
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    hpack::encode(&fields)
}

fn large(stream: u32, name: &str, count: usize, case: &Case) -> Vec<u8> {
    let mut fields = block(GET, case);
    fields.extend(hpack::encode(&[(name, &"x".repeat(count))]));
    let parts: Vec<&[u8]> = fields.chunks(FRAME).collect();
    let mut bytes = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let mut flags = if at == 0 { END_STREAM } else { 0 };
        if at + 1 == parts.len() {
            flags |= END_HEADERS;
        }
        bytes.extend(frame(kind, flags, stream, part));
    }
    bytes
}
