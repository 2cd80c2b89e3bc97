//! Paster's own log.

use crate::control::feed::Feed;
use crate::control::journal;
use crate::control::protocol::Event;
use crate::logs::{LOG_VARIABLE, Logs, OwnLog};
use crate::plan::spec::Plan;
use crate::supervise::bind::Bound;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::{Layer, SubscriberExt};

/// How long the last lines may take to get to where they go.
pub(super) const LAST_LINES: Duration = Duration::from_secs(1);

/// The log for people at a terminal: local time of day, colours (unless `NO_COLOR` is set). Anywhere else each line can
/// stand alone: full timestamps in UTC, no escapes.
///
/// It shows what `level` says, else `PASTER_LOG`. Lines that are events go to `events` as well, whatever the log shows.
pub(super) fn init(writer: OwnLog, events: Feed<Arc<Event>>, level: Option<LevelFilter>) {
    let filter = match level {
        Some(level) => EnvFilter::new(level.to_string()),
        None => EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let log = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(writer);
    let log = if io::stderr().is_terminal() {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let timer = ChronoLocal::new("%H:%M:%S".to_owned());
        log.with_timer(timer).with_ansi(colour).boxed()
    } else {
        log.with_ansi(false).boxed()
    };
    let subscriber = tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(journal::layer(events));
    // Set once in the life of the process, so the only error is impossible.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The first lines of a log file; at a terminal there is the summary.
pub(super) fn tell_start(plan: &Plan, listeners: &[Bound], obituary: Option<&str>) {
    if let Some(obituary) = obituary {
        tracing::error!("{obituary}; it is started again");
    }
    let urls: Vec<String> = listeners.iter().map(|bound| bound.info.url()).collect();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        config = %plan.config.display(),
        listen = urls.join(" "),
        "paster starts"
    );
    for warning in &plan.warnings {
        tracing::warn!(hint = warning.hint, "{warning}");
    }
}

/// However we leave: what was said by then is written.
pub(super) struct LastLines(pub(super) Logs);

impl Drop for LastLines {
    fn drop(&mut self) {
        self.0.pause(LAST_LINES);
    }
}
