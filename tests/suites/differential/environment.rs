//! A virtual environment with the original in it, made by the first test that needs it.

use crate::venv::Venv;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) use crate::venv::root;

const ORACLE: Venv = Venv {
    name: "oracle",
    requirements: &["PasteDeploy==3.1.0", "Paste==3.10.1"],
    sources: &[],
};

/// The environment's directory, complete.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| ORACLE.make())
}

pub(crate) fn python() -> PathBuf {
    directory().join("bin/python")
}
