//! What was made for a worker, and is removed with it.

use super::LaunchError;
use crate::sys::shortage;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Removes what was made, where something fails.
pub(super) fn tidily<T>(
    start: impl FnOnce(&mut Vec<PathBuf>) -> Result<T, LaunchError>,
) -> Result<T, LaunchError> {
    let mut files = Vec::new();
    let started = start(&mut files);
    if started.is_err() {
        tokio::spawn(remove(files));
    }
    started
}

/// Removes what belonged to a worker, when the system lets us. A directory may hold anything that a program has put there.
pub(in super::super) async fn remove(files: Vec<PathBuf>) {
    let work = tokio::task::spawn_blocking(move || {
        for file in files {
            while let Err(error) = remove_one(&file)
                && shortage::will_pass(&error)
            {
                std::thread::sleep(shortage::PAUSE);
            }
        }
    });
    // It does not panic.
    let _ = work.await;
}

fn remove_one(file: &Path) -> io::Result<()> {
    if file.is_dir() {
        fs::remove_dir_all(file)
    } else {
        fs::remove_file(file)
    }
}
