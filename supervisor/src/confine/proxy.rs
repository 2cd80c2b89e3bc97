//! Confining the proxy process: it reads what strangers send, so it is left with its sockets, its log, its temporary files and
//! the directories that it serves.
//!
//! What the kernel does not offer is left out: the proxy has no privileges anyway.

use super::Failure;
use super::seccomp::{self, Profile};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// What a name service needs (getaddrinfo(3), for upstreams with names): configuration and libraries.
const NAME_SERVICE: [&str; 6] = [
    "/etc",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/run/systemd/resolve",
];
/// With what kernels know at most.
const NEWEST: ABI = ABI::V6;

/// Restricts this process, before it has threads. `writable` are directories in which it makes files, and files that it opens again;
/// `readable` are directories.
///
/// # Errors
/// The first thing that is refused; what came before it holds.
pub fn restrict(writable: &[&Path], readable: &[BorrowedFd<'_>]) -> Result<(), Failure> {
    let places: Vec<PathBuf> = writable.iter().flat_map(|path| places(path)).collect();
    files(&places, readable).map_err(|error| Failure::new("Landlock", error))?;
    seccomp::restrict(Profile::Proxy)
}

fn files(writable: &[PathBuf], readable: &[BorrowedFd<'_>]) -> Result<(), RulesetError> {
    let served = AccessFs::ReadFile | AccessFs::ReadDir;
    let served = readable
        .iter()
        .map(|directory| Ok::<_, RulesetError>(PathBeneath::new(directory, served)));
    let all: BitFlags<AccessFs> = AccessFs::from_all(NEWEST);
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(
            NAME_SERVICE,
            AccessFs::from_read(NEWEST),
        ))?
        .add_rules(path_beneath_rules(
            writable,
            all & !BitFlags::from(AccessFs::Execute),
        ))?
        .add_rules(served)?
        .restrict_self()
        .map(|_| ())
}

/// Where something at `path` can be opened or made: the directory itself, or that of a file and of what it is a link to. A
/// directory that is not there yet is made below one that is.
fn places(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() {
        return vec![path.to_owned()];
    }
    let real = path.canonicalize().ok();
    [Some(path), real.as_deref()]
        .into_iter()
        .flatten()
        .filter_map(|path| path.ancestors().skip(1).find(|above| above.is_dir()))
        .map(Path::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_in_the_nearest_directory_that_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let (root, logs) = (directory.path(), directory.path().join("logs"));
        assert_eq!(places(root), [root]);
        assert_eq!(places(&logs.join("access.log")), [root]);
        std::fs::create_dir(&logs).expect("our own directory");
        assert_eq!(places(&logs.join("access.log")), [logs.as_path()]);
        let link = root.join("link");
        std::fs::write(logs.join("real"), "").expect("our own directory");
        std::os::unix::fs::symlink(logs.join("real"), &link).expect("our own directory");
        let logs = logs.canonicalize().expect("it is there");
        assert_eq!(places(&link), [root, logs.as_path()]);
    }
}
