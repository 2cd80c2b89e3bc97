//! What was seen and what is seen now. Pure: the file system is an argument.

use super::{Changed, Subject};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// More files of one subject are not looked at.
pub(super) const MOST_FILES: usize = 20_000;
/// Files that are named when a subject has changed.
const NAMED: usize = 10;

/// The clock of file systems moves in steps: a file that was written now may bear a time that is so much earlier.
const GRAIN: Duration = Duration::from_millis(10);

/// By what a file is known to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) modified: SystemTime,
    pub(super) size: u64,
    pub(super) inode: u64,
}

/// The file system.
pub(super) trait Look {
    /// None for what is not there.
    fn signature(&self, path: &Path) -> Option<Signature>;
    /// What a pattern matches now.
    fn matching(&self, pattern: &str) -> Vec<PathBuf>;
}

/// All that is watched.
#[derive(Debug, Default)]
pub(super) struct Scan {
    subjects: BTreeMap<Subject, Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    files: BTreeMap<PathBuf, Seen>,
    patterns: Vec<String>,
    /// What the patterns matched.
    matched: BTreeMap<PathBuf, Seen>,
    /// The patterns have been looked up before: what they match now and did not then is new.
    matched_before: bool,
    /// For what is matched the first time.
    since: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Not yet; if it was modified after this, it has changed.
    NotSince(SystemTime),
    As(Option<Signature>),
}

impl Scan {
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    pub(super) fn add_files(&mut self, subject: Subject, files: Vec<PathBuf>, since: SystemTime) {
        let watched = self.subjects.entry(subject).or_default();
        for file in files {
            if watched.files.len() < MOST_FILES {
                watched.files.entry(file).or_insert(Seen::NotSince(since));
            }
        }
    }

    pub(super) fn set_patterns(
        &mut self,
        subject: Subject,
        patterns: Vec<String>,
        since: SystemTime,
    ) {
        if patterns.is_empty() && !self.subjects.contains_key(&subject) {
            return;
        }
        let watched = self.subjects.entry(subject).or_default();
        if watched.patterns != patterns {
            watched.patterns = patterns;
            watched.matched.clear();
            watched.matched_before = false;
            watched.since = Some(since);
        }
        if watched.files.is_empty() && watched.patterns.is_empty() {
            self.subjects.remove(&subject);
        }
    }

    pub(super) fn forget(&mut self, subject: Subject) {
        self.subjects.remove(&subject);
    }

    /// Looks at everything; what is told here is not told again.
    pub(super) fn look(&mut self, disk: &impl Look, now: SystemTime) -> Vec<Changed> {
        let mut changes = Vec::new();
        for (subject, watched) in &mut self.subjects {
            let mut files = watched.look(disk, now);
            if !files.is_empty() {
                files.truncate(NAMED);
                changes.push(Changed {
                    subject: *subject,
                    files,
                });
            }
        }
        changes
    }
}

impl Watched {
    fn look(&mut self, disk: &impl Look, now: SystemTime) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (path, seen) in &mut self.files {
            if seen.look(disk.signature(path), now) {
                changed.push(path.clone());
            }
        }
        if self.patterns.is_empty() {
            return changed;
        }
        let matching = self.patterns.iter().flat_map(|text| disk.matching(text));
        let matching: BTreeSet<PathBuf> = matching.take(MOST_FILES).collect();
        let first = match self.since {
            Some(since) if !self.matched_before => Seen::NotSince(since),
            _ => Seen::As(None),
        };
        for path in matching {
            self.matched.entry(path).or_insert(first);
        }
        self.matched.retain(|path, seen| {
            let signature = disk.signature(path);
            if seen.look(signature, now) {
                changed.push(path.clone());
            }
            signature.is_some()
        });
        self.matched_before = true;
        changed
    }
}

impl Seen {
    /// Whether it has changed; from now on it is known as it is.
    fn look(&mut self, signature: Option<Signature>, now: SystemTime) -> bool {
        let changed = match (*self, signature) {
            // A clock that is ahead of ours (on another machine) must not make a change of every look.
            (Seen::NotSince(since), Some(signature)) => {
                signature.modified + GRAIN > since && signature.modified <= now
            }
            (Seen::NotSince(_), None) => false,
            (Seen::As(before), signature) => before != signature,
        };
        *self = Seen::As(signature);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by path; the time of their last change in seconds.
    #[derive(Default)]
    struct Files(BTreeMap<PathBuf, u64>);

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    impl Look for Files {
        fn signature(&self, path: &Path) -> Option<Signature> {
            let second = *self.0.get(path)?;
            Some(Signature {
                modified: at(second),
                size: 1,
                inode: 1,
            })
        }

        fn matching(&self, pattern: &str) -> Vec<PathBuf> {
            let pattern = glob::Pattern::new(pattern).expect("a pattern");
            let all = self.0.keys();
            all.filter(|path| pattern.matches_path(path))
                .cloned()
                .collect()
        }
    }

    const NOW: u64 = 1000;
    const APP: Subject = Subject::App(1);

    struct World {
        files: Files,
        scan: Scan,
    }

    impl World {
        fn new(files: &[(&str, u64)]) -> World {
            let files = files.iter().map(|(path, at)| (PathBuf::from(path), *at));
            World {
                files: Files(files.collect()),
                scan: Scan::default(),
            }
        }

        fn watching(mut self, paths: &[&str]) -> World {
            let paths = paths.iter().map(PathBuf::from).collect();
            self.scan.add_files(APP, paths, at(500));
            self
        }

        fn matching(mut self, pattern: &str) -> World {
            self.scan
                .set_patterns(APP, vec![pattern.to_owned()], at(500));
            self
        }

        fn set(&mut self, path: &str, second: u64) {
            self.files.0.insert(path.into(), second);
        }

        fn changed(&mut self) -> Vec<String> {
            let changes = self.scan.look(&self.files, at(NOW));
            let files = changes.into_iter().flat_map(|changed| changed.files);
            files.map(|file| file.display().to_string()).collect()
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let mut world = World::new(&[("/a", 1), ("/b", 1)]).watching(&["/a", "/b"]);
        assert!(world.changed().is_empty());
        world.set("/a", 600);
        assert_eq!(world.changed(), ["/a"]);
        assert!(world.changed().is_empty());
        world.set("/a", 3);
        assert_eq!(world.changed(), ["/a"], "older is different too");
    }

    #[test]
    fn what_was_modified_after_the_worker_began_is_a_change_at_the_first_look() {
        let mut world = World::new(&[("/a", 501), ("/b", 499)]).watching(&["/a", "/b"]);
        assert_eq!(world.changed(), ["/a"]);
    }

    #[test]
    fn a_file_from_the_future_is_no_change_for_ever() {
        let mut world = World::new(&[("/a", NOW + 1)]).watching(&["/a"]);
        assert!(world.changed().is_empty());
    }

    #[test]
    fn files_that_come_and_go_are_changes() {
        let mut world = World::new(&[]).watching(&["/missing.py"]);
        assert!(world.changed().is_empty());
        world.set("/missing.py", 3);
        assert_eq!(world.changed(), ["/missing.py"]);
        world.files.0.clear();
        assert_eq!(world.changed(), ["/missing.py"]);
        assert!(world.changed().is_empty());
    }

    #[test]
    fn who_tells_a_file_again_begins_nothing_anew() {
        let mut world = World::new(&[("/a", 1)]).watching(&["/a"]);
        assert!(world.changed().is_empty());
        world.set("/a", 600);
        let mut world = world.watching(&["/a"]);
        assert_eq!(world.changed(), ["/a"]);
    }

    #[test]
    fn patterns_find_what_is_new_and_what_is_gone() {
        let mut world = World::new(&[("/t/a.html", 1), ("/t/a.py", 1)]).matching("/t/*.html");
        assert!(world.changed().is_empty());
        world.set("/t/a.py", 600);
        assert!(world.changed().is_empty());
        world.set("/t/b.html", 2);
        assert_eq!(world.changed(), ["/t/b.html"]);
        world.files.0.remove(Path::new("/t/a.html"));
        assert_eq!(world.changed(), ["/t/a.html"]);
        assert!(world.changed().is_empty());
        let same = world.matching("/t/*.html");
        let mut other = same.matching("/t/*.py");
        assert_eq!(other.changed(), ["/t/a.py"], "modified after the app began");
        assert!(other.changed().is_empty());
    }

    #[test]
    fn what_is_forgotten_is_not_looked_at() {
        let mut world = World::new(&[("/a", 1)]).watching(&["/a"]);
        world.scan.forget(APP);
        world.set("/a", 600);
        assert!(world.changed().is_empty() && world.scan.is_empty());
        world.scan.set_patterns(APP, Vec::new(), at(1));
        assert!(world.scan.is_empty());
    }
}
