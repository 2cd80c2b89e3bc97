//! What is wrong with what the client of a case has seen.

use super::case::{After, Case, Exchange};
use super::client::{Seen, play};
use crate::harness::cases::backend::{Backend, contains};
use crate::harness::cases::{Finding, Measure, Protocol, Speaks, cut};
use std::net::SocketAddr;

impl Protocol for Exchange {
    const SPEAKS: Speaks = Speaks::Http1;
    type Seen = Seen;
    type Beside = ();

    fn beside(_: SocketAddr) {}

    fn afterwards((): (), backend: &Backend) -> Vec<Finding> {
        let strays = backend.arrived("");
        strays
            .iter()
            .map(|stray| {
                let text = format!("a request of no case: {}", cut(stray));
                ("(stray)", text)
            })
            .collect()
    }

    fn play(case: &Case, address: SocketAddr, backend: &Backend, _: Measure) -> Seen {
        play(case, address, backend)
    }

    fn judge(case: &Case, seen: &Seen, backend: &Backend, measure: Measure) -> Vec<String> {
        let due = &case.exchange;
        if measure == Measure::Fair && due.fair.contains(&&*seen.statuses) {
            return Vec::new();
        }
        let mut wrong: Vec<String> = seen.trouble.iter().cloned().collect();
        if seen.statuses != due.statuses {
            wrong.push(format!(
                "expected {:?}, got {:?}",
                due.statuses, seen.statuses
            ));
        }
        match due.after {
            After::Closed if !seen.closed => wrong.push("the connection was not closed".into()),
            After::Open if seen.probe != Some(200) => {
                wrong.push(format!("one more request got {:?}", seen.probe));
            }
            _ => {}
        }
        wrong.extend(case.miscounted(backend));
        wrong.extend(case.misdelivered(backend));
        let got = seen.before_probe().to_ascii_lowercase();
        for part in due.says {
            if !contains(&got, part.as_bytes()) {
                wrong.push(format!("{part:?} was not said"));
            }
        }
        for part in due.never_says {
            if contains(&got, part.as_bytes()) {
                wrong.push(format!("{part:?} was said"));
            }
        }
        wrong
    }

    fn describe(case: &Case, seen: &Seen) -> String {
        let sent = match case.exchange.steps {
            [] => cut(case.exchange.send),
            steps => format!("{steps:?}"),
        };
        format!("  sent    {sent}\n  got     {}", cut(&seen.bytes))
    }
}
