//! A configuration and its modules in a temporary directory.

use super::Paster;
use command_fds::{CommandFdExt, FdMapping};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The Python app that does what its URL says (see its docstring).
const ACTOR: &str = include_str!("../fixtures/apps/actor.py");

/// The Python app that tries what it may be kept from (see its docstring).
const PRISONER: &str = include_str!("../fixtures/apps/prisoner.py");

/// A program that is a worker without anything of ours (see its docstring).
const SERVER: &str = include_str!("../fixtures/programs/server.py");

struct App {
    name: String,
    mount: String,
    /// The value of `use`.
    factory: String,
    options: Vec<String>,
}

/// What `paster serve` is given. The INI file is written from its parts, or verbatim where [`Site::ini`] was called.
pub(crate) struct Site {
    dir: TempDir,
    apps: Vec<App>,
    /// `[isolate]` (empty name) and `[isolate:NAME]`.
    policies: BTreeMap<String, Vec<String>>,
    verbatim: Option<String>,
    listen: Option<String>,
    isolate: bool,
    /// More arguments of `paster serve`.
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Passed as a service manager passes them, with their names.
    sockets: Vec<(String, OwnedFd)>,
    /// The command that runs paster with its arguments.
    wrapper: Vec<String>,
}

impl Site {
    pub(crate) fn new() -> Site {
        // Short, because the paths of unix sockets are (unix(7)).
        let dir = tempfile::Builder::new()
            .prefix("pt")
            .tempdir()
            .expect("a temporary directory");
        // Apps may run as another user and are imported from here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))
            .expect("our own directory");
        Site {
            dir,
            apps: Vec::new(),
            policies: BTreeMap::new(),
            verbatim: None,
            listen: Some("127.0.0.1:0".to_owned()),
            isolate: true,
            arguments: Vec::new(),
            environment: Vec::new(),
            sockets: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// An app that does what its URL says: module `actor`, see `tests/fixtures/apps/actor.py`.
    pub(crate) fn actor(self, name: &str, mount: &str) -> Site {
        self.file("actor.py", ACTOR)
            .section(name, mount, "actor:factory")
    }

    /// An app that tries what it may be kept from: module `prisoner`, see `tests/fixtures/apps/prisoner.py`.
    pub(crate) fn prisoner(self, name: &str, mount: &str) -> Site {
        self.file("prisoner.py", PRISONER)
            .section(name, mount, "prisoner:factory")
    }

    /// A Python app of its own module, named after it, with a function `factory`.
    pub(crate) fn python(self, name: &str, mount: &str, source: &str) -> Site {
        self.file(&format!("{name}.py"), source)
            .section(name, mount, &format!("{name}:factory"))
    }

    /// The program `tests/fixtures/programs/server.py` with these arguments.
    pub(crate) fn server(self, name: &str, mount: &str, arguments: &str) -> Site {
        let command = format!("python3 {{here}}/server.py {arguments}");
        self.file("server.py", SERVER).exec(name, mount, &command)
    }

    /// A program.
    pub(crate) fn exec(self, name: &str, mount: &str, command: &str) -> Site {
        self.section(name, mount, &format!("exec:{command}"))
    }

    /// An `[app:NAME]` section with this `use`, mounted at `mount`.
    pub(crate) fn section(mut self, name: &str, mount: &str, factory: &str) -> Site {
        self.apps.push(App {
            name: name.to_owned(),
            mount: mount.to_owned(),
            factory: factory.to_owned(),
            options: Vec::new(),
        });
        self
    }

    /// Takes an app out again.
    pub(crate) fn without(mut self, name: &str) -> Site {
        self.apps.retain(|app| app.name != name);
        self.policies.remove(name);
        self
    }

    /// A line of the section of an app, `key = value`; replaces an earlier one with this key.
    pub(crate) fn option(mut self, app: &str, line: &str) -> Site {
        let app = self
            .apps
            .iter_mut()
            .find(|a| a.name == app)
            .expect("the app was added before");
        set(&mut app.options, line);
        self
    }

    /// A line of `[isolate:APP]`; of `[isolate]` where `app` is empty. Replaces an earlier one with this key.
    pub(crate) fn policy(mut self, app: &str, line: &str) -> Site {
        set(self.policies.entry(app.to_owned()).or_default(), line);
        self
    }

    /// Without the settings of an app.
    pub(crate) fn without_policy(mut self, app: &str) -> Site {
        self.policies.remove(app);
        self
    }

    /// The whole INI file instead of one made from parts.
    pub(crate) fn ini(mut self, text: &str) -> Site {
        self.verbatim = Some(text.to_owned());
        self
    }

    /// Without `--listen`: what `[server:main]` says counts.
    pub(crate) fn listen_as_configured(mut self) -> Site {
        self.listen = None;
        self
    }

    /// `--listen ADDRESS` instead of a free port.
    pub(crate) fn listen(mut self, address: &str) -> Site {
        self.listen = Some(address.to_owned());
        self
    }

    /// Without `--isolate`.
    pub(crate) fn undivided(mut self) -> Site {
        self.isolate = false;
        self
    }

    /// One more argument of `paster serve`.
    pub(crate) fn argument(mut self, argument: &str) -> Site {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A variable of the environment of `paster serve`; replaces an earlier one.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Site {
        self.environment.retain(|(key, _)| key != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A command that is given paster and its arguments to run, and replaces itself by it.
    pub(crate) fn wrapped(mut self, words: &[&str]) -> Site {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Paster is process 1 of a pid namespace; needs root.
    pub(crate) fn in_a_container(self) -> Site {
        self.wrapped(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"])
    }

    /// Whether the command that is started only waits for paster.
    pub(crate) fn is_process_1(&self) -> bool {
        self.wrapper.first().is_some_and(|word| word == "unshare")
    }

    /// A listening socket that `paster serve` is started with (`sd_listen_fds(3)`), at its next start.
    pub(crate) fn pass(mut self, name: &str, socket: impl Into<OwnedFd>) -> Site {
        self.sockets.push((name.to_owned(), socket.into()));
        self
    }

    /// A file of the site; written at once, directories included.
    pub(crate) fn file(self, name: &str, content: &str) -> Site {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a directory in the site");
        }
        fs::write(path, content).expect("a file in the site");
        self
    }

    /// A path in the site's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("site.ini")
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    /// What survives a restart of paster.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// The INI file as it is written.
    pub(crate) fn text(&self) -> String {
        if let Some(text) = &self.verbatim {
            return text.clone();
        }
        let mut text = String::new();
        text.push_str("[server:main]\nuse = egg:waitress#main\nhost = 127.0.0.1\nport = 0\n\n");
        text.push_str("[composite:main]\nuse = egg:Paste#urlmap\n");
        for app in &self.apps {
            let _ = writeln!(text, "{} = {}", app.mount, app.name);
        }
        text.push('\n');
        for app in &self.apps {
            let _ = writeln!(text, "[app:{}]\nuse = {}", app.name, app.factory);
            app.options.iter().for_each(|line| {
                let _ = writeln!(text, "{line}");
            });
            text.push('\n');
        }
        for (app, lines) in &self.policies {
            let header = if app.is_empty() {
                "[isolate]".to_owned()
            } else {
                format!("[isolate:{app}]")
            };
            section(&mut text, &header, lines);
        }
        text
    }

    /// Writes the INI file.
    pub(crate) fn write(&self) {
        fs::write(self.config(), self.text()).expect("a file in the site");
    }

    /// The arguments of `paster` that serve this site.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["serve".to_owned(), self.config().display().to_string()];
        if self.isolate {
            arguments.push("--isolate".to_owned());
        }
        if let Some(listen) = &self.listen {
            arguments.extend(["--listen".to_owned(), listen.clone()]);
        }
        arguments.extend(["--run-dir".to_owned(), self.run_dir().display().to_string()]);
        arguments.extend([
            "--state-dir".to_owned(),
            self.state_dir().display().to_string(),
        ]);
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }

    /// Runs `program` by the wrapper, if there is one.
    pub(crate) fn plain_command(&self, program: &str) -> Command {
        match self.wrapper.split_first() {
            None => Command::new(program),
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program);
                command
            }
        }
    }

    /// The command that serves this site with `program`.
    pub(crate) fn command(&mut self, program: &str) -> Command {
        let sockets = std::mem::take(&mut self.sockets);
        let mut command = if sockets.is_empty() || !self.wrapper.is_empty() {
            self.plain_command(program)
        } else {
            // Only the process itself knows its pid.
            let mut shell = Command::new("sh");
            let names: Vec<&str> = sockets.iter().map(|(name, _)| name.as_str()).collect();
            shell
                .args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\"", program])
                .env("LISTEN_FDS", sockets.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"));
            let mappings = sockets
                .into_iter()
                .zip(3..)
                .map(|((_, parent_fd), child_fd)| FdMapping {
                    parent_fd,
                    child_fd,
                });
            shell
                .fd_mappings(mappings.collect())
                .expect("different numbers");
            shell
        };
        command
            .args(self.arguments())
            .current_dir(self.dir())
            .env_remove("VIRTUAL_ENV")
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Serves the site; returns once every app is ready.
    pub(crate) fn serve(self) -> Paster {
        let paster = self.serve_unready();
        paster.wait_until("all apps are ready", |status| {
            status.apps.iter().all(|app| app.state == "ready") && status.proxy.table_version > 0
        });
        paster
    }

    /// Serves the site; returns once its addresses are bound and commands are answered.
    pub(crate) fn serve_unready(self) -> Paster {
        Paster::start(self)
    }
}

fn set(lines: &mut Vec<String>, line: &str) {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    lines.retain(|old| key(old) != key(line));
    lines.push(line.to_owned());
}

fn section(text: &mut String, header: &str, lines: &[String]) {
    if !lines.is_empty() {
        let _ = writeln!(text, "{header}\n{}\n", lines.join("\n"));
    }
}
