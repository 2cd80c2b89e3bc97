//! `paster upgrade`: another program takes the place of this one in the same process, with everything that runs.
//!
//! What it must know is written into an anonymous file, what it must hold stays open, then it is executed. Before that it
//! is run once beside this program with the same file, to see whether it can read it (module `check`).

mod check;
mod descriptors;
mod exec;
pub(crate) mod moment;

pub use check::Consent;
pub(crate) use check::check;
pub use descriptors::Descriptors;
pub use exec::{Mode, take_mode};
pub(crate) use exec::{State, execute, memory_file};
