//! Programs of other packages of this workspace.

use super::venv::root;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The program of this package, which `cargo test` of ours alone does not build.
pub(crate) fn built(package: &str) -> PathBuf {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.insert(package.to_owned()) {
        let result = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", package])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(
            result.status.success(),
            "{}",
            String::from_utf8_lossy(&result.stderr)
        );
    }
    Path::new(env!("CARGO_BIN_EXE_paster")).with_file_name(package)
}
