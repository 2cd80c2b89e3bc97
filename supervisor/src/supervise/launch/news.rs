//! What is told of a worker while it lives.

use crate::keeper::message::Ended;
use crate::supervise::upgrade::moment;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// News of one worker, for the driver.
#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    Spawned {
        pid: u32,
        /// The process below which all of it is, where that is not its keeper.
        #[serde(default)]
        root: Option<u32>,
    },
    Ready,
    Status(String),
    Extend(Duration),
    /// Files that it is made of.
    Files(Vec<PathBuf>),
    /// It has pinged its watchdog.
    Alive,
    /// Its health was checked; an error is in words, as in `answered with status 503`.
    Checked(Result<(), String>),
    /// It could not be started: the step and the error.
    Failed {
        step: String,
        error: String,
    },
    /// It has ended, nothing of it is left, and all its output has been read.
    Exited {
        ended: Ended,
        /// When it ended.
        #[serde(with = "moment")]
        at: Instant,
    },
    /// The keeper of a template has ended, some time after the template.
    Gone,
}
