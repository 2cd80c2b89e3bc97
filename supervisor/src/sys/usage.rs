//! What processes use, by `/proc` (proc(5)).

use super::proctree;
use nix::unistd::Pid;
use std::fs;

/// CPU time of one process, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    own: u64,
    /// Of children that have ended and were waited for, and of theirs.
    ended_children: u64,
}

/// CPU seconds of a process, without its children.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    Some(seconds(ticks(pid)?.own))
}

/// CPU seconds of all that lives below this process or has ended there, itself not counted: of a worker with everything
/// that it has started, if `root` is its keeper, to which its orphans come.
pub fn cpu_seconds_below(root: u32) -> Option<f64> {
    let below = proctree::descendants(Pid::from_raw(root.cast_signed())).ok()?;
    let alive: u64 = below
        .into_iter()
        .filter_map(|pid| ticks(pid.as_raw().cast_unsigned()))
        .map(|ticks| ticks.own + ticks.ended_children)
        .sum();
    Some(seconds(ticks(root)?.ended_children + alive))
}

/// Resident memory of a process, in bytes.
pub fn rss_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn ticks(pid: u32) -> Option<Ticks> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc(5), `/proc/pid/stat`: utime, stime, cutime and cstime are fields 14 to 17; field 2, the name in parentheses, may
/// contain anything.
fn parse(stat: &str) -> Option<Ticks> {
    let (_, from_third) = stat.rsplit_once(") ")?;
    let mut fields = from_third
        .split_ascii_whitespace()
        .skip(11)
        .map_while(|field| field.parse::<u64>().ok());
    let own = fields.next()? + fields.next()?;
    let ended_children = fields.next()? + fields.next()?;
    Some(Ticks {
        own,
        ended_children,
    })
}

fn seconds(ticks: u64) -> f64 {
    // sysconf(3): in practice always 100.
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    let per_second = per_second.ok().flatten().filter(|ticks| *ticks > 0);
    ticks as f64 / per_second.unwrap_or(100) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn the_name_of_a_process_may_be_anything() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 100 5 6";
        let expected = Ticks {
            own: 30,
            ended_children: 70,
        };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("42 (a) S 1"), None);
    }

    #[test]
    fn what_is_below_counts_running_or_ended() {
        // A shell whose ended child has computed, and whose running one computes.
        let mut shell = Command::new("sh")
            .args([
                "-c",
                "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; while :; do :; done & read x",
            ])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("sh exists");
        let ours = std::process::id();
        let deadline = Instant::now() + Duration::from_secs(20);
        let enough = || cpu_seconds_below(shell.id()).is_some_and(|seconds| seconds > 0.3);
        while !enough() {
            assert!(Instant::now() < deadline, "it is counted");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(cpu_seconds(shell.id()).is_some_and(|own| own < 0.2));
        assert!(cpu_seconds_below(ours).is_some_and(|below| below > 0.3));
        assert!(rss_bytes(shell.id()).is_some());
        let below = proctree::descendants(Pid::from_raw(shell.id().cast_signed()));
        for pid in below.expect("readable") {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it runs");
        }
        shell.kill().expect("it runs");
        shell.wait().expect("it was ours");
        assert_eq!(cpu_seconds(shell.id()), None);
    }
}
