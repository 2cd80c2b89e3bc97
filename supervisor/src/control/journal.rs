//! The journal: log lines that are events, for `paster events`.
//!
//! A line of the log and an event are one statement. Its name is the kind ([`kinds`]), its fields `app`, `slot`,
//! `generation` and `pid` are those of the event, all others its details. Warnings and errors without a kind are events
//! too, so that none can be forgotten. What the log shows is chosen apart from this (`PASTER_LOG`).

use super::feed::Feed;
use super::kinds;
use super::protocol::Event;
use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Events that are kept for those who ask later.
pub const KEPT: usize = 1000;
/// Longest message, and longest text among the details, in characters.
const MAX_TEXT: usize = 1000;

/// The part of the log's subscriber that puts events into `feed`.
pub fn layer<S>(feed: Feed<Arc<Event>>) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    Journal(feed).with_filter(filter_fn(|metadata| kind(metadata).is_some()))
}

struct Journal(Feed<Arc<Event>>);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let Some(kind) = kind(event.metadata()) else {
            return;
        };
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.push(|seq| {
            Arc::new(Event {
                seq,
                time: now(),
                level: event.metadata().level().as_str().to_ascii_lowercase(),
                kind: kind.to_owned(),
                ..fields.0
            })
        });
    }
}

/// Of which kind of event a line of the log is, if of any. What libraries have to say is none.
fn kind(metadata: &Metadata<'_>) -> Option<&'static str> {
    let named = kinds::ALL.iter().find(|kind| **kind == metadata.name());
    let ours = metadata.target().starts_with(env!("CARGO_PKG_NAME"));
    match (named, *metadata.level()) {
        (Some(kind), _) => Some(*kind),
        (None, Level::ERROR) if ours => Some(kinds::ERROR),
        (None, Level::WARN) if ours => Some(kinds::WARNING),
        (None, _) => None,
    }
}

/// As [`Event::time`] has it.
pub fn time(at: chrono::DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn now() -> String {
    time(Utc::now())
}

/// The fields of a line, sorted into an event.
struct Fields(Event);

impl Default for Fields {
    fn default() -> Fields {
        Fields(Event {
            seq: 0,
            time: String::new(),
            level: String::new(),
            kind: String::new(),
            app: None,
            slot: None,
            generation: None,
            pid: None,
            message: String::new(),
            details: Map::new(),
        })
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.details.insert(field.name().to_owned(), value.into());
    }

    fn put_text(&mut self, field: &Field, text: String) {
        let text = match text.char_indices().nth(MAX_TEXT) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        };
        match field.name() {
            "message" => self.0.message = text,
            "app" => self.0.app = Some(text),
            _ => self.put(field, text),
        }
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "slot" => self.0.slot = Some(value),
            "generation" => self.0.generation = Some(value),
            "pid" => self.0.pid = Some(value),
            _ => self.put(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.record_u64(field, value),
            Err(_) => self.put(field, value),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// What the journal has after `log`.
    fn journal(log: impl FnOnce()) -> Vec<Event> {
        let feed = Feed::new(10);
        let subscriber = tracing_subscriber::registry().with(layer(feed.clone()));
        tracing::subscriber::with_default(subscriber, log);
        feed.kept().iter().map(|event| (**event).clone()).collect()
    }

    #[test]
    fn a_line_with_a_kind_is_an_event_with_its_fields() {
        let (slot, pid) = (3_u32, Some(42_u32));
        let events = journal(|| {
            tracing::debug!(
                name: kinds::WORKER_READY, app = %"blog", slot, generation = 2_u64, pid, ratio = 0.5, "worker {}", "ready"
            );
        });
        let [event] = &events[..] else {
            panic!("one event, not {events:?}");
        };
        assert_eq!((event.seq, event.kind.as_str()), (1, "worker_ready"));
        assert_eq!(event.level, "debug");
        assert_eq!(event.app.as_deref(), Some("blog"));
        assert_eq!(
            (event.slot, event.generation, event.pid),
            (Some(3), Some(2), Some(42))
        );
        assert_eq!(event.message, "worker ready");
        assert_eq!(
            Value::Object(event.details.clone()),
            serde_json::json!({"ratio": 0.5})
        );
        assert_eq!(event.time.len(), "2025-01-02T03:04:05.678Z".len());
    }

    #[test]
    fn what_is_wrong_is_an_event_anyway_and_other_lines_are_none() {
        let events = journal(|| {
            tracing::warn!(pid = None::<u32>, "odd");
            tracing::error!("bad");
            tracing::info!("news");
            tracing::error!(target: "hyper", "not ours");
        });
        let seen: Vec<(&str, &str)> = events
            .iter()
            .map(|event| (event.kind.as_str(), event.message.as_str()))
            .collect();
        assert_eq!(seen, [("warning", "odd"), ("error", "bad")]);
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = "é".repeat(5000);
        let events = journal(|| tracing::warn!(text, "{text}"));
        assert_eq!(events[0].message.chars().count(), MAX_TEXT + 1);
        let detail = events[0].details["text"].as_str().expect("a text");
        assert_eq!(detail.chars().count(), MAX_TEXT + 1);
    }
}
