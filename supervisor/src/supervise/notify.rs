//! `sd_notify(3)` messages from a worker: lines of `KEY=VALUE` in one datagram.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a message says, as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Ready,
    Status(String),
    Stopping,
    Alive,
    Extend(Duration),
    /// It is made of this file too.
    File(PathBuf),
}

/// Longest STATUS that is kept.
const MAX_STATUS: usize = 500;
/// What one message may say, but for names of files; real ones have a few lines.
const MAX_NOTICES: usize = 32;

/// The notices in a datagram, in order; what we do not know is ignored, as `sd_notify(3)` asks.
pub(super) fn parse(datagram: &[u8]) -> Vec<Notice> {
    let mut room = MAX_NOTICES;
    String::from_utf8_lossy(datagram)
        .lines()
        .filter_map(notice)
        .filter(|notice| {
            let is_file = matches!(notice, Notice::File(_));
            let fits = is_file || room > 0;
            room -= usize::from(fits && !is_file);
            fits
        })
        .collect()
}

/// Messages of a worker that are taken at once, and then in each [`WINDOW`].
const BURST: u32 = 100;
const WINDOW: Duration = Duration::from_millis(100);

/// How fast a worker's messages are taken: a flood waits in its own socket, which fills up, and not in the queue that all
/// workers share.
#[derive(Debug)]
pub(super) struct Throttle {
    window: Instant,
    taken: u32,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Throttle {
        Throttle {
            window: now,
            taken: 0,
        }
    }

    /// A message was taken; tells until when none should be.
    pub(super) fn took(&mut self, now: Instant) -> Option<Instant> {
        if now >= self.window + WINDOW {
            *self = Throttle::new(now);
        }
        self.taken += 1;
        (self.taken >= BURST).then_some(self.window + WINDOW)
    }
}

fn notice(line: &str) -> Option<Notice> {
    match line.split_once('=')? {
        ("READY", "1") => Some(Notice::Ready),
        ("STOPPING", "1") => Some(Notice::Stopping),
        ("WATCHDOG", "1") => Some(Notice::Alive),
        ("STATUS", text) => Some(Notice::Status(text.chars().take(MAX_STATUS).collect())),
        ("EXTEND_TIMEOUT_USEC", micros) => {
            Some(Notice::Extend(Duration::from_micros(micros.parse().ok()?)))
        }
        ("X_PASTE_FILE", path) if path.starts_with('/') => Some(Notice::File(path.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_notices_in_one_datagram_keep_their_order() {
        assert_eq!(
            parse(b"STATUS=importing x\nREADY=1\nUNKNOWN=2\nEXTEND_TIMEOUT_USEC=5000000"),
            [
                Notice::Status("importing x".to_owned()),
                Notice::Ready,
                Notice::Extend(Duration::from_secs(5))
            ]
        );
    }

    #[test]
    fn a_message_of_a_thousand_lines_is_cut() {
        let many = |line: &str| parse(line.repeat(1000).as_bytes()).len();
        assert_eq!(many("READY=1\n"), MAX_NOTICES);
        assert_eq!(many("X_PASTE_FILE=/a\n"), 1000, "a datagram is the limit");
    }

    #[test]
    fn a_flood_is_taken_slowly_and_a_trickle_at_once() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        for millisecond in 0..1000 {
            let now = start + Duration::from_millis(5 * millisecond);
            assert_eq!(throttle.took(now), None);
        }
        let now = start + Duration::from_secs(10);
        for _ in 1..BURST {
            assert_eq!(throttle.took(now), None);
        }
        let again = throttle.took(now).expect("that is enough");
        assert_eq!(again, now + WINDOW);
        assert_eq!(throttle.took(again), None);
    }

    #[test]
    fn garbage_is_nothing() {
        assert_eq!(
            parse(b"READY\n=\n\xff\xfe=1\nREADY=0\nEXTEND_TIMEOUT_USEC=soon\nX_PASTE_FILE=x.py"),
            []
        );
    }
}
