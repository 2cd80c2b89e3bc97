//! Where lines go.

use crate::logs::LogFile;
use crate::router::access_log::Rotation;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Standard output, or what is at a path.
pub(super) struct Sink {
    to: To,
    /// What was written last is no whole line: the rest of it was lost.
    torn: bool,
}

enum To {
    Stdout(io::Stdout),
    Path {
        /// As it was configured, perhaps a link.
        path: PathBuf,
        rotation: Rotation,
        open: Open,
    },
}

enum Open {
    Regular(LogFile),
    /// A device or a pipe.
    Other(File),
}

impl Sink {
    pub(super) fn stdout() -> Self {
        let to = To::Stdout(io::stdout());
        Self { to, torn: false }
    }

    /// # Errors
    /// A text that names the file.
    pub(super) fn open(path: &Path, rotation: &Rotation) -> io::Result<Self> {
        let to = To::Path {
            open: Open::new(path)?,
            path: path.to_owned(),
            rotation: rotation.clone(),
        };
        Ok(Self { to, torn: false })
    }

    /// Writes whole lines.
    ///
    /// # Errors
    /// What the system says; the rest is lost.
    pub(super) fn write(&mut self, mut text: &[u8]) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.write_some(b"\n")?;
            self.torn = false;
        }
        while !text.is_empty() {
            match self.write_some(text) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.torn = text[written - 1] != b'\n';
                    text = &text[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_some(&mut self, text: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            To::Stdout(stdout) => {
                stdout.write_all(text)?;
                stdout.flush()?;
                Ok(text.len())
            }
            To::Path { rotation, open, .. } => match open {
                Open::Regular(file) => file.write_some(rotation, text),
                Open::Other(file) => file.write(text),
            },
        }
    }

    /// Opens again what is at the path now.
    ///
    /// # Errors
    /// As [`Sink::open`]; the old one is used further.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let To::Path { path, open, .. } = &mut self.to {
            *open = Open::new(path)?;
            self.torn = false;
        }
        Ok(())
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        Self::at(path).map_err(|error| {
            let shown = path.display();
            io::Error::new(
                error.kind(),
                format!("cannot open the access log {shown}: {error}"),
            )
        })
    }

    fn at(path: &Path) -> io::Result<Self> {
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            // A pipe without a reader would be waited for; it is written to by a thread that may wait.
            let mut options = OpenOptions::new();
            options.append(true);
            let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
            fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
            return Ok(Self::Other(file));
        }
        // A link is followed when the file is opened, not when it is put aside.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut file = LogFile::new(&real);
        file.prepare()?;
        Ok(Self::Regular(file))
    }
}
