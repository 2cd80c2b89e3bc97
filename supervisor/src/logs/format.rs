//! Lines as they are written to files and streams.

use super::app::{Batch, Piece};
use super::ring::Stamp;
use super::source::Stream;
use crate::plan::spec::LineFormat;
use chrono::{DateTime, SecondsFormat, Utc};
use memchr::memchr;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A line of an app, or a gap in its log, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine<'a> {
    /// RFC 3339, UTC, with milliseconds: when it was read.
    pub time: Cow<'a, str>,
    pub app: Cow<'a, str>,
    /// None for a gap, as `generation` and `pid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// None also for what the keeper says before there is a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    pub stream: Stream,
    /// Counts the lines of this stream of the app, from 1; only in what `paster logs` gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    pub message: Cow<'a, str>,
    /// Lines that are missing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

impl<'a> LogLine<'a> {
    pub(super) fn new(app: &'a str, stream: Stream, stamp: &Stamp, text: &'a [u8]) -> LogLine<'a> {
        LogLine {
            time: timestamp(stamp.time).into(),
            app: app.into(),
            slot: Some(stamp.source.slot),
            generation: Some(stamp.source.generation),
            pid: stamp.source.pid(),
            stream,
            line: None,
            message: String::from_utf8_lossy(text),
            dropped: None,
        }
    }
}

/// RFC 3339 in UTC, with milliseconds; `time` counts microseconds since 1970.
pub(super) fn timestamp(time: u64) -> String {
    let time = i64::try_from(time)
        .ok()
        .and_then(DateTime::<Utc>::from_timestamp_micros);
    time.unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Microseconds since 1970, now.
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    })
}

/// `1 line of stderr dropped`.
pub(super) fn gap(stream: Stream, lines: u64) -> String {
    let noun = if lines == 1 { "line" } else { "lines" };
    format!("{lines} {noun} of {} dropped", stream.name())
}

/// Appends a batch of `app` to `out`.
pub(super) fn append(out: &mut Vec<u8>, app: &str, format: LineFormat, batch: &Batch) {
    for (stream, lines) in gaps(batch) {
        append_gap(out, app, format, stream, lines);
    }
    if format == LineFormat::Plain {
        out.extend_from_slice(&batch.text);
        return;
    }
    for (piece, text) in batch.pieces() {
        append_piece(out, app, format, piece, text);
    }
}

/// Where lines are missing before a batch, and how many.
pub(super) fn gaps(batch: &Batch) -> impl Iterator<Item = (Stream, u64)> {
    let missed = batch.missed;
    let each = Stream::BOTH
        .into_iter()
        .map(move |stream| (stream, missed[stream.index()]));
    each.filter(|(_, lines)| *lines > 0)
}

fn append_gap(out: &mut Vec<u8>, app: &str, format: LineFormat, stream: Stream, lines: u64) {
    let (gap, time) = (gap(stream, lines), timestamp(now()));
    match format {
        LineFormat::Plain => out.extend_from_slice(format!("paster: {gap}\n").as_bytes()),
        LineFormat::Prefix => out.extend_from_slice(format!("[{app}] paster: {gap}\n").as_bytes()),
        LineFormat::Time => {
            out.extend_from_slice(format!("{time} [{app}] paster: {gap}\n").as_bytes());
        }
        LineFormat::Json => append_json(
            out,
            &LogLine {
                time: time.into(),
                app: app.into(),
                slot: None,
                generation: None,
                pid: None,
                stream,
                line: None,
                message: gap.into(),
                dropped: Some(lines),
            },
        ),
    }
}

fn append_piece(out: &mut Vec<u8>, app: &str, format: LineFormat, piece: &Piece, text: &[u8]) {
    let source = &piece.stamp.source;
    let prefix = match format {
        LineFormat::Plain | LineFormat::Prefix => format!("[{app}:{}] ", source.slot),
        LineFormat::Time => {
            let time = timestamp(piece.stamp.time);
            format!("{time} [{app}:{}] ", source.slot)
        }
        LineFormat::Json => {
            let mut json = LogLine::new(app, piece.stream, &piece.stamp, b"");
            for line in lines(text) {
                json.message = String::from_utf8_lossy(line);
                append_json(out, &json);
            }
            return;
        }
    };
    for line in lines(text) {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}

pub(super) fn append_json(out: &mut Vec<u8>, line: &impl Serialize) {
    // Writing to memory what has string keys only does not fail.
    let _ = serde_json::to_writer(&mut *out, line);
    out.push(b'\n');
}

/// The lines of a text, without their ends; a carriage return before the end belongs to it.
pub(super) fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = memchr(b'\n', text)?;
        let line = &text[..end];
        text = &text[end + 1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}
