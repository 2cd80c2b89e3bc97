//! What is wrong with what the client of a case has seen.

use super::case::{Case, Due, Exchange};
use super::client::{PROBE_STREAM, Played, play};
use crate::harness::DEADLINE;
use crate::harness::cases::backend::Backend;
use crate::harness::cases::{Finding, Measure, Protocol, Speaks};
use crate::harness::frames::{Raw, Seen};
use std::net::SocketAddr;

impl Protocol for Exchange {
    const SPEAKS: Speaks = Speaks::Http2;
    type Seen = Played;
    type Beside = Raw;

    fn beside(address: SocketAddr) -> Raw {
        Raw::open(address)
    }

    /// Another connection works as before.
    fn afterwards(mut neighbour: Raw, _: &Backend) -> Vec<Finding> {
        neighbour.be_patient(DEADLINE);
        neighbour.get(1, "/neighbour");
        if neighbour.until(|seen| seen.is_over(1)) && neighbour.seen.status(1) == Some(200) {
            return Vec::new();
        }
        let text = format!("another connection was hurt: {:?}", neighbour.seen);
        vec![("(neighbour)", text)]
    }

    fn play(case: &Case, address: SocketAddr, backend: &Backend, measure: Measure) -> Played {
        play(case, address, backend, measure)
    }

    fn judge(case: &Case, played: &Played, backend: &Backend, measure: Measure) -> Vec<String> {
        let seen = &played.seen;
        let is_fair = measure == Measure::Fair;
        let mut wrong: Vec<String> = seen.trouble.iter().cloned().collect();
        wrong.extend(played.trouble.map(str::to_owned));
        let due = case.due_by(measure);
        for due in due {
            let came = has_come(seen, *due) || (is_fair && was_refused(seen, *due));
            if !came {
                wrong.push(format!("{due:?} did not come"));
            }
        }
        if case.exchange.known.is_some()
            && case.exchange.due.iter().all(|due| has_come(seen, *due))
            && !is_fair
        {
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
        if !is_fair {
            wrong.extend(case.miscounted(backend));
        }
        wrong.extend(case.misdelivered(backend));
        let answer = seen.stream(1);
        if case.exchange.never_interim && !answer.interim.is_empty() {
            wrong.push(format!("interim answers {:?}", answer.interim));
        }
        let mut fields = answer.fields.iter().chain(answer.trailers.iter().flatten());
        for (name, value) in case.exchange.says {
            if !fields
                .clone()
                .any(|field| field.0 == *name && field.1 == *value)
            {
                wrong.push(format!("{name}: {value} was not said"));
            }
        }
        for name in case.exchange.never_says {
            if fields.any(|field| field.0 == *name) {
                wrong.push(format!("{name} was said"));
            }
        }
        wrong
    }

    fn describe(_: &Case, played: &Played) -> String {
        let mut got = format!("{:?}", played.seen);
        got.truncate(3000);
        format!("  got     {got}")
    }
}

impl Case {
    /// What is due of us, or of any server.
    pub(super) fn due_by(&self, measure: Measure) -> &'static [Due] {
        match (measure, self.exchange.known) {
            (Measure::Ours, Some(known)) => known,
            _ => self.exchange.due,
        }
    }
}

/// Whether it is there.
pub(super) fn has_come(seen: &Seen, due: Due) -> bool {
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

/// Whether it is the end of the connection.
pub(super) fn ends(due: &Due) -> bool {
    matches!(due, Due::GoAway(_) | Due::Closed)
}

/// What is to be refused was, in whatever way.
pub(super) fn was_refused(seen: &Seen, due: Due) -> bool {
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
