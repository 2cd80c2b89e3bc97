//! `paster logs`: what apps have printed, and what they print.

use super::args::LogsArgs;
use super::exit::Exit;
use super::follow::{self, Reading};
use super::problems::printable;
use super::{events, output};
use crate::control::journal;
use crate::control::query::Query;
use crate::control::stream::Line;
use crate::logs::{LogLine, Stream};
use chrono::Utc;
use std::collections::HashMap;
use std::io;

pub(crate) fn run(args: &LogsArgs) -> Exit {
    let now = Utc::now();
    let query = Query {
        follow: args.follow,
        last: Some(args.lines),
        since: args.since.map(|since| journal::time(now - since)),
        apps: args.apps.clone(),
    };
    let mut shown = Shown {
        seen: Seen::from(journal::time(now)),
        as_json: args.json,
    };
    follow::run(&args.site, "/v1/logs", query, &mut shown, args.json)
}

struct Shown {
    seen: Seen,
    as_json: bool,
}

impl Reading for Shown {
    type Item = LogLine<'static>;

    fn line(&mut self, line: Line<LogLine<'static>>) -> io::Result<()> {
        let missed = match &line {
            Line::Item(line) => match self.seen.next(line) {
                Verdict::Known => return Ok(()),
                Verdict::New { missed } => missed,
            },
            Line::Missed { .. } => 0,
        };
        let gap = (missed > 0).then_some(Line::Missed { missed });
        let mut lines = gap.iter().chain([&line]);
        lines.try_for_each(|line| output::line(&printable(&text(line, self.as_json))))
    }

    fn go_on(&mut self, _: &mut Query) {
        self.seen.go_on();
    }
}

/// What has been printed, so that a stream can be read again after its end.
struct Seen {
    /// When we began: of a stream that has not been seen, older lines are not asked for.
    began: String,
    last: HashMap<(String, Stream), Last>,
    resumed: bool,
}

/// The last line of a stream of an app.
struct Last {
    number: u64,
    time: String,
    /// It was printed before the stream was read again.
    is_old: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It was printed before, or is older than what was asked for.
    Known,
    /// So many lines before it were not seen, and nobody has said so.
    New { missed: u64 },
}

impl Seen {
    fn from(began: String) -> Seen {
        Seen {
            began,
            last: HashMap::new(),
            resumed: false,
        }
    }

    /// The stream is read again.
    fn go_on(&mut self) {
        self.resumed = true;
        self.last.values_mut().for_each(|last| last.is_old = true);
    }

    fn next(&mut self, line: &LogLine) -> Verdict {
        let Some(number) = line.line else {
            return Verdict::New { missed: 0 };
        };
        let key = (line.app.to_string(), line.stream);
        let last = self.last.get(&key);
        let missed = match last {
            None if self.resumed && *line.time < *self.began => return Verdict::Known,
            // With a later time, it is another paster that counts anew.
            Some(last) if number <= last.number && *line.time <= *last.time => {
                return Verdict::Known;
            }
            Some(last) if last.is_old => number.saturating_sub(last.number + 1),
            _ => 0,
        };
        let last = Last {
            number,
            time: line.time.to_string(),
            is_old: false,
        };
        self.last.insert(key, last);
        Verdict::New { missed }
    }
}

fn text(line: &Line<LogLine>, as_json: bool) -> String {
    match line {
        line if as_json => serde_json::to_string(line).expect("plain data with string keys"),
        Line::Item(line) => for_people(line),
        Line::Missed { missed } => format!("[{missed} lines were missed here]"),
    }
}

/// `2025-01-02 03:04:05.678 [home:0] line`
fn for_people(line: &LogLine) -> String {
    let slot = line
        .slot
        .map_or_else(String::new, |slot| format!(":{slot}"));
    format!(
        "{} [{}{slot}] {}",
        events::local(&line.time),
        line.app,
        line.message
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, time: &str) -> LogLine<'_> {
        LogLine {
            time: time.into(),
            app: "home".into(),
            slot: Some(0),
            generation: Some(1),
            pid: None,
            stream: Stream::Stdout,
            line: Some(number),
            message: "".into(),
            dropped: None,
        }
    }

    const NEW: Verdict = Verdict::New { missed: 0 };

    #[test]
    fn what_is_read_again_is_shown_once_and_a_gap_is_counted() {
        let mut seen = Seen::from("5".to_owned());
        assert_eq!(seen.next(&line(7, "3")), NEW);
        // Here the other side has said what is missing.
        assert_eq!(seen.next(&line(9, "6")), NEW);
        seen.go_on();
        assert_eq!(seen.next(&line(8, "6")), Verdict::Known);
        assert_eq!(seen.next(&line(9, "6")), Verdict::Known);
        assert_eq!(seen.next(&line(12, "7")), Verdict::New { missed: 2 });
        assert_eq!(seen.next(&line(14, "7")), NEW);
    }

    #[test]
    fn what_was_not_asked_for_is_not_shown_later() {
        let mut seen = Seen::from("5".to_owned());
        seen.go_on();
        assert_eq!(seen.next(&line(1, "4")), Verdict::Known);
        assert_eq!(seen.next(&line(2, "5")), NEW);
    }

    #[test]
    fn another_paster_may_count_anew() {
        let mut seen = Seen::from("5".to_owned());
        assert_eq!(seen.next(&line(100, "6")), NEW);
        seen.go_on();
        assert_eq!(seen.next(&line(1, "7")), NEW);
        assert_eq!(seen.next(&line(2, "7")), NEW);
    }
}
