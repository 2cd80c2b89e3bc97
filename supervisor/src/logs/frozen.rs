//! The output at rest, as plain data: for the program that takes the place of this one (`paster upgrade`).

use super::ring::{Position, Stamp};
use super::sink::Place;
use super::source::{Source, Stream};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::sync::Arc;

/// Everything that waits to be written, and where everything is that is kept. The pipes of the workers are handed over with
/// their workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FrozenLogs {
    pub(super) seq: u64,
    /// A file with what is kept: our own log first, then the apps.
    pub kept: Option<RawFd>,
    /// What was accepted for a place but not yet written.
    pub(super) waiting: Vec<(Place, FrozenWaiting)>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FrozenApp {
    pub(super) name: String,
    pub(super) rings: [FrozenRing; 2],
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct FrozenRing {
    /// Goes another way than the rest.
    #[serde(skip)]
    pub(super) text: Vec<u8>,
    pub(super) runs: Vec<(Position, FrozenStamp)>,
    pub(super) end: Position,
    pub(super) taken: Option<Position>,
    pub(super) missed: u64,
}

impl FrozenRing {
    /// Of its text, in bytes.
    pub(super) fn length(&self) -> u64 {
        let start = self.runs.first().map_or(self.end.at, |(start, _)| start.at);
        self.end.at.saturating_sub(start)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct FrozenStamp {
    seq: u64,
    time: u64,
    worker: u64,
    slot: u32,
    generation: u64,
    pid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FrozenWaiting {
    /// The rest of formatted lines, the first of which may have been begun.
    Text {
        #[serde(with = "latin1")]
        rest: Vec<u8>,
        begun: bool,
    },
    /// Lines of an app, of which so many messages were sent.
    Lines {
        app: String,
        missed: [u64; 2],
        pieces: Vec<(Stream, FrozenStamp, usize)>,
        #[serde(with = "latin1")]
        text: Vec<u8>,
        sent: usize,
    },
}

impl From<&Stamp> for FrozenStamp {
    fn from(stamp: &Stamp) -> FrozenStamp {
        FrozenStamp {
            seq: stamp.seq,
            time: stamp.time,
            worker: stamp.source.worker,
            slot: stamp.source.slot,
            generation: stamp.source.generation,
            pid: stamp.source.pid(),
        }
    }
}

/// Makes stamps again, with one source for all that a worker has printed.
#[derive(Debug, Default)]
pub(super) struct Thaw(HashMap<u64, Arc<Source>>);

impl Thaw {
    pub(super) fn stamp(&mut self, frozen: FrozenStamp) -> Stamp {
        let FrozenStamp {
            seq,
            time,
            worker,
            slot,
            generation,
            pid,
        } = frozen;
        let source = self
            .0
            .entry(worker)
            .or_insert_with(|| Arc::new(Source::new(worker, slot, generation, pid)));
        Stamp {
            seq,
            time,
            source: source.clone(),
        }
    }
}

/// Bytes as text: each byte is the character of its number, so that nothing is lost.
pub mod latin1 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    /// # Errors
    /// Those of the serialiser.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().copied().map(char::from).collect();
        text.serialize(serializer)
    }

    /// # Errors
    /// Those of the deserialiser, and characters that are no bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes.map_err(de::Error::custom)
    }
}
