//! Sites of real Python packages: the environment that they are installed in, and how a test gets one.

use crate::harness::venv::{Venv, root};
use crate::harness::{DEADLINE, Site};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Everything that the suites run, at exact versions.
const SITES: Venv = Venv {
    name: "sites",
    requirements: &[
        "PasteDeploy==3.1.0",
        "Paste==3.10.1",
        "PasteScript==3.7.0",
        "WebTest==3.0.7",
        "waitress==3.0.2",
        "gunicorn==27.0.1",
        "uvicorn==0.54.0",
        "websockets==17.4",
        "Flask==3.1.3",
        "pyramid==2.1",
        "Django==5.2.19",
        "httpbin==0.10.4",
        "setuptools==80.9.0",
        "wheel==0.45.1",
    ],
    sources: &["tests/fixtures/distribution"],
};

/// The interpreter with all of it.
pub(crate) fn python() -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| SITES.make()).join("bin/python")
}

/// A site of this INI file, beside the module `probe` (see its docstring), run by [`python`].
///
/// The file needs neither `[server:main]` nor `python`; `{python}` becomes the interpreter.
pub(crate) fn site(ini: &str) -> Site {
    Site::new()
        .file("probe.py", &fixture("probe.py"))
        .ini(&complete(ini))
}

/// The same text with what every file of the tests needs.
pub(crate) fn complete(ini: &str) -> String {
    let python = python().display().to_string();
    let mut text = ini.replace("{python}", &python);
    let setting = format!("[isolate]\npython = {python}\n");
    if text.contains("[isolate]\n") {
        text = text.replace("[isolate]\n", &setting);
    } else {
        text = format!("{text}\n{setting}");
    }
    format!("{text}\n[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = 0\n")
}

/// A file of `tests/fixtures/system`.
pub(crate) fn fixture(name: &str) -> String {
    let path = root().join("tests/fixtures/system").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The original: PasteDeploy and waitress serve the same file in one process. Ended when dropped.
pub(crate) struct Undivided {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Undivided {
    pub(crate) fn start(config: &Path) -> Undivided {
        let mut child = Command::new(python())
            .arg(root().join("tests/fixtures/system/undivided.py"))
            .arg(config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the undivided program");
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        lines.read_line(&mut line).expect("it prints its port");
        let port: u16 = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the undivided program failed: {line:?}"));
        Undivided {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        }
    }
}

impl Drop for Undivided {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until the app has left this file beside the INI file.
#[track_caller]
pub(crate) fn wait_for_file(path: &Path) {
    crate::harness::poll(DEADLINE, || path.exists().then_some(()))
        .unwrap_or_else(|missed| panic!("{} within {:?}", path.display(), missed.0));
}
