//! `paster serve`

mod announce;
mod service;

use super::args::{ConfigArgs, ServeArgs};
use super::exit::Exit;
use super::problems::{self, Severity};
use super::{output, site};
use crate::background::{self, Detached, Launcher, Monitored};
use crate::config::problem::Problem;
use crate::confine::cgroup;
use crate::manager::{self, Inherited, Passed};
use crate::plan::address;
use crate::plan::build::{self, PlanRequest};
use crate::plan::identity::{self, System};
use crate::plan::listen::named_twice;
use crate::plan::spec::{Endpoint, Listen, Plan};
use crate::runtime::{self, Background, Serve, ServeError};
use crate::supervise::bind::Binder;
use crate::supervise::upgrade::{self, Mode};
use crate::sys::rundir::{self, RunDirError};
use crate::sys::statedir;
use announce::{announce, shell_word};
use service::{Service, Wish};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the original puts them.
const PID_FILE: &str = "paster.pid";
const LOG_FILE: &str = "paster.log";

pub(crate) fn run(args: &ServeArgs) -> Exit {
    let mode = match upgrade::take_mode() {
        Ok(mode) => mode,
        Err(error) => return usage(&error),
    };
    let (wish, vars) = service::wish(args);
    let Some(config) = args.config.as_deref() else {
        // Only `--stop-daemon` can do without.
        let file = args.pid_file.as_deref().unwrap_or(Path::new(PID_FILE));
        return service::stop_by_file(file);
    };
    let given = match Given::resolve(args, config, vars, wish, mode.as_ref()) {
        Ok(given) => given,
        Err(error) => return usage(&error),
    };
    let result = match mode {
        Some(Mode::Check(state)) => runtime::consent(&given.serve, state).map(|consent| {
            output::answer(&serde_json::to_string(&consent).unwrap_or_default());
        }),
        Some(Mode::Exec(state)) => {
            let serve = Serve {
                take_over: Some(state),
                ..given.serve
            };
            runtime::serve(serve, |_| {})
        }
        None => match given.obey(wish) {
            Ok(result) => result,
            Err(exit) => return exit,
        },
    };
    match result {
        Ok(()) => Exit::Ok,
        Err(error) => {
            explain(&error, config);
            Exit::Failed
        }
    }
}

/// What was typed, resolved.
struct Given<'a> {
    args: &'a ServeArgs,
    config: &'a str,
    request: Arc<PlanRequest>,
    serve: Serve,
}

impl<'a> Given<'a> {
    fn resolve(
        args: &'a ServeArgs,
        config: &'a str,
        vars: &[String],
        wish: Wish,
        mode: Option<&Mode>,
    ) -> Result<Given<'a>, String> {
        let (mut inherited, sockets, complaints) = what_we_were_given(mode);
        let daemon = matches!(wish, Wish::Serve { daemon: true } | Wish::Restart);
        inherited.pid_file = file(args.pid_file.as_deref(), daemon, PID_FILE)?;
        inherited.log_file = file(args.log_file.as_deref(), daemon, LOG_FILE)?;
        let request = ConfigArgs {
            config: config.to_owned(),
            vars: vars.to_vec(),
            app_name: args.app_name.clone(),
            server_name: args.server_name.clone(),
        };
        let mut request = site::request(&request)?;
        request.isolate = args.isolate;
        request.server.clone_from(&args.server);
        request.passed = inherited.passed_names();
        let mut listen = Vec::new();
        for address in &args.listen {
            let parsed = address::listen(address);
            listen.push(parsed.map_err(|error| format!("--listen {address}: {error}"))?);
        }
        if let Some(address) = named_twice(&listen) {
            return Err(format!("--listen {address} is given twice"));
        }
        let identity = identity::identity(args.user.as_deref(), args.group.as_deref(), &System)
            .map_err(|refusal| {
                format!(
                    "--{}: {}\nhint: {}",
                    refusal.key, refusal.message, refusal.hint
                )
            })?;
        let path = site::config_path(config);
        let run_dir = rundir::locate(&path, args.run_dir.as_deref());
        let uid = identity.as_ref().map(|user| user.uid);
        // Absolute, because commands are told where it is.
        let state_dir = statedir::locate(&path, args.state_dir.as_deref(), uid);
        let state_dir = std::path::absolute(&state_dir).unwrap_or(state_dir);
        request.identity.clone_from(&identity);
        let request = Arc::new(request);
        let planned = request.clone();
        let serve = Serve {
            replan: Arc::new(move || replan(&planned, &listen)),
            run_dir,
            inherited,
            binder: Binder::new(sockets),
            complaints,
            state_dir,
            take_over: None,
            identity,
            log_level: args.log_level(),
            reload: args.reload.then_some(args.reload_interval),
            background: Background {
                daemon,
                ..Background::default()
            },
        };
        Ok(Given {
            args,
            config,
            request,
            serve,
        })
    }

    /// Does what is wanted, in whatever process that is.
    fn obey(self, wish: Wish) -> Result<Result<(), ServeError>, Exit> {
        let service = Service {
            config: self.config,
            run_dir: self.serve.run_dir.clone(),
        };
        match wish {
            Wish::Status => return Err(service.status()),
            Wish::Stop => return Err(service.stop()),
            Wish::Restart => {
                // Nothing is stopped for a configuration that could not be started.
                if let Err(problems) = build::build(&self.request) {
                    return Ok(Err(ServeError::Config(problems)));
                }
                match service.stop() {
                    Exit::Ok => {}
                    exit => return Err(exit),
                }
            }
            Wish::Serve { daemon: true } => {
                if let Some(pid) = rundir::holder(&self.serve.run_dir) {
                    output::message(&format!(
                        "paster already serves {} (pid {pid})",
                        self.config
                    ));
                    return Err(Exit::Ok);
                }
            }
            Wish::Serve { daemon: false } => {}
        }
        self.serve()
    }

    fn serve(mut self) -> Result<Result<(), ServeError>, Exit> {
        let mut launcher = None;
        if self.serve.background.daemon {
            match background::detach() {
                Ok(Detached::Daemon(daemon)) => launcher = Some(daemon),
                Ok(Detached::Front(front)) => {
                    let words = front.wait();
                    return Err(self.tell_how_it_went(words));
                }
                Err(error) => return Ok(Err(ServeError::Io(error))),
            }
        }
        if self.args.monitor_restart {
            match self.monitor(&mut launcher) {
                Ok(None) => {}
                Ok(Some(status)) => return Err(Exit::Server(status)),
                Err(error) => return Ok(Err(ServeError::Io(error))),
            }
        }
        self.serve.background.launcher = launcher;
        let log = self.serve.inherited.log_file.clone();
        let again = self.serve.background.obituary.is_some();
        Ok(runtime::serve(self.serve, |started| {
            if !again {
                announce(self.args, self.config, log.as_deref(), started);
            }
        }))
    }

    /// Goes on as the server (none), or returns the exit status of the monitor.
    fn monitor(&mut self, launcher: &mut Option<Launcher>) -> io::Result<Option<u8>> {
        let daemon = self.serve.background.daemon;
        let monitored = background::monitor(|| {
            // The server speaks to whoever waits, and writes the log.
            *launcher = None;
            if daemon {
                let _ = background::to_nowhere(true);
            }
        })?;
        match monitored {
            Monitored::Over(status) => Ok(Some(status)),
            Monitored::Server { obituary, monitor } => {
                monitor.follow()?;
                if let Some(obituary) = &obituary {
                    self.speak_again(obituary);
                }
                self.serve.background.monitor = Some(monitor);
                self.serve.background.obituary = obituary;
                Ok(None)
            }
        }
    }

    /// A server that was started again has nobody who waits: all that it says goes to the log from the beginning.
    fn speak_again(&self, obituary: &str) {
        match &self.serve.inherited.log_file {
            None => output::message(&format!("warning: {obituary}; it is started again")),
            Some(path) => {
                if let Ok(log) = background::open_log(path) {
                    let _ = background::to_log(&log);
                }
            }
        }
    }

    /// The last words of the process that was called.
    fn tell_how_it_went(&self, words: Option<String>) -> Exit {
        let log = self.serve.inherited.log_file.as_deref();
        let log = log.map_or_else(String::new, |log| log.display().to_string());
        match words {
            Some(words) if self.args.is_quiet() => {
                if !words.is_empty() {
                    output::message(words.trim_end());
                }
                Exit::Ok
            }
            Some(words) => {
                let pid = rundir::holder(&self.serve.run_dir).unwrap_or_default();
                output::message(&format!(
                    "{words}paster serves in the background (pid {pid})"
                ));
                Exit::Ok
            }
            None => {
                output::message(&format!(
                    "error: paster has not come up; what it said after the summary is in {log}"
                ));
                Exit::Failed
            }
        }
    }
}

/// An absolute path: of the file that was named or, for a daemon, of the usual one.
fn file(named: Option<&Path>, daemon: bool, usual: &str) -> Result<Option<PathBuf>, String> {
    let path = named.or(daemon.then_some(Path::new(usual)));
    path.map(std::path::absolute)
        .transpose()
        .map_err(|error| format!("no current directory: {error}"))
}

/// Variables of the service protocol and passed sockets. A program that takes over, or is asked whether it can, has the
/// variables of the one before it; what they stand for is in the state that it is given.
fn what_we_were_given(mode: Option<&Mode>) -> (Inherited, Vec<Passed>, Vec<String>) {
    let variable = |name: &str| std::env::var(name).ok();
    match mode {
        None => {
            let inherited = Inherited::read(variable, std::process::id());
            // Before anything else is opened: passed descriptors are known by their numbers.
            let (sockets, complaints) = manager::take(&inherited.sockets);
            (inherited, sockets, complaints)
        }
        Some(Mode::Check(_)) => {
            let inherited = Inherited::read(variable, std::os::unix::process::parent_id());
            (inherited, Vec::new(), Vec::new())
        }
        Some(Mode::Exec(_)) => {
            let inherited = Inherited::read(variable, std::process::id());
            (inherited, Vec::new(), Vec::new())
        }
    }
}

fn usage(error: &str) -> Exit {
    output::message(&format!("error: {error}"));
    Exit::Usage
}

fn replan(request: &PlanRequest, override_listen: &[Listen]) -> Result<Plan, Vec<Problem>> {
    let mut plan = build::build(request)?;
    cgroup::settle(plan.cgroup_trees()).map_err(|(path, error)| {
        let message = format!("cannot limit groups below {}: {error}", path.display());
        let hint = "under systemd, set Delegate=yes; or remove `cgroup_*`";
        vec![Problem::new("SettingError", message).hint(hint)]
    })?;
    if !override_listen.is_empty() {
        // Elsewhere, but in the manner of the served section: what is meant for TLS is not served in the clear.
        let manner = plan.listen.first().map(|endpoint| endpoint.manner.clone());
        let manner = manner.unwrap_or_default();
        let elsewhere = |listen: &Listen| Endpoint {
            listen: listen.clone(),
            manner: manner.clone(),
        };
        plan.listen = override_listen.iter().map(elsewhere).collect();
    }
    Ok(plan)
}

fn explain(error: &ServeError, config: &str) {
    match error {
        ServeError::Config(problems) => {
            output::message(&problems::render(problems, Severity::Error))
        }
        ServeError::RunDir(error) => {
            output::message(&format!("error: {error}"));
            if matches!(error, RunDirError::Running { .. }) {
                let config = shell_word(config);
                output::message(&format!(
                    "hint: `paster status {config}` shows it, `paster reload {config}` applies changes, `paster stop {config}` ends it"
                ));
            }
        }
        ServeError::PidFile(error) => {
            output::message(&format!("error: {error}"));
            output::message(
                "hint: name another one with --pid-file; with --user that user must be able to write it",
            );
        }
        ServeError::Setup(error) => output::message(&format!("error: {error}")),
        ServeError::Io(error) => output::message(&format!("error: cannot start: {error}")),
    }
}
