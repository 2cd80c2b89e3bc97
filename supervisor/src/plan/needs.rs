//! Which files an app cannot start without, whatever is hidden from it.

use super::spec::{AppKind, Settings};
use std::path::{Path, PathBuf};

/// Files and directories, absolute: its directory, that of the INI file (`here`), its Python installation or program.
pub fn needs(kind: &AppKind, settings: &Settings, here: &Path) -> Vec<PathBuf> {
    let mut paths = vec![here.to_owned()];
    paths.extend(settings.directory.clone());
    match kind {
        AppKind::Python {
            interpreter,
            python_path,
            logging,
            ..
        } => {
            paths.extend(python_path.iter().cloned());
            paths.extend(logging.iter().map(|logging| logging.file.clone()));
            // That of the virtual environment, and that which it was made from.
            let real = std::fs::canonicalize(interpreter).ok();
            paths.extend(
                [Some(interpreter), real.as_ref()]
                    .into_iter()
                    .flatten()
                    .map(|program| installation(program)),
            );
        }
        AppKind::Exec { argv, .. } => {
            let program = argv.first().map(Path::new);
            let beside = program.and_then(Path::parent);
            paths.extend(beside.filter(|dir| dir.is_absolute()).map(Path::to_owned));
        }
        AppKind::Upstream { .. } | AppKind::Static(_) => {}
    }
    paths.retain(|path| path.is_absolute() && path != Path::new("/"));
    paths
}

/// `/srv/venv` of `/srv/venv/bin/python3`.
fn installation(interpreter: &Path) -> PathBuf {
    let directory = interpreter.parent().unwrap_or(interpreter);
    match directory.parent() {
        Some(prefix) if directory.ends_with("bin") => prefix.to_owned(),
        _ => directory.to_owned(),
    }
}
