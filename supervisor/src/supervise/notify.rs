//! `sd_notify(3)` messages from a worker: lines of `KEY=VALUE` in one datagram.

use std::time::Duration;

/// What a message says, as far as it concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Ready,
    Status(String),
    Stopping,
    Alive,
    Extend(Duration),
}

/// Longest STATUS that is kept.
const MAX_STATUS: usize = 500;

/// The notices in a datagram, in order; what we do not know is ignored, as `sd_notify(3)` asks.
pub(super) fn parse(datagram: &[u8]) -> Vec<Notice> {
    String::from_utf8_lossy(datagram)
        .lines()
        .filter_map(notice)
        .collect()
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
    fn garbage_is_nothing() {
        assert_eq!(
            parse(b"READY\n=\n\xff\xfe=1\nREADY=0\nEXTEND_TIMEOUT_USEC=soon"),
            []
        );
    }
}
