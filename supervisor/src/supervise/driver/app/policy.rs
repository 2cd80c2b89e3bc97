//! From settings to what the state machine goes by.

use crate::plan::spec::{AppSpec, Settings};
use crate::supervise::backoff::BackoffPolicy;
use crate::supervise::machine::Policy;

/// What the state machine must know of an app. An upstream has no processes, nor have files.
pub(super) fn policy(spec: &AppSpec) -> Policy {
    let Settings {
        processes,
        start_timeout,
        min_healthy,
        drain_timeout,
        stop_timeout,
        restart,
        idle_timeout,
        watchdog,
        max_lifetime,
        threads,
        scale_down_after,
        ..
    } = spec.settings;
    let has_workers = spec.kind.has_workers();
    let processes_if_any = |processes| if has_workers { processes } else { 0 };
    Policy {
        processes: processes_if_any(processes),
        health: spec.settings.health_path.is_some(),
        max_processes: processes_if_any(spec.settings.most_processes()),
        threads,
        scale_down_after,
        start_timeout,
        min_healthy,
        drain_timeout,
        stop_timeout,
        restart,
        idle_timeout: idle_timeout.filter(|_| has_workers),
        watchdog,
        max_lifetime,
        backoff: BackoffPolicy {
            delay: spec.settings.restart_delay,
            max_delay: spec.settings.restart_max_delay,
            limit: spec.settings.crash_limit,
            window: spec.settings.crash_window,
        },
    }
}
