//! Interim answers (1xx) of a worker, on their way to the client (RFC 9110 section 15.2). hyper's server cannot send them,
//! so they are written beside it: when all that it has was flushed, and before it gets the final answer.

use super::hop::strip_response;
use super::limits;
use http::{HeaderMap, StatusCode};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What is still to be written.
#[derive(Debug, Default)]
pub(super) struct Interim {
    /// Somebody takes them off.
    is_taken: AtomicBool,
    waits: AtomicBool,
    bytes: Mutex<Vec<u8>>,
}

impl Interim {
    /// Called by whoever will take them off; until then none is kept.
    pub(super) fn will_be_taken(&self) {
        self.is_taken.store(true, Relaxed);
    }

    /// Keeps an interim answer, if it is one that concerns the client. True if so.
    pub(super) fn keep(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        // 100 is ours to send, when the client has asked for it and we read its body.
        let ours = matches!(
            status,
            StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS
        );
        if ours || !self.is_taken.load(Relaxed) {
            return false;
        }
        let mut headers = headers.clone();
        strip_response(&mut headers);
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes.len() > limits::BUFFER {
            return false;
        }
        write(&mut bytes, status, &headers);
        self.waits.store(true, Relaxed);
        true
    }

    pub(super) fn waits(&self) -> bool {
        self.waits.load(Relaxed)
    }

    /// Gives what waits to `write`, which says how much of it was taken. True when nothing is left.
    pub(super) fn take_off(&self, write: impl FnOnce(&[u8]) -> usize) -> bool {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = write(&bytes);
        bytes.drain(..taken);
        let done = bytes.is_empty();
        if done {
            *bytes = Vec::new();
            self.waits.store(false, Relaxed);
        }
        done
    }
}

fn write(bytes: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    let reason = status.canonical_reason().unwrap_or("Interim");
    bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn an_interim_answer_is_written_as_it_came_but_for_its_hop() {
        let interim = Interim::default();
        interim.will_be_taken();
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
        interim.will_be_taken();
        assert!(!interim.keep(StatusCode::CONTINUE, &HeaderMap::new()));
        assert!(interim.keep(StatusCode::PROCESSING, &HeaderMap::new()));
    }
}
