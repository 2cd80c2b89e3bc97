//! What workers are kept from.

use super::{Key, Scope};
use crate::plan::spec::Isolation;
use crate::plan::units::show_size;
use crate::plan::values::{cpus, optional_count, optional_size, show_cpus};

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "isolation",
        scope: Scope::App,
        default: "require",
        about: "what happens where this machine cannot give what the keys below ask for: `require` (the configuration is refused) or `warn`",
        set: |draft, text, _| {
            draft.settings.isolation = match text.trim() {
                "require" => Isolation::Require,
                "warn" => Isolation::Warn,
                _ => return Err("expected `require` or `warn`".into()),
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
];
