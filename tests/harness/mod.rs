//! Runs the program that a user runs, in a directory of its own, and waits for conditions, never for seconds.
//!
//! A test builds a [`Site`], serves it, and acts on the [`Paster`] by HTTP, commands and signals only. When the
//! `Paster` is dropped it is stopped, and what it must not leave behind is looked for (`hygiene`). After a failure the
//! configuration, the status and the whole log are printed.

mod build;
pub(crate) mod cases;
pub(crate) mod certificates;
pub(crate) mod confinement;
pub(crate) mod curl;
pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod front;
pub(crate) mod h2;
pub(crate) mod hpack;
pub(crate) mod http;
mod hygiene;
pub(crate) mod load;
pub(crate) mod log;
pub(crate) mod manager;
pub(crate) mod paster;
pub(crate) mod process;
mod running;
mod site;
pub(crate) mod status;
pub(crate) mod venv;

pub(crate) use build::built;
pub(crate) use load::Load;
pub(crate) use paster::Paster;
pub(crate) use running::Running;
pub(crate) use site::Site;
pub(crate) use status::Status;

use std::time::{Duration, Instant};

/// How long anything may take that should happen soon, on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks at a condition that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something.
///
/// # Errors
/// The deadline has passed.
pub(crate) fn poll<T>(
    deadline: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T, Missed> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(Missed(deadline));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// A condition did not come true in time.
#[derive(Debug)]
pub(crate) struct Missed(pub(crate) Duration);
