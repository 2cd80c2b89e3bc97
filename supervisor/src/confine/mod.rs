//! What a worker is kept from, beyond users and resource limits: control groups, namespaces, Landlock, seccomp.
//!
//! The settings say what is [`Wanted`]; [`verdict`] weighs it against what this machine can do ([`probe`]) and gives the
//! [`Confinement`] of the app; the keeper carries that out for each worker ([`worker`]), in named steps. What is off
//! costs nothing.

pub mod cgroup;
pub(crate) mod failure;
mod files;
mod landlock;
mod mounts;
mod namespaces;
pub mod probe;
pub mod proxy;
mod seccomp;
mod tmp;
pub mod verdict;
pub mod worker;

pub use failure::Failure;

use crate::sys::rundir;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the settings of an app ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Wanted {
    pub limits: Limits,
    pub private_tmp: bool,
    pub private_network: bool,
    pub private_signals: bool,
    /// Absolute paths, as all below.
    pub read_only: Vec<PathBuf>,
    /// Exceptions from `read_only`.
    pub writable: Vec<PathBuf>,
    pub hidden: Vec<PathBuf>,
    pub seccomp: bool,
}

impl Wanted {
    /// The kernel is asked for nothing (exceptions alone are nothing).
    pub fn is_nothing(&self) -> bool {
        let exceptions_only = Wanted {
            writable: self.writable.clone(),
            ..Wanted::default()
        };
        *self == exceptions_only
    }
}

/// Limits of all processes of one generation of an app together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes, swap included.
    pub memory: Option<u64>,
    /// Thousandths of one CPU.
    pub cpu: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// How an app is confined on this machine; nothing by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confinement {
    pub cgroup: Option<Cgroup>,
    /// By a mount namespace.
    pub mounts: Option<Files>,
    /// A network namespace.
    pub network: bool,
    /// By Landlock, where there are no mount namespaces; never with a private /tmp.
    pub landlock: Option<Files>,
    /// Landlock's scopes for signals and abstract sockets.
    pub signals: bool,
    pub seccomp: bool,
}

/// What the workers see of the file system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Files {
    pub private_tmp: bool,
    pub read_only: Vec<PathBuf>,
    pub writable: Vec<PathBuf>,
    pub hidden: Vec<PathBuf>,
}

/// Limits, and the trees of control groups that enforce them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    pub limits: Limits,
    pub trees: Vec<cgroup::Tree>,
}

/// What directories of an app are called: readable, of characters that are safe in a file name, different for different apps.
pub fn directory_name(app: &str) -> String {
    const LONGEST: usize = 60;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    let plain: String = app.chars().filter(|c| is_plain(*c)).take(LONGEST).collect();
    match plain == app {
        true => format!("app-{plain}"),
        false => format!("app-{plain}-{:016x}", rundir::hash(app.as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_names_are_safe_and_different() {
        assert_eq!(directory_name("blog-2"), "app-blog-2");
        assert_eq!(directory_name(".."), "app-..");
        let odd = directory_name("../cgroup procs");
        assert!(
            odd.starts_with("app-..cgroupprocs-") && !odd.contains('/'),
            "{odd}"
        );
        assert_ne!(directory_name("ä"), directory_name("ö"));
    }

    #[test]
    fn exceptions_alone_are_nothing() {
        let mut wanted = Wanted {
            writable: vec!["/srv".into()],
            ..Wanted::default()
        };
        assert!(wanted.is_nothing());
        wanted.seccomp = true;
        assert!(!wanted.is_nothing());
    }
}
