//! What is about the proxy or the whole file.

use super::{FanOut, Key, LogTarget, Scope};
use crate::plan::networks;
use crate::plan::redirects;
use crate::plan::values::path;
use crate::router::message::LogFormat;

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "fan_out",
        scope: Scope::Site,
        default: "auto",
        about: "build filters above a urlmap again in each app below: `auto` (harmless stock filters), `on` (all), `off`",
        set: |draft, text, _| {
            draft.fan_out = match text.trim() {
                "auto" => FanOut::Auto,
                "on" => FanOut::On,
                "off" => FanOut::Off,
                _ => return Err("expected `auto`, `on` or `off`".to_owned()),
            };
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "access_log",
        scope: Scope::Site,
        default: "off",
        about: "where the proxy logs requests: `off`, `stdout` or a file, relative to the INI file",
        set: |draft, text, here| {
            draft.access_log = match text.trim() {
                "off" => LogTarget::Off,
                "stdout" => LogTarget::Stdout,
                _ => LogTarget::File(path(text, here)?),
            };
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "access_log_format",
        scope: Scope::Site,
        default: "combined",
        about: "`common`, `combined` or `json` (one object per line)",
        set: |draft, text, _| {
            draft.access_log_format = match text.trim() {
                "common" => LogFormat::Common,
                "combined" => LogFormat::Combined,
                "json" => LogFormat::Json,
                _ => return Err("expected `common`, `combined` or `json`".to_owned()),
            };
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "trusted_proxy",
        scope: Scope::Site,
        default: "(nobody)",
        about: "addresses and networks whose `X-Forwarded-*` are believed; `unix` for clients on unix listeners",
        set: |draft, text, _| {
            draft.trusted_proxy = networks::networks(text)?;
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "redirects",
        scope: Scope::Site,
        default: "(none)",
        about: "requests that are sent elsewhere, one rule a line: `FROM TO [STATUS]`",
        set: |draft, text, _| {
            draft.redirects = redirects::redirects(text)?;
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "servers",
        scope: Scope::Site,
        default: "(none)",
        about: "names of further `[server:NAME]` sections: paster listens where they say, too",
        set: |draft, text, _| {
            let names = text.split(|c: char| c.is_whitespace() || c == ',');
            draft.servers = names
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect();
            Ok(())
        },
        show: |_| None,
    },
];
