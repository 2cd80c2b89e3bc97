//! Taking over descriptors that were passed through `exec`: the only `unsafe` of this crate.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::libc;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to take over what this process was started with. There is one in each process.
pub(crate) struct Inheritance(());

impl Inheritance {
    /// None when somebody has it already.
    pub(crate) fn claim() -> Option<Inheritance> {
        (!TAKEN.swap(true, Ordering::AcqRel)).then_some(Inheritance(()))
    }

    /// Becomes the owner of descriptor `raw` and keeps it from programs that this one starts (close-on-exec).
    ///
    /// # Errors
    /// When `raw` is a standard stream, not open, or already close-on-exec: `exec` has not passed it on, it was opened
    /// by this program.
    #[expect(
        unsafe_code,
        reason = "a descriptor is passed as a number; this is where it gets an owner"
    )]
    pub(crate) fn take(&mut self, raw: RawFd) -> Result<OwnedFd, String> {
        if raw <= 2 {
            return Err("0 to 2 are the standard streams".to_owned());
        }
        // SAFETY: F_GETFD reads a flag and has no other effect, whatever the number is; it fails on one that is not open.
        let flags = Errno::result(unsafe { libc::fcntl(raw, libc::F_GETFD) })
            .map_err(|errno| errno.desc().to_owned())?;
        if flags & libc::FD_CLOEXEC != 0 {
            return Err("it was not passed on to this program".to_owned());
        }
        // SAFETY: `raw` is open, and not close-on-exec: Rust opens every descriptor close-on-exec, so this one came
        // through `exec` and nothing in this process owns it. `self` exists once, and a descriptor that was taken is
        // close-on-exec from here on, so it is not taken twice.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
            .map_err(|errno| errno.desc().to_owned())?;
        Ok(owned)
    }
}
