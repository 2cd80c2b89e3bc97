//! Settings of an app of which each may be so, but not with the others; and those that no value would make work.

use super::super::identity::Refusal;
use super::Settings;
use std::time::Duration;

/// What the proxies say of a worker may be so old, and without it a busy worker cannot be told from an ill one.
const LEAST_HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// All that cannot be. Of two settings that contradict each other the one that `is_said` to be so is to blame.
pub(super) fn contradictions(settings: &Settings, is_said: impl Fn(&str) -> bool) -> Vec<Refusal> {
    let either = |first, second| if is_said(first) { first } else { second };
    let mut refusals = Vec::new();
    let mut refuse = |key: &'static str, message: String, hint: &str| {
        refusals.push(Refusal {
            key,
            message,
            hint: hint.to_owned(),
        });
    };
    if settings.restart_delay > settings.restart_max_delay {
        refuse(
            either("restart_delay", "restart_max_delay"),
            "`restart_delay` is longer than `restart_max_delay`".to_owned(),
            "raise `restart_max_delay` or lower `restart_delay`",
        );
    }
    if settings
        .max_processes
        .is_some_and(|most| most < settings.processes)
    {
        refuse(
            either("max_processes", "processes"),
            "`max_processes` is less than `processes`".to_owned(),
            "raise `max_processes`, or lower `processes`",
        );
    }
    if settings.health_interval < LEAST_HEALTH_INTERVAL {
        refuse(
            "health_interval",
            "`health_interval` is less than a second".to_owned(),
            "write `1s` or more: what a worker has to do is known to the second",
        );
    }
    for (key, value) in [
        ("start_timeout", settings.start_timeout),
        ("scale_down_after", settings.scale_down_after),
        ("crash_window", settings.crash_window),
        ("restart_delay", settings.restart_delay),
        ("deadly_pause", settings.deadly_pause),
    ] {
        if value.is_zero() {
            let message = format!("`{key}` cannot be zero");
            refuse(key, message, "write a duration above zero");
        }
    }
    for (key, wanted) in [
        ("seccomp", settings.wanted.seccomp),
        ("private_signals", settings.wanted.private_signals),
    ] {
        if wanted && !settings.no_new_privileges {
            let message = format!("`{key}` cannot be had with `no_new_privileges = off`");
            let hint = "remove one of the two; the kernel demands it";
            refuse(key, message, hint);
        }
    }
    refusals
}
