//! `paster events`: what has happened, and what happens.

use super::args::EventsArgs;
use super::exit::Exit;
use super::problems::printable;
use super::{outcome, output, remote};
use crate::control::client::{self, ControlError};
use crate::control::journal;
use crate::control::protocol::Event;
use crate::control::query::Query;
use crate::control::stream::Line;
use chrono::{DateTime, Local, Utc};
use serde_json::Value;
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// Events that are shown before new ones, unless more or fewer are asked for.
const BEFORE_NEW: usize = 10;
/// How long after the end of a stream is looked whether it goes on.
const AGAIN: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &EventsArgs) -> Exit {
    let query = Query {
        follow: args.follow,
        last: args.lines.or(args.follow.then_some(BEFORE_NEW)),
        since: args.since.map(|since| journal::time(Utc::now() - since)),
        apps: args.apps.clone(),
    };
    let socket = remote::socket(&args.site);
    match remote::block_on(&socket, show(&socket, query, args.json)) {
        Ok(()) => Exit::Ok,
        Err(error) => outcome::fail(&error, args.json),
    }
}

/// Prints events until there are no more, or nobody reads.
async fn show(socket: &Path, mut query: Query, as_json: bool) -> Result<(), ControlError> {
    let mut printed = None;
    loop {
        let mut unread = false;
        let mut print = |line: Line<Event>| {
            if let Line::Item(event) = &line {
                let place = Some((event.time.clone(), event.seq));
                if place <= printed {
                    return ControlFlow::Continue(());
                }
                printed = place;
            }
            match output::line(&printable(&text(&line, as_json))) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => {
                    unread = true;
                    ControlFlow::Break(())
                }
            }
        };
        match client::stream(socket, "/v1/events", &query, &mut print).await {
            Ok(()) if unread || !query.follow => return Ok(()),
            // The stream has ended in order: paster has stopped, or another version takes over, and tells the rest.
            Ok(()) => tokio::time::sleep(AGAIN).await,
            Err(ControlError::NotRunning(_)) if printed.is_some() => return Ok(()),
            Err(error) => return Err(error),
        }
        query.last = None;
        query.since = printed.as_ref().map(|(time, _)| time.clone());
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
