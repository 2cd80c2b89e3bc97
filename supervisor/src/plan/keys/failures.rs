//! What follows when workers end, and what is kept of it.

use super::{Key, Scope};
use crate::plan::spec::Restart;
use crate::plan::units::number;

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "restart",
        scope: Scope::App,
        default: "always",
        about: "when a worker that ended is started again: `always`, `on-failure` or `never`",
        set: |draft, text, _| {
            draft.settings.restart = match text.trim() {
                "always" => Restart::Always,
                "on-failure" => Restart::OnFailure,
                "never" => Restart::Never,
                _ => {
                    return Err("expected `always`, `on-failure` or `never`"
                        .to_owned()
                        .into());
                }
            };
            Ok(())
        },
        show: |view| {
            Some(
                match view.settings.restart {
                    Restart::Always => "always",
                    Restart::OnFailure => "on-failure",
                    Restart::Never => "never",
                }
                .to_owned(),
            )
        },
    },
    app_duration!(
        restart_delay,
        "100ms",
        "pause before the first restart after a crash; it doubles with each crash"
    ),
    app_duration!(
        restart_max_delay,
        "30s",
        "the longest pause before a restart"
    ),
    app_number!(
        crash_limit,
        1,
        10_000,
        "5",
        "crashes within `crash_window` after which the app is failed"
    ),
    app_duration!(crash_window, "60s", "the time in which crashes are counted"),
    Key {
        name: "deadly_requests",
        scope: Scope::App,
        default: "2",
        about: "deaths in a row at which a request that was in flight at each is refused with 503 for a while; `off`: never",
        set: |draft, text, _| {
            draft.settings.deadly_requests = match text.trim() {
                "off" => None,
                _ => Some(
                    number(text, 1, 1000).map_err(|expected| format!("{expected}, or `off`"))?,
                ),
            };
            Ok(())
        },
        show: |view| {
            let limit = view.settings.deadly_requests;
            Some(limit.map_or_else(|| "off".to_owned(), |limit| limit.to_string()))
        },
    },
    app_duration!(
        deadly_pause,
        "5s",
        "for how long such a request is refused at first; it doubles each time, up to a minute"
    ),
    app_number!(
        keep_reports,
        0,
        1000,
        "20",
        "crash reports that are kept of the app; 0: none are written"
    ),
];
