//! What is around a paster that serves in the background: the process that was called and waits until it serves, the one that
//! starts it again when it dies, and where its output goes.
//!
//! All of it happens before the first thread exists, because it forks.

mod detach;
mod monitor;
mod stdio;

pub use detach::{Detached, Launcher, detach};
pub use monitor::{Monitor, Monitored, monitor};
pub use stdio::{open_log, to_log, to_nowhere};
