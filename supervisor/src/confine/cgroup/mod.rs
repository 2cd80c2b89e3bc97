//! Control groups (cgroups(7)): limits for all processes of an app together, whatever they fork.
//!
//! Below the group that paster was started in (its *own* group) there is one group for the site, one for each generation of an
//! app, which carries the limits, and one for each worker, by which its processes can be told and killed. Version 2 is used
//! where it has the controllers, else version 1; a version 2 tree without controllers serves for killing alone.
//!
//! The groups are made by the keeper of the first worker in them, and removed by that of the last.

mod find;
mod group;
mod survey;
mod tidy;

pub use group::{Group, Name};
pub use survey::{Missing, Survey, survey};
pub use tidy::{Stranger, clear, settle};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a limit needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    Memory,
    Cpu,
    Pids,
}

impl Controller {
    pub const ALL: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];

    /// As the kernel calls it.
    pub fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    V1,
    V2,
}

/// A hierarchy that is used, from paster's own group downwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    pub version: Version,
    /// Of paster's own group.
    pub own: PathBuf,
    /// What is limited in it; none where it serves for killing only.
    pub controllers: Vec<Controller>,
}
