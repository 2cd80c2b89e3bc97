//! How many workers an app has, for how long, and how many requests they get.

use super::{Key, MOST_PROCESSES, Scope};
use crate::plan::units::{number, optional_duration, show_duration, show_size, switch};
use crate::plan::values::{
    optional_count, optional_request_path, optional_size, readiness, show_readiness,
};
use crate::router::message::Handover;

/// The most requests that one worker is given at a time.
const MOST_THREADS: u32 = 4096;

pub(super) static KEYS: &[Key] = &[
    app_number!(
        processes,
        1,
        MOST_PROCESSES,
        "1",
        "worker processes of the app"
    ),
    Key {
        name: "max_processes",
        scope: Scope::App,
        default: "(processes)",
        about: "up to so many worker processes while requests wait; fewer again when they are not needed",
        set: |draft, text, _| {
            draft.settings.max_processes = Some(number(text, 1, MOST_PROCESSES)?);
            Ok(())
        },
        show: |view| {
            let most = view.settings.max_processes;
            Some(most.map_or_else(|| "(processes)".to_owned(), |most| most.to_string()))
        },
    },
    app_duration!(
        scale_down_after,
        "60s",
        "one process above `processes` is given up when for so long one fewer would have been enough"
    ),
    app_number!(
        threads,
        1,
        MOST_THREADS,
        "4",
        "requests that one worker is given at the same time"
    ),
    Key {
        name: "preload",
        scope: Scope::App,
        default: "off",
        about: "the code of a Python app is loaded once, and all its workers are forked from there",
        set: |draft, text, _| {
            draft.settings.preload = switch(text)?;
            Ok(())
        },
        show: |view| match (view.handover, view.settings.preload) {
            (Handover::Environ, true) => Some("on".to_owned()),
            (Handover::Environ, false) => Some("off".to_owned()),
            (Handover::Strip | Handover::Keep, _) => None,
        },
    },
    Key {
        name: "ready",
        scope: Scope::App,
        default: "auto",
        about: "how a worker says that it can serve: `auto`, `notify`, `accept` or `http:/path`",
        set: |draft, text, _| {
            draft.settings.ready = readiness(text)?;
            Ok(())
        },
        show: |view| Some(show_readiness(&view.settings.ready)),
    },
    app_duration!(
        start_timeout,
        "60s",
        "how long a worker may take to become ready"
    ),
    app_duration!(
        min_healthy,
        "0s",
        "how long a new worker must stay up before it replaces an old one"
    ),
    app_duration!(
        drain_timeout,
        "30s",
        "how long requests in flight may go on when a worker is replaced or stopped"
    ),
    app_duration!(
        stop_timeout,
        "10s",
        "how long a worker may take to end after SIGTERM, before SIGKILL"
    ),
    app_optional!(
        request_timeout,
        optional_duration,
        show_duration,
        "how long a worker may take to begin its response; then the client gets 504 and the worker is replaced"
    ),
    app_optional!(
        watchdog,
        optional_duration,
        show_duration,
        "a ready worker that has not sent `WATCHDOG=1` for so long hangs and is replaced"
    ),
    Key {
        name: "health_path",
        scope: Scope::App,
        default: "off",
        about: "GET this path of each worker: it serves once it has answered 200 to 399, and is replaced after three failures in a row",
        set: |draft, text, _| {
            draft.settings.health_path = optional_request_path(text)?;
            Ok(())
        },
        show: |view| {
            let path = view.settings.health_path.as_deref();
            Some(path.unwrap_or("off").to_owned())
        },
    },
    app_duration!(
        health_interval,
        "10s",
        "how often `health_path` is asked for, and how long an answer may take"
    ),
    app_optional!(
        idle_timeout,
        optional_duration,
        show_duration,
        "the app is on demand: no process until a request comes, and again after this time without one"
    ),
    app_optional!(
        max_lifetime,
        optional_duration,
        show_duration,
        "a worker is replaced after this time, give or take a tenth; its successor is ready first"
    ),
    app_optional!(
        max_requests,
        optional_count,
        |count: u64| count.to_string(),
        "a worker is replaced after so many requests; its successor is ready first"
    ),
    app_number!(
        max_requests_jitter,
        0,
        u64::from(u32::MAX),
        "0",
        "each worker is given up to so many requests more than `max_requests`, at random"
    ),
    app_optional!(
        max_memory,
        optional_size,
        show_size,
        "a worker whose resident memory is larger is replaced; its successor is ready first"
    ),
    app_number!(
        queue,
        0,
        1_000_000,
        "1000",
        "requests that may wait for a worker; more get 503"
    ),
    app_duration!(
        queue_timeout,
        "30s",
        "how long a request may wait for a worker; then it gets 503"
    ),
];
