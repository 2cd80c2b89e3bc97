//! Opening the file that is wanted, or the copy of it that the client takes.

use super::coding::{suffix, welcome};
use super::media::Media;
use super::path::{Below, End};
use super::roots::Root;
use crate::proxy::accept_encoding::Accepted;
use crate::router::answers::Coding;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// Tries to look something up while directories are being moved (openat2(2), EAGAIN).
const TRIES: usize = 4;

/// How to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Only in the caches of the kernel.
    Cached,
    /// On the disk, however long that takes.
    Complete,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    File(Opened),
    /// There is a directory, and a file was asked for.
    Directory,
}

/// A regular file, open for reading.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u32),
    pub(super) media: Media,
    /// It is a copy of what was asked for.
    pub(super) coding: Option<Coding>,
}

/// Why there is nothing.
#[derive(Debug)]
pub(super) enum Miss {
    NotFound,
    /// A symbolic link leads out.
    Outside,
    /// Permissions.
    Denied,
    /// To be looked up completely.
    NotCached,
    Failed(io::Error),
}

/// Looks for what is wanted. It may wait for a disk only if `lookup` says so.
///
/// # Errors
/// Nothing is there, or nothing that can be opened.
pub(super) fn look(
    root: &Root,
    wanted: &Below,
    accepted: Accepted,
    lookup: Lookup,
) -> Result<Found, Miss> {
    let miss = |errno| match errno {
        // The original looks at the path alone: there is nothing above its directory.
        Errno::XDEV if wanted.climbs() => Miss::NotFound,
        errno => Miss::of(errno),
    };
    if wanted.end() == End::Bare {
        return match open(root, wanted.path(), lookup).map_err(miss)? {
            Kind::File(file, stat) => {
                file_found(root, wanted.path(), (file, stat), accepted, lookup)
            }
            Kind::Directory => Ok(Found::Directory),
            Kind::Other => Err(Miss::NotFound),
        };
    }
    let index = wanted.index();
    match open(root, &index, lookup) {
        Ok(Kind::File(file, stat)) => file_found(root, &index, (file, stat), accepted, lookup),
        Ok(Kind::Directory | Kind::Other) => Err(Miss::NotFound),
        Err(Errno::NOTDIR) if wanted.end() == End::Slash => {
            match open(root, wanted.path(), lookup).map_err(miss)? {
                Kind::File(file, stat) => {
                    file_found(root, wanted.path(), (file, stat), accepted, lookup)
                }
                Kind::Directory | Kind::Other => Err(Miss::NotFound),
            }
        }
        Err(errno) => Err(miss(errno)),
    }
}

impl Miss {
    fn of(errno: Errno) -> Miss {
        match errno {
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::NAMETOOLONG
            | Errno::LOOP
            | Errno::INVAL
            | Errno::NXIO
            | Errno::NODEV => Miss::NotFound,
            Errno::XDEV => Miss::Outside,
            Errno::ACCESS | Errno::PERM => Miss::Denied,
            Errno::AGAIN => Miss::NotCached,
            other => Miss::Failed(other.into()),
        }
    }
}

enum Kind {
    File(File, Stat),
    Directory,
    Other,
}

fn open(root: &Root, path: &[u8], lookup: Lookup) -> Result<Kind, Errno> {
    // Neither a pipe that nobody writes to nor a terminal keeps us.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut tries = TRIES;
    let opened = loop {
        match root.open_below(path, flags, lookup) {
            Err(Errno::AGAIN) if lookup == Lookup::Complete && tries > 1 => tries -= 1,
            // Kernels before 5.12 know of no cached lookup.
            Err(Errno::INVAL) if lookup == Lookup::Cached => return Err(Errno::AGAIN),
            // A directory that may be searched, but not listed.
            Err(Errno::ACCESS) => {
                let found = root.open_below(path, OFlags::PATH, lookup)?;
                let found = rustix::fs::fstat(&found)?;
                return match FileType::from_raw_mode(found.st_mode) {
                    FileType::Directory => Ok(Kind::Directory),
                    _ => Err(Errno::ACCESS),
                };
            }
            opened => break opened?,
        }
    };
    let stat = rustix::fs::fstat(&opened)?;
    Ok(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File(File::from(opened), stat),
        FileType::Directory => Kind::Directory,
        _ => Kind::Other,
    })
}

/// The file itself, or a copy beside it that is smaller, not older, and welcome.
fn file_found(
    root: &Root,
    path: &[u8],
    (file, stat): (File, Stat),
    accepted: Accepted,
    lookup: Lookup,
) -> Result<Found, Miss> {
    let media = Media::of(path);
    let opened = |file, stat: &Stat, coding| Opened {
        file,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified: modified(stat),
        media,
        coding,
    };
    // What is compressed as it is has no copies.
    let copies = media.coding.is_none().then(|| welcome(accepted));
    for coding in copies.into_iter().flatten() {
        let name = [path, suffix(coding)].concat();
        match open(root, &name, lookup) {
            Ok(Kind::File(copy, found)) if modified(&found) >= modified(&stat) => {
                return Ok(Found::File(opened(copy, &found, Some(coding))));
            }
            Err(Errno::AGAIN) if lookup == Lookup::Cached => return Err(Miss::NotCached),
            // A copy that cannot be had is as none.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(Found::File(opened(file, &stat, None)))
}

fn modified(stat: &Stat) -> (i64, u32) {
    (
        stat.st_mtime,
        u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
