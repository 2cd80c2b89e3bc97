//! `start`, `stop`, `restart`, `status` and their options: the original's way to handle a daemon.

use crate::cli::args::ServeArgs;
use crate::cli::exit::Exit;
use crate::cli::output;
use crate::sys::pidfile::{self, Holder};
use crate::sys::proctree;
use crate::sys::rundir;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `paster serve` is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Serve { daemon: bool },
    Stop,
    Restart,
    Status,
}

/// A daemon, by its configuration.
pub(super) struct Service<'a> {
    pub(super) config: &'a str,
    pub(super) run_dir: PathBuf,
}

/// How long a daemon may take to stop. It has deadlines of its own, which add up to less.
const PATIENCE: Duration = Duration::from_secs(600);
/// After this time the user is told what is being waited for.
const SILENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(20);

/// What is wanted, and the variables without the word that says so.
pub(super) fn wish(args: &ServeArgs) -> (Wish, &[String]) {
    let daemon = args.daemon;
    let (word, vars) = match args.vars.split_first() {
        Some((first, rest)) => match first.as_str() {
            "start" => (Wish::Serve { daemon: true }, rest),
            "stop" => (Wish::Stop, rest),
            "restart" => (Wish::Restart, rest),
            "status" => (Wish::Status, rest),
            _ => (Wish::Serve { daemon }, &args.vars[..]),
        },
        None => (Wish::Serve { daemon }, &args.vars[..]),
    };
    match (args.stop_daemon, args.status) {
        (true, _) => (Wish::Stop, vars),
        (_, true) => (Wish::Status, vars),
        _ => (word, vars),
    }
}

impl Service<'_> {
    pub(super) fn status(&self) -> Exit {
        match rundir::holder(&self.run_dir) {
            Some(pid) => {
                output::answer(&format!("paster serves {} (pid {pid})", self.config));
                Exit::Ok
            }
            None => {
                output::answer(&format!("paster does not serve {}", self.config));
                Exit::Failed
            }
        }
    }

    /// Stops the daemon and waits for its end.
    pub(super) fn stop(&self) -> Exit {
        let Some(pid) = rundir::holder(&self.run_dir) else {
            output::message(&format!(
                "error: paster does not serve {} (no runtime directory {} in use)",
                self.config,
                self.run_dir.display()
            ));
            return Exit::Failed;
        };
        let Ok(number) = pid.parse() else {
            output::message("error: paster is just starting; try again");
            return Exit::Failed;
        };
        let is_there = || rundir::holder(&self.run_dir).is_some_and(|holder| holder == pid);
        stop(number, is_there)
    }
}

/// Stops the paster that has written `file` and waits for its end. Who else may have got its number is left alone.
pub(super) fn stop_by_file(file: &Path) -> Exit {
    let shown = file.display();
    match pidfile::holder(file) {
        Ok(Holder::Alive(pid)) => {
            let is_there =
                || pidfile::holder(file).is_ok_and(|holder| holder == Holder::Alive(pid));
            stop(pid, is_there)
        }
        Ok(Holder::Nobody) => {
            output::message(&format!("error: there is no pid file {shown}"));
            output::message("hint: give the CONFIG that is served, or its --pid-file");
            Exit::Failed
        }
        Ok(Holder::Gone(pid)) if pid.parse().is_ok_and(proctree::is_running) => {
            output::message(&format!(
                "error: {shown} names process {pid}, which is no paster that has written it; nothing was stopped"
            ));
            Exit::Failed
        }
        Ok(Holder::Gone(pid)) => match std::fs::remove_file(file) {
            Ok(()) => {
                output::message(&format!(
                    "error: the pid file {shown} was stale: process {pid} is gone; the file was removed"
                ));
                Exit::Failed
            }
            Err(error) => {
                output::message(&format!(
                    "error: the pid file {shown} is stale, and it cannot be removed: {error}"
                ));
                Exit::Usage
            }
        },
        Err(error) => {
            output::message(&format!("error: cannot read the pid file {shown}: {error}"));
            Exit::Failed
        }
    }
}

/// SIGTERM to the process `pid`, which has just been seen to be the right one; then waits until `is_there` says no.
fn stop(pid: u32, is_there: impl Fn() -> bool) -> Exit {
    match kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => {
            output::message(&format!(
                "error: cannot stop process {pid}: {}",
                error.desc()
            ));
            output::message("hint: run it as the user who runs `paster serve`, or as root");
            return Exit::Failed;
        }
    }
    let begun = Instant::now();
    let mut told = false;
    while is_there() || proctree::is_running(pid) {
        if begun.elapsed() > PATIENCE {
            output::message(&format!("error: process {pid} has not ended yet"));
            return Exit::StillRunning;
        }
        if begun.elapsed() > SILENCE && !told {
            told = true;
            output::message("stopping: requests in flight finish first");
        }
        std::thread::sleep(INTERVAL);
    }
    output::answer(&format!("paster (pid {pid}) has stopped"));
    Exit::Ok
}
