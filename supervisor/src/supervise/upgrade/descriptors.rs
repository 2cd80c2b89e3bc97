//! Descriptors on their way from one program to the next: by their numbers, which stay the same across exec.

use crate::sys::fd;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Open descriptors by number; what is not taken out is closed in the end.
#[derive(Debug, Default)]
pub struct Descriptors(BTreeMap<RawFd, OwnedFd>);

impl Descriptors {
    /// Keeps a descriptor; the number stands for it from now on.
    pub fn put(&mut self, descriptor: impl Into<OwnedFd>) -> RawFd {
        let descriptor = descriptor.into();
        let number = descriptor.as_raw_fd();
        self.0.insert(number, descriptor);
        number
    }

    pub fn extend(&mut self, others: Descriptors) {
        self.0.extend(others.0);
    }

    /// # Errors
    /// When the number stands for nothing (any more).
    pub fn take(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        self.0.remove(&number).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("descriptor {number} was not handed over"),
            )
        })
    }

    pub fn numbers(&self) -> Vec<RawFd> {
        self.0.keys().copied().collect()
    }

    /// Takes over what the previous program in this process left open.
    ///
    /// # Errors
    /// A number that is not open.
    pub fn inherit(numbers: &[RawFd]) -> io::Result<Descriptors> {
        let mut inherited = BTreeMap::new();
        for number in numbers {
            if inherited.contains_key(number) {
                continue;
            }
            let descriptor = fd::inherit(*number).map_err(|error| {
                io::Error::new(error.kind(), format!("descriptor {number}: {error}"))
            })?;
            inherited.insert(*number, descriptor);
        }
        Ok(Descriptors(inherited))
    }

    /// Lets all of them stay open in the program that this process becomes, or not.
    ///
    /// # Errors
    /// fcntl(2).
    pub fn keep_across_exec(&self, keep: bool) -> io::Result<()> {
        self.0
            .values()
            .try_for_each(|descriptor| fd::keep_across_exec(descriptor, keep))
    }
}
