//! What the proxy does with the requests of an app.

use super::{Key, Scope, StripPrefix};
use crate::plan::networks;
use crate::plan::units::{show_size, switch};
use crate::plan::values::{
    optional_size, sampled_share, sendfile, show_sampled_share, show_sendfile,
};
use crate::router::message::Handover;

pub(super) static KEYS: &[Key] = &[
    app_switch!(
        "static",
        native_static,
        "on",
        "an app of `egg:Paste#static` is served by the proxy itself, without a process; `off`: by workers"
    ),
    Key {
        name: "sendfile",
        scope: Scope::App,
        default: "off",
        about: "directories of files that an answer may name in `X-Sendfile`; `/PREFIX/=DIRECTORY` also in `X-Accel-Redirect`",
        set: |draft, text, here| {
            draft.settings.sendfile = sendfile(text, here)?;
            Ok(())
        },
        show: |view| Some(show_sendfile(&view.settings.sendfile)),
    },
    Key {
        name: "request_buffering",
        scope: Scope::App,
        default: "auto",
        about: "a request's body is read to its end before a worker gets it: `on`, `off`, or `auto`: on for Python apps",
        set: |draft, text, _| {
            draft.settings.request_buffering = match text.trim() {
                "auto" => None,
                text => Some(switch(text).map_err(|expected| format!("{expected}, or `auto`"))?),
            };
            Ok(())
        },
        show: |view| {
            let shown = match view.settings.request_buffering {
                None => "auto",
                Some(true) => "on",
                Some(false) => "off",
            };
            Some(shown.to_owned())
        },
    },
    app_optional!(
        max_body,
        optional_size,
        show_size,
        "bytes of a request body; more gets 413"
    ),
    app_switch!(
        "maintenance",
        maintenance,
        "off",
        "clients get 503 while the workers live on; `paster maintenance` switches it for a while"
    ),
    Key {
        name: "maintenance_allow",
        scope: Scope::App,
        default: "(nobody)",
        about: "addresses and networks whose clients are served all the same; `unix` for those on unix listeners",
        set: |draft, text, _| {
            draft.settings.maintenance_allow = networks::networks(text)?;
            Ok(())
        },
        show: |view| {
            Some(match view.settings.maintenance_allow.as_slice() {
                [] => "(nobody)".to_owned(),
                networks => networks.join(" "),
            })
        },
    },
    app_duration!(
        maintenance_retry_after,
        "60s",
        "`Retry-After` for clients in the meantime: when they may ask again"
    ),
    Key {
        name: "traceparent",
        scope: Scope::App,
        default: "off",
        about: "the proxy takes part in traces (W3C Trace Context): `on`, or the share of those begun here that is sampled, such as `0.1`; `off` passes on what comes",
        set: |draft, text, _| {
            draft.settings.traced = sampled_share(text)?;
            Ok(())
        },
        show: |view| Some(show_sampled_share(view.settings.traced)),
    },
    Key {
        name: "strip_prefix",
        scope: Scope::App,
        default: "on",
        about: "programs and upstreams get the request target without the mount prefix; Python apps are never concerned",
        set: |draft, text, _| {
            draft.strip_prefix = StripPrefix(switch(text)?);
            Ok(())
        },
        show: |view| match view.handover {
            Handover::Environ => None,
            Handover::Strip => Some("on".to_owned()),
            Handover::Keep => Some("off".to_owned()),
        },
    },
];
