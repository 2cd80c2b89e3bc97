//! What is wanted, weighed against what this machine permits. Pure.

use super::cgroup::{Controller, Survey};
use super::probe::{Abilities, Ability};
use super::{Cgroup, Confinement, Files, Limits, Wanted};
use serde::Serialize;

/// What there is to know about the machine.
pub trait Kernel {
    fn abilities(&self) -> &Abilities;
    fn cgroups(&self) -> &Survey;
}

/// Whether something that was asked for can be had here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarantee {
    /// The setting that asks for it.
    pub key: &'static str,
    pub holds: bool,
    /// By which means; or why not.
    pub why: String,
    /// What to do where it does not hold, or not against everybody.
    pub hint: Option<String>,
}

/// How an app is confined, and what that is worth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What does not hold is left out.
    pub confinement: Confinement,
    pub guarantees: Vec<Guarantee>,
}

/// What matters of the other settings of an app.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Its workers are root.
    pub root: bool,
    /// Landlock needs it.
    pub no_new_privileges: bool,
}

/// Decides by which means an app is confined.
pub fn verdict(wanted: &Wanted, kernel: &dyn Kernel, app: Circumstances) -> Verdict {
    let mut judge = Judge {
        verdict: Verdict::default(),
        app,
    };
    if wanted.is_nothing() {
        return judge.verdict;
    }
    judge.limits(wanted.limits, kernel);
    let abilities = kernel.abilities();
    judge.files(wanted, abilities);
    if wanted.private_network {
        let holds = judge.namespace(
            "private_network",
            "network namespace",
            &abilities.network,
            abilities,
        );
        judge.verdict.confinement.network = holds;
    }
    if wanted.private_signals {
        let hint = "Linux 6.12 with Landlock is needed";
        let holds = judge.told("private_signals", "Landlock", &abilities.signals, hint);
        judge.verdict.confinement.signals = holds;
    }
    if wanted.seccomp {
        let hint = "a kernel with CONFIG_SECCOMP_FILTER on x86-64 or aarch64 is needed";
        let holds = judge.told("seccomp", "seccomp filter", &abilities.seccomp, hint);
        judge.verdict.confinement.seccomp = holds;
    }
    judge.verdict
}

const AGAINST_ROOT: &str = "not against root: set `user`";

struct Judge {
    verdict: Verdict,
    app: Circumstances,
}

impl Judge {
    fn add(&mut self, key: &'static str, holds: bool, why: String, hint: Option<String>) {
        self.verdict.guarantees.push(Guarantee {
            key,
            holds,
            why,
            hint,
        });
    }

    fn against_root(&self) -> Option<String> {
        self.app.root.then(|| AGAINST_ROOT.to_owned())
    }

    fn told(&mut self, key: &'static str, means: &str, ability: &Ability, hint: &str) -> bool {
        match ability {
            Ok(()) => self.add(key, true, means.to_owned(), None),
            Err(failure) => {
                let why = format!("{}: {}", failure.step, failure.error);
                self.add(key, false, why, Some(hint.to_owned()));
            }
        }
        ability.is_ok()
    }

    fn namespace(
        &mut self,
        key: &'static str,
        means: &str,
        ability: &Ability,
        abilities: &Abilities,
    ) -> bool {
        if ability.is_ok() {
            let hint = self.against_root();
            self.add(key, true, means.to_owned(), hint);
            return true;
        }
        let hint = match abilities.root {
            true => "Linux 5.12 and CAP_SYS_ADMIN are needed; containers usually withhold it",
            false => {
                "start paster as root, or permit user namespaces (sysctl user.max_user_namespaces, \
                 kernel.apparmor_restrict_unprivileged_userns)"
            }
        };
        self.told(key, means, ability, hint)
    }

    fn limits(&mut self, limits: Limits, kernel: &dyn Kernel) {
        let asked = [
            ("cgroup_memory", Controller::Memory, limits.memory.is_some()),
            ("cgroup_cpu", Controller::Cpu, limits.cpu.is_some()),
            ("cgroup_pids", Controller::Pids, limits.pids.is_some()),
        ];
        let mut usable = Vec::new();
        for (key, controller, asked) in asked {
            if !asked {
                continue;
            }
            match kernel.cgroups().controllers.get(&controller) {
                Some(Ok(tree)) => {
                    usable.push(controller);
                    let version = match tree.version {
                        super::cgroup::Version::V1 => 1,
                        super::cgroup::Version::V2 => 2,
                    };
                    let hint = self.against_root();
                    self.add(key, true, format!("cgroup version {version}"), hint);
                }
                Some(Err(missing)) => {
                    let hint = Some(missing.hint.clone());
                    self.add(key, false, missing.why.clone(), hint);
                }
                None => {}
            }
        }
        let has = |controller| usable.contains(&controller);
        let limits = Limits {
            memory: limits.memory.filter(|_| has(Controller::Memory)),
            cpu: limits.cpu.filter(|_| has(Controller::Cpu)),
            pids: limits.pids.filter(|_| has(Controller::Pids)),
        };
        if !usable.is_empty() {
            let trees = kernel.cgroups().trees(&usable);
            self.verdict.confinement.cgroup = Some(Cgroup { limits, trees });
        }
    }

    /// Mount namespaces do all; Landlock is the next best for all but a private /tmp.
    fn files(&mut self, wanted: &Wanted, abilities: &Abilities) {
        let mut files = Files {
            private_tmp: wanted.private_tmp,
            read_only: wanted.read_only.clone(),
            writable: wanted.writable.clone(),
            hidden: wanted.hidden.clone(),
        };
        if wanted.private_tmp {
            self.namespace(
                "private_tmp",
                "mount namespace",
                &abilities.mounts,
                abilities,
            );
        }
        let lists = [
            ("read_only", !wanted.read_only.is_empty()),
            ("hidden", !wanted.hidden.is_empty()),
        ];
        let by_landlock =
            abilities.mounts.is_err() && abilities.landlock.is_ok() && self.app.no_new_privileges;
        for (key, _) in lists.into_iter().filter(|(_, asked)| *asked) {
            if by_landlock {
                let why =
                    "Landlock: contents only; names, modes, owners and times are not protected";
                self.add(key, true, why.to_owned(), None);
            } else {
                self.namespace(key, "mount namespace", &abilities.mounts, abilities);
            }
        }
        let asks_for_lists = lists.iter().any(|(_, asked)| *asked);
        let confinement = &mut self.verdict.confinement;
        if abilities.mounts.is_ok() && (asks_for_lists || wanted.private_tmp) {
            confinement.mounts = Some(files);
        } else if by_landlock && asks_for_lists {
            files.private_tmp = false;
            confinement.landlock = Some(files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::super::cgroup::{Missing, Tree, Version};
    use super::*;

    struct Machine {
        abilities: Abilities,
        cgroups: Survey,
    }

    impl Kernel for Machine {
        fn abilities(&self) -> &Abilities {
            &self.abilities
        }
        fn cgroups(&self) -> &Survey {
            &self.cgroups
        }
    }

    fn refusal() -> Ability {
        Err(Failure::new("user namespace", "Operation not permitted"))
    }

    fn able() -> Machine {
        let tree = |controller: Controller| {
            let tree = Tree {
                version: Version::V1,
                own: format!("/sys/fs/cgroup/{}", controller.name()).into(),
                controllers: vec![controller],
            };
            (controller, Ok(tree))
        };
        Machine {
            abilities: Abilities {
                root: true,
                mounts: Ok(()),
                network: Ok(()),
                landlock: Ok(()),
                signals: Ok(()),
                seccomp: Ok(()),
            },
            cgroups: Survey {
                controllers: Controller::ALL.map(tree).into(),
                killer: None,
            },
        }
    }

    /// Neither root nor user namespaces nor control groups.
    fn unable() -> Machine {
        let mut machine = able();
        machine.abilities.root = false;
        machine.abilities.mounts = refusal();
        machine.abilities.network = refusal();
        let missing = || {
            Err(Missing {
                why: "no".to_owned(),
                hint: "do".to_owned(),
            })
        };
        machine.cgroups.controllers = Controller::ALL
            .map(|controller| (controller, missing()))
            .into();
        machine
    }

    fn everything() -> Wanted {
        Wanted {
            limits: Limits {
                memory: Some(1),
                cpu: Some(1),
                pids: Some(1),
            },
            private_tmp: true,
            private_network: true,
            private_signals: true,
            read_only: vec!["/".into()],
            writable: vec![],
            hidden: vec!["/root".into()],
            seccomp: true,
        }
    }

    const USER: Circumstances = Circumstances {
        root: false,
        no_new_privileges: true,
    };

    fn lacks(verdict: &Verdict) -> Vec<&str> {
        let lacking = verdict
            .guarantees
            .iter()
            .filter(|guarantee| !guarantee.holds);
        lacking.map(|guarantee| guarantee.key).collect()
    }

    #[test]
    fn everything_can_be_had_on_an_able_machine() {
        let verdict = verdict(&everything(), &able(), USER);
        assert_eq!(lacks(&verdict), Vec::<&str>::new());
        assert_eq!(verdict.guarantees.len(), 9);
        let confinement = verdict.confinement;
        assert!(confinement.mounts.is_some() && confinement.landlock.is_none());
        assert!(confinement.network && confinement.signals && confinement.seccomp);
        let cgroup = confinement.cgroup.expect("limits");
        assert_eq!(
            (cgroup.trees.len(), cgroup.limits),
            (3, everything().limits)
        );
    }

    #[test]
    fn without_namespaces_landlock_protects_files() {
        let verdict = verdict(&everything(), &unable(), USER);
        assert_eq!(
            lacks(&verdict),
            [
                "cgroup_memory",
                "cgroup_cpu",
                "cgroup_pids",
                "private_tmp",
                "private_network"
            ]
        );
        let confinement = verdict.confinement;
        assert_eq!((confinement.cgroup, confinement.mounts), (None, None));
        let files = confinement.landlock.expect("lists of paths");
        assert!(!files.private_tmp && files.hidden == everything().hidden);
    }

    #[test]
    fn landlock_is_not_used_where_privileges_may_be_gained() {
        let app = Circumstances {
            no_new_privileges: false,
            ..USER
        };
        let verdict = verdict(&everything(), &unable(), app);
        assert!(lacks(&verdict).contains(&"hidden"));
        assert_eq!(verdict.confinement.landlock, None);
    }

    #[test]
    fn root_is_told_that_it_can_get_out() {
        let app = Circumstances { root: true, ..USER };
        let verdict = verdict(&everything(), &able(), app);
        let hint = |key: &str| {
            let guarantee = verdict.guarantees.iter().find(|g| g.key == key);
            guarantee.and_then(|guarantee| guarantee.hint.clone())
        };
        assert_eq!(hint("private_network").as_deref(), Some(AGAINST_ROOT));
        assert_eq!(hint("seccomp"), None);
    }

    #[test]
    fn only_what_is_asked_for_is_done() {
        let wanted = Wanted {
            private_network: true,
            ..Wanted::default()
        };
        let expected = Confinement {
            network: true,
            ..Confinement::default()
        };
        assert_eq!(verdict(&wanted, &able(), USER).confinement, expected);
        assert_eq!(
            verdict(&Wanted::default(), &able(), USER),
            Verdict::default()
        );
    }

    #[test]
    fn controllers_of_one_hierarchy_share_a_tree_and_a_killer_is_added_to_version_1() {
        let mut cgroups = able().cgroups;
        let joint = |controller| Tree {
            version: Version::V1,
            own: "/cg/cpu,pids".into(),
            controllers: vec![controller],
        };
        for controller in [Controller::Cpu, Controller::Pids] {
            cgroups
                .controllers
                .insert(controller, Ok(joint(controller)));
        }
        cgroups.killer = Some(Tree {
            version: Version::V2,
            own: "/cg/unified".into(),
            controllers: vec![],
        });
        let trees = cgroups.trees(&[Controller::Cpu, Controller::Pids]);
        assert_eq!(trees.len(), 2);
        assert_eq!(trees[0].controllers, [Controller::Cpu, Controller::Pids]);
        assert_eq!(trees[1].version, Version::V2);
    }
}
