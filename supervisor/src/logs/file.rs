//! A log file: opened for appending, put aside when it is full or old, opened again when somebody else has moved it.
//!
//! Everything here may wait for a disk, so it runs in the sink's own thread. Nothing is ever truncated: a program that
//! copies and truncates the file (`copytruncate`) and one that moves it (`create`, then SIGUSR1) both find it as they
//! expect.

use super::rotation::{self, Present, Step};
use super::standard;
use crate::plan::spec::Rotation;
use nix::errno::Errno;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a file that cannot be put aside is left in peace.
const ROTATION_RETRY: Duration = Duration::from_secs(60);

/// One file under one path.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    open: Option<Open>,
    /// When the file could not be put aside, last.
    stuck: Option<Instant>,
    /// What comes next is the rest of the line that the file ends with.
    goes_on: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Devices and pipes are never put aside.
    is_regular: bool,
    /// Where the file system does not know when the file was made: when it was opened.
    begun: SystemTime,
    mid_line: bool,
}

impl LogFile {
    pub(crate) fn new(path: &Path) -> LogFile {
        LogFile {
            path: path.to_path_buf(),
            open: None,
            stuck: None,
            goes_on: false,
        }
    }

    /// What comes first is the rest of a line that the program before us has begun.
    pub(super) fn goes_on(&mut self) {
        self.goes_on = true;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file, if it is not open.
    ///
    /// # Errors
    /// Of open(2).
    pub(crate) fn prepare(&mut self) -> io::Result<()> {
        self.present().map(|_| ())
    }

    /// Lets go of the file; the next write opens what is there under its path then.
    pub(super) fn close(&mut self) {
        self.open = None;
        self.stuck = None;
    }

    /// Writes the beginning of `waiting`, which is not empty and ends with a line; returns how much.
    ///
    /// # Errors
    /// Of open(2) and write(2); nothing is lost, and the same may be tried again.
    pub(crate) fn write_some(&mut self, rotation: &Rotation, waiting: &[u8]) -> io::Result<usize> {
        let mut most = waiting.len();
        // Twice: somebody else may have put another file there, which may be full too. If it stays full, it cannot be put
        // aside, and nothing may be lost.
        for _ in 0..3 {
            let present = self.present()?;
            if !self.may_rotate() {
                break;
            }
            match rotation::next(rotation, present, waiting) {
                Step::Rotate => self.rotate(rotation.keep),
                Step::Write(fitting) => {
                    most = fitting;
                    break;
                }
            }
        }
        let open = self.opened()?;
        let written = standard::write(open.file.as_fd(), &waiting[..most])?;
        if let Some(last) = waiting[..written].last() {
            open.mid_line = *last != b'\n';
        }
        Ok(written)
    }

    /// What is open, or is opened now.
    fn opened(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open::new(&self.path, self.goes_on)?,
        };
        self.goes_on = false;
        Ok(self.open.insert(open))
    }

    fn present(&mut self) -> io::Result<Present> {
        // Each time anew: somebody may have truncated or removed it.
        let mut metadata = self.opened()?.file.metadata()?;
        if metadata.nlink() == 0 {
            self.open = None;
            metadata = self.opened()?.file.metadata()?;
        }
        let open = self.opened()?;
        let size = metadata.len();
        let age = SystemTime::now()
            .duration_since(open.begun)
            .unwrap_or_default();
        let mid_line = open.mid_line && size > 0;
        Ok(Present {
            size,
            age,
            mid_line,
        })
    }

    fn may_rotate(&self) -> bool {
        let is_regular = self.open.as_ref().is_some_and(|open| open.is_regular);
        is_regular
            && self
                .stuck
                .is_none_or(|since| since.elapsed() >= ROTATION_RETRY)
    }

    /// Puts the file aside, unless somebody else has done that; the next write opens a new one.
    fn rotate(&mut self, keep: u32) {
        let Some(open) = self.open.take() else { return };
        let Ok(old) = open.file.metadata() else {
            return;
        };
        if !fs::symlink_metadata(&self.path).is_ok_and(|there| same_file(&there, &old)) {
            return;
        }
        let done = shift(&self.path, keep).and_then(|()| {
            let made = create(&self.path)?;
            // As the old one was, if we may: somebody may have given it to a group that reads it.
            let _ = fchown(&made, Some(old.uid()), Some(old.gid()));
            let _ = made.set_permissions(old.permissions());
            Ok(())
        });
        match done {
            Ok(()) => self.stuck = None,
            Err(error) => {
                let path = self.path.display();
                if self.stuck.is_none() {
                    tracing::error!(%error, "cannot rotate the log file {path}; it goes on growing");
                }
                self.stuck = Some(Instant::now());
            }
        }
    }
}

impl Open {
    /// What is half a line is ended, unless the next one `goes_on` with it.
    fn new(path: &Path, goes_on: bool) -> io::Result<Open> {
        let file = create(path)?;
        let metadata = file.metadata()?;
        let mut open = Open {
            is_regular: metadata.is_file(),
            begun: begun(&metadata),
            mid_line: false,
            file,
        };
        if open.is_regular && ends_within_a_line(&open.file, metadata.len()) {
            open.mid_line = goes_on;
            if !goes_on {
                // A paster that was killed has left it.
                open.file.write_all(b"\n")?;
            }
        }
        Ok(open)
    }
}

/// Opens `path` for appending, and makes it (0640) if there is nothing. A symbolic link is refused: whoever may write to
/// the directory could point it at any file of ours. Nothing blocks: a pipe without a reader is an error.
///
/// # Errors
/// Of open(2).
pub(super) fn create(path: &Path) -> io::Result<File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags)
        .open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::ELOOP as i32 => io::Error::new(
            error.kind(),
            "it is a symbolic link; name its target instead",
        ),
        _ => error,
    })
}

/// When the first line was written, as far as that is known: when the file was made.
fn begun(metadata: &Metadata) -> SystemTime {
    metadata.created().unwrap_or_else(|_| SystemTime::now())
}

fn ends_within_a_line(file: &File, size: u64) -> bool {
    let mut last = [b'\n'];
    size > 0 && file.read_exact_at(&mut last, size - 1).is_ok() && last != [b'\n']
}

fn same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// `blog.log` becomes `blog.log.1`, what was `.1` becomes `.2`, and so on; at most `keep` of them stay. Interrupted
/// anywhere, it leaves at most a gap in the numbers, which the next rotation closes.
fn shift(path: &Path, keep: u32) -> io::Result<()> {
    let exists = |number: u32| fs::symlink_metadata(numbered(path, number)).is_ok();
    // Left over from when more were kept.
    let mut surplus = keep + 1;
    while exists(surplus) {
        fs::remove_file(numbered(path, surplus))?;
        surplus += 1;
    }
    if keep == 0 {
        return fs::remove_file(path);
    }
    let mut free = 1;
    while free < keep && exists(free) {
        free += 1;
    }
    for number in (1..free).rev() {
        fs::rename(numbered(path, number), numbered(path, number + 1))?;
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    const SMALL: Rotation = Rotation {
        max_size: Some(8),
        max_age: None,
        keep: 3,
    };

    fn file(name: &str) -> (TempDir, LogFile) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = LogFile::new(&directory.path().join(name));
        (directory, file)
    }

    fn write(file: &mut LogFile, rotation: &Rotation, text: &str) {
        let mut waiting = text.as_bytes();
        while !waiting.is_empty() {
            let written = file.write_some(rotation, waiting).expect("room");
            waiting = &waiting[written..];
        }
    }

    fn there(directory: &TempDir) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory.path())
            .expect("a directory")
            .flatten();
        let mut found: Vec<(String, String)> = entries
            .map(|entry| {
                let text = fs::read_to_string(entry.path()).expect("text");
                (entry.file_name().to_string_lossy().into_owned(), text)
            })
            .collect();
        found.sort();
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        expected.iter().map(own).collect()
    }

    #[test]
    fn full_files_move_up_and_the_oldest_goes() {
        let (directory, mut file) = file("x");
        write(&mut file, &SMALL, "1aaa\n2aaa\n3aaa\n4aaa\n5aaa\n");
        let expected = [
            ("x", "5aaa\n"),
            ("x.1", "4aaa\n"),
            ("x.2", "3aaa\n"),
            ("x.3", "2aaa\n"),
        ];
        assert_eq!(there(&directory), pairs(&expected));
    }

    #[test]
    fn half_a_line_is_ended_or_gone_on_with() {
        let (directory, mut file) = file("x");
        let all = Rotation {
            max_size: None,
            ..SMALL
        };
        let path = directory.path().join("x");
        fs::write(&path, "ha").expect("written");
        file.goes_on();
        write(&mut file, &all, "lf\nnext\n");
        assert_eq!(fs::read_to_string(&path).expect("text"), "half\nnext\n");
        fs::write(&path, "ha").expect("written");
        file.close();
        write(&mut file, &all, "next\n");
        assert_eq!(fs::read_to_string(&path).expect("text"), "ha\nnext\n");
    }

    #[test]
    fn a_gap_that_a_crash_has_left_is_closed_and_loses_nothing() {
        let (directory, mut file) = file("x");
        fs::write(directory.path().join("x"), "now\n").expect("written");
        fs::write(directory.path().join("x.1"), "one\n").expect("written");
        fs::write(directory.path().join("x.3"), "three\n").expect("written");
        write(&mut file, &SMALL, "more..\n");
        let expected = [
            ("x", "more..\n"),
            ("x.1", "now\n"),
            ("x.2", "one\n"),
            ("x.3", "three\n"),
        ];
        assert_eq!(there(&directory), pairs(&expected));
    }

    #[test]
    fn none_may_be_kept_and_what_was_kept_before_goes() {
        let (directory, mut file) = file("x");
        for name in ["x.1", "x.2", "x.old", "x.9"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        let none = Rotation { keep: 0, ..SMALL };
        write(&mut file, &none, "1aaa\n2aaa\n3aaa\n");
        let expected = [("x", "3aaa\n"), ("x.9", ""), ("x.old", "")];
        assert_eq!(there(&directory), pairs(&expected));
    }

    #[test]
    fn a_new_file_is_as_the_old_one_was() {
        let (directory, mut file) = file("x");
        write(&mut file, &SMALL, "1aaa\n");
        let path = directory.path().join("x");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).expect("our own");
        write(&mut file, &SMALL, "2aaa\n");
        let mode = |name| {
            fs::metadata(directory.path().join(name))
                .expect(name)
                .mode()
                & 0o777
        };
        assert_eq!((mode("x"), mode("x.1")), (0o664, 0o664));
    }

    #[test]
    fn what_somebody_else_has_moved_is_not_moved_again() {
        let (directory, mut file) = file("x");
        write(&mut file, &SMALL, "1aaa\n");
        fs::rename(directory.path().join("x"), directory.path().join("x-2025")).expect("moved");
        fs::write(directory.path().join("x"), "new\n").expect("written");
        write(&mut file, &SMALL, "2aaa\n3aaa\n");
        let expected = [
            ("x", "3aaa\n"),
            ("x-2025", "1aaa\n"),
            ("x.1", "2aaa\n"),
            ("x.2", "new\n"),
        ];
        assert_eq!(there(&directory), pairs(&expected));
    }

    #[test]
    fn a_directory_that_may_not_be_changed_costs_the_rotation_and_no_line() {
        let (directory, mut file) = file("x");
        write(&mut file, &SMALL, "1aaa\n");
        // Not even root can rename onto a directory.
        fs::create_dir_all(directory.path().join("x.1/in the way")).expect("made");
        let one = Rotation { keep: 1, ..SMALL };
        write(&mut file, &one, "2aaa\n3aaa\n");
        let text = fs::read_to_string(directory.path().join("x")).expect("text");
        assert_eq!(text, "1aaa\n2aaa\n3aaa\n");
    }

    #[test]
    fn devices_are_written_and_never_put_aside() {
        let mut file = LogFile::new(Path::new("/dev/null"));
        write(&mut file, &SMALL, "1aaa\n2aaa\n3aaa\n");
        assert!(!Path::new("/dev/null.1").exists());
        let mut full = LogFile::new(Path::new("/dev/full"));
        let error = full.write_some(&SMALL, b"x\n").expect_err("it is full");
        assert_eq!(error.raw_os_error(), Some(Errno::ENOSPC as i32));
    }
}
