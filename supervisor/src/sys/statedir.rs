//! The state directory: what is to survive a restart of paster, one directory for each configuration file.

use super::rundir::{absolute, name_of, of_systemd};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the state directory of `config` is: `given`, else `$STATE_DIRECTORY`, else a directory named after the file
/// below `$XDG_STATE_HOME/paster`, `/var/lib/paster` (root), `~/.local/state/paster` or, without a home,
/// `/var/tmp/paster-UID`. For the user `uid`, whom we are going to be, the variables of our present user mean nothing.
pub fn locate(config: &Path, given: Option<&Path>, uid: Option<u32>) -> PathBuf {
    if let Some(given) = given {
        return given.to_path_buf();
    }
    if let Some(uid) = uid.filter(|uid| *uid != 0) {
        return below(config, uid, |name| {
            std::env::var_os(name).filter(|_| name == "STATE_DIRECTORY")
        });
    }
    below(config, nix::unistd::geteuid().as_raw(), |name| {
        std::env::var_os(name)
    })
}

fn below(config: &Path, uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(first) = of_systemd(variable("STATE_DIRECTORY")) {
        return first;
    }
    let base = match (
        absolute(variable("XDG_STATE_HOME")),
        absolute(variable("HOME")),
    ) {
        (Some(state), _) => state.join("paster"),
        (None, _) if uid == 0 => PathBuf::from("/var/lib/paster"),
        (None, Some(home)) => home.join(".local/state/paster"),
        (None, None) => PathBuf::from(format!("/var/tmp/paster-{uid}")),
    };
    base.join(name_of(config))
}

/// Makes the directory `path` (0700, as those above it that are missing) and sees that nobody else can use it.
///
/// # Errors
/// It cannot be made, is no directory, or it or one above it belongs to somebody else, who could put another one in its
/// place.
pub fn open_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let own = nix::unistd::geteuid().as_raw();
    let foreign = |path: &Path, owner: u32| {
        let message = format!("{} belongs to user {owner}, not to us", path.display());
        io::Error::new(io::ErrorKind::PermissionDenied, message)
    };
    if metadata.uid() != own {
        return Err(foreign(path, metadata.uid()));
    }
    for above in fs::canonicalize(path)?.ancestors().skip(1) {
        let owner = fs::metadata(above)?.uid();
        if owner != own && owner != 0 {
            return Err(foreign(above, owner));
        }
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(uid: u32, variables: &[(&str, &str)]) -> String {
        let variable = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| *name == wanted)?;
            Some(OsString::from(found.1))
        };
        let path = below(Path::new("/srv/site.ini"), uid, variable);
        path.to_string_lossy().into_owned()
    }

    #[test]
    fn the_service_manager_comes_first_then_the_user_then_the_system() {
        let name = name_of(Path::new("/srv/site.ini"));
        let home = ("HOME", "/home/me");
        let xdg = ("XDG_STATE_HOME", "/home/me/state");
        let unit = ("STATE_DIRECTORY", "/var/lib/blog:/var/lib/other");
        assert_eq!(located(0, &[unit, xdg, home]), "/var/lib/blog");
        assert_eq!(
            located(1000, &[xdg, home]),
            format!("/home/me/state/paster/{name}")
        );
        assert_eq!(
            located(1000, &[home]),
            format!("/home/me/.local/state/paster/{name}")
        );
        assert_eq!(located(0, &[home]), format!("/var/lib/paster/{name}"));
        assert_eq!(located(7, &[]), format!("/var/tmp/paster-7/{name}"));
    }

    #[test]
    fn relative_directories_are_ignored() {
        let name = name_of(Path::new("/srv/site.ini"));
        let variables = [("STATE_DIRECTORY", "x"), ("XDG_STATE_HOME", "y")];
        assert_eq!(located(0, &variables), format!("/var/lib/paster/{name}"));
    }

    #[test]
    fn a_private_directory_is_made_private() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let path = temp.path().join("a/b");
        fs::create_dir_all(&path).expect("created");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("ours");
        open_private(&path).expect("it is ours");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        open_private(&path.join("c/d")).expect("made");
        assert_eq!(mode(&path.join("c")), 0o700);
    }

    #[test]
    fn a_link_is_no_directory_of_ours() {
        let temp = tempfile::tempdir().expect("temporary directory");
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path(), &link).expect("made");
        assert!(open_private(&link).is_err());
    }
}
