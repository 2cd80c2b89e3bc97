//! What the requests of an app came to, or those that have reached none.

use super::histogram::Histogram;
use serde::{Deserialize, Serialize};

/// Counts since some start. All of them only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// That have come.
    pub requests: u64,
    /// That were answered, by the first digit of the status: 1xx to 5xx. (101 is the only 1xx: a WebSocket that was closed.)
    pub responses: [u64; 5],
    /// Whose client left before an answer.
    pub client_gone: u64,
    /// That a proxy had when it died.
    pub lost: u64,
    /// Bytes of bodies from clients.
    pub received: u64,
    /// Bytes of bodies to clients.
    pub sent: u64,
    /// 503: there was no room in the queue.
    pub queue_full: u64,
    /// 503: they waited for longer than `queue_timeout`.
    pub queue_timeouts: u64,
    /// Tries beyond the first one of each request.
    pub retries: u64,
    /// 502, or an answer that a worker broke off.
    pub worker_errors: u64,
    /// 504: over `request_timeout`.
    pub worker_timeouts: u64,
    /// From the head of a request to the end of its answer; without WebSockets.
    pub duration: Histogram,
    /// In the queue, of those that had to wait.
    pub queue_time: Histogram,
}

impl Traffic {
    fn over(&self) -> u64 {
        let ends = self.responses.iter().chain([&self.client_gone, &self.lost]);
        ends.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Requests that are not over.
    pub fn in_flight(&self) -> u64 {
        self.requests.saturating_sub(self.over())
    }

    /// The time in the queue of all requests that are over or wait no more: mostly none.
    pub fn all_queue_times(&self) -> Histogram {
        let mut all = self.queue_time.clone();
        all.add_shortest(self.over().saturating_sub(all.count()));
        all
    }

    pub fn add(&mut self, more: &Traffic) {
        let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count);
        for (sum, count) in self.responses.iter_mut().zip(more.responses) {
            add(sum, count);
        }
        for (sum, count) in [
            (&mut self.requests, more.requests),
            (&mut self.client_gone, more.client_gone),
            (&mut self.lost, more.lost),
            (&mut self.received, more.received),
            (&mut self.sent, more.sent),
            (&mut self.queue_full, more.queue_full),
            (&mut self.queue_timeouts, more.queue_timeouts),
            (&mut self.retries, more.retries),
            (&mut self.worker_errors, more.worker_errors),
            (&mut self.worker_timeouts, more.worker_timeouts),
        ] {
            add(sum, count);
        }
        self.duration.add(&more.duration);
        self.queue_time.add(&more.queue_time);
    }

    /// The last that was heard of a proxy that has ended: what it had in flight is over.
    pub fn ended(mut self) -> Traffic {
        self.lost = self.lost.saturating_add(self.in_flight());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_proxy_had_is_in_flight_no_more() {
        let told = Traffic {
            requests: 10,
            responses: [0, 6, 0, 1, 0],
            client_gone: 1,
            ..Traffic::default()
        };
        assert_eq!(told.in_flight(), 2);
        let mut sum = Traffic::default();
        sum.add(&told.ended());
        assert_eq!((sum.in_flight(), sum.lost, sum.requests), (0, 2, 10));
    }

    #[test]
    fn who_did_not_wait_has_waited_for_no_time() {
        let told = Traffic {
            requests: 10,
            responses: [0, 8, 0, 0, 0],
            queue_time: Histogram::new([0, 0, 0, 0, 2], 0),
            ..Traffic::default()
        };
        let all = told.all_queue_times();
        assert_eq!(all.count(), 8);
        assert!(all.quantile(0.5).is_some_and(|half| half <= 50.0));
        assert!(all.quantile(0.9).is_some_and(|most| most > 150.0));
    }
}
