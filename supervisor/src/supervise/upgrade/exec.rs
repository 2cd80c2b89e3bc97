//! The state on its way, and the exec itself.

use super::Descriptors;
use crate::sys;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Version of [`State`]; one that a program does not know is refused by it.
pub(super) const FORMAT: u32 = 1;
/// The environment variable that tells the new program what it is for: `check:FD` or `exec:FD`.
pub(super) const MODE: &str = "PASTER_UPGRADE";

/// Everything that is handed over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State<D> {
    format: u32,
    /// Of the program that wrote it.
    pub(crate) version: String,
    /// The process that is to be taken over.
    pid: u32,
    /// Every descriptor that the rest names.
    descriptors: Vec<RawFd>,
    pub(crate) content: D,
}

impl<D: Serialize + DeserializeOwned> State<D> {
    pub(crate) fn new(content: D, descriptors: &Descriptors) -> State<D> {
        State {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            descriptors: descriptors.numbers(),
            content,
        }
    }

    /// As an anonymous file, positioned at its start.
    ///
    /// # Errors
    /// No memory or no free descriptor.
    pub(crate) fn write(&self) -> io::Result<OwnedFd> {
        memory_file("paster-upgrade", &serde_json::to_vec(self)?)
    }

    /// Reads what another program has written.
    ///
    /// # Errors
    /// In words: not readable, or of a format that this version does not know.
    pub(crate) fn read(mut file: File) -> Result<State<D>, String> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
            version: String,
        }
        let text = file
            .rewind()
            .and_then(|()| io::read_to_string(file))
            .map_err(|error| format!("cannot read the state of the running paster: {error}"))?;
        let strange = |error| format!("cannot understand the state of the running paster: {error}");
        let Format { format, version } = serde_json::from_str(&text).map_err(strange)?;
        if format != FORMAT {
            return Err(format!(
                "paster {} cannot take over from paster {version}: the format of the state is {format}, not {FORMAT}; restart it instead",
                env!("CARGO_PKG_VERSION")
            ));
        }
        serde_json::from_str(&text).map_err(strange)
    }

    /// The descriptors that came with it, in the process that it is about.
    ///
    /// # Errors
    /// In words: this is another process, or one of them is not open.
    pub(crate) fn inherit(&self) -> Result<Descriptors, String> {
        if self.pid != std::process::id() {
            return Err(format!("the state is that of process {}", self.pid));
        }
        Descriptors::inherit(&self.descriptors).map_err(|error| error.to_string())
    }
}

/// An anonymous file with `content`, positioned at its start (memfd_create(2)).
///
/// # Errors
/// No memory or no free descriptor.
pub(crate) fn memory_file(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let fd = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

/// What this program was started for, beside serving.
#[derive(Debug)]
pub enum Mode {
    /// To say whether it could take over.
    Check(File),
    /// To take over.
    Exec(File),
}

/// What the environment says; it is taken from there, so that nothing that is started later sees it.
///
/// # Errors
/// In words.
pub fn take_mode() -> Result<Option<Mode>, String> {
    let Some(value) = sys::env::take(MODE) else {
        return Ok(None);
    };
    let said = value.to_str().and_then(|value| value.split_once(':'));
    let (mode, number) = said
        .and_then(|(mode, number)| Some((mode, number.parse::<RawFd>().ok()?)))
        .ok_or_else(|| format!("{MODE} is for paster itself; unset it"))?;
    let file = sys::fd::inherit(number)
        .map(File::from)
        .map_err(|error| format!("{MODE}: descriptor {number}: {error}"))?;
    match mode {
        "check" => Ok(Some(Mode::Check(file))),
        "exec" => Ok(Some(Mode::Exec(file))),
        _ => Err(format!("{MODE} is for paster itself; unset it")),
    }
}

/// Becomes `program`, with the arguments of this one. Returns only if that is not possible; then everything is as before.
pub(crate) fn execute(program: &Path, state: &OwnedFd, descriptors: &Descriptors) -> io::Error {
    let kept =
        sys::fd::keep_across_exec(state, true).and_then(|()| descriptors.keep_across_exec(true));
    let error = match kept {
        Ok(()) => Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(MODE, format!("exec:{}", state.as_raw_fd()))
            .exec(),
        Err(error) => error,
    };
    let _ = descriptors.keep_across_exec(false);
    error
}
