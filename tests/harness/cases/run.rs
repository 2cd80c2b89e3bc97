//! Plays the cases of a table and says what came of them.

use super::backend::Backend;
use super::{Case, Protocol};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Cases that are played at the same time.
const AT_ONCE: usize = 8;

/// Whose outcomes are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// What we have promised.
    Ours,
    /// Whatever the RFC allows, however it is said.
    Fair,
}

/// The name of a case, or of another thing in parentheses, and what is wrong.
pub(crate) type Finding = (&'static str, String);

/// Plays all cases against the server at `address`.
pub(super) fn run<P: Protocol>(
    cases: &'static [Case<P>],
    address: SocketAddr,
    backend: &Backend,
    measure: Measure,
) -> Vec<Finding> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    let beside = P::beside(address);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let seen = P::play(case, address, backend, measure);
                    played.lock().expect("no panic under it").push((case, seen));
                }
            });
        }
    });
    let played = played.into_inner().expect("no panic under it");
    let mut findings: Vec<_> = played
        .iter()
        .filter_map(|(case, seen)| {
            let wrong = P::judge(case, seen, backend, measure);
            (!wrong.is_empty()).then(|| (case.name, describe(case, seen, backend, &wrong)))
        })
        .collect();
    findings.extend(P::afterwards(beside, backend));
    findings.sort();
    findings
}

fn describe<P: Protocol>(
    case: &Case<P>,
    seen: &P::Seen,
    backend: &Backend,
    wrong: &[String],
) -> String {
    let arrived = backend.arrived(case.name);
    let arrived: Vec<_> = arrived.iter().map(|request| cut(request)).collect();
    format!(
        "{} (RFC {}): {}\n{}\n  arrived {}\n",
        case.name,
        case.rfc,
        wrong.join("; "),
        P::describe(case, seen),
        arrived.join("\n          "),
    )
}

/// The beginning of what was sent, to be read.
pub(crate) fn cut(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(800)];
    format!("\"{}\"", cut.escape_ascii())
}
