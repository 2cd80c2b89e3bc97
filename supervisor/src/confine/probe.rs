//! What this machine permits. Nothing is concluded from versions or configuration: each thing is done, in a process that ends
//! thereafter.

use super::Failure;
use super::cgroup::{Survey, survey};
use super::verdict::Kernel;
use super::worker::trial;
use crate::sys::child;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};

/// First argument of the program in this role: it tries everything, and prints [`Abilities`] as JSON.
pub const ROLE: &str = "probe-process";

/// Whether something can be had; if not, which step failed.
pub type Ability = Result<(), Failure>;

/// What a worker could be confined by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    pub root: bool,
    /// Mount namespaces.
    pub mounts: Ability,
    /// Network namespaces.
    pub network: Ability,
    /// Landlock for files.
    pub landlock: Ability,
    /// Landlock for signals.
    pub signals: Ability,
    pub seccomp: Ability,
}

impl Abilities {
    fn none(why: &str) -> Abilities {
        let failure = || Err(Failure::new("trying it out", why));
        Abilities {
            root: geteuid().is_root(),
            mounts: failure(),
            network: failure(),
            landlock: failure(),
            signals: failure(),
            seccomp: failure(),
        }
    }
}

/// The machine that this runs on; asked when it has to be, and once.
#[derive(Debug, Default)]
pub struct Here {
    abilities: OnceCell<Abilities>,
    cgroups: OnceCell<Survey>,
}

impl Kernel for Here {
    fn abilities(&self) -> &Abilities {
        self.abilities
            .get_or_init(|| abilities().unwrap_or_else(|error| Abilities::none(&error.to_string())))
    }

    fn cgroups(&self) -> &Survey {
        self.cgroups.get_or_init(survey)
    }
}

/// Asks a process of its own: this one may have threads, and wants to stay as it is.
fn abilities() -> std::io::Result<Abilities> {
    // Not by name: the file may have been replaced since the start.
    let output = Command::new("/proc/self/exe")
        .arg(ROLE)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs the role; called first thing in the process, which has one thread.
pub fn main() -> ExitCode {
    let abilities = Abilities {
        root: geteuid().is_root(),
        mounts: attempt(trial::mounts),
        network: attempt(trial::network),
        landlock: attempt(trial::landlock),
        signals: attempt(trial::signals),
        seccomp: attempt(trial::seccomp),
    };
    let written = serde_json::to_writer(std::io::stdout(), &abilities);
    if written.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn attempt(trial: fn() -> Result<(), Failure>) -> Ability {
    let lost = |error: std::io::Error| Failure::new("trying it out", error);
    let (mut reader, mut writer) = std::io::pipe().map_err(lost)?;
    let pid = child::fork(|| {
        let result = serde_json::to_vec(&trial()).unwrap_or_default();
        let _ = writer.write_all(&result);
    })
    .map_err(|errno| lost(errno.into()))?;
    drop(writer);
    let mut answer = Vec::new();
    let read = reader.read_to_end(&mut answer);
    let _ = nix::sys::wait::waitpid(pid, None);
    read.map_err(lost)?;
    // A trial that kills its process gives no answer.
    serde_json::from_slice(&answer)
        .unwrap_or_else(|_| Err(Failure::new("trying it out", "no answer")))
}
