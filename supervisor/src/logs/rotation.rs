//! When a log file is put aside for a new one. Pure.

use crate::plan::spec::Rotation;
use memchr::{memchr, memrchr};
use std::time::Duration;

/// What is known of the file that is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Present {
    /// In bytes.
    pub(super) size: u64,
    /// Since its first line.
    pub(super) age: Duration,
    /// Its last line has not come to its end.
    pub(super) mid_line: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Write so many bytes of what waits.
    Write(usize),
    /// Put the file aside first.
    Rotate,
}

/// Decides about `waiting`, which is not empty and ends with a line. A file is never put aside within a line, never
/// becomes larger than it may by a line that could go into the next one, and is never put aside empty.
pub(super) fn next(rotation: &Rotation, present: Present, waiting: &[u8]) -> Step {
    if present.mid_line {
        return Step::Write(first_line(waiting));
    }
    if present.size > 0 && rotation.max_age.is_some_and(|most| present.age >= most) {
        return Step::Rotate;
    }
    let Some(most) = rotation.max_size else {
        return Step::Write(waiting.len());
    };
    let room = usize::try_from(most.saturating_sub(present.size)).unwrap_or(usize::MAX);
    if waiting.len() <= room {
        return Step::Write(waiting.len());
    }
    match memrchr(b'\n', &waiting[..room]) {
        Some(end) => Step::Write(end + 1),
        None if present.size > 0 => Step::Rotate,
        None => Step::Write(first_line(waiting)),
    }
}

fn first_line(waiting: &[u8]) -> usize {
    memchr(b'\n', waiting).map_or(waiting.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROTATION: Rotation = Rotation {
        max_size: Some(10),
        max_age: Some(Duration::from_secs(60)),
        keep: 1,
    };

    fn at(size: u64, age_s: u64) -> Present {
        let age = Duration::from_secs(age_s);
        let mid_line = false;
        Present {
            size,
            age,
            mid_line,
        }
    }

    #[test]
    fn what_fits_is_written() {
        assert_eq!(next(&ROTATION, at(0, 0), b"123456789\n"), Step::Write(10));
        assert_eq!(next(&ROTATION, at(4, 0), b"1\n2\n"), Step::Write(4));
    }

    #[test]
    fn what_does_not_fit_is_split_after_a_line() {
        assert_eq!(next(&ROTATION, at(4, 0), b"1\n2\n345\n"), Step::Write(4));
        assert_eq!(next(&ROTATION, at(8, 0), b"345\n"), Step::Rotate);
        assert_eq!(next(&ROTATION, at(10, 0), b"\n"), Step::Rotate);
    }

    #[test]
    fn a_line_that_fits_nowhere_gets_a_file_of_its_own() {
        assert_eq!(
            next(&ROTATION, at(0, 0), b"0123456789abc\n1\n"),
            Step::Write(14)
        );
        assert_eq!(next(&ROTATION, at(1, 0), b"0123456789abc\n"), Step::Rotate);
    }

    #[test]
    fn an_old_file_is_put_aside_unless_it_is_empty() {
        assert_eq!(next(&ROTATION, at(1, 60), b"1\n"), Step::Rotate);
        assert_eq!(next(&ROTATION, at(1, 59), b"1\n"), Step::Write(2));
        assert_eq!(next(&ROTATION, at(0, 99), b"1\n"), Step::Write(2));
    }

    #[test]
    fn a_line_that_was_begun_comes_to_its_end_first() {
        let mid_line = Present {
            mid_line: true,
            ..at(50, 99)
        };
        assert_eq!(next(&ROTATION, mid_line, b"rest\n1\n"), Step::Write(5));
    }

    #[test]
    fn without_limits_everything_is_written() {
        let rotation = Rotation {
            max_size: None,
            max_age: None,
            keep: 1,
        };
        assert_eq!(
            next(&rotation, at(1 << 40, 1 << 30), b"1\n"),
            Step::Write(2)
        );
    }

    proptest! {
        /// Follows the decisions over a whole text, with writes that are cut short anywhere.
        #[test]
        fn lines_stay_whole_and_files_small(
            lines in prop::collection::vec("[a-z]{0,30}\n", 1..40),
            max in 1..60u64,
            short in prop::collection::vec(1..40usize, 1..10),
        ) {
            let rotation = Rotation { max_size: Some(max), max_age: None, keep: 1 };
            let text = lines.concat().into_bytes();
            let mut files = vec![Vec::new()];
            let (mut waiting, mut shorts) = (&text[..], short.iter().cycle());
            let mut steps = 0;
            while !waiting.is_empty() {
                steps += 1;
                prop_assert!(steps < 10_000, "it goes on and on");
                let file = files.last_mut().expect("one at least");
                let mid_line = file.last().is_some_and(|byte| *byte != b'\n');
                let present = Present { size: file.len() as u64, age: Duration::ZERO, mid_line };
                match next(&rotation, present, waiting) {
                    Step::Write(most) => {
                        prop_assert!((1..=waiting.len()).contains(&most));
                        let written = most.min(*shorts.next().expect("it cycles"));
                        file.extend_from_slice(&waiting[..written]);
                        waiting = &waiting[written..];
                    }
                    Step::Rotate => {
                        prop_assert!(!file.is_empty() && file.ends_with(b"\n"));
                        files.push(Vec::new());
                    }
                }
            }
            prop_assert_eq!(files.concat(), text);
            for file in files {
                let one_line = memchr(b'\n', &file) == Some(file.len() - 1);
                prop_assert!(file.len() as u64 <= max || one_line, "{}", file.len());
            }
        }
    }
}
