//! Interim answers (1xx) on their way to the client (RFC 9110 section 15.2).
//!
//! HTTP/1.1: hyper's server cannot send them, so they are written beside it: when all that it has was flushed, and before it gets
//! the final answer. HTTP/2: each is a head on its stream, sent by the stream's own task, before the final one.

use super::hop::strip_response;
use super::limits;
use super::seen::Seen;
use super::worker::write_fields;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Response, StatusCode};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What is still to be sent.
#[derive(Debug, Default)]
pub(super) struct Interim {
    /// [`NONE`], [`BYTES`] or [`HEADS`].
    waits: AtomicU8,
    kept: Mutex<Kept>,
}

const NONE: u8 = 0;
const BYTES: u8 = 1;
const HEADS: u8 = 2;

#[derive(Debug, Default)]
enum Kept {
    /// Nobody takes them off.
    #[default]
    Never,
    Bytes(Vec<u8>),
    Heads(Heads),
}

#[derive(Debug, Default)]
struct Heads {
    list: Vec<Response<()>>,
    /// Bytes, about.
    size: usize,
}

/// What a head costs beside its fields, about.
const HEAD: usize = 64;

/// How interim answers are taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As HTTP/1.1 has them, by [`Interim::take_off`].
    Bytes,
    /// One by one, by [`Interim::take_heads`].
    Heads,
}

impl Interim {
    /// Called by whoever will take them off; until then none is kept.
    pub(super) fn will_be_taken(&self, form: Form) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = match form {
            Form::Bytes => Kept::Bytes(Vec::new()),
            Form::Heads => Kept::Heads(Heads::default()),
        };
    }

    /// Keeps an interim answer of a worker, if it is one that concerns the client. True if so.
    pub(super) fn keep(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        // 100 is ours to send, when the client has asked for it and we read its body.
        let ours = matches!(
            status,
            StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS
        );
        if ours {
            return false;
        }
        let mut headers = headers.clone();
        let seen = Seen::of(&headers);
        strip_response(&mut headers, seen);
        // It has no body (RFC 9110 section 8.6).
        headers.remove(CONTENT_LENGTH);
        self.put(status, headers)
    }

    /// Keeps 100 Continue, where hyper does not say that itself. True if so.
    pub(super) fn ask_to_continue(&self) -> bool {
        self.put(StatusCode::CONTINUE, HeaderMap::new())
    }

    fn put(&self, status: StatusCode, headers: HeaderMap) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = match &mut *kept {
            Kept::Bytes(bytes) if bytes.len() <= limits::BUFFER => {
                write(bytes, status, &headers);
                BYTES
            }
            Kept::Heads(heads) if heads.size <= limits::BUFFER => {
                heads.put(status, headers);
                HEADS
            }
            // There are more than anybody needs.
            Kept::Never | Kept::Bytes(_) | Kept::Heads(_) => return false,
        };
        self.waits.store(waits, Relaxed);
        true
    }

    /// Bytes are to be written.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Relaxed) == BYTES
    }

    /// Heads are to be sent.
    pub(super) fn has_heads(&self) -> bool {
        self.waits.load(Relaxed) == HEADS
    }

    /// Gives what waits to `write`, which says how much of it was taken. True when nothing is left.
    pub(super) fn take_off(&self, write: impl FnOnce(&[u8]) -> usize) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept::Bytes(bytes) = &mut *kept else {
            return true;
        };
        let taken = write(bytes);
        bytes.drain(..taken);
        let done = bytes.is_empty();
        if done {
            *bytes = Vec::new();
            self.waits.store(NONE, Relaxed);
        }
        done
    }

    /// All heads that are to be sent, in their order.
    pub(super) fn take_heads(&self) -> Vec<Response<()>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept::Heads(heads) = &mut *kept else {
            return Vec::new();
        };
        self.waits.store(NONE, Relaxed);
        std::mem::take(heads).list
    }
}

impl Heads {
    fn put(&mut self, status: StatusCode, headers: HeaderMap) {
        let fields = headers.iter();
        let bytes: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        self.size += HEAD + bytes;
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = headers;
        self.list.push(head);
    }
}

fn write(bytes: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    let reason = status.canonical_reason().unwrap_or("Interim");
    bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    write_fields(bytes, headers);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_interim_answer_is_written_as_it_came_but_for_its_hop() {
        let interim = Interim::default();
        interim.will_be_taken(Form::Bytes);
        let mut headers = HeaderMap::new();
        headers.insert("link", HeaderValue::from_static("</a>"));
        headers.insert("connection", HeaderValue::from_static("x-hop"));
        headers.insert("x-hop", HeaderValue::from_static("1"));
        assert!(interim.keep(StatusCode::from_u16(103).unwrap(), &headers));
        let mut written = Vec::new();
        assert!(!interim.take_off(|bytes| {
            written.extend_from_slice(&bytes[..10]);
            10
        }));
        assert!(interim.waits());
        assert!(interim.take_off(|bytes| {
            written.extend_from_slice(bytes);
            bytes.len()
        }));
        assert_eq!(written, b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        assert!(!interim.waits());
    }

    #[test]
    fn ours_and_those_that_nobody_takes_are_not_kept() {
        let interim = Interim::default();
        assert!(!interim.keep(StatusCode::PROCESSING, &HeaderMap::new()));
        interim.will_be_taken(Form::Bytes);
        assert!(!interim.keep(StatusCode::CONTINUE, &HeaderMap::new()));
        assert!(interim.keep(StatusCode::PROCESSING, &HeaderMap::new()));
    }

    #[test]
    fn heads_are_taken_in_their_order_and_their_number_is_limited() {
        let interim = Interim::default();
        assert!(!interim.ask_to_continue());
        interim.will_be_taken(Form::Heads);
        assert!(interim.ask_to_continue());
        let mut headers = HeaderMap::new();
        headers.insert("link", HeaderValue::from_static("</a>"));
        headers.insert("keep-alive", HeaderValue::from_static("5"));
        assert!(interim.keep(StatusCode::EARLY_HINTS, &headers));
        assert!(interim.has_heads() && !interim.waits());
        let heads = interim.take_heads();
        let statuses: Vec<_> = heads.iter().map(|head| head.status().as_u16()).collect();
        assert_eq!(statuses, [100, 103]);
        assert_eq!(heads[1].headers()["link"], "</a>");
        assert_eq!(heads[1].headers().len(), 1);
        assert!(!interim.has_heads() && interim.take_heads().is_empty());
        while interim.keep(StatusCode::PROCESSING, &HeaderMap::new()) {}
        let most = limits::BUFFER / HEAD;
        assert!((most..most + 2).contains(&interim.take_heads().len()));
        assert!(interim.keep(StatusCode::PROCESSING, &HeaderMap::new()));
    }
}
