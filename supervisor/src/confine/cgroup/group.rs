//! The groups of one worker, as its keeper makes, uses and removes them.

use super::super::failure::{Failure, failed};
use super::super::{Cgroup, Limits, directory_name};
use super::{Controller, Tree, Version};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Period of CPU limits in microseconds, the kernel's own choice.
const PERIOD: u64 = 100_000;
/// How long what was killed may take to leave its group.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// Another keeper may remove an empty group while we make ours in it; it is made again.
const ATTEMPTS: u32 = 20;

/// What the groups of a worker are called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Name {
    pub site: String,
    /// Of a generation of an app.
    pub generation: String,
    /// Different for each worker that was ever started.
    pub worker: String,
}

impl Name {
    /// The name of a generation's group.
    pub fn generation(app: &str, generation: u64) -> String {
        format!("{}.{generation}", directory_name(app))
    }

    fn directories(&self, own: &Path) -> [PathBuf; 3] {
        let site = own.join(&self.site);
        let generation = site.join(&self.generation);
        let worker = generation.join(&self.worker);
        [site, generation, worker]
    }
}

/// A worker's group, in each tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    trees: Vec<(Version, Vec<Controller>, [PathBuf; 3])>,
    memory: Option<u64>,
}

impl Group {
    /// The group of this name, whether or not it exists.
    pub fn named(cgroup: &Cgroup, name: &Name) -> Group {
        let place = |tree: &Tree| {
            let directories = name.directories(&tree.own);
            (tree.version, tree.controllers.clone(), directories)
        };
        Group {
            trees: cgroup.trees.iter().map(place).collect(),
            memory: cgroup.limits.memory,
        }
    }

    /// Makes it, with all above it.
    pub fn create(cgroup: &Cgroup, name: &Name) -> Result<Group, Failure> {
        let group = Group::named(cgroup, name);
        for (version, controllers, directories) in &group.trees {
            let made = make(*version, controllers, directories, cgroup.limits);
            if let Err((path, error)) = made {
                group.remove();
                return Err(failed(format!("cgroup {}", path.display()))(error));
            }
        }
        Ok(group)
    }

    /// Puts the calling process into it; all that it forks from now on is in it too.
    pub fn join(&self) -> Result<(), Failure> {
        self.admit(Pid::from_raw(0))
    }

    /// Puts a process into it, as [`Group::join`].
    pub fn admit(&self, pid: Pid) -> Result<(), Failure> {
        for (_, _, [_, _, worker]) in &self.trees {
            fs::write(worker.join("cgroup.procs"), pid.to_string())
                .map_err(failed(format!("join cgroup {}", worker.display())))?;
        }
        Ok(())
    }

    /// The memory limit, if the kernel has killed a process of this worker because of it.
    pub fn killed_for_memory(&self) -> Option<u64> {
        let limit = self.memory?;
        let limits_memory =
            |tree: &&(Version, Vec<Controller>, [PathBuf; 3])| tree.1.contains(&Controller::Memory);
        let (version, _, [_, _, worker]) = self.trees.iter().find(limits_memory)?;
        let file = match version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let text = fs::read_to_string(worker.join(file)).ok()?;
        (oom_kills(&text) > 0).then_some(limit)
    }

    /// SIGKILL to all processes in it, at once and against any fork bomb, where the kernel can (version 2).
    pub fn kill(&self) {
        for (version, _, [_, _, worker]) in &self.trees {
            if *version == Version::V2 {
                let _ = fs::write(worker.join("cgroup.kill"), "1");
            }
        }
    }

    /// Removes it, and what is above if nobody else is in there. For when everything in it has ended.
    pub fn remove(&self) {
        for (_, _, directories) in &self.trees {
            for directory in directories.iter().rev() {
                if fs::remove_dir(directory).is_err() && directory.exists() {
                    break;
                }
            }
        }
    }

    /// Kills what is left in it and removes it. Blocks for up to a second.
    pub fn end(&self) {
        let deadline = Instant::now() + LAST_WAIT;
        loop {
            self.kill();
            let mut left = false;
            for (_, _, [_, _, worker]) in &self.trees {
                for pid in processes(worker) {
                    let _ = kill(pid, Signal::SIGKILL);
                    left = true;
                }
            }
            if !left || Instant::now() > deadline {
                return self.remove();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The processes in a group, those of groups below excepted.
pub(super) fn processes(group: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.parse().ok().map(Pid::from_raw))
        .collect()
}

/// `oom_kill 2` is a line of both versions' files.
fn oom_kills(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        .unwrap_or(0)
}

type Refused = (PathBuf, io::Error);

fn make(
    version: Version,
    controllers: &[Controller],
    directories: &[PathBuf; 3],
    limits: Limits,
) -> Result<(), Refused> {
    let mut attempts = 0;
    loop {
        match try_to_make(version, controllers, directories, limits) {
            Err((_, error)) if error.kind() == ErrorKind::NotFound && attempts < ATTEMPTS => {
                attempts += 1;
            }
            result => return result,
        }
    }
}

fn try_to_make(
    version: Version,
    controllers: &[Controller],
    [site, generation, worker]: &[PathBuf; 3],
    limits: Limits,
) -> Result<(), Refused> {
    directory(site)?;
    if version == Version::V2 && !controllers.is_empty() {
        enable(site, controllers)?;
    }
    directory(generation)?;
    for (file, value) in values(version, controllers, limits) {
        let path = generation.join(file);
        match fs::write(&path, value) {
            // Kernels without accounting of swap.
            Err(error) if error.kind() == ErrorKind::NotFound && is_about_swap(file) => {}
            Err(error) => return Err((path, error)),
            Ok(()) => {}
        }
    }
    if version == Version::V2 && controllers.contains(&Controller::Memory) {
        // So that each worker has its own count of kills.
        enable(generation, &[Controller::Memory])?;
    }
    // Names of workers are used once, so one that is there is not ours.
    fs::create_dir(worker).map_err(|error| (worker.clone(), error))
}

fn directory(path: &Path) -> Result<(), Refused> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err((path.to_owned(), error)),
        _ => Ok(()),
    }
}

/// Lets the groups below `group` use these controllers (version 2).
pub(super) fn enable(group: &Path, controllers: &[Controller]) -> Result<(), Refused> {
    let path = group.join("cgroup.subtree_control");
    let words: Vec<String> = controllers
        .iter()
        .map(|controller| format!("+{}", controller.name()))
        .collect();
    fs::write(&path, words.join(" ")).map_err(|error| (path, error))
}

fn is_about_swap(file: &str) -> bool {
    file.contains("swap") || file.contains("memsw")
}

/// What to write into which file, in this order.
fn values(
    version: Version,
    controllers: &[Controller],
    limits: Limits,
) -> Vec<(&'static str, String)> {
    let mut values = Vec::new();
    for controller in controllers {
        match (version, controller) {
            (Version::V2, Controller::Memory) => {
                if let Some(bytes) = limits.memory {
                    values.push(("memory.max", bytes.to_string()));
                    values.push(("memory.swap.max", "0".to_owned()));
                }
            }
            (Version::V1, Controller::Memory) => {
                if let Some(bytes) = limits.memory {
                    // With swap can never be less than without; a group that is used again has limits already.
                    values.push(("memory.memsw.limit_in_bytes", "-1".to_owned()));
                    values.push(("memory.limit_in_bytes", bytes.to_string()));
                    values.push(("memory.memsw.limit_in_bytes", bytes.to_string()));
                }
            }
            (Version::V2, Controller::Cpu) => {
                if let Some(cpu) = limits.cpu {
                    values.push(("cpu.max", format!("{} {PERIOD}", quota(cpu))));
                }
            }
            (Version::V1, Controller::Cpu) => {
                if let Some(cpu) = limits.cpu {
                    values.push(("cpu.cfs_period_us", PERIOD.to_string()));
                    values.push(("cpu.cfs_quota_us", quota(cpu).to_string()));
                }
            }
            (_, Controller::Pids) => {
                if let Some(count) = limits.pids {
                    values.push(("pids.max", count.to_string()));
                }
            }
        }
    }
    values
}

fn quota(cpu: u32) -> u64 {
    u64::from(cpu) * PERIOD / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory: Some(1 << 26),
        cpu: Some(1500),
        pids: Some(20),
    };

    /// A directory that plays a control group: files can be written, unlike directories they need no kernel.
    fn pretend(controllers: &[Controller], version: Version) -> (tempfile::TempDir, Cgroup) {
        let own = tempfile::tempdir().expect("temporary directory");
        let tree = Tree {
            version,
            own: own.path().to_owned(),
            controllers: controllers.to_vec(),
        };
        let cgroup = Cgroup {
            limits: LIMITS,
            trees: vec![tree],
        };
        (own, cgroup)
    }

    fn name() -> Name {
        Name {
            site: "paster-1".to_owned(),
            generation: "app-blog.1".to_owned(),
            worker: "7".to_owned(),
        }
    }

    #[test]
    fn version_2_has_its_limits_in_the_group_of_the_generation() {
        let (own, cgroup) = pretend(&Controller::ALL, Version::V2);
        Group::create(&cgroup, &name()).expect("made");
        let read = |path: &str| fs::read_to_string(own.path().join(path)).expect(path);
        let generation = "paster-1/app-blog.1";
        assert_eq!(
            read("paster-1/cgroup.subtree_control"),
            "+memory +cpu +pids"
        );
        assert_eq!(read(&format!("{generation}/memory.max")), "67108864");
        assert_eq!(read(&format!("{generation}/memory.swap.max")), "0");
        assert_eq!(read(&format!("{generation}/cpu.max")), "150000 100000");
        assert_eq!(read(&format!("{generation}/pids.max")), "20");
        assert_eq!(
            read(&format!("{generation}/cgroup.subtree_control")),
            "+memory"
        );
        assert!(own.path().join(generation).join("7").is_dir());
    }

    #[test]
    fn a_controller_that_is_not_used_is_not_touched() {
        let (own, cgroup) = pretend(&[Controller::Pids], Version::V1);
        let group = Group::create(&cgroup, &name()).expect("made");
        let generation = own.path().join("paster-1/app-blog.1");
        assert!(generation.join("pids.max").exists());
        assert!(!generation.join("memory.limit_in_bytes").exists());
        assert!(!own.path().join("paster-1/cgroup.subtree_control").exists());
        fs::remove_file(generation.join("pids.max")).expect("a real group takes it along");
        group.remove();
        assert!(!own.path().join("paster-1").exists(), "nothing is left");
    }

    #[test]
    fn a_tree_for_killing_has_no_limits() {
        assert_eq!(values(Version::V2, &[], LIMITS), []);
    }

    #[test]
    fn kills_are_counted_in_both_versions() {
        assert_eq!(
            oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            2
        );
        assert_eq!(
            oom_kills("low 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n"),
            1
        );
        assert_eq!(oom_kills(""), 0);
    }
}
