//! Asking a program whether it could take over, before anything depends on it.

use super::exec::{FORMAT, MODE};
use crate::sys::process::Child;
use command_fds::{CommandFdExt, FdMapping};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

/// Where it finds the state.
const STATE_FD: RawFd = 3;
/// How long it may think about it: it reads the whole configuration.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than that is no answer.
const LONGEST_ANSWER: usize = 64 * 1024;
/// How long what it said may take to arrive after its end.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// What a program that can take over says on its standard output.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The [`FORMAT`] that it has read.
    takes_over: u32,
    pub version: String,
}

impl Consent {
    /// Ours.
    pub fn ours() -> Consent {
        Consent {
            takes_over: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Runs `program` with the arguments of this one and the state that it would get, to look at it only.
///
/// # Errors
/// Why it cannot take over, in words.
pub(crate) async fn check(program: &Path, state: OwnedFd) -> Result<Consent, String> {
    let shown = program.display();
    let started = start(program, state).map_err(|error| format!("cannot run {shown}: {error}"))?;
    let (child, [stdout, stderr]) = started;
    let [stdout, stderr] = [stdout, stderr].map(|pipe| tokio::spawn(read(pipe)));
    let Ok(status) = tokio::time::timeout(PATIENCE, child.wait()).await else {
        child.kill();
        let _ = child.wait().await;
        return Err(format!(
            "{shown} did not say within {PATIENCE:?} whether it can take over"
        ));
    };
    let status = status.map_err(|error| format!("{shown}: {error}"))?;
    let said = rest(stdout).await;
    let consent = said
        .lines()
        .last()
        .and_then(|line| serde_json::from_str::<Consent>(line).ok());
    match consent {
        Some(consent) if status.success() && consent.takes_over == FORMAT => Ok(consent),
        _ => {
            let error = rest(stderr).await;
            let error = error.trim().trim_start_matches("error: ");
            let why = if error.is_empty() {
                format!("is no version of paster that can ({status})")
            } else {
                format!("says: {error}")
            };
            Err(format!("{shown} cannot take over: it {why}"))
        }
    }
}

type Started = (Child, [pipe::Receiver; 2]);

fn start(program: &Path, state: OwnedFd) -> io::Result<Started> {
    let (stdout, its_stdout) = io::pipe()?;
    let (stderr, its_stderr) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(std::env::args_os().skip(1))
        .env(MODE, format!("check:{STATE_FD}"))
        .stdin(Stdio::null())
        .stdout(its_stdout)
        .stderr(its_stderr)
        .process_group(0)
        .fd_mappings(vec![FdMapping {
            parent_fd: state,
            child_fd: STATE_FD,
        }])
        .map_err(|_| io::Error::other("descriptor numbers collide"))?;
    let child = command.spawn()?;
    drop(command);
    let child = Child::watch_or_kill(child)?;
    let pipe = |pipe: io::PipeReader| pipe::Receiver::from_owned_fd(pipe.into());
    Ok((child, [pipe(stdout)?, pipe(stderr)?]))
}

/// Reads to the end and keeps the beginning.
async fn read(mut pipe: pipe::Receiver) -> Vec<u8> {
    let mut text = Vec::new();
    let mut chunk = vec![0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        let room = LONGEST_ANSWER.saturating_sub(text.len());
        text.extend_from_slice(&chunk[..length.min(room)]);
    }
    text
}

/// What a process that has ended has said; what it started may still hold the pipe open, and is not waited for.
async fn rest(reader: JoinHandle<Vec<u8>>) -> String {
    let stop = reader.abort_handle();
    let text = tokio::time::timeout(LAST_OUTPUT, reader).await;
    stop.abort();
    match text {
        Ok(Ok(text)) => String::from_utf8_lossy(&text).into_owned(),
        _ => String::new(),
    }
}
