//! Watching files: a thread that looks at them now and then, as the original does. That works with every editor, on every
//! file system, and costs little for what it is meant for.

mod scan;

use scan::{Look, Scan, Signature};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

/// Whose files they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    Configuration,
    /// An app, by its number.
    App(u64),
}

/// Files that are not what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub subject: Subject,
    pub files: Vec<PathBuf>,
}

/// How often files are looked at where nobody has said.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// A change is told when nothing more has changed for this long: who edits one file often edits the next.
const QUIET: Duration = Duration::from_millis(100);
/// But no later than this.
const LATEST: Duration = Duration::from_secs(2);
/// The share of its time that the thread may look: one part of so many.
const SHARE: u32 = 20;

enum Order {
    Files(Subject, Vec<PathBuf>, SystemTime),
    Patterns(Subject, Vec<String>, SystemTime),
    Forget(Subject),
}

/// The thread that watches. It ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    orders: Sender<Order>,
}

impl Watcher {
    /// Starts it; it looks every `interval`, or less often where there is much to look at.
    ///
    /// # Errors
    /// No more threads.
    pub fn start(
        interval: Duration,
        changes: tokio::sync::mpsc::Sender<Changed>,
    ) -> io::Result<Watcher> {
        let (orders, received) = channel();
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watch(interval, &received, &changes))?;
        Ok(Watcher { orders })
    }

    /// Watches these files too. One that was modified after `since` has changed already.
    pub fn files(&self, subject: Subject, files: Vec<PathBuf>, since: SystemTime) {
        let _ = self.orders.send(Order::Files(subject, files, since));
    }

    /// Watches what these patterns match, and nothing that other patterns of the same subject did.
    pub fn patterns(&self, subject: Subject, patterns: Vec<String>, since: SystemTime) {
        let _ = self.orders.send(Order::Patterns(subject, patterns, since));
    }

    /// Watches nothing of the subject any more.
    pub fn forget(&self, subject: Subject) {
        let _ = self.orders.send(Order::Forget(subject));
    }
}

/// The life of the thread.
fn watch(
    interval: Duration,
    orders: &Receiver<Order>,
    changes: &tokio::sync::mpsc::Sender<Changed>,
) {
    let mut scan = Scan::default();
    let mut pause = interval;
    loop {
        if take_orders(&mut scan, orders, pause).is_none() {
            return;
        }
        let began = Instant::now();
        let mut changed = scan.look(&Disk, SystemTime::now());
        let took = began.elapsed();
        let deadline = began + LATEST;
        while !changed.is_empty() && Instant::now() < deadline {
            std::thread::sleep(QUIET);
            let more = scan.look(&Disk, SystemTime::now());
            if more.is_empty() {
                break;
            }
            more.into_iter().for_each(|more| add(&mut changed, more));
        }
        for changed in changed {
            if changes.blocking_send(changed).is_err() {
                return;
            }
        }
        pause = interval.max(took * (SHARE - 1));
    }
}

/// Takes orders for as long as `pause`, and for ever while there is nothing to watch. None: nobody wants anything any more.
fn take_orders(scan: &mut Scan, orders: &Receiver<Order>, pause: Duration) -> Option<()> {
    let end = Instant::now() + pause;
    loop {
        let order = if scan.is_empty() {
            orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            orders.recv_timeout(end.saturating_duration_since(Instant::now()))
        };
        match order {
            Ok(Order::Files(subject, files, since)) => scan.add_files(subject, files, since),
            Ok(Order::Patterns(subject, patterns, since)) => {
                scan.set_patterns(subject, patterns, since);
            }
            Ok(Order::Forget(subject)) => scan.forget(subject),
            Err(RecvTimeoutError::Timeout) => return Some(()),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

fn add(changed: &mut Vec<Changed>, more: Changed) {
    match changed
        .iter_mut()
        .find(|known| known.subject == more.subject)
    {
        Some(known) => {
            let new = more.files.into_iter();
            let new: Vec<PathBuf> = new.filter(|file| !known.files.contains(file)).collect();
            known.files.extend(new);
        }
        None => changed.push(more),
    }
}

/// The files of this machine.
struct Disk;

impl Look for Disk {
    fn signature(&self, path: &Path) -> Option<Signature> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Signature {
            modified: metadata.modified().ok()?,
            size: metadata.len(),
            inode: metadata.ino(),
        })
    }

    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let found = glob::glob(pattern).into_iter().flatten();
        found.flatten().take(scan::MOST_FILES).collect()
    }
}
