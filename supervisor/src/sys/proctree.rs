//! The descendants of this process, by `/proc` (proc(5): `/proc/PID/task/TID/children`).

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

/// All descendants of `root` that exist now, zombies included; children before grandchildren.
pub fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = children(root);
    let mut next = 0;
    while next < found.len() {
        let more = children(found[next]);
        found.extend(more);
        next += 1;
    }
    found
}

/// The children that `pid` has now, zombies included.
pub fn children(pid: Pid) -> Vec<Pid> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new(); // gone
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .map(Pid::from_raw)
        .collect()
}

/// How long an orphan may take to vanish after SIGKILL.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// Children of this process that are not `known` and not of our session: what a lost keeper left to us. All that we have
/// started ourselves to live in a session of its own must be `known`. Their environment tells little: one that is
/// ending has none any more, and a daemon may have cleared it.
///
/// Process 1 also gets the orphans of processes that have nothing to do with us. There, an orphan must be of the session
/// `worker`, or bear our marks in its environment.
pub fn orphans(known: &[u32], worker: Option<u32>, marker: &str) -> Vec<Pid> {
    let ours = session(Pid::this());
    let is_init = Pid::this().as_raw() == 1;
    let is_orphan = |pid: &Pid| {
        let Some(session) = session(*pid).filter(|session| Some(*session) != ours) else {
            return false;
        };
        let is_workers = worker.is_some_and(|pid| pid.cast_signed() == session);
        !known.contains(&pid.as_raw().cast_unsigned())
            && (!is_init || is_workers || has_marker(*pid, marker) || has_marker(*pid, APP_MARK))
    };
    children(Pid::this())
        .into_iter()
        .filter(is_orphan)
        .collect()
}

/// Each worker has it (docs/worker-contract.md), and what it starts inherits it.
const APP_MARK: &str = "PASTE_APP=";

/// Children of this process that have ended and are not `known`.
pub fn zombies(known: &[u32]) -> Vec<Pid> {
    let is_zombie = |pid: &Pid| stat(*pid).is_some_and(|stat| stat.state == 'Z');
    children(Pid::this())
        .into_iter()
        .filter(|pid| !known.contains(&pid.as_raw().cast_unsigned()) && is_zombie(pid))
        .collect()
}

/// Whether there is such a process and it has not ended.
pub fn is_running(pid: u32) -> bool {
    stat(Pid::from_raw(pid.cast_signed())).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// Takes the exit status of a child that has ended, so that the kernel can forget it.
pub fn reap(pid: Pid) {
    let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
}

/// Kills and reaps these children of this process and their descendants, as well as those that come to us with `marker`
/// in their environment meanwhile. Blocks until they are gone, at most two seconds.
pub fn end_orphans(marker: &str, mut orphans: Vec<Pid>) {
    let deadline = Instant::now() + LAST_WAIT;
    // Descendants become our children when their parents end; they may be dead by then.
    let mut seen: HashSet<Pid> = HashSet::new();
    loop {
        for orphan in &orphans {
            for pid in descendants(*orphan).into_iter().chain([*orphan]) {
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
        for child in children(Pid::this()) {
            if !orphans.contains(&child) && (seen.contains(&child) || has_marker(child, marker)) {
                orphans.push(child);
            }
        }
        if orphans.is_empty() || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Zombies have one too.
fn session(pid: Pid) -> Option<i32> {
    Some(stat(pid)?.session)
}

/// Fields of `/proc/PID/stat`.
struct Stat {
    state: char,
    session: i32,
}

fn stat(pid: Pid) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc(5): `pid (name) state ppid pgrp session …`; the name may contain any character.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some(Stat {
        state: fields.next()?.chars().next()?,
        session: fields.nth(2)?.parse().ok()?,
    })
}

/// Whether the environment of a process, as it was started, has a variable that begins so.
pub fn has_marker(pid: Pid, marker: &str) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    environ
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(marker.as_bytes()))
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
        while !zombies(&[]).contains(&pid) {
            assert!(Instant::now() < deadline, "it ends");
            std::thread::yield_now();
        }
        assert!(!zombies(&[child.id()]).contains(&pid));
        reap(pid);
        assert!(!children(Pid::this()).contains(&pid));
    }

    #[test]
    fn a_child_of_another_session_is_an_orphan_unless_it_is_known() {
        let mut child = std::process::Command::new("setsid")
            .args(["sleep", "60"])
            .spawn()
            .expect("setsid exists");
        let pid = Pid::from_raw(child.id().cast_signed());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !orphans(&[], None, MARKER).contains(&pid) {
            assert!(Instant::now() < deadline, "it begins a session");
            std::thread::yield_now();
        }
        assert!(!orphans(&[child.id()], None, MARKER).contains(&pid));
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
        assert!(descendants(Pid::this()).contains(&pid));
        child.kill().expect("it runs");
        child.wait().expect("it was ours");
    }
}
