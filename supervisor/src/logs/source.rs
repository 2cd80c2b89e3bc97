//! Who has printed something.

pub use crate::reports::report::OutputStream as Stream;

use std::sync::atomic::{AtomicU32, Ordering};

/// One worker, as far as its output is concerned.
#[derive(Debug)]
pub struct Source {
    /// The id by which the supervisor knows it.
    pub worker: u64,
    pub slot: u32,
    pub generation: u64,
    /// Zero until it is known.
    pid: AtomicU32,
}

impl Source {
    pub fn new(worker: u64, slot: u32, generation: u64, pid: Option<u32>) -> Source {
        Source {
            worker,
            slot,
            generation,
            pid: AtomicU32::new(pid.unwrap_or(0)),
        }
    }

    /// Known once the program was executed; what comes before is from its keeper.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    pub fn set_pid(&self, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
    }
}

impl Stream {
    pub(super) const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    pub(super) fn index(self) -> usize {
        match self {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}
