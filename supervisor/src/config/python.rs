//! Which Python an app runs with, and where that Python looks for distributions.

use super::metadata;
use super::problem::Problem;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Where distributions are searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath {
    pub directories: Vec<PathBuf>,
    /// The environment in words, e.g. `the virtualenv /srv/venv`.
    pub described: String,
    pub interpreter: PathBuf,
}

impl SearchPath {
    /// Whether the distribution is installed.
    ///
    /// # Errors
    /// It is not; the problem has no place yet.
    pub fn has(&self, distribution: &str) -> Result<(), Problem> {
        match metadata::find(&self.directories, distribution) {
            Some(_) => Ok(()),
            None => Err(self.lacks(distribution)),
        }
    }

    pub(super) fn lacks(&self, distribution: &str) -> Problem {
        let message = format!(
            "the distribution `{distribution}` is not installed in {}",
            self.described
        );
        let hint = format!(
            "install it with `{} -m pip install {distribution}`, or point `python` in [isolate] to the environment that has it",
            self.interpreter.display()
        );
        Problem::new("PackageNotFoundError", message).hint(hint)
    }
}

/// Answers which search path applies. The resolver asks only when a distribution is named.
pub trait Environments: Sync {
    /// `python` is the setting that applies (a path, a virtualenv's directory or a command), if
    /// there is one; `directory` is that of the INI file.
    fn search_path(&self, python: Option<&str>, directory: &Path) -> SearchPath;
}

/// The Pythons of this machine. An interpreter is started only when its search path
/// cannot be read from the file system, and once.
#[derive(Debug, Default)]
pub struct Machine {
    asked: Mutex<HashMap<PathBuf, Vec<PathBuf>>>,
}

/// An interpreter and the virtualenv that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    pub program: PathBuf,
    pub virtualenv: Option<PathBuf>,
}

impl Environments for Machine {
    fn search_path(&self, python: Option<&str>, directory: &Path) -> SearchPath {
        let interpreter = interpreter(python, directory);
        let mut directories: Vec<PathBuf> = std::env::var_os("PYTHONPATH")
            .filter(|value| !value.is_empty())
            .map(|value| std::env::split_paths(&value).collect())
            .unwrap_or_default();
        let described = match &interpreter.virtualenv {
            Some(virtualenv) => {
                directories.extend(site_packages(virtualenv));
                if let Some(base) = base_interpreter(virtualenv) {
                    directories.extend(self.ask(&base));
                }
                format!("the virtualenv {}", virtualenv.display())
            }
            None => {
                directories.extend(self.ask(&interpreter.program));
                format!("the environment of {}", interpreter.program.display())
            }
        };
        directories.push(directory.to_owned());
        SearchPath {
            directories,
            described,
            interpreter: interpreter.program,
        }
    }
}

impl Machine {
    /// The interpreter's own `sys.path`; empty when it cannot be started.
    fn ask(&self, program: &Path) -> Vec<PathBuf> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked
            .entry(program.to_owned())
            .or_insert_with(|| sys_path(program))
            .clone()
    }
}

fn sys_path(program: &Path) -> Vec<PathBuf> {
    let output = Command::new(program)
        .args([
            "-c",
            "import json, sys; print(json.dumps([p for p in sys.path if p]))",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let paths = output
        .ok()
        .and_then(|output| serde_json::from_slice::<Vec<String>>(&output.stdout).ok());
    paths
        .unwrap_or_default()
        .into_iter()
        .map(PathBuf::from)
        .collect()
}

/// The interpreter of an app: the setting, else `$VIRTUAL_ENV`, else `.venv` or `venv` beside the INI
/// file, else `python3`.
pub fn interpreter(python: Option<&str>, directory: &Path) -> Interpreter {
    if let Some(python) = python {
        return named(python, directory);
    }
    let active = std::env::var_os("VIRTUAL_ENV")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let beside = [".venv", "venv"].map(|name| directory.join(name));
    let virtualenv = active
        .into_iter()
        .chain(beside)
        .find(|candidate| is_virtualenv(candidate));
    match virtualenv {
        Some(virtualenv) => Interpreter {
            program: virtualenv.join("bin/python"),
            virtualenv: Some(virtualenv),
        },
        None => named("python3", directory),
    }
}

fn is_virtualenv(directory: &Path) -> bool {
    directory.join("pyvenv.cfg").is_file()
}

/// What a shell uses when PATH is not set, and who starts the app as well.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn named(python: &str, directory: &Path) -> Interpreter {
    let program = if python.contains('/') {
        directory.join(python)
    } else {
        let paths = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        let found = std::env::split_paths(&paths)
            .map(|path| path.join(python))
            .find(|path| path.is_file());
        found.unwrap_or_else(|| PathBuf::from(python))
    };
    if is_virtualenv(&program) {
        return Interpreter {
            program: program.join("bin/python"),
            virtualenv: Some(program),
        };
    }
    // Not canonicalised: a virtualenv's interpreter is a symbolic link out of it.
    let virtualenv = program
        .parent()
        .and_then(Path::parent)
        .filter(|root| is_virtualenv(root))
        .map(Path::to_owned);
    Interpreter {
        program,
        virtualenv,
    }
}

/// The site directories of a virtualenv, each followed by what its `.pth` and `.egg-link` files add.
fn site_packages(virtualenv: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for lib in ["lib", "lib64"] {
        let mut versions = children(&virtualenv.join(lib));
        versions.retain(|path| {
            name_of(path).starts_with("python") || name_of(path).starts_with("pypy")
        });
        for site in versions
            .into_iter()
            .map(|path| path.join("site-packages"))
            .filter(|site| site.is_dir())
        {
            let same =
                |known: &PathBuf| fs::canonicalize(known).ok() == fs::canonicalize(&site).ok();
            if !directories.iter().any(same) {
                directories.push(site.clone());
                directories.extend(linked(&site));
            }
        }
    }
    directories
}

/// Directories named by `.pth` and `.egg-link` files. Lines of code in them are not run.
fn linked(site: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in children(site) {
        let name = name_of(&file);
        let link = name.ends_with(".egg-link");
        if !(link || name.ends_with(".pth")) || name.starts_with('.') {
            continue;
        }
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let lines = text
            .lines()
            .take(if link { 1 } else { usize::MAX })
            .map(str::trim_end);
        let lines = lines.filter(|line| !(line.is_empty() || line.starts_with('#')));
        let lines =
            lines.filter(|line| !(line.starts_with("import ") || line.starts_with("import\t")));
        found.extend(
            lines
                .map(|line| site.join(line))
                .filter(|path| path.is_dir()),
        );
    }
    found
}

/// The interpreter below a virtualenv that includes its site packages.
fn base_interpreter(virtualenv: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(virtualenv.join("pyvenv.cfg")).ok()?;
    let value = |wanted: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs
            .filter(|(key, _)| key.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
            .next()
    };
    if !value("include-system-site-packages")?.eq_ignore_ascii_case("true") {
        return None;
    }
    Some(Path::new(&value("home")?).join("python3"))
}

/// The entries of a directory, sorted by name.
fn children(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut children: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    children.sort();
    children
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn virtualenv(root: &Path, config: &str) -> PathBuf {
        let site = root.join("lib/python3.11/site-packages");
        fs::create_dir_all(&site).expect("created");
        fs::create_dir_all(root.join("bin")).expect("created");
        fs::write(root.join("pyvenv.cfg"), config).expect("written");
        site
    }

    #[test]
    fn the_setting_may_be_an_interpreter_or_the_directory_of_a_virtualenv() {
        let dir = tempfile::tempdir().expect("a directory");
        virtualenv(&dir.path().join("env"), "");
        let expected = Interpreter {
            program: dir.path().join("env/bin/python"),
            virtualenv: Some(dir.path().join("env")),
        };
        assert_eq!(
            interpreter(Some("./env"), dir.path()).virtualenv,
            Some(dir.path().join("./env"))
        );
        assert_eq!(
            interpreter(
                Some(&format!("{}/env/bin/python", dir.path().display())),
                Path::new("/")
            ),
            expected
        );
        assert_eq!(
            interpreter(Some("/no/such/python"), dir.path()).virtualenv,
            None
        );
    }

    #[test]
    fn path_files_and_links_add_directories() {
        let dir = tempfile::tempdir().expect("a directory");
        let site = virtualenv(
            dir.path(),
            "include-system-site-packages = false\nhome = /usr/bin\n",
        );
        let project = dir.path().join("project");
        fs::create_dir(&project).expect("created");
        fs::write(
            site.join("a.pth"),
            format!("# x\nimport os\n/no/such\n{}\n", project.display()),
        )
        .expect("written");
        let other = dir.path().join("other");
        fs::create_dir(&other).expect("created");
        fs::write(
            site.join("b.egg-link"),
            format!("{}\n../\n", other.display()),
        )
        .expect("written");
        assert_eq!(site_packages(dir.path()), [site, project, other]);
        assert_eq!(base_interpreter(dir.path()), None);
    }

    #[test]
    fn system_packages_are_included_when_the_virtualenv_says_so() {
        let dir = tempfile::tempdir().expect("a directory");
        virtualenv(
            dir.path(),
            "home = /usr/bin\ninclude-system-site-packages = true\n",
        );
        assert_eq!(
            base_interpreter(dir.path()),
            Some(PathBuf::from("/usr/bin/python3"))
        );
    }
}
