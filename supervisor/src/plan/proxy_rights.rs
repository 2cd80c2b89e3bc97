//! What the proxy may do with directories: where paster is root it is `nobody`, else who paster is.

use super::identity::{self, Accounts};
use std::fs::{Metadata, metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As bits of a mode.
const SEARCH: u32 = 0o1;
const CHANGE: u32 = 0o3;

/// Whether the proxy can open what is in a directory, if that is there and was opened for it.
///
/// # Errors
/// It cannot, in words for people.
pub(super) fn may_search(directory: &Path, accounts: &dyn Accounts) -> Result<(), String> {
    has(SEARCH, directory, accounts).map_err(|nobody| {
        let directory = directory.display();
        format!("the proxy, which runs as {nobody}, may not search {directory}")
    })
}

/// Whether the proxy can get to a directory by its path, as far as that is there.
///
/// # Errors
/// It cannot, in words for people.
pub(super) fn reaches(directory: &Path, accounts: &dyn Accounts) -> Result<(), String> {
    let mut way = directory.ancestors();
    way.try_for_each(|directory| may_search(directory, accounts))
}

/// Whether the proxy can make and rename files in a directory, if that is there.
///
/// # Errors
/// It cannot, in words for people.
pub(super) fn may_change(directory: &Path, accounts: &dyn Accounts) -> Result<(), String> {
    has(CHANGE, directory, accounts).map_err(|nobody| {
        let directory = directory.display();
        format!("the proxy, which runs as {nobody}, may not write to {directory}")
    })
}

/// # Errors
/// Who has not these rights.
fn has(rights: u32, directory: &Path, accounts: &dyn Accounts) -> Result<(), &'static str> {
    match (identity::of_proxy(accounts), metadata(directory)) {
        (Some(uid), Ok(found)) if granted(&found, uid) & rights != rights => Err("`nobody`"),
        _ => Ok(()),
    }
}

/// The bits of the mode that are for a user whose group has the same number.
fn granted(directory: &Metadata, uid: u32) -> u32 {
    let class = if directory.uid() == uid {
        6
    } else if directory.gid() == uid {
        3
    } else {
        0
    };
    directory.mode() >> class
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::Own;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_proxy_of_root_is_somebody_else() {
        let dir = tempfile::tempdir().expect("a directory");
        let below = dir.path().join("a");
        std::fs::create_dir(&below).expect("ours");
        let allow = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path(), mode).expect("our own directory");
        };
        let root =
            |may: fn(&Path, &dyn Accounts) -> Result<(), String>, path: &Path| may(path, &Own(0));
        allow(0o700);
        assert!(root(reaches, &below).is_err());
        assert!(root(may_search, dir.path()).is_err());
        assert!(
            reaches(&below, &Own(1000)).is_ok(),
            "the proxy is who paster is"
        );
        allow(0o711);
        assert!(root(may_search, dir.path()).is_ok());
        assert!(root(reaches, &below).is_ok() && root(reaches, &below.join("none")).is_ok());
        let why = root(may_change, dir.path()).expect_err("not to write");
        assert!(why.contains("`nobody`, may not write to"), "{why}");
        assert!(may_change(dir.path(), &Own(1000)).is_ok());
        allow(0o777);
        assert!(root(may_change, dir.path()).is_ok());
    }
}
