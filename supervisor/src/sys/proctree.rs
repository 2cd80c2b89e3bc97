//! The descendants of this process, by `/proc` (proc(5): `/proc/PID/task/TID/children`).

use super::shortage;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// All descendants of `root` that exist now, zombies included; children before grandchildren.
///
/// # Errors
/// A shortage of descriptors or memory: some would be missing.
pub fn descendants(root: Pid) -> io::Result<Vec<Pid>> {
    let mut found = children(root)?;
    let mut next = 0;
    while next < found.len() {
        let more = children(found[next])?;
        found.extend(more);
        next += 1;
    }
    Ok(found)
}

/// The children that `pid` has now, zombies included; none of a process that is gone.
///
/// # Errors
/// A shortage of descriptors or memory.
pub fn children(pid: Pid) -> io::Result<Vec<Pid>> {
    let tasks = match fs::read_dir(format!("/proc/{pid}/task")) {
        Ok(tasks) => tasks,
        Err(error) if shortage::will_pass(&error) => return Err(error),
        Err(_) => return Ok(Vec::new()),
    };
    let mut found = Vec::new();
    for task in tasks {
        let task = match task {
            Ok(task) => task,
            Err(error) if shortage::will_pass(&error) => return Err(error),
            // It is just going.
            Err(_) => break,
        };
        let line = match fs::read_to_string(task.path().join("children")) {
            Ok(line) => line,
            Err(error) if shortage::will_pass(&error) => return Err(error),
            Err(_) => continue,
        };
        let pids = line.split_whitespace().filter_map(|pid| pid.parse().ok());
        found.extend(pids.map(Pid::from_raw));
    }
    Ok(found)
}

/// How long an orphan may take to vanish after SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Children of this process that are not `known` and not of our session: what a lost keeper left to us. All that we have
/// started ourselves to live in a session of its own must be `known`. Their environment tells little: one that is
/// ending has none any more, and a daemon may have cleared it.
///
/// Process 1 also gets the orphans of processes that have nothing to do with us. There, an orphan must be of the session
/// `worker`, or bear our marks in its environment.
///
/// # Errors
/// A shortage of descriptors or memory: there may be orphans, look again.
pub fn orphans(known: &[u32], worker: Option<u32>, marker: &str) -> io::Result<Vec<Pid>> {
    let ours = stat(Pid::this())?.map(|stat| stat.session);
    let is_init = Pid::this().as_raw() == 1;
    let mut found = Vec::new();
    for pid in children(Pid::this())? {
        let session = stat(pid)?.map(|stat| stat.session);
        let (Some(session), false) = (
            session.filter(|_| session != ours),
            known.contains(&pid.as_raw().cast_unsigned()),
        ) else {
            continue;
        };
        let is_workers = worker.is_some_and(|pid| pid.cast_signed() == session);
        if !is_init || is_workers || has_marker(pid, marker)? || has_marker(pid, APP_MARK)? {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Each worker has it (docs/worker-contract.md), and what it starts inherits it.
const APP_MARK: &str = "PASTE_APP=";

/// Children of this process that have ended and are not `known`.
///
/// # Errors
/// A shortage of descriptors or memory.
pub fn zombies(known: &[u32]) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for pid in children(Pid::this())? {
        let is_known = known.contains(&pid.as_raw().cast_unsigned());
        if !is_known && stat(pid)?.is_some_and(|stat| stat.state == 'Z') {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether there is such a process and it has not ended; true where that cannot be seen at the moment.
pub fn is_running(pid: u32) -> bool {
    match stat(Pid::from_raw(pid.cast_signed())) {
        Ok(stat) => stat.is_some_and(|stat| !matches!(stat.state, 'Z' | 'X')),
        Err(_) => true,
    }
}

/// Takes the exit status of a child that has ended, so that the kernel can forget it.
pub fn reap(pid: Pid) {
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
}

/// Kills and reaps these children of this process and their descendants, as well as those that come to us with `marker`
/// in their environment meanwhile. Blocks until they are gone: at most two seconds, but for the time of a shortage.
pub fn end_orphans(marker: &str, mut orphans: Vec<Pid>) {
    let mut deadline = Instant::now() + LAST_WAIT;
    // Descendants become our children when their parents end; they may be dead by then.
    let mut seen: HashSet<Pid> = HashSet::new();
    while Instant::now() < deadline {
        match end_orphans_once(marker, &mut orphans, &mut seen) {
            Ok(()) if orphans.is_empty() => return,
            Ok(()) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => {
                std::thread::sleep(shortage::PAUSE);
                deadline = Instant::now() + LAST_WAIT;
            }
        }
    }
}

/// One round.
///
/// # Errors
/// A shortage of descriptors or memory: who could not be looked at was left alone.
fn end_orphans_once(
    marker: &str,
    orphans: &mut Vec<Pid>,
    seen: &mut HashSet<Pid>,
) -> io::Result<()> {
    for orphan in orphans.iter() {
        // Its descendants are found by it, so they have to be known before it goes.
        for pid in descendants(*orphan)?.into_iter().chain([*orphan]) {
            let _ = kill(pid, Signal::SIGKILL);
            seen.insert(pid);
        }
    }
    // Only our own children are kept from round to round: nobody else can reap them, so their numbers stay theirs.
    orphans.retain(|pid| {
        matches!(
            waitpid(*pid, Some(WaitPidFlag::WNOHANG)),
            Ok(WaitStatus::StillAlive)
        )
    });
    for child in children(Pid::this())? {
        if !orphans.contains(&child) && (seen.contains(&child) || has_marker(child, marker)?) {
            orphans.push(child);
        }
    }
    Ok(())
}

/// Fields of `/proc/PID/stat`.
struct Stat {
    state: char,
    session: i32,
}

/// Zombies have one too; what is gone has none.
///
/// # Errors
/// A shortage of descriptors or memory.
fn stat(pid: Pid) -> io::Result<Option<Stat>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if shortage::will_pass(&error) => return Err(error),
        Err(_) => return Ok(None),
    };
    // proc(5): `pid (name) state ppid pgrp session …`; the name may contain any character.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let mut fields = fields.split(' ');
    let state = fields.next().and_then(|state| state.chars().next());
    let session = fields.nth(2).and_then(|session| session.parse().ok());
    Ok(state
        .zip(session)
        .map(|(state, session)| Stat { state, session }))
}

/// Whether the environment of a process, as it was started, has a variable that begins so.
///
/// # Errors
/// A shortage of descriptors or memory.
pub fn has_marker(pid: Pid, marker: &str) -> io::Result<bool> {
    let environ = match fs::read(format!("/proc/{pid}/environ")) {
        Ok(environ) => environ,
        Err(error) if shortage::will_pass(&error) => return Err(error),
        Err(_) => return Ok(false),
    };
    Ok(environ
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(marker.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = "NOTIFY_SOCKET=/nowhere/";

    #[test]
    fn a_child_that_nobody_waits_for_is_reaped() {
        #[expect(clippy::zombie_processes, reason = "that is what this is about")]
        let child = std::process::Command::new("true")
            .spawn()
            .expect("true exists");
        let pid = Pid::from_raw(child.id().cast_signed());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !zombies(&[]).expect("readable").contains(&pid) {
            assert!(Instant::now() < deadline, "it ends");
            std::thread::yield_now();
        }
        assert!(!zombies(&[child.id()]).expect("readable").contains(&pid));
        reap(pid);
        assert!(!children(Pid::this()).expect("readable").contains(&pid));
    }

    #[test]
    fn a_child_of_another_session_is_an_orphan_unless_it_is_known() {
        let mut child = std::process::Command::new("setsid")
            .args(["sleep", "60"])
            .spawn()
            .expect("setsid exists");
        let pid = Pid::from_raw(child.id().cast_signed());
        let found = |known: &[u32]| orphans(known, None, MARKER).expect("enough of everything");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !found(&[]).contains(&pid) {
            assert!(Instant::now() < deadline, "it begins a session");
            std::thread::yield_now();
        }
        assert!(!found(&[child.id()]).contains(&pid));
        child.kill().expect("it runs");
        child.wait().expect("it was ours");
    }

    #[test]
    fn a_child_is_found() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep exists");
        let pid = Pid::from_raw(child.id().cast_signed());
        assert!(
            descendants(Pid::this())
                .expect("enough of everything")
                .contains(&pid)
        );
        child.kill().expect("it runs");
        child.wait().expect("it was ours");
    }
}
