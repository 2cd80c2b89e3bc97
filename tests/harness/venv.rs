//! Virtual environments for tests, each made once in the target directory by the first test that needs it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is to be installed.
pub(crate) struct Venv {
    /// Directory below `target/test-venvs`.
    pub(crate) name: &'static str,
    /// For pip, with exact versions.
    pub(crate) requirements: &'static [&'static str],
    /// Directories of source distributions, relative to the repository.
    pub(crate) sources: &'static [&'static str],
}

impl Venv {
    /// The environment's directory, complete. Processes that want it at the same time wait for each other.
    pub(crate) fn make(&self) -> PathBuf {
        let environments = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("cargo's temporary directory is in the target directory")
            .join("test-venvs");
        fs::create_dir_all(&environments).expect("create target/test-venvs");
        let lock = File::create(environments.join(format!("{}.lock", self.name)))
            .expect("create the lock file");
        lock.lock().expect("lock the environment");

        let directory = environments.join(self.name);
        let marker = directory.join("complete");
        let wanted = self.fingerprint();
        if fs::read_to_string(&marker).is_ok_and(|found| found == wanted) {
            return directory;
        }
        if directory.exists() {
            fs::remove_dir_all(&directory).expect("remove an unfinished environment");
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&directory));
        let requirements: Vec<&OsStr> = self.requirements.iter().map(OsStr::new).collect();
        install(&directory, &requirements);
        for source in self.sources {
            // Built from a copy: the build leaves its own files beside the sources.
            let copy = directory.join("sources").join(source);
            copy_tree(&root().join(source), &copy);
            let how = ["--no-deps", "--no-build-isolation"].map(OsStr::new);
            install(&directory, &[how[0], how[1], copy.as_os_str()]);
        }
        fs::write(&marker, wanted).expect("write the marker of the finished environment");
        directory
    }

    /// Changes when anything that is installed changes.
    fn fingerprint(&self) -> String {
        let mut text = self.requirements.join("\n");
        for source in self.sources {
            let mut files = files(&root().join(source));
            files.sort();
            for file in files {
                text.push_str(&fs::read_to_string(&file).expect("read a source"));
            }
        }
        text
    }
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is a directory of the repository")
}

fn install(directory: &Path, what: &[&OsStr]) {
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ];
    run(Command::new(directory.join("bin/python"))
        .args(pip)
        .args(what));
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)
        .expect("list a directory of sources")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_none_or(|ending| ending != "pyc") {
            found.push(path);
        }
    }
    found
}

fn copy_tree(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("listed below it"));
        fs::create_dir_all(target.parent().expect("below `to`")).expect("create a directory");
        fs::copy(&file, &target).expect("copy a source");
    }
}
