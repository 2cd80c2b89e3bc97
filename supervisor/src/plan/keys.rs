//! The keys of `[isolate]` and `[isolate:NAME]`: one row each.
//!
//! docs/settings.md is checked against this table by a test, `paster check` prints from it.

use super::log::Template;
use super::spec::{AppSpec, Isolation, LineFormat, LogTo, Restart, Settings};
use super::units::{duration, number, optional_duration, show_duration, show_size, size, switch};
use super::values::{
    count, cpus, environment, optional_count, optional_request_path, optional_size, path, paths,
    patterns, program, read_limit, readiness, seconds, show_cpus, show_limit, show_paths,
    show_readiness, word,
};
use crate::router::message::{Handover, LogFormat};
use std::path::{Path, PathBuf};

/// One key.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub scope: Scope,
    /// As written in a file; `off` or a word in parentheses where there is no value.
    pub default: &'static str,
    /// One line for people: unit and effect.
    pub about: &'static str,
    /// Reads a value; the error says what was expected.
    pub(super) set: fn(&mut Draft, &str, &Path) -> Result<(), String>,
    /// Writes the effective value; none for keys that are shown in another place, or mean nothing to this app.
    pub(super) show: fn(&View<'_>) -> Option<String>,
}

/// Where a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `[isolate]` for all apps, `[isolate:NAME]` for one.
    App,
    /// Only `[isolate]`: it is about the proxy or the whole file.
    Site,
}

/// Whether filters above a urlmap are built again in each app below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FanOut {
    /// The stock filters for which it changes nothing (see `stock::FANS_OUT`).
    #[default]
    Auto,
    /// All filters.
    On,
    /// None: everything below a filter is one app.
    Off,
}

/// Where the proxy logs requests, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LogTarget {
    #[default]
    Off,
    Stdout,
    File(PathBuf),
}

/// Settings while they are being read: those of an app, and of the site.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Draft {
    pub settings: Settings,
    pub python: Option<PathBuf>,
    pub user: Option<String>,
    pub group: Option<String>,
    pub strip_prefix: StripPrefix,
    pub fan_out: FanOut,
    pub access_log: LogTarget,
    pub access_log_format: LogFormat,
    pub trusted_proxy: Vec<String>,
    pub servers: Vec<String>,
}

/// Whether programs other than our Python host get the target without the mount prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StripPrefix(pub bool);

impl Default for StripPrefix {
    fn default() -> StripPrefix {
        StripPrefix(true)
    }
}

/// What the effective values of an app are read from.
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) handover: Handover,
}

/// The most worker processes of one app; more is a slip of the pen.
pub const MOST_PROCESSES: u32 = 1024;
/// The most requests that one worker is given at a time.
const MOST_THREADS: u32 = 4096;

/// The most old log files that stay; each rotation renames them all.
const MOST_OLD_LOGS: u32 = 1000;

macro_rules! app_duration {
    ($name:ident, $default:literal, $about:literal) => {
        Key {
            name: stringify!($name),
            scope: Scope::App,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.settings.$name = duration(text)?;
                Ok(())
            },
            show: |view| Some(show_duration(view.settings.$name)),
        }
    };
}

macro_rules! app_optional {
    ($name:ident, $read:expr, $show:expr, $about:literal) => {
        Key {
            name: stringify!($name),
            scope: Scope::App,
            default: "off",
            about: $about,
            set: |draft, text, _| {
                draft.settings.$name = $read(text)?;
                Ok(())
            },
            show: |view| Some(view.settings.$name.map_or_else(|| "off".to_owned(), $show)),
        }
    };
}

macro_rules! app_number {
    ($name:ident, $low:expr, $high:expr, $default:literal, $about:literal) => {
        Key {
            name: stringify!($name),
            scope: Scope::App,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.settings.$name = number(text, $low, $high)?;
                Ok(())
            },
            show: |view| Some(view.settings.$name.to_string()),
        }
    };
}

macro_rules! limit {
    ($name:literal, $read:expr, $show:expr, $about:literal) => {
        Key {
            name: concat!("limit_", $name),
            scope: Scope::App,
            default: "(inherited)",
            about: $about,
            set: |draft, text, _| {
                let limit = read_limit(text, $read)?;
                draft.settings.limits.insert($name.to_owned(), limit);
                Ok(())
            },
            show: |view| show_limit(view.settings.limits.get($name), $show),
        }
    };
}

macro_rules! app_switch {
    ($name:literal, $($field:ident).+, $default:literal, $about:literal) => {
        Key {
            name: $name,
            scope: Scope::App,
            default: $default,
            about: $about,
            set: |draft, text, _| {
                draft.settings.$($field).+ = switch(text)?;
                Ok(())
            },
            show: |view| {
                let switched = if view.settings.$($field).+ { "on" } else { "off" };
                Some(switched.to_owned())
            },
        }
    };
}

/// A limit of the control group.
macro_rules! cgroup {
    ($name:literal, $field:ident, $read:expr, $show:expr, $about:literal) => {
        Key {
            name: concat!("cgroup_", $name),
            scope: Scope::App,
            default: "off",
            about: $about,
            set: |draft, text, _| {
                draft.settings.wanted.limits.$field = $read(text)?;
                Ok(())
            },
            show: |view| {
                let limit = view.settings.wanted.limits.$field;
                Some(limit.map_or_else(|| "off".to_owned(), $show))
            },
        }
    };
}

macro_rules! app_paths {
    ($name:ident, $about:literal) => {
        Key {
            name: stringify!($name),
            scope: Scope::App,
            default: "off",
            about: $about,
            set: |draft, text, here| {
                draft.settings.wanted.$name = paths(text, here)?;
                Ok(())
            },
            show: |view| Some(show_paths(&view.settings.wanted.$name)),
        }
    };
}

/// Every key, in the order in which it is shown.
pub static KEYS: &[Key] = &[
    app_number!(
        processes,
        1,
        MOST_PROCESSES,
        "1",
        "worker processes of the app"
    ),
    Key {
        name: "max_processes",
        scope: Scope::App,
        default: "(processes)",
        about: "up to so many worker processes while requests wait; fewer again when they are not needed",
        set: |draft, text, _| {
            draft.settings.max_processes = Some(number(text, 1, MOST_PROCESSES)?);
            Ok(())
        },
        show: |view| {
            let most = view.settings.max_processes;
            Some(most.map_or_else(|| "(processes)".to_owned(), |most| most.to_string()))
        },
    },
    app_duration!(
        scale_down_after,
        "60s",
        "one process above `processes` is given up when for so long one fewer would have been enough"
    ),
    app_number!(
        threads,
        1,
        MOST_THREADS,
        "4",
        "requests that one worker is given at the same time"
    ),
    Key {
        name: "ready",
        scope: Scope::App,
        default: "auto",
        about: "how a worker says that it can serve: `auto`, `notify`, `accept` or `http:/path`",
        set: |draft, text, _| {
            draft.settings.ready = readiness(text)?;
            Ok(())
        },
        show: |view| Some(show_readiness(&view.settings.ready)),
    },
    app_duration!(
        start_timeout,
        "60s",
        "how long a worker may take to become ready"
    ),
    app_duration!(
        min_healthy,
        "0s",
        "how long a new worker must stay up before it replaces an old one"
    ),
    app_duration!(
        drain_timeout,
        "30s",
        "how long requests in flight may go on when a worker is replaced or stopped"
    ),
    app_duration!(
        stop_timeout,
        "10s",
        "how long a worker may take to end after SIGTERM, before SIGKILL"
    ),
    app_optional!(
        request_timeout,
        optional_duration,
        show_duration,
        "how long a worker may take to begin its response; then the client gets 504 and the worker is replaced"
    ),
    app_optional!(
        watchdog,
        optional_duration,
        show_duration,
        "a ready worker that has not sent `WATCHDOG=1` for so long hangs and is replaced"
    ),
    Key {
        name: "health_path",
        scope: Scope::App,
        default: "off",
        about: "GET this path of each worker: it serves once it has answered 200 to 399, and is replaced after three failures in a row",
        set: |draft, text, _| {
            draft.settings.health_path = optional_request_path(text)?;
            Ok(())
        },
        show: |view| {
            let path = view.settings.health_path.as_deref();
            Some(path.unwrap_or("off").to_owned())
        },
    },
    app_duration!(
        health_interval,
        "10s",
        "how often `health_path` is asked for, and how long an answer may take"
    ),
    app_optional!(
        idle_timeout,
        optional_duration,
        show_duration,
        "the app is on demand: no process until a request comes, and again after this time without one"
    ),
    app_optional!(
        max_lifetime,
        optional_duration,
        show_duration,
        "a worker is replaced after this time, give or take a tenth; its successor is ready first"
    ),
    app_optional!(
        max_requests,
        optional_count,
        |count: u64| count.to_string(),
        "a worker is replaced after so many requests; its successor is ready first"
    ),
    app_number!(
        max_requests_jitter,
        0,
        u64::from(u32::MAX),
        "0",
        "each worker is given up to so many requests more than `max_requests`, at random"
    ),
    app_optional!(
        max_memory,
        optional_size,
        show_size,
        "a worker whose resident memory is larger is replaced; its successor is ready first"
    ),
    app_number!(
        queue,
        0,
        1_000_000,
        "1000",
        "requests that may wait for a worker; more get 503"
    ),
    app_duration!(
        queue_timeout,
        "30s",
        "how long a request may wait for a worker; then it gets 503"
    ),
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
                _ => return Err("expected `always`, `on-failure` or `never`".to_owned()),
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
        show: |view| {
            let watch = &view.settings.watch;
            Some(if watch.is_empty() {
                "(nothing)".to_owned()
            } else {
                watch.join(" ")
            })
        },
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
    Key {
        name: "isolation",
        scope: Scope::App,
        default: "require",
        about: "what happens where this machine cannot give what the keys below ask for: `require` (the configuration is refused) or `warn`",
        set: |draft, text, _| {
            draft.settings.isolation = match text.trim() {
                "require" => Isolation::Require,
                "warn" => Isolation::Warn,
                _ => return Err("expected `require` or `warn`".to_owned()),
            };
            Ok(())
        },
        show: |view| {
            let isolation = match view.settings.isolation {
                Isolation::Require => "require",
                Isolation::Warn => "warn",
            };
            Some(isolation.to_owned())
        },
    },
    cgroup!(
        "memory",
        memory,
        optional_size,
        show_size,
        "memory of all processes of the app together, swap included; beyond it the kernel kills"
    ),
    cgroup!(
        "cpu",
        cpu,
        cpus,
        show_cpus,
        "CPUs that all processes of the app together may keep busy: `0.5`, `2` or `150%`"
    ),
    cgroup!(
        "pids",
        pids,
        optional_count,
        |count: u64| count.to_string(),
        "processes and threads of the app together"
    ),
    app_switch!(
        "private_tmp",
        wanted.private_tmp,
        "off",
        "the app has a /tmp and /var/tmp of its own, removed when paster ends"
    ),
    app_switch!(
        "private_network",
        wanted.private_network,
        "off",
        "the workers see no network but a loopback interface of their own"
    ),
    app_switch!(
        "private_signals",
        wanted.private_signals,
        "off",
        "the workers can signal and trace only what they have started themselves"
    ),
    app_paths!(
        read_only,
        "paths that the workers cannot write to, with all below; `/` leaves only /dev, /proc and /sys"
    ),
    app_paths!(writable, "exceptions from `read_only`"),
    app_paths!(hidden, "paths that the workers cannot open, with all below"),
    app_switch!(
        "seccomp",
        wanted.seccomp,
        "off",
        "system calls that no web application needs fail: mount, ptrace, bpf, keyctl, …"
    ),
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
            draft.trusted_proxy = super::networks::networks(text)?;
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

/// The row of a key.
pub fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The settings that are in effect for an app, as a file would have them; those that mean nothing to it are left out.
pub fn effective(app: &AppSpec) -> impl Iterator<Item = (&'static Key, String)> + '_ {
    let view = View {
        settings: &app.settings,
        handover: app.handover,
    };
    KEYS.iter()
        .filter_map(move |key| Some((key, (key.show)(&view)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::spec::Readiness;
    use std::collections::BTreeMap;

    fn read(name: &str, text: &str) -> Result<Draft, String> {
        let mut draft = Draft::default();
        (key(name).expect(name).set)(&mut draft, text, Path::new("/srv/site"))?;
        Ok(draft)
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_settings() {
        let settings = Settings::default();
        let view = View {
            settings: &settings,
            handover: Handover::Strip,
        };
        for key in KEYS {
            if let Some(shown) = (key.show)(&view) {
                assert_eq!(shown, key.default, "{}", key.name);
            }
        }
    }

    #[test]
    fn a_default_that_can_be_written_reads_as_the_default() {
        for key in KEYS.iter().filter(|key| !key.default.starts_with('(')) {
            assert_eq!(
                read(key.name, key.default),
                Ok(Draft::default()),
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
    }

    #[test]
    fn readiness_over_http_needs_a_path() {
        assert_eq!(
            read("ready", "http:/up").map(|d| d.settings.ready),
            Ok(Readiness::Http("/up".to_owned()))
        );
        assert!(read("ready", "http:").is_err());
        assert!(read("ready", "http:up").is_err());
        assert!(read("ready", "http:/a b").is_err());
        assert!(read("ready", "soon").is_err());
    }

    #[test]
    fn environment_is_words_or_lines() {
        let expected = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "x y".to_owned()),
        ]);
        for text in ["A=1 B=\"x y\"", "\nA=1\nB='x y'", "A=1\n\"B=x y\""] {
            assert_eq!(
                read("environment", text).map(|d| d.settings.environment),
                Ok(expected.clone()),
                "{text}"
            );
        }
        assert!(read("environment", "A=1 B").is_err());
        assert!(read("environment", "=1").is_err());
        assert!(read("environment", "A='1").is_err());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(
            read("directory", "var").map(|d| d.settings.directory),
            Ok(Some("/srv/site/var".into()))
        );
        assert_eq!(
            read("python", "env/bin/python").map(|d| d.python),
            Ok(Some("/srv/site/env/bin/python".into()))
        );
        assert_eq!(
            read("python", "python3.12").map(|d| d.python),
            Ok(Some("python3.12".into()))
        );
        assert!(read("directory", " ").is_err());
    }

    #[test]
    fn limits_have_their_own_units() {
        assert_eq!(
            read("limit_as", "2G").map(|d| d.settings.limits["as"]),
            Ok(Some(2 << 30))
        );
        assert_eq!(
            read("limit_nofile", "unlimited").map(|d| d.settings.limits["nofile"]),
            Ok(None)
        );
        assert_eq!(
            read("limit_cpu", "5m").map(|d| d.settings.limits["cpu"]),
            Ok(Some(300))
        );
        assert_eq!(
            read("limit_cpu", "5").map(|d| d.settings.limits["cpu"]),
            Ok(Some(5))
        );
        assert!(read("limit_cpu", "500ms").is_err());
        assert!(read("limit_nofile", "0").is_err());
    }

    #[test]
    fn cpus_are_numbers_or_per_cent() {
        let cpu = |text: &str| read("cgroup_cpu", text).map(|d| d.settings.wanted.limits.cpu);
        assert_eq!(cpu("50%"), Ok(Some(500)));
        assert_eq!(cpu("1.5"), Ok(Some(1500)));
        assert_eq!(cpu("2"), Ok(Some(2000)));
        assert_eq!(cpu("off"), Ok(None));
        for text in ["", "0", "0.001", "%", "-1", "5000", "1 CPU"] {
            assert!(cpu(text).is_err(), "{text}");
        }
        for shown in ["0.5", "1.5", "2", "0.01", "10"] {
            let thousandths = cpu(shown).expect(shown).expect(shown);
            assert_eq!(show_cpus(thousandths), shown);
        }
    }

    #[test]
    fn lists_of_paths_are_words_and_relative_to_the_file() {
        let hidden = |text: &str| read("hidden", text).map(|d| d.settings.wanted.hidden);
        let expected = vec!["/etc/keys".into(), "/srv/site/var lib".into()];
        assert_eq!(hidden("/etc/keys 'var lib'"), Ok(expected.clone()));
        assert_eq!(hidden("\n/etc/keys\n'var lib'"), Ok(expected.clone()));
        assert_eq!(show_paths(&expected), "/etc/keys '/srv/site/var lib'");
        assert_eq!(hidden("off"), Ok(vec![]));
        assert!(hidden("").is_err());
        assert!(hidden("'/etc").is_err());
    }

    #[test]
    fn a_mask_is_octal() {
        assert_eq!(
            read("umask", "022").map(|d| d.settings.umask),
            Ok(Some(0o22))
        );
        assert!(read("umask", "1000").is_err());
        assert!(read("umask", "8").is_err());
    }
}
