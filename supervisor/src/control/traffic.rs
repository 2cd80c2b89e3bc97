//! What the requests of an app came to, as `paster status --json` and `paster stats` tell it. Fields are only ever added.

use crate::router::histogram::{BOUNDS, CLASSES, Histogram};
use crate::router::traffic::Traffic;
use serde::{Deserialize, Serialize};

/// Counts since paster serves the app, whatever proxies there were meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficStatus {
    pub responses: Responses,
    /// Requests whose client left before there was an answer.
    pub client_gone: u64,
    /// Requests that a proxy had when it died.
    pub lost: u64,
    pub in_flight: u64,
    /// Bytes of request bodies.
    pub bytes_received: u64,
    /// Bytes of response bodies.
    pub bytes_sent: u64,
    /// 503: the queue was full.
    pub queue_full: u64,
    /// 503: over `queue_timeout`.
    pub queue_timeouts: u64,
    /// Tries at a worker beyond the first one of a request.
    pub retries: u64,
    /// 502, and answers that a worker broke off.
    pub worker_errors: u64,
    /// 504: over `request_timeout`.
    pub worker_timeouts: u64,
    /// From the head of a request to the end of its answer; WebSockets are left out.
    pub duration: Times,
    /// In the queue, of all requests that are over: mostly none.
    pub queue_time: Times,
}

/// Answers by the class of their status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Responses {
    #[serde(rename = "1xx")]
    pub informational: u64,
    #[serde(rename = "2xx")]
    pub successful: u64,
    #[serde(rename = "3xx")]
    pub redirects: u64,
    #[serde(rename = "4xx")]
    pub client_errors: u64,
    #[serde(rename = "5xx")]
    pub server_errors: u64,
}

/// How long something took, in milliseconds. Quantiles are estimated from the buckets; null where nothing was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    pub count: u64,
    pub sum_ms: f64,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Cumulative, in ascending order; those to which no time would be added are left out.
    pub buckets: Vec<Bucket>,
}

/// How many times were not longer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Null: no bound.
    pub le_ms: Option<f64>,
    pub count: u64,
}

impl From<&Traffic> for TrafficStatus {
    fn from(traffic: &Traffic) -> TrafficStatus {
        let [
            informational,
            successful,
            redirects,
            client_errors,
            server_errors,
        ] = traffic.responses;
        TrafficStatus {
            responses: Responses {
                informational,
                successful,
                redirects,
                client_errors,
                server_errors,
            },
            client_gone: traffic.client_gone,
            lost: traffic.lost,
            in_flight: traffic.in_flight(),
            bytes_received: traffic.received,
            bytes_sent: traffic.sent,
            queue_full: traffic.queue_full,
            queue_timeouts: traffic.queue_timeouts,
            retries: traffic.retries,
            worker_errors: traffic.worker_errors,
            worker_timeouts: traffic.worker_timeouts,
            duration: Times::from(&traffic.duration),
            queue_time: Times::from(&traffic.all_queue_times()),
        }
    }
}

impl Times {
    /// What was measured after `before`, an earlier look at the same.
    pub fn since(&self, before: &Times) -> Histogram {
        let (now, before) = (self.classes(), before.classes());
        let more = now
            .iter()
            .zip(before)
            .map(|(now, then)| now.saturating_sub(then));
        Histogram::new(more, 0)
    }

    /// How many times are in each class; of bounds that we do not know, none.
    fn classes(&self) -> [u64; CLASSES] {
        let mut classes = [0; CLASSES];
        let mut below = 0;
        for bucket in &self.buckets {
            let micros = bucket.le_ms.map(|le| (le * 1000.0).round() as u64);
            let class = micros.map_or(Ok(BOUNDS.len()), |bound| BOUNDS.binary_search(&bound));
            if let Ok(class) = class {
                classes[class] = bucket.count.saturating_sub(below);
            }
            below = bucket.count;
        }
        classes
    }
}

impl From<&Histogram> for Times {
    fn from(histogram: &Histogram) -> Times {
        let quantile = |share| histogram.quantile(share).map(millis);
        Times {
            count: histogram.count(),
            sum_ms: millis(histogram.sum_us() as f64),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            buckets: histogram
                .cumulative()
                .map(|(bound, count)| Bucket {
                    le_ms: bound.map(|bound| millis(bound as f64)),
                    count,
                })
                .collect(),
        }
    }
}

/// Of microseconds, to the microsecond.
fn millis(micros: f64) -> f64 {
    micros.round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(counts: &[u64]) -> Histogram {
        Histogram::new(counts.iter().copied(), 0)
    }

    #[test]
    fn what_came_between_two_looks_is_the_difference() {
        let before = times(&[1, 0, 2]);
        let between = times(&[0, 4, 1, 0, 7]);
        let mut now = before.clone();
        now.add(&between);
        assert_eq!(Times::from(&now).since(&Times::from(&before)), between);
        assert_eq!(Times::from(&now).since(&Times::from(&now)).count(), 0);
        let unbound = Histogram::new((0..CLASSES).map(|class| class as u64), 0);
        assert_eq!(Times::from(&unbound).since(&Times::default()), unbound);
    }
}
