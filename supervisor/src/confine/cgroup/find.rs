//! Where this process is in which hierarchy, from `/proc/self/cgroup` and `/proc/self/mountinfo` (proc(5)). Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The group in which paster puts itself where its own must hold no processes (version 2).
pub(super) const SUPERVISOR: &str = "paster-supervisor";

/// Directories of the groups that this process belongs to, as far as they can be seen here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) v2: Option<PathBuf>,
    /// By controller.
    pub(super) v1: BTreeMap<String, PathBuf>,
}

struct Mounted {
    root: PathBuf,
    point: PathBuf,
    is_v2: bool,
    /// Of version 1: controllers, or `name=…`.
    options: Vec<String>,
}

pub(super) fn find(cgroup: &str, mountinfo: &str) -> Found {
    let mounts: Vec<Mounted> = mountinfo.lines().filter_map(mounted).collect();
    let mut found = Found::default();
    for line in cgroup.lines() {
        // `4:memory:/system.slice/paster.service`; version 2 is `0::/…`.
        let mut fields = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = Path::new(path);
        if id == "0" && controllers.is_empty() {
            let seen = mounts.iter().filter(|mount| mount.is_v2);
            // A reload finds us where we have put ourselves.
            let own = match path.ends_with(SUPERVISOR) {
                true => path.parent().unwrap_or(path),
                false => path,
            };
            found.v2 = seen.filter_map(|mount| mount.directory(own)).next();
            continue;
        }
        for controller in controllers.split(',') {
            let mut seen = mounts
                .iter()
                .filter(|mount| mount.options.iter().any(|option| option == controller));
            if let Some(directory) = seen.find_map(|mount| mount.directory(path)) {
                found.v1.insert(controller.to_owned(), directory);
            }
        }
    }
    found
}

impl Mounted {
    /// Where a group is, unless it is outside of what is mounted here.
    fn directory(&self, group: &Path) -> Option<PathBuf> {
        let below = group.strip_prefix(&self.root).ok()?;
        let is_plain = below
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        is_plain.then(|| match below.as_os_str().is_empty() {
            true => self.point.clone(),
            false => self.point.join(below),
        })
    }
}

/// `36 35 0:30 /root /point rw,nosuid shared:9 - cgroup cgroup rw,memory`
fn mounted(line: &str) -> Option<Mounted> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, point) = (mount.next()?, mount.next()?);
    let mut filesystem = filesystem.split(' ');
    let kind = filesystem.next()?;
    let options = filesystem.nth(1).unwrap_or_default();
    let is_v2 = kind == "cgroup2";
    (is_v2 || kind == "cgroup").then(|| Mounted {
        root: unescaped(root).into(),
        point: unescaped(point).into(),
        is_v2,
        options: options.split(',').map(str::to_owned).collect(),
    })
}

/// Space, tab, newline and backslash are written as `\040` and so on.
fn unescaped(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_below_a_service() {
        let mounts =
            "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = find("0::/system.slice/paster.service\n", mounts);
        let own = Some("/sys/fs/cgroup/system.slice/paster.service".into());
        assert_eq!(
            found,
            Found {
                v2: own.clone(),
                v1: BTreeMap::new()
            }
        );
        let later = find(
            "0::/system.slice/paster.service/paster-supervisor\n",
            mounts,
        );
        assert_eq!(later.v2, own, "where a reload finds us");
    }

    #[test]
    fn version_1_with_joint_controllers_and_a_version_2_tree_beside() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n\
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:6 - cgroup cgroup rw,cpu,cpuacct\n\
32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
33 25 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n";
        let found = find(
            "4:memory:/a/b\n3:cpu,cpuacct:/\n1:name=systemd:/\n0::/\n",
            mounts,
        );
        assert_eq!(found.v2, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found.v1["memory"], Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(found.v1["cpu"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    }

    #[test]
    fn what_is_mounted_in_a_container_is_a_part() {
        let mounts = "40 39 0:27 /docker/1f /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids\n";
        assert_eq!(
            find("5:pids:/docker/1f/x\n", mounts).v1["pids"],
            Path::new("/sys/fs/cgroup/pids/x")
        );
        assert!(find("5:pids:/elsewhere\n", mounts).v1.is_empty());
        assert!(find("5:pids:/docker/1f/../up\n", mounts).v1.is_empty());
    }

    #[test]
    fn odd_names_and_garbage() {
        let mounts = "40 39 0:27 / /mnt/a\\040b rw - cgroup2 none rw\ngarbage\n1 2 - x\n";
        assert_eq!(find("0::/\nx\n", mounts).v2, Some("/mnt/a b".into()));
    }
}
