//! `paster events`: what has happened, and what happens.

use super::args::EventsArgs;
use super::exit::Exit;
use super::follow::{self, Reading};
use super::output;
use super::problems::printable;
use crate::control::journal;
use crate::control::protocol::Event;
use crate::control::query::Query;
use crate::control::stream::Line;
use chrono::{DateTime, Local, Utc};
use serde_json::Value;
use std::fmt::Write;
use std::io;

/// Events that are shown before new ones, unless more or fewer are asked for.
const BEFORE_NEW: usize = 10;
pub(crate) fn run(args: &EventsArgs) -> Exit {
    let query = Query {
        follow: args.follow,
        last: args.lines.or(args.follow.then_some(BEFORE_NEW)),
        since: args.since.map(|since| journal::time(Utc::now() - since)),
        apps: args.apps.clone(),
    };
    let mut shown = Shown {
        began: journal::time(Utc::now()),
        printed: None,
        as_json: args.json,
    };
    follow::run(&args.site, "/v1/events", query, &mut shown, args.json)
}

/// What was printed, so that the stream can be read again after its end.
struct Shown {
    began: String,
    /// Time and number of the last event.
    printed: Option<(String, u64)>,
    as_json: bool,
}

impl Reading for Shown {
    type Item = Event;

    fn line(&mut self, line: Line<Event>) -> io::Result<()> {
        if let Line::Item(event) = &line {
            let place = Some((event.time.clone(), event.seq));
            if place <= self.printed {
                return Ok(());
            }
            self.printed = place;
        }
        output::line(&printable(&text(&line, self.as_json)))
    }

    fn go_on(&mut self, query: &mut Query) {
        let last = self.printed.as_ref().map(|(time, _)| time);
        query.since = Some(last.unwrap_or(&self.began).clone());
    }
}

fn text(line: &Line<Event>, as_json: bool) -> String {
    match line {
        line if as_json => serde_json::to_string(line).expect("plain data with string keys"),
        Line::Item(event) => for_people(event),
        Line::Missed { missed } => format!("[{missed} events were missed here]"),
    }
}

/// `2025-01-02 03:04:05.678  worker_ready  home:0  worker ready (generation 1, pid 42, duration_ms 116)`
fn for_people(event: &Event) -> String {
    let who = match (&event.app, event.slot) {
        (Some(app), Some(slot)) => format!("{app}:{slot}"),
        (Some(app), None) => app.clone(),
        (None, _) => "-".to_owned(),
    };
    let mut text = format!(
        "{}  {:<18} {who:<12} {}",
        local(&event.time),
        event.kind,
        event.message
    );
    let numbers = [("generation", event.generation), ("pid", event.pid)];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, number)| Some(format!("{name} {}", number?)));
    let details = event.details.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name} {text}"),
        other => format!("{name} {other}"),
    });
    let more: Vec<String> = numbers.chain(details).collect();
    if !more.is_empty() {
        let _ = write!(text, " ({})", more.join(", "));
    }
    text.replace('\n', " ")
}

/// Where the reader lives.
pub(super) fn local(time: &str) -> String {
    DateTime::parse_from_rfc3339(time).map_or_else(
        |_| time.to_owned(),
        |time| time.with_timezone(&Local).format("%F %T%.3f").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let event: Event = serde_json::from_value(json!({
            "seq": 7, "time": "2025-01-02T03:04:05.678Z", "level": "info", "kind": "worker_ready", "app": "home", "slot": 0,
            "generation": 1, "pid": 42, "message": "worker\nready", "details": {"duration_ms": 116, "why": "asked"}
        }))
        .expect("an event");
        let text = for_people(&event);
        let (time, rest) = text.split_at("2025-01-02 03:04:05.678".len());
        assert!(time.ends_with("5.678"), "{text}");
        assert_eq!(
            rest,
            "  worker_ready       home:0       worker ready (generation 1, pid 42, duration_ms 116, why asked)"
        );
    }
}
