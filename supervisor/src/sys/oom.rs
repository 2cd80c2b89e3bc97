//! Processes that the kernel has killed for lack of memory.

use std::fs;

/// How many there were since the machine was started, in all control groups (proc(5): `oom_kill` in `/proc/vmstat`);
/// none where the kernel does not tell.
pub fn oom_kills() -> Option<u64> {
    count(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn count(vmstat: &str) -> Option<u64> {
    let line = vmstat
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_is_found() {
        assert_eq!(super::count("oom_kill_x 3\noom_kill 7\nz 1\n"), Some(7));
        assert_eq!(super::count("nr_free_pages 1\n"), None);
    }
}
