//! Landlock (landlock(7)): what works without privilege. It allows or denies opening, running and changing files by path,
//! and scopes signals; a domain is inherited by all descendants and never left.

use super::Failure;
use super::files::{Mode, View};
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use std::path::{Path, PathBuf};

/// The oldest that knows truncate(2) (Linux 6.2); before, what is read-only could be emptied.
const FILES_ABI: ABI = ABI::V3;
/// The oldest that has scopes (Linux 6.12).
const SCOPES_ABI: ABI = ABI::V6;

/// Restricts this process and its descendants to `view`, if there is one, and with `signals` to signalling and tracing
/// each other. Sets `no_new_privs`.
pub(super) fn restrict(view: Option<&View>, signals: bool) -> Result<(), Failure> {
    domain(view, signals).map_err(|error| Failure::new("Landlock", said(&error)))
}

fn domain(view: Option<&View>, signals: bool) -> Result<(), RulesetError> {
    let grants = view.map(|view| view.grants(&entries)).unwrap_or_default();
    // Nothing is hidden: then reading need not be checked.
    let all_readable = grants.iter().any(|(path, _)| path == Path::new("/"));
    let handled = if all_readable {
        AccessFs::from_write(FILES_ABI)
    } else {
        // Directories on the way to what is hidden have to be listed (Python does, to import), and what may be listed may be
        // listed to its depth: so names are not hidden.
        AccessFs::from_all(FILES_ABI) & !BitFlags::from(AccessFs::ReadDir)
    };
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if view.is_some() {
        ruleset = ruleset.handle_access(handled)?;
    }
    if signals {
        ruleset = ruleset.scope(Scope::from_all(SCOPES_ABI))?;
    }
    let mut ruleset = ruleset.create()?;
    for (mode, access) in [
        (Mode::ReadOnly, AccessFs::from_read(FILES_ABI)),
        (Mode::Open, AccessFs::from_all(FILES_ABI)),
    ] {
        let paths = grants.iter().filter(|(_, granted)| *granted == mode);
        ruleset = allow(ruleset, paths.map(|(path, _)| path), access & handled)?;
    }
    ruleset.restrict_self().map(|_| ())
}

/// What cannot be opened, because it is gone or not for us, is not granted.
fn allow<'a>(
    ruleset: RulesetCreated,
    paths: impl Iterator<Item = &'a PathBuf>,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    if access.is_empty() {
        return Ok(ruleset);
    }
    let rules = path_beneath_rules(paths, access);
    // A file that no right in question is about needs no rule, and the kernel takes none.
    ruleset.add_rules(rules)
}

/// What is in a directory. What a symbolic link points to is granted, or not, where it is.
fn entries(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let real = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    real.map(|entry| entry.path()).collect()
}

/// What the kernel said: the last cause.
fn said(error: &RulesetError) -> String {
    if let RulesetError::HandleAccesses(_) | RulesetError::Scope(_) = error {
        return "this kernel does not offer it".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
