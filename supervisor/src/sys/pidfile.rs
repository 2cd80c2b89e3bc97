//! A file with the pid of a process that can be told from one that only has the same number: it is locked as long as the
//! process lives (flock(2)), however it ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Whoever asks who holds a file ([`holder`]) has it locked for a moment: a lock that lasts is that of a holder.
const ASKED: Duration = Duration::from_millis(100);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);

/// Our own pid file. Dropping it removes the file.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    /// Holds the lock.
    file: File,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    #[error("the pid file {} is that of another paster, which runs (pid {pid})", path.display())]
    Taken { path: PathBuf, pid: String },
    #[error("cannot write the pid file {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Whom a pid file speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// There is no such file.
    Nobody,
    /// Whoever wrote this pid is gone.
    Gone(String),
    Alive(u32),
}

impl PidFile {
    /// Writes our pid. A file that a dead process has left is taken over.
    pub fn create(path: &Path) -> Result<PidFile, PidFileError> {
        let io = |error| PidFileError::Io {
            path: path.to_path_buf(),
            error,
        };
        let is_held = Instant::now() + ASKED;
        loop {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(io)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < is_held => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    let (path, pid) = (path.to_path_buf(), content(&mut file));
                    return Err(PidFileError::Taken { path, pid });
                }
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            // Its last holder may have removed it while we opened it.
            if !is_at(&file, path) {
                continue;
            }
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{}", std::process::id()))
                .map_err(io)?;
            return Ok(PidFile {
                path: path.to_path_buf(),
                file,
            });
        }
    }

    /// Goes on with the file of the previous program in this process; `lock` is what it held.
    pub fn take_over(path: &Path, lock: OwnedFd) -> PidFile {
        PidFile {
            path: path.to_path_buf(),
            file: lock.into(),
        }
    }

    /// What holds the lock, for [`PidFile::take_over`].
    ///
    /// # Errors
    /// No free descriptor.
    pub fn lock(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whom the file at `path` speaks of.
///
/// # Errors
/// A file that may not be read.
pub fn holder(path: &Path) -> io::Result<Holder> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody),
        file => file?,
    };
    let lock = file.try_lock_shared();
    let pid = content(&mut file);
    match lock {
        Ok(()) => Ok(Holder::Gone(pid)),
        Err(TryLockError::WouldBlock) => match pid.parse() {
            Ok(pid) => Ok(Holder::Alive(pid)),
            // Locked, and not written yet.
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        },
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn content(file: &mut File) -> String {
    const LONGEST: u64 = 32;
    let mut text = String::new();
    let _ = file.take(LONGEST).read_to_string(&mut text);
    text.trim().to_owned()
}

fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let file = file.metadata().map(identity).ok();
    file.is_some() && file == fs::symlink_metadata(path).map(identity).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_alive_as_long_as_it_is_held() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("paster.pid");
        assert_eq!(holder(&path).expect("readable"), Holder::Nobody);
        let file = PidFile::create(&path).expect("free");
        assert_eq!(
            holder(&path).expect("readable"),
            Holder::Alive(std::process::id())
        );
        let error = PidFile::create(&path).expect_err("taken").to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_a_dead_process_left_is_stale_even_if_its_number_lives() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("paster.pid");
        fs::write(&path, "1\n").expect("written");
        assert_eq!(
            holder(&path).expect("readable"),
            Holder::Gone("1".to_owned())
        );
        drop(PidFile::create(&path).expect("stale"));
        assert!(!path.exists());
    }

    #[test]
    fn whoever_asks_who_holds_it_is_not_taken_for_its_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = &dir.path().join("paster.pid");
        let is_over = &std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = holder(path);
                }
            });
            let created: Result<Vec<()>, PidFileError> =
                (0..500).map(|_| PidFile::create(path).map(drop)).collect();
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            created.expect("nobody else holds it");
        });
    }

    #[test]
    fn a_file_that_took_its_place_is_not_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("paster.pid");
        let file = PidFile::create(&path).expect("free");
        fs::remove_file(&path).expect("ours");
        fs::write(&path, "7\n").expect("written");
        drop(file);
        assert!(path.exists());
    }
}
