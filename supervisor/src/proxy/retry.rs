//! Whether a request that got no answer may be sent once more: one table, decided without looking at anything else.
//!
//! RFC 9110 section 9.2.2 and RFC 9112 section 9.3.1: only what is idempotent, or known not to have been processed.

use super::error::ProxyError;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The worker could not be reached, or the connection was closed before a byte was written.
    NotSent,
    /// Sent, and closed without one byte of a response, on a connection that had served before: the worker may have
    /// closed it while it was idle (ours never do), or died.
    SilentReused,
    /// The same on a connection of its own: the worker died.
    SilentFresh,
    /// There were bytes of a response.
    Spoke,
}

/// What to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// On a new connection to whoever is free, the same worker included.
    Again,
    /// On a worker that is not under suspicion; wait for one.
    Elsewhere,
    GiveUp(ProxyError),
}

/// What was tried already.
#[derive(Debug, Default)]
pub(super) struct Tries {
    not_sent: u32,
    reused: bool,
    elsewhere: bool,
}

/// Connections that fail before a byte was written harm nobody, but somebody must stop.
const NOT_SENT_LIMIT: u32 = 1000;

impl Tries {
    /// `repeatable`: idempotent, with a body that is still whole.
    pub(super) fn after(&mut self, failure: Failure, repeatable: bool) -> Next {
        match failure {
            Failure::NotSent if self.not_sent >= NOT_SENT_LIMIT => {
                Next::GiveUp(ProxyError::QueueTimeout)
            }
            Failure::NotSent => {
                self.not_sent += 1;
                Next::Again
            }
            Failure::Spoke => Next::GiveUp(ProxyError::BadAnswer),
            _ if !repeatable => Next::GiveUp(ProxyError::WorkerGone),
            Failure::SilentReused if !self.reused && !self.elsewhere => {
                self.reused = true;
                Next::Again
            }
            Failure::SilentReused | Failure::SilentFresh if !self.elsewhere => {
                self.elsewhere = true;
                Next::Elsewhere
            }
            Failure::SilentReused | Failure::SilentFresh => Next::GiveUp(ProxyError::WorkerGone),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GONE: Next = Next::GiveUp(ProxyError::WorkerGone);

    #[test]
    fn a_get_whose_worker_died_is_tried_once_elsewhere() {
        let mut tries = Tries::default();
        assert_eq!(tries.after(Failure::SilentFresh, true), Next::Elsewhere);
        assert_eq!(tries.after(Failure::SilentFresh, true), GONE);
    }

    #[test]
    fn a_connection_that_was_closed_while_idle_costs_no_try() {
        let mut tries = Tries::default();
        assert_eq!(tries.after(Failure::SilentReused, true), Next::Again);
        assert_eq!(tries.after(Failure::SilentFresh, true), Next::Elsewhere);
        assert_eq!(tries.after(Failure::SilentFresh, true), GONE);
    }

    #[test]
    fn a_post_is_never_sent_twice() {
        assert_eq!(Tries::default().after(Failure::SilentReused, false), GONE);
        assert_eq!(Tries::default().after(Failure::SilentFresh, false), GONE);
    }

    #[test]
    fn what_was_never_sent_can_always_be_sent() {
        let mut tries = Tries::default();
        for _ in 0..100 {
            assert_eq!(tries.after(Failure::NotSent, false), Next::Again);
        }
    }

    #[test]
    fn nothing_is_repeated_once_the_worker_has_spoken() {
        let bad = Next::GiveUp(ProxyError::BadAnswer);
        assert_eq!(Tries::default().after(Failure::Spoke, true), bad);
    }
}
