//! The front proxy process: client connections, queues, retries.
//!
//! It is told *what is* by whole tables ([`crate::router::message`]) and forwards each request to one worker of one app:
//!
//! ```text
//! serve ──▶ request ──▶ incoming: framing, target ──▶ route ──▶ hop, rewrite ──▶ queue ──▶ exchange ──▶ pool ──▶ worker
//! accept    the line    refuse what is                urlmap    what a worker    wait      tries,       idle
//!                       ambiguous                               is told          for a     deadlines    connections
//!                                                                                lease
//! ```
//!
//! What the configuration wants of answers is in `answers`: `header_rules`, then `compress` with an `encoder` for the body; `error_pages` for
//! those of our own. `redirects` come before a route is looked for. All of it is empty where nothing was asked for.
//!
//! `greet` comes before `serve` where clients begin with TLS or the PROXY protocol. Clients of HTTP/1.1 are hyper's, behind a `gate`; those of
//! HTTP/2 are h2's, in `http2`, which makes a request in the shape of HTTP/1.1 of each stream. From `request` on all are the same, but for
//! how a body comes (`arriving`) and how `interim` answers leave. Workers are spoken to in `worker`.
//! `origin` is what trusted proxies tell of a client.
//!
//! Apps that are files end at `files`, which is asked after `route`; large ones go past hyper (`direct`).
//!
//! Each of a few threads has a runtime, connections and pools of its own; common to all are the table, and per worker
//! one atomic word (`upstream`) and per app one queue (`queue`). So no app waits for another one's lock.

mod accept;
mod accept_encoding;
mod access_log;
mod answers;
mod arriving;
mod asked;
mod body;
mod chunk_scan;
mod client_certificate;
mod client_io;
mod clock;
mod compress;
mod connection;
mod control;
mod direct;
mod disk;
mod encoder;
mod error;
mod error_pages;
mod exchange;
mod files;
mod forwarded;
mod framing;
mod gate;
mod greet;
mod head_scan;
mod header_rules;
mod hop;
mod http2;
mod incoming;
mod inherited;
mod interim;
mod leftover;
mod limits;
mod origin;
mod outbox;
mod pages;
mod pool;
mod privileges;
mod proxy_header;
mod queue;
mod record;
mod redirects;
mod reply;
mod request;
#[cfg(test)]
mod request_fuzz;
mod retry;
mod rewrite;
mod seen;
mod serve;
mod snapshot;
mod socket;
mod spool;
mod suspects;
mod target;
mod thread;
mod tls;
mod told;
mod trace;
mod traffic;
mod unix_stream;
mod upgrade;
mod upstream;
mod worker;

use crate::logs::LOG_VARIABLE;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The proxy process, from its first instruction to its last. Descriptor 3 is the control socket, listeners follow
/// from 4 in the order of the first message.
///
/// Ends with 0 when it was told to, or when the supervisor is gone; with 1 when it could not start.
pub fn main() -> ExitCode {
    // It was executed by another name.
    let _ = nix::sys::prctl::set_name(c"paster-proxy");
    // A second subscriber in one process would be refused; the first one is as good.
    let _ = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(LevelFilter::TRACE)
        // Else it complains of a log that cannot be written by a panic.
        .log_internal_errors(false)
        .finish()
        .with(shown())
        .try_init();
    match inherited::control().and_then(control::run) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(%error, "the proxy cannot start");
            ExitCode::FAILURE
        }
    }
}

/// What the log shows: as the supervisor's does.
fn shown() -> EnvFilter {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    // It warns of what clients do wrong, as often as they do it.
    filter.add_directive("h2=off".parse().expect("a directive"))
}
