//! Runs cases and says what came of them.

use super::backend::{Backend, contains};
use super::case::{ANY, After, Case};
use super::client::{Seen, play};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases that are played at the same time.
const AT_ONCE: usize = 8;

/// Whose outcomes are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    /// What we have promised.
    Ours,
    /// Whatever the RFC allows.
    Fair,
}

/// Plays all cases against the server at `address`; the complaints, by case.
pub(super) fn run(
    cases: &'static [Case],
    address: SocketAddr,
    backend: &Backend,
    measure: Measure,
) -> Vec<(&'static str, String)> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = play(case, address, backend);
                    played.lock().expect("no panic under it").push((case, seen));
                }
            });
        }
    });
    let played = played.into_inner().expect("no panic under it");
    let mut findings: Vec<_> = played
        .iter()
        .filter_map(|(case, seen)| {
            let wrong = judge(case, seen, backend, measure);
            let shown = || describe(case, seen, backend, &wrong);
            (!wrong.is_empty()).then(|| (case.name, shown()))
        })
        .collect();
    for stray in backend.arrived("") {
        findings.push((
            "(stray)",
            format!("a request of no case: {}", shown(&stray)),
        ));
    }
    findings.sort();
    findings
}

fn judge(case: &Case, seen: &Seen, backend: &Backend, measure: Measure) -> Vec<String> {
    if measure == Measure::Fair && case.fair.contains(&&*seen.statuses) {
        return Vec::new();
    }
    let mut wrong: Vec<String> = seen.trouble.iter().cloned().collect();
    if seen.statuses != case.statuses {
        wrong.push(format!(
            "expected {:?}, got {:?}",
            case.statuses, seen.statuses
        ));
    }
    match case.after {
        After::Closed if !seen.closed => wrong.push("the connection was not closed".into()),
        After::Open if seen.probe != Some(200) => {
            wrong.push(format!("one more request got {:?}", seen.probe));
        }
        _ => {}
    }
    let arrived = backend.arrived(case.name);
    if case.requests != ANY && arrived.len() != case.requests {
        wrong.push(format!(
            "{} requests arrived, not {}",
            arrived.len(),
            case.requests
        ));
    }
    let arrived = arrived.concat().to_ascii_lowercase();
    let got = seen.before_probe().to_ascii_lowercase();
    let checks = [
        ("did not arrive", case.arrives, &arrived, false),
        ("arrived", case.never_arrives, &arrived, true),
        ("was not said", case.says, &got, false),
        ("was said", case.never_says, &got, true),
    ];
    for (what, parts, text, unwanted) in checks {
        for part in parts {
            if contains(text, part.as_bytes()) == unwanted {
                wrong.push(format!("{part:?} {what}"));
            }
        }
    }
    wrong
}

fn describe(case: &Case, seen: &Seen, backend: &Backend, wrong: &[String]) -> String {
    let arrived = backend.arrived(case.name);
    let arrived: Vec<_> = arrived.iter().map(|request| shown(request)).collect();
    format!(
        "{} (RFC {}): {}\n  sent    {}\n  got     {}\n  arrived {}\n",
        case.name,
        case.rfc,
        wrong.join("; "),
        sent(case),
        shown(&seen.bytes),
        arrived.join("\n          "),
    )
}

fn sent(case: &Case) -> String {
    if case.steps.is_empty() {
        shown(case.send)
    } else {
        format!("{:?}", case.steps)
    }
}

fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(800)];
    format!("\"{}\"", cut.escape_ascii())
}
