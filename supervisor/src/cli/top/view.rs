//! The figures as a table.

use super::super::problems::printable;
use super::super::table::headed;
use super::super::units;
use super::figures::{AppFigures, Figures, WorkerFigures};

const HEADER: [&str; 12] = [
    "APP",
    "WORKER",
    "STATE",
    "CPU %",
    "MEMORY",
    "REQ/S",
    "ERR/S",
    "P99",
    "IN FLIGHT",
    "QUEUED",
    "RESTARTS",
    "UP",
];
/// The columns from here on are numbers.
const NUMBERS: usize = 3;

/// No line ends with a space.
pub(super) fn render(figures: &Figures) -> String {
    let table = headed(HEADER, NUMBERS, figures.apps.iter().flat_map(rows));
    let proxy = &figures.proxy;
    let proxy_pid = proxy.pid.map_or("none".to_owned(), |pid| pid.to_string());
    let head = format!(
        "paster {} (pid {}) serves {} on {}, up {}\nsupervisor: {}; proxy (pid {proxy_pid}): {}, {} connections\n",
        figures.version,
        figures.pid,
        figures.config,
        figures.listen.join(" "),
        units::age(figures.uptime_s),
        used(figures.cpu_percent, figures.rss_bytes),
        used(proxy.cpu_percent, proxy.rss_bytes),
        proxy.connections,
    );
    format!("{}\n{table}", printable(&head))
}

/// One for an app with one worker; else one for the app and one for each worker.
fn rows(app: &AppFigures) -> Vec<[String; HEADER.len()]> {
    let (alone, others) = match &app.workers[..] {
        [worker] => (Some(worker), &[][..]),
        workers => (None, workers),
    };
    let first = [
        app.name.clone(),
        alone.map_or(String::new(), name),
        app.state.clone(),
        number(app.cpu_percent),
        memory(Some(app.rss_bytes).filter(|_| !app.workers.is_empty())),
        number(app.requests_per_s),
        number(app.errors_per_s),
        units::time(app.p99_ms),
        app.in_flight.to_string(),
        app.queued.to_string(),
        app.restarts.to_string(),
        alone.map_or(String::new(), |worker| units::age(worker.uptime_s)),
    ];
    let others = others.iter().map(|worker| {
        [
            String::new(),
            name(worker),
            worker.state.clone(),
            number(worker.cpu_percent),
            memory(worker.rss_bytes),
            String::new(),
            String::new(),
            String::new(),
            worker.in_flight.to_string(),
            String::new(),
            String::new(),
            units::age(worker.uptime_s),
        ]
    });
    std::iter::once(first).chain(others).collect()
}

/// `0: 4120`: slot and pid.
fn name(worker: &WorkerFigures) -> String {
    let pid = worker.pid.map_or("-".to_owned(), |pid| pid.to_string());
    format!("{}: {pid}", worker.slot)
}

fn used(cpu: Option<f64>, rss: Option<u64>) -> String {
    format!("{} % CPU, {}", number(cpu), memory(rss))
}

fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value >= 99.95 => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
        None => "-".to_owned(),
    }
}

fn memory(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), |bytes| {
        format!("{} MB", bytes.div_ceil(1_000_000))
    })
}

#[cfg(test)]
mod tests {
    use super::super::figures::Meter;
    use super::super::figures::tests::status;
    use super::*;
    use crate::control::traffic::Bucket;

    #[test]
    fn apps_and_their_workers_are_rows() {
        let mut meter = Meter::default();
        meter.take(status(3700.0, 1.0, 100, 3699.0));
        let mut now = status(3701.0, 2.5, 1100, 3700.0);
        now.apps[1].workers[0].pid = None;
        now.apps[0].traffic.responses.server_errors = 5;
        now.apps[0].traffic.duration.buckets = vec![Bucket {
            le_ms: Some(10.0),
            count: 1000,
        }];
        assert_eq!(
            render(&meter.take(now)),
            "\
paster 1.0 (pid 42) serves /srv/site.ini on 127.0.0.1:80, up 1h 1m
supervisor: 0.0 % CPU, 1 MB; proxy (pid 43): 150 % CPU, 2 MB, 5 connections

APP   WORKER  STATE  CPU %  MEMORY  REQ/S  ERR/S      P99  IN FLIGHT  QUEUED  RESTARTS     UP
blog          ready    300   40 MB   1000    5.0  9.97 ms          1       3         2
      0: 100  ready    150   20 MB                                 0                    1h 1m
      1: 101  ready    150   20 MB                                 1                    1h 1m
wiki  7: -    ready    250   20 MB   1000    0.0        -          7       3         2     0s"
        );
    }
}
