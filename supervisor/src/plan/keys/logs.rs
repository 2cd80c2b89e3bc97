//! Where the output of an app goes, and whether its requests are logged.

use super::{Key, LogTarget, Scope};
use crate::plan::log::Template;
use crate::plan::spec::{LineFormat, LogTo};
use crate::plan::units::{number, optional_duration, show_duration, show_size, switch};
use crate::plan::values::{optional_size, path, show_access_log};

/// The most old log files that stay; each rotation renames them all.
pub(super) const MOST_OLD_LOGS: u32 = 1000;

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "log",
        scope: Scope::App,
        default: "inherit",
        about: "where the output goes: `inherit` (paster's own stdout and stderr), `journald`, `syslog` or `off`",
        set: |draft, text, here| {
            draft.settings.log.to = LogTo::read(text, here)?;
            Ok(())
        },
        show: |view| view.settings.log.to.show(),
    },
    Key {
        name: "log_file",
        scope: Scope::App,
        default: "(none)",
        about: "the output goes to this file instead, relative to the INI file; `{app}` and `{stream}` are replaced",
        set: |draft, text, here| {
            draft.settings.log.to = LogTo::File(Template::read(text, here)?);
            Ok(())
        },
        show: |view| {
            Some(match &view.settings.log.to {
                LogTo::File(template) => template.show(),
                _ => "(none)".to_owned(),
            })
        },
    },
    Key {
        name: "log_format",
        scope: Scope::App,
        default: "prefix",
        about: "how a line is written: `prefix` (`[app:slot] line`), `time` (with the time before that), `plain` or `json`",
        set: |draft, text, _| {
            draft.settings.log.format = LineFormat::read(text)?;
            Ok(())
        },
        show: |view| Some(view.settings.log.format.show().to_owned()),
    },
    Key {
        name: "log_max_size",
        scope: Scope::App,
        default: "20M",
        about: "a log file that would become larger is put aside first, or `off`",
        set: |draft, text, _| {
            draft.settings.log.rotation.max_size = optional_size(text.trim())?;
            Ok(())
        },
        show: |view| {
            let size = view.settings.log.rotation.max_size;
            Some(size.map_or_else(|| "off".to_owned(), show_size))
        },
    },
    Key {
        name: "log_max_age",
        scope: Scope::App,
        default: "off",
        about: "a log file that is older is put aside when the next line comes",
        set: |draft, text, _| {
            draft.settings.log.rotation.max_age = optional_duration(text)?;
            Ok(())
        },
        show: |view| {
            let age = view.settings.log.rotation.max_age;
            Some(age.map_or_else(|| "off".to_owned(), show_duration))
        },
    },
    Key {
        name: "log_keep",
        scope: Scope::App,
        default: "10",
        about: "old log files that stay: `FILE.1` is the newest",
        set: |draft, text, _| {
            draft.settings.log.rotation.keep = number(text, 0, MOST_OLD_LOGS)?;
            Ok(())
        },
        show: |view| Some(view.settings.log.rotation.keep.to_string()),
    },
    Key {
        name: "access_log",
        scope: Scope::App,
        default: "off",
        about: "where the proxy logs requests: `off`, `stdout` or a file, relative to the INI file; in `[isolate:NAME]` only `off`",
        set: |draft, text, here| {
            draft.access_log = match (text.trim(), switch(text)) {
                (_, Ok(false)) => LogTarget::Off,
                ("stdout", _) => LogTarget::Stdout,
                // Files of these names would be meant by nobody.
                (_, Ok(true)) | ("stderr" | "syslog" | "journald", _) => {
                    return Err("expected `off`, `stdout` or a file".into());
                }
                _ => LogTarget::File(path(text, here)?),
            };
            Ok(())
        },
        show: |view| {
            Some(match view.settings.unlogged {
                true => "off".to_owned(),
                false => show_access_log(view.access_log),
            })
        },
    },
];
