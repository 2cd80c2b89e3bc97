//! Plays cases and says what came of them.

use super::case::{Case, Due, Fields, Step};
use crate::conformance::backend::{Backend, PROBE, contains, mark};
use crate::conformance::case::ANY;
use crate::harness::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PREFACE, Raw, Seen, asking, frame, settings,
};
use crate::harness::hpack;
use crate::harness::{DEADLINE, poll};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Cases that are played at the same time.
const AT_ONCE: usize = 8;

/// The stream of the request that only asks whether the connection still works.
const PROBE_STREAM: u32 = 9001;

/// What a frame may hold unless more was agreed (RFC 9113 section 4.2).
const FRAME: usize = 16_384;

/// For a case at another server, which may never do what is due.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whose outcomes are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// What is due, or what is known to be otherwise.
    Ours,
    /// Whatever refuses what is to be refused, however it is said.
    Fair,
}

/// What became of a case.
struct Played {
    seen: Seen,
    trouble: Option<&'static str>,
}

/// Plays all cases against the server at `address`; the complaints, by case.
pub(super) fn run(
    cases: &'static [Case],
    address: SocketAddr,
    backend: &Backend,
    measure: Measure,
) -> Vec<(&'static str, String)> {
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Vec::new());
    let mut neighbour = Raw::open(address);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let played = play(case, address, backend, measure);
                    let wrong = judge(case, &played, backend, measure);
                    if !wrong.is_empty() {
                        let text = describe(case, &played.seen, backend, &wrong);
                        let mut findings = findings.lock().expect("no panic under it");
                        findings.push((case.name, text));
                    }
                }
            });
        }
    });
    let mut findings = findings.into_inner().expect("no panic under it");
    neighbour.be_patient(DEADLINE);
    neighbour.get(1, "/neighbour");
    if !neighbour.until(|seen| seen.is_over(1)) || neighbour.seen.status(1) != Some(200) {
        findings.push((
            "(neighbour)",
            format!("another connection was hurt: {:?}", neighbour.seen),
        ));
    }
    findings.sort();
    findings
}

fn play(case: &Case, address: SocketAddr, backend: &Backend, measure: Measure) -> Played {
    let mut client = Raw::connect(address);
    let mut trouble = None;
    if measure == Measure::Fair {
        client.be_patient(PATIENCE);
    }
    if !case.is_bare {
        client.send(PREFACE);
        client.send(&settings(&[]));
        client.until(|seen| seen.settings_acks > 0);
    }
    let due = match (measure, case.known) {
        (Measure::Ours, Some(known)) => known,
        _ => case.due,
    };
    // What is not waited for goes at once: the server sees all of it, or nothing.
    let mut together = Vec::new();
    for step in case.steps {
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
    let mut fields = block(super::case::GET, case);
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

fn has_come(seen: &Seen, due: Due) -> bool {
    match due {
        Due::Status(stream, status) => {
            seen.status(stream) == Some(status) && seen.stream(stream).ended
        }
        Due::Begins(stream, status) => seen.status(stream) == Some(status),
        Due::Interim(stream, status) => seen.stream(stream).interim.contains(&status),
        Due::Reset(stream, code) => seen.stream(stream).reset == Some(code),
        Due::GoAway(code) => seen.goaway() == Some(code) && seen.closed,
        Due::Closed => seen.closed,
        Due::Pong(told) => seen.pongs.contains(told),
        Due::Acks(count) => seen.settings_acks >= count,
    }
}

fn ends(due: &Due) -> bool {
    matches!(due, Due::GoAway(_) | Due::Closed)
}

/// What is to be refused was, in whatever way.
fn was_refused(seen: &Seen, due: Due) -> bool {
    match due {
        Due::Reset(stream, _) | Due::Status(stream, 400..) => {
            seen.closed || seen.stream(stream).reset.is_some() || seen.status(stream) >= Some(400)
        }
        Due::GoAway(_) | Due::Closed => {
            seen.closed
                || seen
                    .streams
                    .values()
                    .any(|stream| stream.reset.is_some() || stream.status >= Some(400))
        }
        _ => false,
    }
}

fn judge(case: &Case, played: &Played, backend: &Backend, measure: Measure) -> Vec<String> {
    let seen = &played.seen;
    let is_fair = measure == Measure::Fair;
    let mut wrong: Vec<String> = seen.trouble.iter().cloned().collect();
    wrong.extend(played.trouble.map(str::to_owned));
    let due = match (is_fair, case.known) {
        (false, Some(known)) => known,
        _ => case.due,
    };
    for due in due {
        let came = has_come(seen, *due) || (is_fair && was_refused(seen, *due));
        if !came {
            wrong.push(format!("{due:?} did not come"));
        }
    }
    if case.known.is_some() && case.due.iter().all(|due| has_come(seen, *due)) && !is_fair {
        wrong.push("it is known to be otherwise, but is as it should be".to_owned());
    }
    let was_ended = is_fair && seen.closed && due.iter().any(|due| was_refused(seen, *due));
    if !due.iter().any(ends) && !was_ended {
        if let Some(code) = seen.goaway() {
            wrong.push(format!("GOAWAY with {code}"));
        }
        if seen.status(PROBE_STREAM) != Some(200) {
            wrong.push(format!(
                "one more request got {:?}",
                seen.status(PROBE_STREAM)
            ));
        }
    }
    let arrived = backend.arrived(case.name);
    if case.requests != ANY && arrived.len() != case.requests && !is_fair {
        wrong.push(format!(
            "{} requests arrived, not {}",
            arrived.len(),
            case.requests
        ));
    }
    let arrived = arrived.concat().to_ascii_lowercase();
    for part in case.arrives {
        if !contains(&arrived, part.as_bytes()) {
            wrong.push(format!("{part:?} did not arrive"));
        }
    }
    for part in case.never_arrives {
        if contains(&arrived, part.as_bytes()) {
            wrong.push(format!("{part:?} arrived"));
        }
    }
    let answer = seen.stream(1);
    let mut fields = answer.fields.iter().chain(answer.trailers.iter().flatten());
    for (name, value) in case.says {
        if !fields
            .clone()
            .any(|field| field.0 == *name && field.1 == *value)
        {
            wrong.push(format!("{name}: {value} was not said"));
        }
    }
    for name in case.never_says {
        if fields.any(|field| field.0 == *name) {
            wrong.push(format!("{name} was said"));
        }
    }
    wrong
}

fn describe(case: &Case, seen: &Seen, backend: &Backend, wrong: &[String]) -> String {
    let arrived: Vec<_> = backend
        .arrived(case.name)
        .iter()
        .map(|request| request[..request.len().min(800)].escape_ascii().to_string())
        .collect();
    let mut got = format!("{seen:?}");
    got.truncate(3000);
    format!(
        "{} (RFC {}): {}\n  got     {got}\n  arrived {}\n",
        case.name,
        case.rfc,
        wrong.join("; "),
        arrived.join("\n          "),
    )
}
