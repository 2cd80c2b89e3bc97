//! Printing. Standard output carries the answer, standard error the rest; a closed pipe is not an error.

use std::io::{self, Write};
use std::sync::OnceLock;

/// Why an answer is not where somebody wants to have it: the first time.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Prints the answer. What cannot be written, as to a disk that is full, is kept for [`lost`].
pub(crate) fn answer(text: &str) {
    // Nobody who reads is no reason to do anything else.
    let _ = line(text);
}

/// Why not all of the answers could be printed; none where that is so because nobody reads them any more.
pub(crate) fn lost() -> Option<&'static io::Error> {
    LOST.get()
}

/// Prints a message for people.
pub(crate) fn message(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a line of an answer that goes on.
///
/// # Errors
/// Nobody reads any more, or it cannot be written.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    printed.map_err(|error| {
        let kind = error.kind();
        if kind != io::ErrorKind::BrokenPipe {
            LOST.get_or_init(|| error);
        }
        kind.into()
    })
}
