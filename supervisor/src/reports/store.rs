//! Reports on disk: `STATE/crashes/APP/TIME-ID.json`, private, written atomically, bounded in number and size.
//!
//! Everything here blocks; `paster serve` calls it in a task of its own. A file is complete or not there, so readers
//! need no lock.

use super::repeats;
use super::report::CrashReport;
use crate::sys::{rundir, statedir};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest file; output is left out where a report would be larger.
const MAX_FILE: usize = 128 * 1024;
/// Directories of apps that are no longer configured; the longest unused go first.
const MAX_STRANGERS: usize = 20;
const SUFFIX: &str = ".json";
/// Files that are being written.
const NEW: &str = ".new-";

/// The reports below a state directory.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Listing {
    /// Oldest first.
    pub reports: Vec<CrashReport>,
    /// Files that are no reports, or of a version that we cannot read, and why.
    pub damaged: Vec<(PathBuf, String)>,
}

impl Store {
    pub fn new(state_dir: &Path) -> Store {
        Store {
            dir: state_dir.join("crashes"),
        }
    }

    /// Where the reports of all apps are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a report: on its own, or counted to the last one of its app if that tells the same. Then removes the oldest
    /// beyond `keep`.
    ///
    /// # Errors
    /// The directory is not ours or cannot be made, the disk is full, …
    pub fn add(&self, report: CrashReport, keep: usize) -> io::Result<()> {
        let dir = self.dir.join(file_name(&report.app));
        statedir::open_private(&self.dir)?;
        statedir::open_private(&dir)?;
        let mut names = names(&dir)?;
        let last = names
            .last()
            .and_then(|name| Some((dir.join(name), read(&dir.join(name)).ok()?)));
        match last {
            Some((path, mut last)) if repeats::is_repeat(&last, &report) => {
                repeats::count(&mut last, report);
                write(&dir, &path, &mut last)?;
            }
            _ => {
                let mut report = report;
                let name = format!("{}-{}{SUFFIX}", compact(&report.time), report.id);
                write(&dir, &dir.join(&name), &mut report)?;
                names.push(name);
            }
        }
        // By their names, so by time.
        names.sort_unstable();
        let superfluous = names.len().saturating_sub(keep.max(1));
        for name in &names[..superfluous] {
            fs::remove_file(dir.join(name))?;
        }
        Ok(())
    }

    /// Removes what the past has left: files that were being written when paster was killed, and the reports of all but
    /// the last apps that are no longer among `apps`.
    ///
    /// # Errors
    /// What the operating system says; where there is nothing, there is nothing to do.
    pub fn tidy(&self, apps: &[String]) -> io::Result<()> {
        let known: Vec<String> = apps.iter().map(|app| file_name(app)).collect();
        let mut strangers = Vec::new();
        for name in self.directories()? {
            let dir = self.dir.join(&name);
            for entry in fs::read_dir(&dir)?.flatten() {
                if entry.file_name().to_string_lossy().starts_with(NEW) {
                    fs::remove_file(entry.path())?;
                }
            }
            if !known.contains(&name) {
                strangers.push((names(&dir)?.pop(), dir));
            }
        }
        strangers.sort_unstable();
        let superfluous = strangers.len().saturating_sub(MAX_STRANGERS);
        for (_, dir) in &strangers[..superfluous] {
            fs::remove_dir_all(dir)?;
        }
        Ok(())
    }

    /// The reports of these apps (of all, if none is named).
    ///
    /// # Errors
    /// A directory cannot be read; one that is not there has no reports.
    pub fn list(&self, apps: &[String]) -> io::Result<Listing> {
        let wanted = if apps.is_empty() {
            self.directories()?
        } else {
            apps.iter().map(|app| file_name(app)).collect()
        };
        let mut listing = Listing::default();
        for name in wanted {
            let dir = self.dir.join(name);
            let names = match names(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                names => names?,
            };
            for path in names.iter().map(|name| dir.join(name)) {
                match read(&path) {
                    Ok(report) => listing.reports.push(report),
                    // Removed by paster meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => listing.damaged.push((path, error.to_string())),
                }
            }
        }
        // One clock, one format: the order of the texts is that of the times.
        listing
            .reports
            .sort_by(|a, b| last_time(a).cmp(last_time(b)));
        Ok(listing)
    }

    fn directories(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }
}

fn last_time(report: &CrashReport) -> &str {
    report
        .repeats
        .last()
        .map_or(&*report.time, |repeat| &*repeat.time)
}

/// The reports in a directory, oldest first.
fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(dir)?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(SUFFIX) && !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    Ok(names)
}

fn read(path: &Path) -> io::Result<CrashReport> {
    let mut text = Vec::new();
    File::open(path)?
        .take(MAX_FILE as u64 + 1)
        .read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// Writes the whole file or nothing: under another name, on disk, then renamed.
fn write(dir: &Path, path: &Path, report: &mut CrashReport) -> io::Result<()> {
    let text = fitting(report)?;
    let new = dir.join(format!("{NEW}{}", report.id));
    let result = create(&new)
        .and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_data()
        })
        .and_then(|()| fs::rename(&new, path));
    if result.is_err() {
        let _ = fs::remove_file(&new);
    }
    result
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

/// The report as JSON. Where that is too large, the oldest output is left out, then the requests.
fn fitting(report: &mut CrashReport) -> io::Result<Vec<u8>> {
    loop {
        let mut text = serde_json::to_vec(report)?;
        if text.len() < MAX_FILE {
            text.push(b'\n');
            return Ok(text);
        }
        if !report.output.is_empty() {
            let less = report.output.len().div_ceil(4);
            report.output.drain(..less);
        } else if !report.requests.is_empty() {
            let less = report.requests.len().div_ceil(4);
            report.requests_omitted += less as u64;
            report.requests.drain(..less);
        } else {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// `2025-06-01T12:00:00.123Z` to `20250601T120000.123Z`.
fn compact(time: &str) -> String {
    time.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

/// The name of an app as that of a directory: what is no letter, digit, dash or underscore is percent-encoded, and a
/// name too long for a file system is cut and told apart by its checksum.
fn file_name(app: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    const LONGEST: usize = 200;
    let name = utf8_percent_encode(app, PLAIN).to_string();
    if name.len() <= LONGEST {
        return name;
    }
    let hash = rundir::hash(name.as_bytes());
    format!("{}-{hash:016x}", &name[..LONGEST])
}

#[cfg(test)]
mod tests {
    use super::super::report::testing::report;
    use super::super::report::{OutputLine, OutputStream};
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn store() -> (tempfile::TempDir, Store) {
        let temp = tempfile::tempdir().expect("temporary directory");
        let store = Store::new(&temp.path().join("state"));
        (temp, store)
    }

    /// The `n`th death of `app`, which is like no other.
    fn nth(app: &str, n: u32) -> CrashReport {
        CrashReport {
            time: format!("2025-06-01T12:{:02}:{:02}.000Z", n / 60, n % 60),
            exit: super::super::report::ExitFacts {
                status: Some(i32::try_from(n).expect("small")),
                ..Default::default()
            },
            ..report(app, &format!("{n:08x}"))
        }
    }

    fn ids(store: &Store, apps: &[&str]) -> Vec<String> {
        let apps: Vec<String> = apps.iter().map(|app| (*app).to_owned()).collect();
        let listing = store.list(&apps).expect("readable");
        assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
        listing.reports.into_iter().map(|r| r.id).collect()
    }

    #[test]
    fn what_was_added_is_listed_oldest_first_and_by_app() {
        let (_temp, store) = store();
        assert_eq!(ids(&store, &[]), Vec::<String>::new(), "nothing there yet");
        store.add(nth("blog", 2), 20).expect("added");
        store.add(nth("wiki", 1), 20).expect("added");
        store.add(nth("blog", 3), 20).expect("added");
        assert_eq!(ids(&store, &[]), ["00000001", "00000002", "00000003"]);
        assert_eq!(ids(&store, &["blog"]), ["00000002", "00000003"]);
        assert_eq!(ids(&store, &["nobody"]), Vec::<String>::new());
        assert_eq!(
            store.list(&["wiki".to_owned()]).expect("readable").reports,
            [nth("wiki", 1)]
        );
    }

    #[test]
    fn files_are_private() {
        let (_temp, store) = store();
        store.add(nth("blog", 1), 20).expect("added");
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        let dir = store.dir.join("blog");
        assert_eq!((mode(&store.dir), mode(&dir)), (0o700, 0o700));
        let names = names(&dir).expect("readable");
        assert_eq!(names, ["20250601T120001.000Z-00000001.json"]);
        assert_eq!(mode(&dir.join(&names[0])), 0o600);
        assert_eq!(
            fs::read_dir(&dir).expect("readable").count(),
            1,
            "nothing else"
        );
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let (_temp, store) = store();
        for n in 0..10 {
            store.add(nth("blog", n), 3).expect("added");
        }
        assert_eq!(ids(&store, &[]), ["00000007", "00000008", "00000009"]);
        store.add(nth("blog", 10), 1).expect("added");
        assert_eq!(
            ids(&store, &[]),
            ["0000000a"],
            "a lower bound holds at once"
        );
    }

    #[test]
    fn the_same_death_again_and_again_is_one_report_with_a_count() {
        let (_temp, store) = store();
        store.add(nth("blog", 0), 3).expect("added");
        for n in 1..100 {
            let same = CrashReport {
                id: format!("{n:08x}"),
                time: format!("2025-06-01T13:00:{:02}.000Z", n % 60),
                ..nth("blog", 0)
            };
            store.add(same, 3).expect("added");
        }
        let listing = store.list(&[]).expect("readable");
        assert_eq!(listing.reports.len(), 1);
        assert_eq!(listing.reports[0].count, 100);
        assert!(listing.reports[0].is_called("00000063"));
    }

    #[test]
    fn a_file_is_never_larger_than_its_limit() {
        let (_temp, store) = store();
        let mut large = nth("blog", 1);
        // A byte that takes six in JSON.
        let line = OutputLine {
            stream: OutputStream::Stdout,
            text: "\u{1}".repeat(1024),
        };
        large.output = vec![line; 100];
        store.add(large, 20).expect("added");
        let dir = store.dir.join("blog");
        let name = names(&dir).expect("readable").remove(0);
        assert!(fs::metadata(dir.join(name)).expect("there").len() <= MAX_FILE as u64);
        let kept = store.list(&[]).expect("readable").reports.remove(0);
        assert!((1..100).contains(&kept.output.len()));
    }

    #[test]
    fn damaged_files_are_named_and_the_others_listed() {
        let (_temp, store) = store();
        store.add(nth("blog", 1), 20).expect("added");
        let broken = store.dir.join("blog/20250601T110000.000Z-ffffffff.json");
        fs::write(&broken, "{").expect("written");
        let listing = store.list(&[]).expect("readable");
        assert_eq!(listing.reports.len(), 1);
        assert_eq!(listing.damaged[0].0, broken);
        // Nor do they hinder anybody from writing.
        fs::write(
            store.dir.join("blog/20990101T000000.000Z-ffffffff.json"),
            "{",
        )
        .expect("written");
        store.add(nth("blog", 2), 20).expect("added");
        assert_eq!(store.list(&[]).expect("readable").reports.len(), 2);
    }

    #[test]
    fn names_of_apps_are_no_paths() {
        assert_eq!(file_name("blog-2_x"), "blog-2_x");
        assert_eq!(file_name(".."), "%2E%2E");
        assert_eq!(file_name("a/b"), "a%2Fb");
        let long = file_name(&"ä".repeat(500));
        assert!(long.len() < 255);
        assert_ne!(long, file_name(&"ä".repeat(501)));
    }

    #[test]
    fn a_directory_of_somebody_else_is_an_error() {
        let (temp, store) = store();
        fs::create_dir_all(temp.path().join("state")).expect("made");
        std::os::unix::fs::symlink("/tmp", &store.dir).expect("made");
        assert!(store.add(nth("blog", 1), 20).is_err());
    }

    #[test]
    fn what_the_past_has_left_is_tidied_up() {
        let (_temp, store) = store();
        store.tidy(&[]).expect("nothing to do");
        for n in 0..25 {
            store.add(nth(&format!("gone-{n}"), n), 20).expect("added");
        }
        store.add(nth("blog", 0), 20).expect("added");
        let half = store.dir.join("blog/.new-00000009");
        fs::write(&half, "{").expect("written");
        store.tidy(&["blog".to_owned()]).expect("tidied");
        assert!(!half.exists());
        let left = ids(&store, &[]);
        assert_eq!(left.len(), MAX_STRANGERS + 1, "{left:?}");
        assert!(left.contains(&"00000018".to_owned()), "the last to die");
        assert_eq!(ids(&store, &["blog"]).len(), 1);
    }
}
