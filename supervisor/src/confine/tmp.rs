//! The private /tmp and /var/tmp of an app: directories on the same disk as the real ones, shared by all its workers.
//!
//! They are below one directory for each site, which only paster can enter, and are removed when paster ends
//! ([`crate::sys::rundir`]).

use super::Failure;
use super::failure::failed;
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What is replaced, and by which directory below that of the app.
const REPLACED: [(&str, &str); 2] = [("/tmp", "tmp"), ("/var/tmp", "var-tmp")];

/// The private directories of an app, in use.
pub(super) struct Tmp {
    /// What each replaces, without symbolic links.
    pub(super) replaced: Vec<PathBuf>,
    pub(super) private: Vec<PathBuf>,
    /// Shared locks, kept until the last worker is gone: systemd-tmpfiles clears away what is old and not locked (tmpfiles.d(5)).
    _locks: Vec<File>,
}

impl Tmp {
    /// Makes what is missing in `dir`, the directory of the app.
    pub(super) fn prepare(dir: &Path) -> Result<Tmp, Failure> {
        let step = || failed(format!("private_tmp: {}", dir.display()));
        for level in [dir.parent().unwrap_or(dir), dir] {
            make(level, 0o700).map_err(step())?;
        }
        let mut tmp = Tmp {
            replaced: Vec::new(),
            private: Vec::new(),
            _locks: vec![lock(dir).map_err(step())?],
        };
        for (path, name) in REPLACED {
            // /var/tmp may be a link to /tmp, or missing.
            let Ok(path) = fs::canonicalize(path) else {
                continue;
            };
            if tmp.replaced.contains(&path) {
                continue;
            }
            let private = dir.join(name);
            make(&private, 0o1777).map_err(step())?;
            tmp._locks.push(lock(&private).map_err(step())?);
            tmp.replaced.push(path);
            tmp.private.push(private);
        }
        Ok(tmp)
    }
}

/// A directory of ours with this mode. In /tmp anybody may have made one of this name.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        // mkdir(2) applies the umask.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path)?;
            if found.is_dir() && found.uid() == geteuid().as_raw() {
                return Ok(());
            }
            let problem = format!("{} belongs to somebody else; remove it", path.display());
            Err(io::Error::other(problem))
        }
        Err(error) => Err(error),
    }
}

fn lock(dir: &Path) -> io::Result<File> {
    let dir = File::open(dir)?;
    dir.lock_shared()?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_are_made_once_and_open_to_all() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let dir = temp.path().join("site/blog");
        let first = Tmp::prepare(&dir).expect("made");
        fs::write(first.private[0].join("kept"), "x").expect("written");
        let again = Tmp::prepare(&dir).expect("found");
        assert_eq!(first.private, again.private);
        assert!(again.private[0].join("kept").exists());
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
        assert_eq!(mode(&again.private[0]), 0o1777);
        assert_eq!(mode(&dir), 0o700);
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let site = temp.path().join("site");
        std::os::unix::fs::symlink("/etc", &site).expect("linked");
        let failure = Tmp::prepare(&site.join("blog")).err().expect("refused");
        assert!(failure.error.contains("somebody else"), "{failure:?}");
    }
}
