//! A [`View`] of the file system, made by mounts in a mount namespace of its own.
//!
//! Everything is taken hold of (open_tree(2)) before anything is changed: what is to stay reachable below a hidden directory
//! cannot be found any more afterwards.

use super::Failure;
use super::failure::failed;
use super::files::{Action, Mount, View};
use crate::sys::mount::{NODEV, NOSUID, RDONLY, Reach, set_attributes};
use nix::unistd::geteuid;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What a path will be covered with.
struct Cover {
    mount: Mount,
    tree: OwnedFd,
    /// A new directory becomes read-only once the directories for what is below it exist.
    seal: bool,
    is_dir: bool,
}

/// Makes the mounts; `tmp` holds the private directories by index.
pub(super) fn arrange(view: &View, tmp: &[PathBuf]) -> Result<(), Failure> {
    let covers = view
        .mounts()
        .into_iter()
        .map(|mount| {
            let step = step(&mount);
            cover(mount, tmp).map_err(failed(step))
        })
        .collect::<Result<Vec<Cover>, Failure>>()?;
    for cover in &covers {
        attach(cover).map_err(failed(step(&cover.mount)))?;
    }
    for cover in covers.iter().filter(|cover| cover.seal) {
        set_attributes(cover.tree.as_fd(), Reach::One, RDONLY)
            .map_err(failed(step(&cover.mount)))?;
    }
    Ok(())
}

fn step(mount: &Mount) -> String {
    let what = match mount.action {
        Action::Open => "keep",
        Action::ReadOnly => "read_only",
        Action::Hide { .. } => "hidden",
        Action::Tmp(_) => "private_tmp",
    };
    format!("{what} {}", mount.path.display())
}

fn cover(mount: Mount, tmp: &[PathBuf]) -> io::Result<Cover> {
    let path = &mount.path;
    let is_dir = fs::metadata(path)?.is_dir();
    let mut seal = false;
    let tree = match mount.action {
        // The root cannot be covered: it is changed itself, by what `attach` does not do.
        Action::ReadOnly if path == Path::new("/") => take(path, OpenTreeFlags::empty())?,
        Action::Open => copy(path)?,
        Action::ReadOnly => {
            let tree = copy(path)?;
            set_attributes(tree.as_fd(), Reach::All, RDONLY)?;
            tree
        }
        Action::Hide { passage } if is_dir => {
            seal = true;
            empty_directory(if passage { "0711" } else { "0000" })?
        }
        Action::Hide { .. } => {
            // A device on a mount without devices cannot be opened, not even by root.
            let tree = copy(Path::new("/dev/null"))?;
            set_attributes(tree.as_fd(), Reach::All, NODEV)?;
            tree
        }
        Action::Tmp(index) => {
            let tree = copy(&tmp[index])?;
            set_attributes(tree.as_fd(), Reach::All, NOSUID | NODEV)?;
            tree
        }
    };
    Ok(Cover {
        mount,
        tree,
        seal,
        is_dir,
    })
}

fn attach(cover: &Cover) -> io::Result<()> {
    let path = &cover.mount.path;
    if path == Path::new("/") {
        return set_attributes(cover.tree.as_fd(), Reach::All, RDONLY);
    }
    if let Some(inside) = &cover.mount.inside {
        make(inside, path, cover.is_dir)?;
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(cover.tree.as_fd(), "", CWD, path, flags)?)
}

/// Makes a place to mount on, in a new or private directory. In a private /tmp, which the app can write to, some of it may be
/// there: what is not ours may be a trap, by which an app would have us change files elsewhere.
fn make(inside: &Path, path: &Path, is_dir: bool) -> io::Result<()> {
    let mut missing: Vec<&Path> = path
        .ancestors()
        .take_while(|part| *part != inside)
        .collect();
    missing.reverse();
    for part in missing {
        let wants_dir = is_dir || part != path;
        let made = match wants_dir {
            true => fs::create_dir(part),
            false => File::create_new(part).map(|_| ()),
        };
        match made {
            // The worker may be another user; mkdir(2) applies the umask.
            Ok(()) if wants_dir => fs::set_permissions(part, Permissions::from_mode(0o755))?,
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = fs::symlink_metadata(part)?;
                let is_right = found.is_dir() == wants_dir && !found.is_symlink();
                if !is_right || found.uid() != geteuid().as_raw() {
                    let problem =
                        format!("the app has made {} in its private /tmp", part.display());
                    return Err(io::Error::other(problem));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn take(path: &Path, flags: OpenTreeFlags) -> io::Result<OwnedFd> {
    Ok(open_tree(
        CWD,
        path,
        flags | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )?)
}

/// A copy of the mounts at and below a path, attached nowhere.
fn copy(path: &Path) -> io::Result<OwnedFd> {
    take(
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE,
    )
}

/// A new, empty file system.
fn empty_directory(mode: &str) -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("mode", mode), ("size", "64k")] {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    Ok(fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}
