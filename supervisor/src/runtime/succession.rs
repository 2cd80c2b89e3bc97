//! From one program to the next in the same process (`paster upgrade`).

use super::log::LAST_LINES;
use super::{Serve, ServeError};
use crate::logs::Logs;
use crate::supervise::driver::{Driver, FrozenDriver, Inputs};
use crate::supervise::upgrade::{self, Consent, State};
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// Whether this program could take over from the one that has written `state`, with the configuration as it reads it.
///
/// # Errors
/// Why not.
pub fn consent(serve: &Serve, state: File) -> Result<Consent, ServeError> {
    let state = State::<FrozenDriver>::read(state).map_err(ServeError::Setup)?;
    let plan = (serve.replan)().map_err(ServeError::Config)?;
    state.content.fits(&plan).map_err(ServeError::Setup)?;
    Ok(Consent::ours())
}

/// Executes the successor; returns only if that is not possible, with the reason.
pub(super) async fn hand_over(driver: &mut Driver, inputs: &mut Inputs, logs: &Logs) -> String {
    let program = driver.successor().unwrap_or_default();
    let (mut state, mut descriptors) = match driver.freeze(inputs).await {
        Ok(frozen) => frozen,
        Err(error) => return error,
    };
    let paused = logs.pause(LAST_LINES);
    let frozen = logs.freeze().map(|(frozen, kept)| {
        state.surroundings.logs = frozen;
        descriptors.put(kept);
    });
    let state = State::new(state, &descriptors);
    let error = match frozen.and_then(|()| state.write()) {
        Ok(file) => upgrade::execute(&program, &file, &descriptors),
        Err(error) => error,
    };
    logs.resume(paused);
    driver.resume(state.content, descriptors);
    format!("cannot execute {}: {error}", program.display())
}

/// Where this program is.
pub(super) fn program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Where a new version of this program will be: the name that it was called by (as with nginx and gunicorn), found as a
/// shell finds it.
pub(super) fn invoked_as() -> io::Result<PathBuf> {
    let name = std::env::args_os()
        .next()
        .map(PathBuf::from)
        .unwrap_or_default();
    if name.components().count() > 1 {
        return std::path::absolute(name);
    }
    let directories = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&directories)
        .map(|directory| directory.join(&name))
        .find(|path| path.is_file());
    found.map_or_else(program, Ok)
}
