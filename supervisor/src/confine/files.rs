//! What a worker may do with which part of the file system. Pure: paths in, a list of mounts or of grants out.

use super::Files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What may be done with a path and all below it, from the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Hidden,
    ReadOnly,
    /// As permissions say.
    Open,
}

/// A rule for a path and all below it, up to the next rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Mode(Mode),
    /// A private directory, by its index in `Rules::tmp`.
    Tmp(usize),
}

/// What a [`View`] is made from; all paths are absolute and without symbolic links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) files: Files,
    /// Directories that are replaced by private ones.
    pub(super) tmp: Vec<PathBuf>,
    /// What the worker cannot start without: stays reachable below what is hidden or private.
    pub(super) needed: Vec<PathBuf>,
    /// Stays reachable, and writable.
    pub(super) own: Vec<PathBuf>,
}

/// What is no part of `read_only = /`, as with systemd's ProtectSystem=strict.
const DEVICES_AND_PROCESSES: [&str; 3] = ["/dev", "/proc", "/sys"];

/// All rules by path, each parent before what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    rules: BTreeMap<PathBuf, Rule>,
}

/// One change to a mount namespace, to be made in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) path: PathBuf,
    pub(super) action: Action,
    /// The directory above that an earlier entry replaced: below it the path has to be made.
    pub(super) inside: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// What was there before all changes.
    Open,
    /// The same, read-only.
    ReadOnly,
    /// Nothing can be opened; `passage` where something below has to be reached.
    Hide {
        passage: bool,
    },
    Tmp(usize),
}

impl View {
    /// Where the same path stands in several lists, the strictest counts.
    pub(super) fn new(rules: &Rules) -> View {
        let mut view = View {
            rules: BTreeMap::new(),
        };
        let Files {
            read_only,
            writable,
            hidden,
            private_tmp: _,
        } = &rules.files;
        if read_only.iter().any(|path| path == Path::new("/")) {
            for path in DEVICES_AND_PROCESSES {
                view.rules.insert(path.into(), Rule::Mode(Mode::Open));
            }
        }
        for (paths, mode) in [
            (writable, Mode::Open),
            (read_only, Mode::ReadOnly),
            (hidden, Mode::Hidden),
        ] {
            for path in paths {
                view.rules.insert(path.clone(), Rule::Mode(mode));
            }
        }
        let shown = view.clone();
        for (index, path) in rules.tmp.iter().enumerate() {
            view.rules.insert(path.clone(), Rule::Tmp(index));
        }
        let mut needed = rules.needed.clone();
        needed.sort();
        for path in needed {
            if matches!(
                view.nearest(&path),
                Some((_, Rule::Mode(Mode::Hidden) | Rule::Tmp(_)))
            ) {
                let mode = shown.mode_unless_hidden(&path);
                view.rules.entry(path).or_insert(Rule::Mode(mode));
            }
        }
        for path in &rules.own {
            if view.mode(path) != Mode::Open
                || matches!(view.nearest(path), Some((_, Rule::Tmp(_))))
            {
                view.rules.insert(path.clone(), Rule::Mode(Mode::Open));
            }
        }
        view
    }

    /// The rule for a path, its own or that of the nearest directory above; with the path that it was made for.
    fn nearest<'a>(&self, path: &'a Path) -> Option<(&'a Path, Rule)> {
        path.ancestors()
            .find_map(|above| Some((above, *self.rules.get(above)?)))
    }

    fn mode(&self, path: &Path) -> Mode {
        match self.nearest(path) {
            None | Some((_, Rule::Tmp(_))) => Mode::Open,
            Some((_, Rule::Mode(mode))) => mode,
        }
    }

    /// What a path would be if nothing was hidden.
    fn mode_unless_hidden(&self, path: &Path) -> Mode {
        let rules = path.ancestors().filter_map(|above| self.rules.get(above));
        let shown = rules.filter(|rule| **rule != Rule::Mode(Mode::Hidden));
        match shown.into_iter().next() {
            Some(Rule::Mode(mode)) => *mode,
            None | Some(Rule::Tmp(_)) => Mode::Open,
        }
    }

    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a Path, Rule)> {
        self.rules
            .iter()
            .map(|(other, rule)| (other.as_path(), *rule))
            .filter(move |(other, _)| *other != path && other.starts_with(path))
    }

    /// The changes that make a copy of the present mounts look like this.
    pub(super) fn mounts(&self) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for (path, rule) in &self.rules {
            let above = path.parent().and_then(|parent| self.nearest(parent));
            let (place, above) = above.unzip();
            if *rule == above.unwrap_or(Rule::Mode(Mode::Open)) {
                continue;
            }
            let is_replaced = matches!(above, Some(Rule::Mode(Mode::Hidden) | Rule::Tmp(_)));
            mounts.push(Mount {
                path: path.clone(),
                action: match rule {
                    Rule::Mode(Mode::Open) => Action::Open,
                    Rule::Mode(Mode::ReadOnly) => Action::ReadOnly,
                    Rule::Mode(Mode::Hidden) => Action::Hide {
                        passage: self
                            .below(path)
                            .any(|(_, rule)| rule != Rule::Mode(Mode::Hidden)),
                    },
                    Rule::Tmp(index) => Action::Tmp(*index),
                },
                inside: place.filter(|_| is_replaced).map(Path::to_owned),
            });
        }
        mounts
    }

    /// The same as a list of what is allowed where, for Landlock, which cannot take away below what it has granted. On the
    /// way to a stricter path, `list` names what is in a directory (symbolic links left out), and each entry is granted
    /// for itself: so what is made there later is not.
    pub(super) fn grants(&self, list: &dyn Fn(&Path) -> Vec<PathBuf>) -> Vec<(PathBuf, Mode)> {
        let mut grants = Vec::new();
        let root = Path::new("/");
        self.grant(root, self.mode(root), list, &mut grants);
        grants
    }

    fn grant(
        &self,
        path: &Path,
        mode: Mode,
        list: &dyn Fn(&Path) -> Vec<PathBuf>,
        grants: &mut Vec<(PathBuf, Mode)>,
    ) {
        let modes = self.below(path).map(|(below, _)| self.mode(below));
        let floor = modes.fold(mode, Mode::min);
        if floor > Mode::Hidden {
            grants.push((path.to_owned(), floor));
        }
        if floor < mode {
            for entry in list(path) {
                self.grant(&entry, self.mode(&entry), list, grants);
            }
            return;
        }
        // All rules below allow more; each is granted once, by the topmost.
        for (below, _) in self.below(path) {
            let parent = below.parent().unwrap_or(path);
            let topmost = parent
                .ancestors()
                .take_while(|above| *above != path)
                .all(|above| !self.rules.contains_key(above));
            if topmost {
                self.grant(below, self.mode(below), list, grants);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    fn rules(read_only: &[&str], writable: &[&str], hidden: &[&str]) -> Rules {
        Rules {
            files: Files {
                private_tmp: false,
                read_only: paths(read_only),
                writable: paths(writable),
                hidden: paths(hidden),
            },
            ..Rules::default()
        }
    }

    fn mounts(rules: &Rules) -> Vec<(String, Action, Option<String>)> {
        let text = |path: &PathBuf| path.display().to_string();
        View::new(rules)
            .mounts()
            .iter()
            .map(|mount| {
                let inside = mount.inside.as_ref().map(text);
                (text(&mount.path), mount.action, inside)
            })
            .collect()
    }

    fn plain(path: &str, action: Action) -> (String, Action, Option<String>) {
        (path.to_owned(), action, None)
    }

    fn inside(path: &str, action: Action, above: &str) -> (String, Action, Option<String>) {
        (path.to_owned(), action, Some(above.to_owned()))
    }

    #[test]
    fn a_read_only_root_leaves_devices_processes_and_exceptions() {
        let expected = [
            plain("/", Action::ReadOnly),
            plain("/dev", Action::Open),
            plain("/proc", Action::Open),
            plain("/srv/var", Action::Open),
            plain("/sys", Action::Open),
        ];
        assert_eq!(mounts(&rules(&["/"], &["/srv/var"], &[])), expected);
    }

    #[test]
    fn devices_can_be_read_only_if_somebody_says_so() {
        let changed = mounts(&rules(&["/", "/dev"], &[], &[]));
        assert!(
            !changed.iter().any(|(path, ..)| path == "/dev"),
            "{changed:?}"
        );
    }

    #[test]
    fn rules_that_change_nothing_are_no_mounts() {
        assert_eq!(mounts(&rules(&[], &["/srv"], &[])), []);
        assert_eq!(
            mounts(&rules(&["/srv", "/srv/a"], &[], &[])),
            [plain("/srv", Action::ReadOnly)]
        );
    }

    #[test]
    fn the_strictest_of_several_rules_for_a_path_counts() {
        assert_eq!(
            mounts(&rules(&["/a", "/b"], &["/a"], &["/b"])),
            [
                plain("/a", Action::ReadOnly),
                plain("/b", Action::Hide { passage: false })
            ]
        );
    }

    #[test]
    fn what_is_needed_stays_reachable_in_hidden_and_private_directories() {
        let mut rules = rules(&["/"], &[], &["/home", "/home/me/site/keys"]);
        rules.tmp = paths(&["/tmp"]);
        rules.needed = paths(&["/home/me/site", "/home/me/site/more", "/tmp/run/1", "/usr"]);
        let expected = [
            plain("/", Action::ReadOnly),
            plain("/dev", Action::Open),
            plain("/home", Action::Hide { passage: true }),
            inside("/home/me/site", Action::ReadOnly, "/home"),
            plain("/home/me/site/keys", Action::Hide { passage: false }),
            plain("/proc", Action::Open),
            plain("/sys", Action::Open),
            plain("/tmp", Action::Tmp(0)),
            inside("/tmp/run/1", Action::ReadOnly, "/tmp"),
        ];
        assert_eq!(mounts(&rules), expected);
    }

    #[test]
    fn what_is_the_workers_own_stays_writable() {
        let mut rules = rules(&["/"], &[], &["/run/w"]);
        rules.own = paths(&["/run/w/1.d"]);
        let changed = mounts(&rules);
        assert!(
            changed.contains(&inside("/run/w/1.d", Action::Open, "/run/w")),
            "{changed:?}"
        );
    }

    /// A small tree: `/etc/{keys,hosts}`, `/srv/{a,b}`, `/dev`, `/proc`, `/sys`.
    fn list(path: &Path) -> Vec<PathBuf> {
        match path.to_str() {
            Some("/") => paths(&["/etc", "/srv", "/dev", "/proc", "/sys"]),
            Some("/etc") => paths(&["/etc/keys", "/etc/hosts"]),
            Some("/srv") => paths(&["/srv/a", "/srv/b"]),
            _ => Vec::new(),
        }
    }

    fn grants(rules: &Rules) -> Vec<(String, Mode)> {
        let mut grants: Vec<(String, Mode)> = View::new(rules)
            .grants(&list)
            .into_iter()
            .map(|(path, mode)| (path.display().to_string(), mode))
            .collect();
        grants.sort();
        grants
    }

    fn granted(grants: &[(&str, Mode)]) -> Vec<(String, Mode)> {
        let owned = |(path, mode): &(&str, Mode)| ((*path).to_owned(), *mode);
        grants.iter().map(owned).collect()
    }

    #[test]
    fn a_read_only_root_is_one_grant_and_its_exceptions() {
        let expected = granted(&[
            ("/", Mode::ReadOnly),
            ("/dev", Mode::Open),
            ("/proc", Mode::Open),
            ("/srv/b", Mode::Open),
            ("/sys", Mode::Open),
        ]);
        assert_eq!(grants(&rules(&["/"], &["/srv/b"], &[])), expected);
    }

    #[test]
    fn what_is_beside_a_hidden_path_is_granted_piece_by_piece() {
        let expected = granted(&[
            ("/dev", Mode::Open),
            ("/etc/hosts", Mode::Open),
            ("/proc", Mode::Open),
            ("/srv", Mode::Open),
            ("/sys", Mode::Open),
        ]);
        assert_eq!(grants(&rules(&[], &[], &["/etc/keys"])), expected);
    }

    #[test]
    fn reading_is_granted_where_only_writing_is_taken_away() {
        let expected = granted(&[
            ("/", Mode::ReadOnly),
            ("/dev", Mode::Open),
            ("/etc", Mode::Open),
            ("/proc", Mode::Open),
            ("/srv", Mode::ReadOnly),
            ("/srv/a", Mode::ReadOnly),
            ("/srv/b", Mode::Open),
            ("/sys", Mode::Open),
        ]);
        assert_eq!(grants(&rules(&["/srv/a"], &[], &[])), expected);
    }

    #[test]
    fn what_is_needed_is_granted_below_what_is_hidden() {
        let mut rules = rules(&[], &[], &["/srv"]);
        rules.needed = paths(&["/srv/a"]);
        let all = grants(&rules);
        assert!(all.contains(&("/srv/a".to_owned(), Mode::Open)), "{all:?}");
        assert!(
            !all.iter()
                .any(|(path, _)| path == "/srv" || path == "/srv/b"),
            "{all:?}"
        );
    }
}
