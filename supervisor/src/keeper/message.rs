//! Messages between supervisor and keeper: one JSON object per line over an inherited socketpair.

use crate::confine::{Cgroup, cgroup, worker};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// Descriptor of the socketpair in the keeper.
pub const CONTROL_FD: RawFd = 3;
/// Descriptors passed for the worker: its listener, its configuration, the source of the Python host.
pub const LISTENER_FD: RawFd = 4;
pub const CONFIG_FD: RawFd = 5;
pub const HOST_FD: RawFd = 6;
pub const PASSED_FDS: [RawFd; 3] = [LISTENER_FD, CONFIG_FD, HOST_FD];

/// First message: what to start and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeeperSpec {
    /// Program (looked up in the worker's PATH unless it has a slash) and arguments.
    pub argv: Vec<String>,
    /// The complete environment; `LISTEN_PID` is added by the keeper.
    pub env: BTreeMap<String, String>,
    pub directory: Option<PathBuf>,
    pub has_listener: bool,
    pub has_host: bool,
    pub identity: Option<Identity>,
    pub umask: Option<u32>,
    pub nice: Option<i32>,
    /// rlimit name to soft and hard limit; none is unlimited.
    pub limits: BTreeMap<String, Option<u64>>,
    pub no_new_privileges: bool,
    /// None where nothing is asked for.
    pub confinement: Option<worker::Spec>,
    /// It is a template: it gets a socket by which it is told to fork workers, and the keeper keeps those, too.
    #[serde(default)]
    pub template: bool,
}

/// To the keeper of a template: have it fork a worker. [`FORK_FDS`] descriptors come with the message: the keeper's end of
/// the worker's own link, and for the worker its listener, its notifications, stdout and stderr.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fork {
    /// Variables that are different in each worker.
    pub env: BTreeMap<String, String>,
    pub group: Option<(Cgroup, cgroup::Name)>,
}

/// How many descriptors a [`Fork`] has.
pub const FORK_FDS: usize = 5;

/// What the keeper of a template may be sent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ToTemplate {
    /// About the template itself.
    Order(ToKeeper),
    Fork {
        fork: Fork,
    },
}

/// Who the worker runs as.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
}

/// Supervisor to keeper, after the spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToKeeper {
    /// SIGTERM to the worker's process group, then SIGCONT so that a stopped one can obey.
    Terminate,
    /// SIGQUIT to the worker alone: our Python host writes the stacks of all its threads and goes on.
    Dump,
    /// SIGKILL to the worker and all its descendants.
    Kill,
}

/// Keeper to supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromKeeper {
    /// The program was executed, or the worker forked.
    Spawned {
        pid: u32,
        /// The process below which all of the worker is, where that is not the keeper.
        #[serde(default)]
        root: Option<u32>,
    },
    /// It could not be; nothing runs.
    Failed { step: String, error: String },
    /// The worker has ended.
    Exited(Ended),
}

/// A worker that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub exit: Exit,
    /// The kernel has written a core dump, or piped it to who collects them (core(5)).
    #[serde(default)]
    pub core_dumped: bool,
    /// None where nobody could ask: its keeper was lost.
    #[serde(default)]
    pub usage: Option<Usage>,
}

impl Ended {
    /// With its keeper, which nobody can ask any more.
    pub const WITH_ITS_KEEPER: Ended = Ended {
        exit: Exit::Unknown,
        core_dumped: false,
        usage: None,
    };
}

/// What a worker used in its life, with those of its children that it had waited for (getrusage(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The largest resident set.
    pub max_rss_bytes: u64,
    /// CPU time, in milliseconds.
    pub user_ms: u64,
    pub system_ms: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// By the kernel, because its app was over its memory limit (`cgroup_memory`) of so many bytes.
    OverMemory(u64),
    /// Its keeper was lost, and it was killed with it.
    Unknown,
}
