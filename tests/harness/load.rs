//! Requests in the background, at a steady rate, and what became of them.

use super::http::Connection;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Failures that a report quotes; the rest is counted.
const QUOTED: usize = 10;

/// GETs at `rate` per second, spread over kept-alive connections.
pub(crate) struct Load {
    threads: Vec<JoinHandle<Report>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

/// What became of the requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) requests: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Requests without a response.
    pub(crate) failures: u64,
    pub(crate) quoted: Vec<String>,
    /// From the moment at which a request was due, so that a stall counts for all that it holds up.
    pub(crate) max_latency: Duration,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, path: &str, connections: u32, rate: u32) -> Load {
        let (stop, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let begin = Instant::now();
        let period = Duration::from_secs(1) / rate;
        let threads = (0..connections)
            .map(|number| {
                let (stop, answered, path) = (stop.clone(), answered.clone(), path.to_owned());
                let client = Client {
                    address,
                    path,
                    first: begin + period * number,
                    every: period * connections,
                };
                std::thread::spawn(move || client.run(&stop, &answered))
            })
            .collect();
        Load {
            threads,
            stop,
            answered,
        }
    }

    /// Responses so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until `count` more responses have come.
    pub(crate) fn wait_for(&self, count: u64) {
        let goal = self.answered() + count;
        super::poll(super::DEADLINE, || (self.answered() >= goal).then_some(()))
            .unwrap_or_else(|_| panic!("{count} more responses did not come"));
    }

    /// Ends the load after the requests under way.
    pub(crate) fn finish(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Report::default();
        for thread in self.threads {
            total.add(thread.join().expect("a client does not panic"));
        }
        total
    }
}

struct Client {
    address: SocketAddr,
    path: String,
    first: Instant,
    every: Duration,
}

impl Client {
    fn run(&self, stop: &AtomicBool, answered: &AtomicU64) -> Report {
        let (mut report, mut connection, mut due) = (Report::default(), None, self.first);
        while !stop.load(Ordering::Relaxed) {
            pace(due);
            let result = self.once(&mut connection);
            report.requests += 1;
            report.max_latency = report.max_latency.max(due.elapsed());
            match result {
                Ok(status) => {
                    answered.fetch_add(1, Ordering::Relaxed);
                    *report.statuses.entry(status).or_default() += 1;
                }
                Err(error) => {
                    connection = None;
                    report.failures += 1;
                    report.quote(error.to_string());
                }
            }
            due += self.every;
        }
        report
    }

    fn once(&self, connection: &mut Option<Connection>) -> std::io::Result<u16> {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(self.address)?,
        };
        let response = open.get(&self.path)?;
        if open.reusable {
            *connection = Some(open);
        }
        Ok(response.status)
    }
}

/// Keeps the rate; waits for nothing else.
fn pace(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

impl Report {
    /// Responses with this status.
    pub(crate) fn with_status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Every request was answered with 200.
    pub(crate) fn is_clean(&self) -> bool {
        self.requests > 0 && self.with_status(200) == self.requests
    }

    fn quote(&mut self, error: String) {
        if self.quoted.len() < QUOTED {
            self.quoted.push(error);
        }
    }

    fn add(&mut self, other: Report) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.max_latency = self.max_latency.max(other.max_latency);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        other.quoted.into_iter().for_each(|error| self.quote(error));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, statuses {:?}, {} without a response, longest {:.0?} {:?}",
            self.requests, self.statuses, self.failures, self.max_latency, self.quoted
        )
    }
}
