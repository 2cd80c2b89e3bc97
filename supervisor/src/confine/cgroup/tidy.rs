//! What the supervisor does itself: it makes room for groups below its own, and clears what a killed run has left.

use super::find::SUPERVISOR;
use super::group::{enable, processes};
use super::{Tree, Version};
use crate::sys::proctree;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes it possible to limit groups below our own: in version 2 our own group must then hold no processes, so this process and
/// its descendants go to a group beside. What is done already is not done again.
///
/// # Errors
/// The file that could not be written, and why.
pub fn settle<'a>(trees: impl IntoIterator<Item = &'a Tree>) -> Result<(), (PathBuf, io::Error)> {
    for tree in trees {
        if tree.version == Version::V2 && !tree.controllers.is_empty() {
            if tree.own.join("cgroup.type").exists() {
                move_aside(&tree.own)?;
            }
            enable(&tree.own, &tree.controllers)?;
        }
    }
    Ok(())
}

fn move_aside(own: &Path) -> Result<(), (PathBuf, io::Error)> {
    let aside = own.join(SUPERVISOR);
    match fs::create_dir(&aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err((aside, error)),
        _ => {}
    }
    let procs = aside.join("cgroup.procs");
    // A process that is forked meanwhile is in the group of its parent, old or new.
    loop {
        let mut ours =
            proctree::descendants(Pid::this()).map_err(|error| (procs.clone(), error))?;
        ours.push(Pid::this());
        let mut here = processes(own);
        here.retain(|pid| ours.contains(pid));
        if here.is_empty() {
            return Ok(());
        }
        for pid in here {
            match fs::write(&procs, pid.to_string()) {
                // It has ended (ESRCH).
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                Err(error) => return Err((procs, error)),
                Ok(()) => {}
            }
        }
    }
}

/// A process in one of our groups that we know nothing of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    pub pid: i32,
    pub group: PathBuf,
}

/// Removes the groups that a killed run of this site has left. Processes in them that have `marker` in their environment are
/// ended; others are nobody's business but their owner's, and returned.
pub fn clear<'a>(
    trees: impl IntoIterator<Item = &'a Tree>,
    site: &str,
    marker: &str,
) -> Vec<Stranger> {
    let sites: BTreeSet<PathBuf> = trees.into_iter().map(|tree| tree.own.join(site)).collect();
    let mut strangers = Vec::new();
    for site in sites {
        for generation in groups(&site) {
            for worker in groups(&generation) {
                for pid in processes(&worker) {
                    match proctree::has_marker(pid, marker).unwrap_or(false) {
                        true => drop(kill(pid, Signal::SIGKILL)),
                        false => strangers.push(Stranger {
                            pid: pid.as_raw(),
                            group: worker.clone(),
                        }),
                    }
                }
                let _ = fs::remove_dir(&worker);
            }
            let _ = fs::remove_dir(&generation);
        }
        let _ = fs::remove_dir(&site);
    }
    strangers
}

fn groups(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}
