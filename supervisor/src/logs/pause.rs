//! A pause in which nothing is read or written: at the end, and while another program takes over.

use super::frozen::FrozenLogs;
use super::pump::Pipe;
use super::sink::Sink;
use super::{Logs, handover};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long a write that has begun may take when writing is to stop: nothing but a disk takes that long.
const LAST_WRITE: Duration = Duration::from_millis(500);

/// What was read from while nothing is read.
#[derive(Debug)]
pub struct Paused {
    pipes: Vec<Pipe>,
}

impl Logs {
    /// Everything that waits, as data, and everything that is kept, as a file; to be asked for in a pause.
    ///
    /// # Errors
    /// No memory or no descriptor is free.
    pub fn freeze(&self) -> io::Result<(FrozenLogs, File)> {
        let sinks = self.0.sinks();
        let state = self.0.state();
        let apps = state.apps.values().map(|app| &app.log);
        let kept = handover::write(
            [&self.0.own.0]
                .into_iter()
                .chain(apps)
                .map(|log| log.freeze()),
        )?;
        let frozen = FrozenLogs {
            seq: self.0.seq.load(Ordering::Relaxed),
            kept: Some(kept.as_raw_fd()),
            waiting: sinks.iter().filter_map(|sink| sink.freeze()).collect(),
        };
        Ok((frozen, kept))
    }

    /// Stops reading, and writes what was read; what cannot be written within `patience` stays where it is, unless a write
    /// itself hangs (a disk). Workers go on, until their pipes are full.
    ///
    /// Blocks the calling thread meanwhile.
    pub fn pause(&self, patience: Duration) -> Paused {
        let pipes = self.0.pump.release_all();
        let deadline = Instant::now() + patience;
        let sinks = self.0.sinks();
        wait(deadline, || {
            sinks
                .iter()
                .all(|sink| sink.is_idle() || sink.trouble().is_some())
        });
        sinks.iter().for_each(|sink| sink.stop());
        let deadline = Instant::now() + LAST_WRITE;
        wait(deadline, || sinks.iter().all(|sink| sink.has_ended()));
        Paused { pipes }
    }

    /// Goes on after a pause.
    pub fn resume(&self, paused: Paused) {
        self.0.sinks().iter().for_each(Sink::resume);
        for pipe in paused.pipes {
            self.0.pump.read(pipe);
        }
    }
}

fn wait(deadline: Instant, done: impl Fn() -> bool) {
    const INTERVAL: Duration = Duration::from_millis(2);
    while !done() && Instant::now() < deadline {
        std::thread::sleep(INTERVAL);
    }
}
