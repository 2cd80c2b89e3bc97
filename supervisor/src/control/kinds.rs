//! What can happen: the kinds of events. docs/operations.md has the same table (a test compares them).
//!
//! A line of the log that is such an event carries the kind as the name of its `tracing` event:
//! `tracing::info!(name: kinds::WORKER_READY, %app, slot, …, "worker ready")`; see [`super::journal`].

macro_rules! kinds {
    ($($constant:ident = $name:literal;)*) => {
        $(pub const $constant: &str = $name;)*
        /// All of them, in the order of the documentation.
        pub const ALL: &[&str] = &[$($constant),*];
    };
}

kinds! {
    // Workers.
    WORKER_SPAWNED = "worker_spawned";
    WORKER_READY = "worker_ready";
    WORKER_CRASHED = "worker_crashed";
    WORKER_NOT_STARTED = "worker_not_started";
    WORKER_NOT_READY = "worker_not_ready";
    WORKER_HUNG = "worker_hung";
    WORKER_RECYCLED = "worker_recycled";
    WORKER_UNREACHABLE = "worker_unreachable";
    DRAIN_TIMEOUT = "drain_timeout";
    STOP_TIMEOUT = "stop_timeout";
    WORKER_STOPPED = "worker_stopped";
    REQUEST_REFUSED = "request_refused";
    // Templates (`preload`).
    TEMPLATE_READY = "template_ready";
    TEMPLATE_FAILED = "template_failed";
    TEMPLATE_DIED = "template_died";
    // Apps.
    APP_STATE = "app_state";
    APP_FAILED = "app_failed";
    APP_SCALED = "app_scaled";
    SCALE_GIVEN_UP = "scale_given_up";
    APP_MAINTENANCE = "app_maintenance";
    APP_ASLEEP = "app_asleep";
    APP_WOKEN = "app_woken";
    ROLLOUT_BEGUN = "rollout_begun";
    ROLLOUT_DONE = "rollout_done";
    ROLLOUT_GIVEN_UP = "rollout_given_up";
    // The site.
    ALL_READY = "all_ready";
    RELOADED = "reloaded";
    RELOAD_REFUSED = "reload_refused";
    FILES_CHANGED = "files_changed";
    LISTENERS_CHANGED = "listeners_changed";
    PROXY_STARTED = "proxy_started";
    PROXY_DIED = "proxy_died";
    PROXY_FINISHED = "proxy_finished";
    CONTROL_REFUSED = "control_refused";
    UPGRADED = "upgraded";
    UPGRADE_REFUSED = "upgrade_refused";
    STOP_BEGUN = "stop_begun";
    // Lines of the log that say that something is wrong, and are of no kind of their own.
    WARNING = "warning";
    ERROR = "error";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_kind_is_documented_in_this_order() {
        let documented: Vec<&str> = include_str!("../../../docs/operations.md")
            .lines()
            .skip_while(|line| !line.starts_with("| kind"))
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .filter_map(|line| line.split('`').nth(1))
            .collect();
        assert_eq!(documented, ALL);
    }
}
