//! The process of a worker.

use super::{Key, Scope};
use crate::plan::units::{number, show_size, size};
use crate::plan::values::{
    count, environment, path, patterns, program, seconds, show_patterns, word,
};
use crate::router::message::Handover;

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "python",
        scope: Scope::App,
        default: "(found)",
        about: "the Python interpreter; else `$VIRTUAL_ENV`, `.venv` or `venv` beside the INI file, `python3`",
        set: |draft, text, here| {
            draft.python = Some(program(text, here)?);
            Ok(())
        },
        show: |_| None,
    },
    Key {
        name: "filters",
        scope: Scope::App,
        default: "(none)",
        about: "filters around a Python app, as in a pipeline: names of `[filter:…]` sections, or URIs; the outermost first",
        set: |draft, text, _| {
            draft.settings.filters = text.split_whitespace().map(str::to_owned).collect();
            Ok(())
        },
        show: |view| {
            let filters = &view.settings.filters;
            let python = view.handover == Handover::Environ;
            python.then(|| match filters.is_empty() {
                true => "(none)".to_owned(),
                false => filters.join(" "),
            })
        },
    },
    Key {
        name: "directory",
        scope: Scope::App,
        default: "(inherited)",
        about: "working directory of the workers, relative to the INI file",
        set: |draft, text, here| {
            draft.settings.directory = Some(path(text, here)?);
            Ok(())
        },
        show: |view| {
            let directory = view.settings.directory.as_ref();
            Some(directory.map_or_else(
                || "(inherited)".to_owned(),
                |path| path.display().to_string(),
            ))
        },
    },
    Key {
        name: "watch",
        scope: Scope::App,
        default: "(nothing)",
        about: "files, relative to the INI file, `*` and `**` allowed: when one changes, comes or goes, new workers replace the old ones",
        set: |draft, text, here| {
            draft.settings.watch = patterns(text, here)?;
            Ok(())
        },
        show: |view| Some(show_patterns(&view.settings.watch)),
    },
    Key {
        name: "environment",
        scope: Scope::App,
        default: "(inherited)",
        about: "`NAME=VALUE` words or lines added to the environment of the workers",
        set: |draft, text, _| {
            draft.settings.environment.extend(environment(text)?);
            Ok(())
        },
        show: |view| {
            let names: Vec<&str> = view
                .settings
                .environment
                .keys()
                .map(String::as_str)
                .collect();
            Some(if names.is_empty() {
                "(inherited)".to_owned()
            } else {
                format!("sets {}", names.join(", "))
            })
        },
    },
    Key {
        name: "user",
        scope: Scope::App,
        default: "(inherited)",
        about: "user of the workers, by name or number; needs root",
        set: |draft, text, _| {
            draft.user = Some(word(text, "a user name or number")?);
            Ok(())
        },
        show: |view| {
            let user = view.settings.user.as_ref();
            Some(user.map_or_else(
                || "(inherited)".to_owned(),
                |user| format!("{} ({})", user.name, user.uid),
            ))
        },
    },
    Key {
        name: "group",
        scope: Scope::App,
        default: "(inherited)",
        about: "group of the workers, by name or number; else the user's; needs root",
        set: |draft, text, _| {
            draft.group = Some(word(text, "a group name or number")?);
            Ok(())
        },
        show: |view| {
            let user = view.settings.user.as_ref();
            Some(user.map_or_else(|| "(inherited)".to_owned(), |user| user.gid.to_string()))
        },
    },
    Key {
        name: "umask",
        scope: Scope::App,
        default: "(inherited)",
        about: "file mode creation mask of the workers, octal",
        set: |draft, text, _| {
            let mask = u32::from_str_radix(text.trim(), 8)
                .ok()
                .filter(|mask| *mask <= 0o777);
            draft.settings.umask = Some(mask.ok_or("expected an octal mask such as `022`")?);
            Ok(())
        },
        show: |view| {
            Some(
                view.settings
                    .umask
                    .map_or_else(|| "(inherited)".to_owned(), |mask| format!("{mask:03o}")),
            )
        },
    },
    Key {
        name: "nice",
        scope: Scope::App,
        default: "(inherited)",
        about: "scheduling priority of the workers, from -20 (first) to 19 (last)",
        set: |draft, text, _| {
            draft.settings.nice = Some(number(text, -20, 19)?);
            Ok(())
        },
        show: |view| {
            Some(
                view.settings
                    .nice
                    .map_or_else(|| "(inherited)".to_owned(), |nice| nice.to_string()),
            )
        },
    },
    limit!(
        "nofile",
        count,
        |limit| limit.to_string(),
        "open descriptors of a worker process"
    ),
    limit!(
        "nproc",
        count,
        |limit| limit.to_string(),
        "processes and threads of the worker's user"
    ),
    limit!("core", size, show_size, "size of a core dump"),
    limit!("as", size, show_size, "address space of a worker process"),
    limit!(
        "cpu",
        seconds,
        |limit| format!("{limit}s"),
        "CPU time of a worker process, in whole seconds"
    ),
    limit!(
        "fsize",
        size,
        show_size,
        "size of a file that a worker process writes"
    ),
    app_switch!(
        "no_new_privileges",
        no_new_privileges,
        "on",
        "setuid programs give the workers and their children no privileges"
    ),
];
