//! Errors that pass: the system is short of memory, descriptors, processes or space for a moment. What must be said is said
//! when there is enough again.

use nix::errno::Errno;
use std::io::{self, Write};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Between two tries.
pub const PAUSE: Duration = Duration::from_millis(10);

/// The same call may succeed later: `ENOMEM`, `ENOBUFS`, `EMFILE`, `ENFILE`, `ENOSPC`, `EDQUOT`, `EAGAIN`, `EINTR`.
pub fn will_pass(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(
            Errno::ENOMEM
                | Errno::ENOBUFS
                | Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOSPC
                | Errno::EDQUOT
                | Errno::EAGAIN
                | Errno::EINTR
        )
    )
}

/// Writes all of `bytes` to a blocking stream, however long a shortage takes.
///
/// # Errors
/// Errors that do not pass: the other side is gone.
pub fn write_all(stream: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if will_pass(&error) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// As [`write_all`], for a stream of the runtime.
///
/// # Errors
/// Errors that do not pass: the other side is gone.
pub async fn write_all_async(
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes).await {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if will_pass(&error) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How often it is worth a line in the log that something still does not work.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// When a shortage was last complained of: it may be met many times in a second.
#[derive(Debug, Default)]
pub struct Complaints(Option<Instant>);

impl Complaints {
    /// The first time, and then every ten seconds.
    pub fn are_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.0.is_none_or(|last| now >= last + COMPLAINT_INTERVAL);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Takes two bytes at a time, between errors.
    struct Reluctant {
        errors: VecDeque<i32>,
        taken: Vec<u8>,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.errors.pop_front() {
                Some(0) | None => {
                    let taken = &bytes[..bytes.len().min(2)];
                    self.taken.extend_from_slice(taken);
                    Ok(taken.len())
                }
                Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_shortage_loses_and_repeats_nothing() {
        let mut stream = Reluctant {
            errors: [libc::ENOMEM, 0, libc::EINTR, libc::ENOBUFS, 0].into(),
            taken: Vec::new(),
        };
        write_all(&mut stream, b"a message").expect("it passes");
        assert_eq!(stream.taken, b"a message");
    }

    #[test]
    fn one_complaint_stands_for_many() {
        let mut complaints = Complaints::default();
        assert!(complaints.are_due());
        assert!(!complaints.are_due());
    }

    #[test]
    fn the_end_of_the_other_side_does_not_pass() {
        let mut stream = Reluctant {
            errors: [0, libc::EPIPE].into(),
            taken: Vec::new(),
        };
        assert!(write_all(&mut stream, b"a message").is_err());
        assert_eq!(stream.taken, b"a ");
    }
}
