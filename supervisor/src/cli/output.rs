//! Printing. Standard output carries the answer, standard error the rest; a closed pipe is not an error.

use std::io::Write;

/// Prints the answer.
pub(crate) fn answer(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a message for people.
pub(crate) fn message(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Prints a line of an answer that goes on.
///
/// # Errors
/// Nobody reads any more.
pub(crate) fn line(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
