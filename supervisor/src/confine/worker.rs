//! Confining one worker: what its keeper prepares, and the steps that the worker's process takes before it becomes the program.

use super::cgroup::{Group, Name};
use super::failure::failed;
use super::files::{Rules, View};
use super::tmp::Tmp;
use super::{Confinement, Failure, Files, landlock, mounts, namespaces, seccomp};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What the keeper is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub confinement: Confinement,
    pub group: Name,
    /// Where the private /tmp of the app is, or is to be made.
    pub tmp: PathBuf,
    /// The directory of all workers' sockets; in a mount namespace a worker sees only its own.
    pub workers_dir: PathBuf,
    /// What stays reachable whatever is hidden.
    pub needed: Vec<PathBuf>,
    /// What also stays writable.
    pub own: Vec<PathBuf>,
}

/// Everything is there; in use until the worker and all that it has left are gone.
pub struct Prepared {
    spec: Spec,
    group: Option<Group>,
    tmp: Option<Tmp>,
}

impl Prepared {
    /// Makes groups and directories.
    ///
    /// # Errors
    /// What the operating system refuses; nothing is left behind then.
    pub fn new(spec: Spec) -> Result<Prepared, Failure> {
        let wants_tmp = |files: &Files| files.private_tmp;
        let tmp = match spec.confinement.mounts.as_ref().is_some_and(wants_tmp) {
            true => Some(Tmp::prepare(&spec.tmp)?),
            false => None,
        };
        let cgroup = spec.confinement.cgroup.as_ref();
        let group = cgroup
            .map(|cgroup| Group::create(cgroup, &spec.group))
            .transpose()?;
        Ok(Prepared { spec, group, tmp })
    }

    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// First step of the worker's process, while it has all privileges of its keeper: group, namespaces, mounts.
    ///
    /// # Errors
    /// The first thing that is refused.
    pub fn enter(&self) -> Result<(), Failure> {
        if let Some(group) = &self.group {
            group.join()?;
        }
        let Confinement {
            mounts, network, ..
        } = &self.spec.confinement;
        if mounts.is_some() || *network {
            namespaces::enter(mounts.is_some(), *network)?;
        }
        if let Some(files) = mounts {
            let mut hiding = files.clone();
            hiding.hidden.push(self.spec.workers_dir.clone());
            let directory = std::env::current_dir();
            let private = self.tmp.as_ref().map_or(&[][..], |tmp| &tmp.private);
            mounts::arrange(&self.view(&hiding)?, private)?;
            // The working directory is still what is now covered; through it everything could be reached.
            let entered = directory.map(|path| nix::unistd::chdir(&path).is_ok());
            if !entered.unwrap_or(false) {
                nix::unistd::chdir("/").map_err(failed("change to directory /"))?;
            }
        }
        Ok(())
    }

    /// When `no_new_privs` is set.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn restrict(&self) -> Result<(), Failure> {
        let Confinement {
            landlock, signals, ..
        } = &self.spec.confinement;
        let view = landlock
            .as_ref()
            .map(|files| self.view(files))
            .transpose()?;
        if view.is_some() || *signals {
            landlock::restrict(view.as_ref(), *signals)?;
        }
        Ok(())
    }

    /// Last: some of the steps before would be denied.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn filter(&self) -> Result<(), Failure> {
        match self.spec.confinement.seccomp {
            true => seccomp::restrict(seccomp::Profile::Worker),
            false => Ok(()),
        }
    }

    fn view(&self, files: &Files) -> Result<View, Failure> {
        Ok(View::new(&Rules {
            files: Files {
                private_tmp: files.private_tmp,
                read_only: canonical("read_only", &files.read_only)?,
                writable: canonical("writable", &files.writable)?,
                hidden: canonical("hidden", &files.hidden)?,
            },
            tmp: self
                .tmp
                .as_ref()
                .map_or_else(Vec::new, |tmp| tmp.replaced.clone()),
            needed: existing(&self.spec.needed),
            own: existing(&self.spec.own),
        }))
    }
}

/// Without symbolic links. What does not exist cannot be protected, and that must not pass unnoticed.
fn canonical(key: &str, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let canonical = |path: &PathBuf| {
        fs::canonicalize(path).map_err(failed(format!("{key} {}", path.display())))
    };
    paths.iter().map(canonical).collect()
}

/// What is not there is not needed.
fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = paths
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .filter(|path| path != Path::new("/"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Tries out all that confining may need, in this process, which is not to be used for anything else.
pub(super) mod trial {
    use super::*;

    /// A mount namespace with every kind of change.
    pub(in crate::confine) fn mounts() -> Result<(), Failure> {
        namespaces::enter(true, false)?;
        let rules = Rules {
            files: Files {
                private_tmp: true,
                read_only: vec!["/".into()],
                writable: Vec::new(),
                hidden: vec!["/proc".into(), "/dev/null".into()],
            },
            tmp: vec!["/tmp".into()],
            needed: vec!["/proc/sys".into()],
            own: Vec::new(),
        };
        mounts::arrange(&View::new(&rules), &["/tmp".into()])
    }

    pub(in crate::confine) fn network() -> Result<(), Failure> {
        namespaces::enter(false, true)
    }

    pub(in crate::confine) fn landlock() -> Result<(), Failure> {
        let rules = Rules {
            files: Files {
                hidden: vec!["/proc".into()],
                ..Files::default()
            },
            ..Rules::default()
        };
        landlock::restrict(Some(&View::new(&rules)), false)
    }

    pub(in crate::confine) fn signals() -> Result<(), Failure> {
        landlock::restrict(None, true)
    }

    pub(in crate::confine) fn seccomp() -> Result<(), Failure> {
        seccomp::restrict(seccomp::Profile::Worker)
    }
}
