//! What is about the proxy or the whole file.

use super::logs::MOST_OLD_LOGS;
use super::{FanOut, Key, Scope};
use crate::plan::networks;
use crate::plan::redirects;
use crate::plan::units::{number, optional_duration};
use crate::plan::values::{log_format, optional_size};

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
                _ => return Err("expected `auto`, `on` or `off`".into()),
            };
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "access_log_format",
        scope: Scope::Site,
        default: "combined",
        about: "`common`, `combined`, `json` (one object per line), or a text with [variables](access-log.md)",
        set: |draft, text, _| {
            draft.access_log_format = log_format(text)?;
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "access_log_max_size",
        scope: Scope::Site,
        default: "off",
        about: "an access log that would become larger is put aside first",
        set: |draft, text, _| {
            draft.access_log_rotation.0.max_size = optional_size(text.trim())?;
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "access_log_max_age",
        scope: Scope::Site,
        default: "off",
        about: "an access log that is older is put aside when the next line comes",
        set: |draft, text, _| {
            draft.access_log_rotation.0.max_age = optional_duration(text)?;
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "access_log_keep",
        scope: Scope::Site,
        default: "10",
        about: "old access logs that stay: `FILE.1` is the newest",
        set: |draft, text, _| {
            draft.access_log_rotation.0.keep = number(text, 0, MOST_OLD_LOGS)?;
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "trusted_proxy",
        scope: Scope::Site,
        default: "(nobody)",
        about: "addresses and networks whose `X-Forwarded-*` and `Forwarded` are believed; `unix` for clients on unix listeners",
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
