//! The format `json`: one object per line, whose fields are only ever added to. docs/access-log.md lists them.

use super::entry::Entry;
use super::moment::{Moment, Precise};
use super::program::{Hex, JSON_REFERER, JSON_USER_AGENT};
use http::HeaderValue;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

#[derive(Serialize)]
struct Line<'e> {
    time: Shown<Precise>,
    client: Option<Shown<std::net::IpAddr>>,
    method: Cow<'e, str>,
    target: Cow<'e, str>,
    version: Cow<'e, str>,
    scheme: Option<Cow<'e, str>>,
    host: Option<Cow<'e, str>>,
    tls: Option<&'static str>,
    status: u16,
    bytes: u64,
    bytes_received: u64,
    duration_ms: f64,
    queue_ms: f64,
    upstream_status: Option<u16>,
    upstream_connect_ms: Option<f64>,
    upstream_header_ms: Option<f64>,
    upstream_ms: Option<f64>,
    tries: u32,
    app: Option<&'e str>,
    slot: Option<u32>,
    generation: Option<u64>,
    pid: Option<u32>,
    request_id: Option<Cow<'e, str>>,
    trace_id: Option<Shown<Hex<u128>>>,
    span_id: Option<Shown<Hex<u64>>>,
    referer: Option<Cow<'e, str>>,
    user_agent: Option<Cow<'e, str>>,
}

/// Something that is written as it is shown.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Adds the line of `entry`.
pub(super) fn push(out: &mut Vec<u8>, entry: &Entry) {
    let (method, target, version) = entry.line.parts();
    let worker = entry.upstream.as_ref().map(|upstream| &upstream.worker);
    let field = |at: usize| text(entry.request_fields.get(at)?.as_ref());
    let total = &entry.total;
    let last = entry.last_try.as_ref();
    let line = Line {
        time: Shown(Precise(Moment(entry.time))),
        client: entry.peer.map(|peer| Shown(peer.ip().to_canonical())),
        method,
        target,
        version,
        scheme: text(entry.scheme.as_ref()),
        host: text(entry.host.as_ref()),
        tls: entry.secured.as_ref().map(|secured| secured.version),
        status: entry.status(),
        bytes: total.sent,
        bytes_received: total.received,
        duration_ms: millis(total.took),
        queue_ms: millis(total.waited.unwrap_or_default()),
        upstream_status: last.and_then(|last| last.status),
        upstream_connect_ms: last.and_then(|last| last.connect()).map(millis),
        upstream_header_ms: last.and_then(|last| last.header()).map(millis),
        upstream_ms: last.and_then(|last| last.response()).map(millis),
        tries: total.tries,
        app: entry.app.as_deref(),
        slot: worker.map(|worker| worker.slot),
        generation: worker.map(|worker| worker.generation),
        pid: worker.map(|worker| worker.pid),
        request_id: text(entry.request_id.as_ref()),
        trace_id: entry.trace.map(|trace| Shown(Hex(trace.id))),
        span_id: entry.trace.map(|trace| Shown(Hex(trace.span))),
        referer: field(JSON_REFERER),
        user_agent: field(JSON_USER_AGENT),
    };
    // Into memory, and no key of a map in it: nothing can fail.
    let _ = serde_json::to_writer(out, &line);
}

fn text(value: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()))
}

/// To the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
