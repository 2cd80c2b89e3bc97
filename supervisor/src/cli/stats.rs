//! `paster stats`: what the requests of apps came to, and how long they took.

use super::args::StatsArgs;
use super::check::json;
use super::exit::Exit;
use super::problems::printable;
use super::{outcome, output, remote, table, units};
use crate::control::protocol::{Answer, AppStatus, Command, Status, WithoutApp};
use crate::control::traffic::TrafficStatus;
use serde::Serialize;

/// Version of the JSON form; fields are only ever added.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Stats<'a> {
    schema_version: u32,
    pid: u32,
    uptime_s: f64,
    apps: Vec<AppStats<'a>>,
    /// None where apps are named.
    without_app: Option<Others<'a>>,
}

/// Requests that have reached no app.
#[derive(Serialize)]
struct Others<'a> {
    requests: u64,
    #[serde(flatten)]
    traffic: &'a TrafficStatus,
}

#[derive(Serialize)]
struct AppStats<'a> {
    name: &'a str,
    requests: u64,
    queued: u64,
    #[serde(flatten)]
    traffic: &'a TrafficStatus,
}

/// Where an app would stand, as in the access log.
const NO_APP: &str = "-";

const HEADER: [&str; 17] = [
    "APP", "REQUESTS", "2XX", "3XX", "4XX", "5XX", "GONE", "ACTIVE", "QUEUED", "REFUSED",
    "RETRIES", "ERRORS", "IN", "OUT", "P50", "P90", "P99",
];

pub(crate) fn run(args: &StatsArgs) -> Exit {
    let status = match remote::call(&args.site, &Command::Status) {
        Ok(Answer::Status(status)) => status,
        other => return remote::finish(other, args.json),
    };
    let unknown = args
        .apps
        .iter()
        .find(|name| !status.apps.iter().any(|app| app.name == **name));
    if let Some(name) = unknown {
        let known: Vec<&str> = status.apps.iter().map(|app| app.name.as_str()).collect();
        let message = format!("there is no app `{}`", printable(name));
        let hint = format!("the apps are {}", known.join(", "));
        return outcome::not_found(&message, &hint, args.json);
    }
    let wanted = |app: &&AppStatus| args.apps.is_empty() || args.apps.contains(&app.name);
    let apps: Vec<&AppStatus> = status.apps.iter().filter(wanted).collect();
    let others = args.apps.is_empty().then_some(&status.without_app);
    if args.json {
        output::answer(&json(&stats(&status, &apps, others)));
    } else {
        output::answer(&render(&apps, others));
    }
    Exit::Ok
}

fn stats<'a>(status: &Status, apps: &[&'a AppStatus], others: Option<&'a WithoutApp>) -> Stats<'a> {
    let apps = apps.iter().map(|app| AppStats {
        name: &app.name,
        requests: app.requests,
        queued: app.queued,
        traffic: &app.traffic,
    });
    Stats {
        schema_version: SCHEMA_VERSION,
        pid: status.pid,
        uptime_s: status.uptime_s,
        apps: apps.collect(),
        without_app: others.map(|others| Others {
            requests: others.requests,
            traffic: &others.traffic,
        }),
    }
}

fn render(apps: &[&AppStatus], others: Option<&WithoutApp>) -> String {
    let apps = apps
        .iter()
        .map(|app| row(&app.name, app.requests, app.queued, &app.traffic));
    let others = others.map(|others| row(NO_APP, others.requests, 0, &others.traffic));
    table::headed(HEADER, 1, apps.chain(others))
}

fn row(name: &str, requests: u64, queued: u64, traffic: &TrafficStatus) -> [String; HEADER.len()] {
    let answers = &traffic.responses;
    let times = &traffic.duration;
    [
        name.to_owned(),
        requests.to_string(),
        answers.successful.to_string(),
        answers.redirects.to_string(),
        answers.client_errors.to_string(),
        answers.server_errors.to_string(),
        traffic.client_gone.to_string(),
        traffic.in_flight.to_string(),
        queued.to_string(),
        (traffic.queue_full + traffic.queue_timeouts).to_string(),
        traffic.retries.to_string(),
        (traffic.worker_errors + traffic.worker_timeouts).to_string(),
        units::bytes(traffic.bytes_received),
        units::bytes(traffic.bytes_sent),
        units::time(times.p50_ms),
        units::time(times.p90_ms),
        units::time(times.p99_ms),
    ]
}
