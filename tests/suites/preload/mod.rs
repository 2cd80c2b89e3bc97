//! `preload = on`: the code is loaded once and all workers are forked from there, with every promise of other workers.

mod template;
mod workers;

use crate::harness::{Paster, Site, Status, process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

const ACTOR: &str = include_str!("../../fixtures/apps/actor.py");

const WARM: &str = include_str!("../../fixtures/apps/warm.py");

const PRISONER: &str = include_str!("../../fixtures/apps/prisoner.py");

/// After the supervisor's death, however it died.
const TWO_SECONDS: Duration = Duration::from_secs(2);

/// A preloaded app `home` at `/` with so many workers, which serve a request at a time.
fn warm(processes: u32) -> Site {
    Site::new()
        .file("actor.py", ACTOR)
        .python("warm", "/", WARM)
        .policy("warm", "preload = on")
        .policy("warm", &format!("processes = {processes}"))
        .policy("warm", "threads = 1")
        .policy("warm", "restart_delay = 20ms")
}

/// What each of so many workers says of itself, by slot.
#[track_caller]
fn ask_all(paster: &Paster, count: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    paster.wait_for("an answer of each worker", || {
        let asked: Vec<_> = (0..count)
            .map(|_| paster.get_in_background("/warm"))
            .collect();
        found = asked
            .into_iter()
            .map(|pending| pending.join().expect("no panic").expect("an answer").json())
            .collect();
        found.sort_by_key(|told| told["slot"].as_str().map(str::to_owned));
        let pids: BTreeSet<u64> = found.iter().map(|told| number(told, "pid")).collect();
        pids.len() == count
    });
    found
}

#[track_caller]
fn number(told: &Value, field: &str) -> u64 {
    told[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no {field} in {told}"))
}

#[track_caller]
fn pid(told: &Value, field: &str) -> u32 {
    u32::try_from(number(told, field)).expect("a pid")
}

fn loads(paster: &Paster) -> usize {
    let text = fs::read_to_string(paster.site().path("loads")).expect("it was loaded");
    text.lines().count()
}

fn template(paster: &Paster) -> u32 {
    pid(&paster.get("/warm").json(), "loaded_by")
}

fn reaper(worker: u32) -> u32 {
    process::parent(worker).expect("the worker runs")
}

/// Starts a daemon (setsid, double fork) from whichever worker answers; returns who that was, and the daemon.
fn daemon(paster: &Paster) -> (u32, u32) {
    let mut connection = paster.connect();
    let daemon: u32 = connection
        .get("/daemon")
        .expect("an answer")
        .text()
        .trim()
        .parse()
        .expect("a pid");
    let reaper = process::parent(daemon).expect("it runs");
    let worker = process::children(reaper)
        .into_iter()
        .find(|child| *child != daemon && paster.status().app("warm").pids().contains(child))
        .expect("it came to the reaper of a worker");
    (worker, daemon)
}

fn has_no_keeper(paster: &Paster) -> bool {
    let proxy = paster.status().proxy.pid;
    let children = process::children(paster.pid());
    children.iter().all(|pid| Some(*pid) == proxy)
}

fn is_ready(status: &Status) -> bool {
    status.app("warm").is_ready()
}
