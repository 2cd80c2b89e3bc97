//! `paster logs`: what apps have printed, and what they print.

use super::args::LogsArgs;
use super::exit::Exit;
use super::problems::printable;
use super::{events, outcome, output, remote};
use crate::control::client;
use crate::control::journal;
use crate::control::query::Query;
use crate::control::stream::Line;
use crate::logs::LogLine;
use chrono::Utc;
use std::ops::ControlFlow;

pub(crate) fn run(args: &LogsArgs) -> Exit {
    let query = Query {
        follow: args.follow,
        last: Some(args.lines),
        since: args.since.map(|since| journal::time(Utc::now() - since)),
        apps: args.apps.clone(),
    };
    let print = |line: Line<LogLine>| {
        let text = if args.json {
            serde_json::to_string(&line).expect("plain data with string keys")
        } else {
            match &line {
                Line::Item(line) => for_people(line),
                Line::Missed { missed } => format!("[{missed} lines were missed here]"),
            }
        };
        match output::line(&printable(&text)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let socket = remote::socket(&args.site);
    match remote::block_on(&socket, client::stream(&socket, "/v1/logs", &query, print)) {
        Ok(()) => Exit::Ok,
        Err(error) => outcome::fail(&error, args.json),
    }
}

/// `2025-01-02 03:04:05.678 [home:0] line`
fn for_people(line: &LogLine) -> String {
    let slot = line
        .slot
        .map_or_else(String::new, |slot| format!(":{slot}"));
    format!(
        "{} [{}{slot}] {}",
        events::local(&line.time),
        line.app,
        line.message
    )
}
