//! Which limits can be had here: which controllers there are, and whether paster may make groups.

use super::find::{Found, find};
use super::{Controller, Tree, Version};
use crate::sys::proctree;
use nix::unistd::{AccessFlags, Pid, access};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// How each limit is enforced, or why it cannot be.
    pub controllers: BTreeMap<Controller, Result<Tree, Missing>>,
    /// A version 2 tree without these controllers, which can kill.
    pub killer: Option<Tree>,
}

/// Why there is no limit, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub why: String,
    pub hint: String,
}

impl Survey {
    /// The trees for these controllers; each hierarchy once.
    pub fn trees(&self, wanted: &[Controller]) -> Vec<Tree> {
        let mut trees: Vec<Tree> = Vec::new();
        for controller in wanted {
            let Some(Ok(tree)) = self.controllers.get(controller) else {
                continue;
            };
            match trees.iter_mut().find(|other| other.own == tree.own) {
                Some(other) => other.controllers.extend(&tree.controllers),
                None => trees.push(tree.clone()),
            }
        }
        if !trees.is_empty() && trees.iter().all(|tree| tree.version == Version::V1) {
            trees.extend(self.killer.clone());
        }
        trees
    }
}

/// Looks around.
pub fn survey() -> Survey {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let found = find(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    let v2 = found.v2.as_ref().map(|own| (own, group_of(own)));
    let controllers = Controller::ALL.map(|controller| {
        let here = v2.as_ref().filter(|(_, group)| group.has(controller));
        let tree = match here {
            Some((own, group)) => group.usable(own).map(|()| Tree {
                version: Version::V2,
                own: (*own).clone(),
                controllers: vec![controller],
            }),
            None => version_1(controller, &found),
        };
        (controller, tree)
    });
    let killer = v2.filter(|(own, _)| is_writable(own));
    Survey {
        controllers: controllers.into(),
        killer: killer.map(|(own, _)| Tree {
            version: Version::V2,
            own: own.clone(),
            controllers: Vec::new(),
        }),
    }
}

fn version_1(controller: Controller, found: &Found) -> Result<Tree, Missing> {
    let name = controller.name();
    let Some(own) = found.v1.get(name) else {
        return Err(Missing {
            why: format!("no cgroup hierarchy with the `{name}` controller can be seen here"),
            hint: "mount cgroup2 on /sys/fs/cgroup; under systemd, set Delegate=yes".to_owned(),
        });
    };
    if !is_writable(own) {
        return Err(Missing {
            why: format!("paster may not write to its cgroup {}", own.display()),
            hint: "start paster as root, or let it have cgroup version 2 with Delegate=yes"
                .to_owned(),
        });
    }
    Ok(Tree {
        version: Version::V1,
        own: own.clone(),
        controllers: vec![controller],
    })
}

/// A group of version 2 as its files show it.
#[derive(Debug)]
struct Group {
    controllers: String,
    is_root: bool,
    writable: bool,
    /// Processes in it that are not ours to move.
    strangers: usize,
}

fn group_of(own: &Path) -> Group {
    let read = |name| fs::read_to_string(own.join(name)).unwrap_or_default();
    Group {
        controllers: read("cgroup.controllers"),
        // cgroups(7): the root group has no such file.
        is_root: !own.join("cgroup.type").exists(),
        writable: is_writable(own),
        strangers: strangers(&read("cgroup.procs")),
    }
}

impl Group {
    fn has(&self, controller: Controller) -> bool {
        self.controllers
            .split_whitespace()
            .any(|name| name == controller.name())
    }

    fn usable(&self, own: &Path) -> Result<(), Missing> {
        let shown = own.display();
        if !self.writable {
            return Err(Missing {
                why: format!("paster may not write to its cgroup {shown}"),
                hint: "set Delegate=yes in the unit, or start paster as root".to_owned(),
            });
        }
        // Processes and limited groups cannot be in the same group (cgroups(7), "no internal processes").
        if !self.is_root && self.strangers > 0 {
            return Err(Missing {
                why: format!("paster shares its cgroup {shown} with other processes"),
                hint: "start it as a service with Delegate=yes, or with \
                       `systemd-run --scope -p Delegate=yes paster serve …`"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

fn strangers(procs: &str) -> usize {
    let mut ours = proctree::descendants(Pid::this()).unwrap_or_default();
    ours.push(Pid::this());
    let theirs = |line: &&str| {
        line.parse()
            .is_ok_and(|pid| !ours.contains(&Pid::from_raw(pid)))
    };
    procs.lines().filter(theirs).count()
}

fn is_writable(own: &Path) -> bool {
    access(own, AccessFlags::W_OK).is_ok()
        && access(&own.join("cgroup.procs"), AccessFlags::W_OK).is_ok()
}
