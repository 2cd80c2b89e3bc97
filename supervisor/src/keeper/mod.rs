//! The keeper: the small process around each worker.
//!
//! It starts the worker (descriptors, limits, identity), waits for it, passes signals on, and when the worker has
//! ended or the supervisor is gone it kills whatever the worker has left behind, `setsid` and double forks
//! included: it is the subreaper (prctl(2)) of everything below. It is single-threaded, so it may fork
//! and run ordinary code in the child. The worker has a parent-death signal, so a killed keeper takes it along.
//!
//! With `preload = on` there is one keeper for a template and all workers that are forked from it.

mod forked;
mod launch;
mod lines;
pub mod message;
mod template;
mod watch;

use crate::confine::Failure;
use crate::confine::failure::failed;
use crate::confine::worker::{self, Prepared};
use crate::sys::shortage;
use lines::Lines;
use message::{FromKeeper, KeeperSpec, ToKeeper};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// First argument of the program in this role.
pub const ROLE: &str = "keeper-process";

/// Runs the keeper role; called first thing in the process.
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The supervisor reads this as output of the worker.
            let _ = writeln!(std::io::stderr(), "paster: keeper: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<()> {
    let stream = UnixStream::from(crate::sys::fd::inherit(message::CONTROL_FD)?);
    crate::sys::fd::cloexec_from(3)?;
    // It was executed by another name.
    let _ = nix::sys::prctl::set_name(c"paster-keeper");
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(()); // the supervisor is gone already
    }
    let mut spec: KeeperSpec = serde_json::from_str(&line)?;
    let mut link = Link { stream: &stream };
    let confinement = spec.confinement.take();
    let started = prepare().and_then(|signals| {
        let orders = spec.template.then(template::orders).transpose()?;
        let (ours, its) = orders.unzip();
        Ok((start(&spec, confinement, its)?, ours, signals))
    });
    match started {
        Ok(((pid, prepared), orders, signals)) => {
            link.send(&FromKeeper::Spawned {
                pid: pid.as_raw().cast_unsigned(),
                root: None,
            });
            // The worker has its own copies; ours would keep its socket open after its death.
            for fd in message::PASSED_FDS {
                let _ = crate::sys::fd::inherit(fd);
            }
            let group = prepared.as_ref().and_then(Prepared::group);
            match orders {
                None => watch::watch(pid, group, &mut link, &mut reader, &signals),
                Some(orders) => {
                    let read = reader.buffer().to_vec();
                    let link = Lines::new(stream, read);
                    template::watch(pid, group, link, orders, &signals);
                }
            }
        }
        Err(failure) => {
            link.send(&FromKeeper::Failed {
                step: failure.step,
                error: failure.error,
            });
        }
    }
    Ok(())
}

/// What this process needs to be before it starts a worker.
fn prepare() -> Result<SignalFd, Failure> {
    // A session of its own: the terminal's Ctrl-C is for the supervisor, which tells us.
    let _ = nix::unistd::setsid();
    nix::sys::prctl::set_child_subreaper(true).map_err(failed("subreaper"))?;
    // The end of the supervisor is the end of the link; should someone have stopped this process, this lets it see that.
    nix::sys::prctl::set_pdeathsig(Signal::SIGCONT).map_err(failed("parent-death signal"))?;
    watch::block_signals().map_err(failed("signals"))
}

/// Prepares the confinement, if one is asked for, and starts the worker in it.
fn start(
    spec: &KeeperSpec,
    confinement: Option<worker::Spec>,
    orders: Option<OwnedFd>,
) -> Result<(Pid, Option<Prepared>), Failure> {
    let prepared = confinement.map(Prepared::new).transpose()?;
    match launch::launch(spec, prepared.as_ref(), orders.as_ref().map(AsFd::as_fd)) {
        Ok(pid) => Ok((pid, prepared)),
        Err(failure) => {
            if let Some(group) = prepared.as_ref().and_then(Prepared::group) {
                group.remove();
            }
            Err(failure)
        }
    }
}

/// The sending half towards the supervisor. A supervisor that is gone is noticed by the reading half.
struct Link<'a> {
    stream: &'a UnixStream,
}

impl Link<'_> {
    fn send(&mut self, message: &FromKeeper) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            let _ = shortage::write_all(&mut self.stream, &line);
        }
    }
}

fn parse(line: &str) -> Option<ToKeeper> {
    serde_json::from_str(line).ok()
}
