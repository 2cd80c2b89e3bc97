//! The runtime directory: private, one for each configuration file, locked for the life of a supervisor.

use super::pidfile::{self, Holder, PidFile, PidFileError};
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Longest path of a unix socket (unix(7): `sun_path` has 108 bytes with the final NUL).
pub const MAX_SOCKET_PATH: usize = 107;

/// The file in it that holds our pid, locked.
const LOCK: &str = "lock";

/// Where the runtime directory of `config` is: `given`, else `$RUNTIME_DIRECTORY`, else a directory named
/// after the file below `$XDG_RUNTIME_DIR/paster`, `/run/paster` (root) or `/tmp/paster-UID`.
pub fn locate(config: &Path, given: Option<&Path>) -> PathBuf {
    match given {
        Some(given) => given.to_path_buf(),
        None => below(config, nix::unistd::geteuid().as_raw(), |name| {
            std::env::var_os(name)
        }),
    }
}

fn below(config: &Path, uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(first) = of_systemd(variable("RUNTIME_DIRECTORY")) {
        return first;
    }
    let base = match absolute(variable("XDG_RUNTIME_DIR")) {
        Some(dir) => dir.join("paster"),
        None if uid == 0 => PathBuf::from("/run/paster"),
        None => PathBuf::from(format!("/tmp/paster-{uid}")),
    };
    base.join(name_of(config))
}

/// systemd separates several directories by colons (systemd.exec(5)); the first is ours.
pub(super) fn of_systemd(directories: Option<OsString>) -> Option<PathBuf> {
    let directories = directories?.into_string().ok()?;
    absolute(directories.split(':').next().map(OsString::from))
}

/// The XDG base directory specification: a relative path is to be ignored. So is none at all: commands are called from anywhere.
pub(super) fn absolute(directory: Option<OsString>) -> Option<PathBuf> {
    directory.map(PathBuf::from).filter(|dir| dir.is_absolute())
}

/// `site-1f3a09c2`: readable, and different for files of the same name in different places. Stable
/// across versions, because commands find a running supervisor by it.
pub(super) fn name_of(config: &Path) -> String {
    let stem: String = config
        .file_stem()
        .map(|stem| {
            stem.to_string_lossy()
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(20)
                .collect()
        })
        .unwrap_or_default();
    // FNV-1a, 32 bits.
    let hash = config
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    format!("{stem}-{hash:08x}")
}

/// FNV-1a, 64 bits: a short name for something long.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A runtime directory that this process owns.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held for life; its end releases the lock however this process ends.
    lock: PidFile,
}

/// Why a runtime directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    #[error("paster already serves this configuration (pid {pid}, runtime directory {})", path.display())]
    Running { pid: String, path: PathBuf },
    #[error("the directory {} is not safe for sockets: it belongs to user {owner}, not to us", path.display())]
    Foreign { path: PathBuf, owner: u32 },
    #[error("the path of the runtime directory {} is too long for a unix socket (choose a shorter one with --run-dir)", path.display())]
    TooLong { path: PathBuf },
    #[error("cannot use the runtime directory {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// The pid of the paster that holds the directory `path`, if one does.
pub fn holder(path: &Path) -> Option<String> {
    // A directory of ours, so nobody else has put anything in the place of the lock.
    match pidfile::holder(&path.join(LOCK)) {
        Ok(Holder::Alive(pid)) => Some(pid.to_string()),
        // Locked, and not written yet.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(String::new()),
        Ok(Holder::Nobody | Holder::Gone(_)) | Err(_) => None,
    }
}

/// Makes the directory for a paster that will run as the user `uid`; only root can. One that exists must be that user's.
///
/// # Errors
/// As [`RunDir::open`].
pub fn prepare_for(path: &Path, uid: u32, gid: u32) -> Result<(), RunDirError> {
    let io = |error| RunDirError::Io {
        path: path.to_path_buf(),
        error,
    };
    make_parent(path)?;
    // What root left there is empty, or in use.
    let _ = fs::remove_dir(path);
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => std::os::unix::fs::lchown(path, Some(uid), Some(gid)).map_err(io),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let owner = fs::symlink_metadata(path).map_err(io)?.uid();
            match owner == uid {
                true => Ok(()),
                false => Err(RunDirError::Foreign {
                    path: path.to_path_buf(),
                    owner,
                }),
            }
        }
        Err(error) => Err(io(error)),
    }
}

/// The directory above may be shared by the sites of one user: search permission for all lets the unprivileged proxy and
/// app users through to what is theirs.
fn make_parent(path: &Path) -> Result<(), RunDirError> {
    let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let io = |error| RunDirError::Io {
        path: path.to_path_buf(),
        error,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(parent)
        .map_err(io)?;
    // Whoever owns the parent may put another directory in the place of ours.
    let owner = fs::metadata(parent).map_err(io)?.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        let path = parent.to_path_buf();
        return Err(RunDirError::Foreign { path, owner });
    }
    Ok(())
}

/// The lock of a directory that is ours and that there is, whoever removes it while we look.
fn make_and_lock(path: &Path) -> Result<PidFile, RunDirError> {
    let own = || path.to_path_buf();
    loop {
        make_parent(path)?;
        make_private(path)?;
        match PidFile::create(&path.join(LOCK)) {
            Ok(lock) => return Ok(lock),
            Err(PidFileError::Taken { pid, .. }) => {
                return Err(RunDirError::Running { pid, path: own() });
            }
            // Who has held it until now removes the directory as the last thing.
            Err(PidFileError::Io { error, path: lock })
                if error.kind() == io::ErrorKind::NotFound && !lock.is_symlink() => {}
            Err(PidFileError::Io { error, .. }) => {
                return Err(RunDirError::Io { path: own(), error });
            }
        }
    }
}

/// Makes the directory (0700), or sees that the one that is there is ours.
fn make_private(path: &Path) -> Result<(), RunDirError> {
    let io = |error| RunDirError::Io {
        path: path.to_path_buf(),
        error,
    };
    let is_anothers = |m: fs::Metadata| m.uid() != 0;
    if nix::unistd::geteuid().is_root() && fs::symlink_metadata(path).is_ok_and(is_anothers) {
        // What `--user` has left to somebody else is empty; anything else stays.
        let _ = fs::remove_dir(path);
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    let metadata = match fs::symlink_metadata(path) {
        // Removed just now: who locks it sees that.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(io)?,
    };
    if !metadata.is_dir() {
        return Err(io(io::ErrorKind::NotADirectory.into()));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(RunDirError::Foreign {
            path: path.to_path_buf(),
            owner: metadata.uid(),
        });
    }
    Ok(())
}

impl RunDir {
    /// Creates (0700) and locks the directory, and removes what a killed run left in it.
    pub fn open(path: &Path) -> Result<RunDir, RunDirError> {
        let io = |error| RunDirError::Io {
            path: path.to_path_buf(),
            error,
        };
        if path.as_os_str().len() + "/w/18446744073709551615.notify".len() > MAX_SOCKET_PATH {
            return Err(RunDirError::TooLong {
                path: path.to_path_buf(),
            });
        }
        let dir = RunDir {
            path: path.to_path_buf(),
            lock: make_and_lock(path)?,
        };
        dir.clear().map_err(io)?;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(dir.workers())
            .map_err(io)?;
        Ok(dir)
    }

    /// Goes on with a directory that the previous program in this process has locked; `lock` is what it held.
    pub fn take_over(path: &Path, lock: OwnedFd) -> RunDir {
        RunDir {
            path: path.to_path_buf(),
            lock: PidFile::take_over(&path.join(LOCK), lock),
        }
    }

    /// What holds the lock, for [`RunDir::take_over`].
    ///
    /// # Errors
    /// No free descriptor.
    pub fn lock(&self) -> io::Result<OwnedFd> {
        self.lock.lock()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for what this site has outside of its directory: different for each runtime directory, the same after a restart.
    pub fn site_name(&self) -> String {
        let path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        format!("paster-{:016x}", hash(path.as_os_str().as_encoded_bytes()))
    }

    /// Where the apps' private temporary directories are made: on the disk that has the real ones.
    pub fn private_tmp(&self) -> PathBuf {
        std::env::temp_dir().join(self.site_name())
    }

    /// The control socket.
    pub fn control(&self) -> PathBuf {
        control_socket(&self.path)
    }

    /// The directory of the workers' sockets.
    pub fn workers(&self) -> PathBuf {
        self.path.join("w")
    }

    /// Lets other users reach what belongs to them in this directory, and `proxy_uid` the workers' sockets.
    /// Only root can, and only root needs to.
    pub fn share_with_proxy(&self, proxy_uid: u32) -> io::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(0o711))?;
        // The owner lists and connects; app users only search for their own notify socket.
        fs::set_permissions(self.workers(), Permissions::from_mode(0o711))?;
        std::os::unix::fs::chown(self.workers(), Some(proxy_uid), None)
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.workers()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let private_tmp = self.private_tmp();
        // Anybody may make a directory of this name; ours is ours.
        let ours =
            |found: fs::Metadata| found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
        if fs::symlink_metadata(&private_tmp).is_ok_and(ours) {
            // What cannot be removed is used again.
            let _ = fs::remove_dir_all(&private_tmp);
        }
        match fs::remove_file(self.control()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        let _ = self.clear();
        let _ = fs::remove_file(self.path.join(LOCK));
        let _ = fs::remove_dir(&self.path);
    }
}

/// The control socket in a runtime directory.
pub fn control_socket(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_files_of_the_same_name_have_different_directories() {
        let one = locate(Path::new("/srv/a/site.ini"), None);
        let two = locate(Path::new("/srv/b/site.ini"), None);
        assert_ne!(one, two);
        assert!(one.to_string_lossy().contains("site-"));
    }

    #[test]
    fn what_is_no_absolute_path_is_ignored() {
        let at = |uid, name: &'static str, value: &'static str| {
            below(Path::new("/srv/site.ini"), uid, |asked| {
                (asked == name).then(|| value.into())
            })
        };
        let name = name_of(Path::new("/srv/site.ini"));
        let own = |base: &str| Path::new(base).join(&name);
        assert_eq!(
            at(0, "RUNTIME_DIRECTORY", "/run/a:/run/b"),
            Path::new("/run/a")
        );
        assert_eq!(at(0, "RUNTIME_DIRECTORY", ""), own("/run/paster"));
        assert_eq!(
            at(7, "XDG_RUNTIME_DIR", "/run/user/7"),
            own("/run/user/7/paster")
        );
        assert_eq!(at(7, "XDG_RUNTIME_DIR", ""), own("/tmp/paster-7"));
        assert_eq!(at(7, "XDG_RUNTIME_DIR", "run"), own("/tmp/paster-7"));
    }

    #[test]
    fn whoever_comes_as_another_goes_has_the_directory_or_is_told_who_has_it() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = &temp.path().join("run");
        let until = std::time::Instant::now() + std::time::Duration::from_millis(300);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while std::time::Instant::now() < until {
                        match RunDir::open(path) {
                            Ok(dir) => assert!(
                                holder(path).is_some(),
                                "another could have it too: {dir:?}"
                            ),
                            Err(RunDirError::Running { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(!path.exists());
    }

    #[test]
    fn a_second_supervisor_is_refused_and_leftovers_are_cleared() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("run");
        fs::create_dir_all(path.join("w")).expect("created");
        fs::write(path.join("w/7"), "left over").expect("written");
        let first = RunDir::open(&path).expect("free");
        assert!(!path.join("w/7").exists());
        assert!(matches!(
            RunDir::open(&path),
            Err(RunDirError::Running { .. })
        ));
        fs::create_dir_all(first.private_tmp().join("blog/tmp")).expect("created");
        let private_tmp = first.private_tmp();
        drop(first);
        assert!(!path.exists(), "nothing stays behind");
        assert!(!private_tmp.exists(), "nor elsewhere");
    }
}
