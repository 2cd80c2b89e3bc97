//! `--daemon`: the process that was called stays until the daemon serves, so that it can say how that went.

use crate::sys::child;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

/// Which process goes on after [`detach`].
pub enum Detached {
    /// The one that was called.
    Front(Front),
    /// The daemon: in a session of its own, without a terminal. Directory, umask and output are still the same.
    Daemon(Launcher),
}

/// The process that was called, waiting.
pub struct Front(UnixStream);

/// The daemon's way to the process that was called. To drop it means that it will never serve.
pub struct Launcher(UnixStream);

/// What is said before the words for people.
const SERVING: &str = "serving\n";

/// Forks twice: the daemon is no session leader and so never gets a terminal (daemon(7)).
///
/// # Errors
/// What the operating system refuses, in either process.
pub fn detach() -> io::Result<Detached> {
    let (front, daemon) = UnixStream::pair()?;
    if let Some(child) = child::split()? {
        nix::sys::wait::waitpid(child, None)?;
        return Ok(Detached::Front(Front(front)));
    }
    drop(front);
    nix::unistd::setsid()?;
    if child::split()?.is_some() {
        child::exit_now(0);
    }
    Ok(Detached::Daemon(Launcher(daemon)))
}

impl Front {
    /// Waits until the daemon serves, and returns its words for people. None: it has ended before; it has said why.
    pub fn wait(mut self) -> Option<String> {
        let mut said = String::new();
        let _ = self.0.read_to_string(&mut said);
        said.strip_prefix(SERVING).map(str::to_owned)
    }
}

impl Launcher {
    /// Lets the process that was called end.
    pub fn serving(mut self, words: &str) {
        // It may have been ended from outside meanwhile.
        let _ = write!(self.0, "{SERVING}{words}");
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Something that becomes readable when the process that was called is gone.
    ///
    /// # Errors
    /// No free descriptor.
    pub fn watch(&self) -> io::Result<UnixStream> {
        let watch = self.0.try_clone()?;
        watch.set_nonblocking(true)?;
        Ok(watch)
    }
}
