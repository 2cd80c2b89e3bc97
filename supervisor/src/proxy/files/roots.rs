//! The directories that files are served from. They are opened while the process may still do so; from then on it opens only
//! what is below them.

use super::lookup::Lookup;
use crate::proxy::clock;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How often it is looked whether a directory is still the one at its path, in milliseconds.
const LOOK_INTERVAL: u64 = 1000;
/// `f_type` of tmpfs (statfs(2)).
const TMPFS: u64 = 0x0102_1994;

/// By path.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Roots(HashMap<PathBuf, Arc<Root>>);

impl Roots {
    /// Opens them. One that is not there stays known as such.
    pub(in crate::proxy) fn open(paths: &BTreeSet<PathBuf>) -> Self {
        let opened = paths.iter().map(|path| {
            let root = Root::open(path).unwrap_or_else(|error| {
                if error != Errno::NOENT {
                    let directory = path.display();
                    tracing::warn!(%directory, %error, "a directory of static files cannot be opened");
                }
                Root::missing(path)
            });
            (path.clone(), Arc::new(root))
        });
        Self(opened.collect())
    }

    pub(in crate::proxy) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let directories = self.0.values().filter_map(|root| root.directory.as_ref());
        directories.map(AsFd::as_fd).collect()
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Arc<Root>> {
        self.0.get(path)
    }
}

/// One of them.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Without symbolic links.
    real: Option<PathBuf>,
    /// None: it was not there.
    directory: Option<OwnedFd>,
    /// Device and inode.
    identity: Option<(u64, u64)>,
    in_memory: bool,
    looked_at: AtomicU64,
    replaced: AtomicBool,
}

impl Root {
    fn missing(path: &Path) -> Root {
        Root {
            path: path.to_owned(),
            real: None,
            directory: None,
            identity: None,
            in_memory: false,
            looked_at: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
        }
    }

    fn open(path: &Path) -> Result<Root, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        let found = rustix::fs::fstat(&directory)?;
        let file_system = rustix::fs::fstatfs(&directory)?;
        Ok(Root {
            real: path.canonicalize().ok(),
            directory: Some(directory),
            identity: Some((found.st_dev, found.st_ino)),
            in_memory: u64::try_from(file_system.f_type) == Ok(TMPFS),
            ..Root::missing(path)
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its path without symbolic links, which some name its files by.
    pub(super) fn real(&self) -> Option<&Path> {
        self.real.as_deref()
    }

    /// No disk is behind it, and what is asked of its cache is always there.
    pub(super) fn in_memory(&self) -> bool {
        self.in_memory
    }

    /// How to look without waiting for a disk.
    pub(super) fn quick_lookup(&self) -> Lookup {
        match self.in_memory {
            true => Lookup::Complete,
            false => Lookup::Cached,
        }
    }

    /// Whether it is time to look whether another directory is at its path; true for one of those who ask.
    pub(super) fn is_to_be_looked_at(&self) -> bool {
        let (now, last) = (clock::now_ms(), self.looked_at.load(Ordering::Relaxed));
        let exchanged = || {
            let looked_at = &self.looked_at;
            looked_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        now >= last + LOOK_INTERVAL && exchanged().is_ok()
    }

    /// Looks, which may take a while. What cannot be seen, because it is gone or closed to us, is no other directory; nor is a file.
    pub(super) fn look_at(&self) -> bool {
        let replaced = rustix::fs::stat(&self.path).is_ok_and(|found| {
            let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            is_directory && self.identity != Some((found.st_dev, found.st_ino))
        });
        self.replaced.store(replaced, Ordering::Relaxed);
        replaced
    }

    /// When it was last looked at, another directory was at its path, which this process may not read: `dist` was removed and built
    /// again, or a symbolic link points elsewhere.
    pub(super) fn was_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Opens what is at `path`, wherever that leads, but never outside (openat2(2)): neither by `..` nor by a symbolic link.
    pub(super) fn open_below(
        &self,
        path: &[u8],
        flags: OFlags,
        lookup: Lookup,
    ) -> Result<OwnedFd, Errno> {
        let directory = self.directory.as_ref().ok_or(Errno::NOENT)?;
        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if lookup == Lookup::Cached {
            resolve |= ResolveFlags::CACHED;
        }
        let flags = flags | OFlags::CLOEXEC;
        rustix::fs::openat2(directory, path, flags, Mode::empty(), resolve)
    }
}
