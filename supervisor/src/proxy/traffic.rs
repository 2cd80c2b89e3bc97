//! Counters of an app, and of the requests that reach none. Each thread has cells of its own, which only it writes, so counting is a few plain stores; the control loop reads
//! them all.

use super::error::ProxyError;
use super::limits::THREADS;
use crate::router::histogram::{CLASSES, Histogram, class, micros};
use crate::router::traffic::Traffic;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The cells of all threads; those of a thread are made when it has a request for the app.
#[derive(Debug, Default)]
pub(super) struct AppTraffic {
    cells: [OnceLock<Arc<Cells>>; THREADS],
}

impl AppTraffic {
    /// Those of the thread with this number, which is the only one that may write to them.
    pub(super) fn of_thread(&self, index: usize) -> &Arc<Cells> {
        self.cells[index].get_or_init(Arc::default)
    }

    /// What all threads have counted.
    pub(super) fn sum(&self) -> Traffic {
        let mut sum = Traffic::default();
        let used = self.cells.iter().filter_map(OnceLock::get);
        used.for_each(|cells| sum.add(&cells.read()));
        sum
    }
}

/// A number that one thread writes.
#[derive(Debug, Default)]
struct Cell(AtomicU64);

impl Cell {
    fn add(&self, more: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug)]
struct Times {
    classes: [Cell; CLASSES],
    sum_us: Cell,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            classes: std::array::from_fn(|_| Cell::default()),
            sum_us: Cell::default(),
        }
    }
}

impl Times {
    fn add(&self, time: Duration) {
        let micros = micros(time);
        self.classes[class(micros)].add(1);
        self.sum_us.add(micros);
    }

    fn read(&self) -> Histogram {
        Histogram::new(self.classes.iter().map(Cell::read), self.sum_us.read())
    }
}

/// Of one app and thread; on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Cells {
    requests: Cell,
    responses: [Cell; 5],
    client_gone: Cell,
    received: Cell,
    sent: Cell,
    queue_full: Cell,
    queue_timeouts: Cell,
    retries: Cell,
    worker_errors: Cell,
    worker_timeouts: Cell,
    duration: Times,
    queue_time: Times,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct End {
    /// None: the client has left before there was one.
    pub(super) status: Option<u16>,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) took: Duration,
    /// None: it did not have to wait.
    pub(super) waited: Option<Duration>,
    pub(super) tries: u32,
}

impl Cells {
    pub(super) fn begin(&self) {
        self.requests.add(1);
    }

    /// Once for each [`Self::begin`].
    pub(super) fn end(&self, end: &End) {
        match end.status {
            None => self.client_gone.add(1),
            Some(status) => self.answered(status),
        }
        self.received.add(end.received);
        self.sent.add(end.sent);
        self.retries.add(u64::from(end.tries.saturating_sub(1)));
        if end.status != Some(101) {
            self.duration.add(end.took);
        }
        if let Some(waited) = end.waited {
            self.queue_time.add(waited);
        }
    }

    /// A head that never became a request: nobody knows when it began.
    pub(super) fn refused(&self, status: u16, sent: u64) {
        self.begin();
        self.answered(status);
        self.sent.add(sent);
    }

    fn answered(&self, status: u16) {
        let digit = usize::from(status / 100).clamp(1, 5);
        self.responses[digit - 1].add(1);
    }

    /// It was answered by us.
    pub(super) fn failed(&self, error: &ProxyError) {
        match error {
            ProxyError::QueueFull => self.queue_full.add(1),
            ProxyError::QueueTimeout => self.queue_timeouts.add(1),
            ProxyError::WorkerGone | ProxyError::BadAnswer => self.broken_off(),
            ProxyError::WorkerLate => self.worker_timeouts.add(1),
            _ => {}
        }
    }

    /// The worker has not answered to the end.
    pub(super) fn broken_off(&self) {
        self.worker_errors.add(1);
    }

    fn read(&self) -> Traffic {
        // Ends first: else a request that ends meanwhile would be over before it has come.
        let mut traffic = Traffic {
            responses: std::array::from_fn(|at| self.responses[at].read()),
            client_gone: self.client_gone.read(),
            lost: 0,
            received: self.received.read(),
            sent: self.sent.read(),
            queue_full: self.queue_full.read(),
            queue_timeouts: self.queue_timeouts.read(),
            retries: self.retries.read(),
            worker_errors: self.worker_errors.read(),
            worker_timeouts: self.worker_timeouts.read(),
            duration: self.duration.read(),
            queue_time: self.queue_time.read(),
            requests: 0,
        };
        traffic.requests = self.requests.read();
        traffic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_for_themselves_and_are_summed() {
        let traffic = Arc::new(AppTraffic::default());
        let threads: Vec<_> = (0..THREADS)
            .map(|index| {
                let traffic = Arc::clone(&traffic);
                std::thread::spawn(move || {
                    let cells = traffic.of_thread(index);
                    for number in 0..1000 {
                        cells.begin();
                        cells.end(&End {
                            status: (number % 10 != 0).then_some(200 + number % 2),
                            sent: 3,
                            received: 2,
                            took: Duration::from_micros(80),
                            waited: (number == 1).then_some(Duration::from_secs(1)),
                            tries: 2,
                        });
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let sum = traffic.sum();
        assert_eq!((sum.requests, sum.in_flight()), (4000, 0));
        assert_eq!((sum.responses[1], sum.client_gone), (3600, 400));
        assert_eq!((sum.sent, sum.received, sum.retries), (12_000, 8_000, 4000));
        assert_eq!(
            (sum.duration.count(), sum.duration.sum_us()),
            (4000, 320_000)
        );
        assert_eq!(sum.queue_time.count(), 4);
    }

    #[test]
    fn an_app_that_nobody_asks_for_costs_next_to_nothing() {
        assert!(size_of::<AppTraffic>() <= 16 * THREADS);
        assert!(size_of::<Cells>() <= 1024);
    }

    #[test]
    fn a_head_that_was_refused_has_no_duration() {
        let cells = Cells::default();
        cells.refused(431, 10);
        let read = cells.read();
        assert_eq!((read.requests, read.in_flight(), read.sent), (1, 0, 10));
        assert_eq!((read.responses[3], read.duration.count()), (1, 0));
    }

    #[test]
    fn a_websocket_has_no_duration() {
        let cells = Cells::default();
        cells.begin();
        cells.end(&End {
            status: Some(101),
            sent: 0,
            received: 0,
            took: Duration::from_secs(3600),
            waited: None,
            tries: 1,
        });
        let read = cells.read();
        assert_eq!((read.responses[0], read.duration.count()), (1, 0));
    }
}
