//! Bytes to lines, without looking at each: what is complete is handed on in bulk.

use memchr::{memchr, memrchr};

/// A longer line is cut into pieces of this many bytes.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// Memory that an empty beginning of a line may keep.
const SMALL: usize = 4 * 1024;

/// Cuts a stream of bytes after line ends, and lines that are too long after [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    /// The beginning of a line; at most [`MAX_LINE`] bytes.
    partial: Vec<u8>,
}

impl Cutter {
    /// Goes on with the beginning of a line that another one has read.
    pub(super) fn resume(partial: Vec<u8>) -> Cutter {
        Cutter { partial }
    }

    /// The beginning of a line that has not come to its end.
    pub(super) fn partial(&self) -> &[u8] {
        &self.partial
    }

    /// Each call of `emit` gets parts that together are one or more whole lines, each with its line end.
    pub(super) fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(&[&[u8]])) {
        let mut bytes = bytes;
        if !self.partial.is_empty() {
            let room = MAX_LINE - self.partial.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            bytes = match memchr(b'\n', window) {
                Some(end) => {
                    emit(&[&self.partial, &bytes[..=end]]);
                    &bytes[end + 1..]
                }
                None if bytes.len() <= room => {
                    self.partial.extend_from_slice(bytes);
                    return;
                }
                None => {
                    emit(&[&self.partial, &bytes[..room], b"\n"]);
                    &bytes[room..]
                }
            };
            self.clear();
        }
        // `bytes[start..end]` are whole lines that were not handed on yet.
        let (mut start, mut end) = (0, 0);
        while bytes.len() - end > MAX_LINE {
            match memrchr(b'\n', &bytes[end..=end + MAX_LINE]) {
                Some(last) => end += last + 1,
                None => {
                    emit(&[&bytes[start..end + MAX_LINE], b"\n"]);
                    end += MAX_LINE;
                    start = end;
                }
            }
        }
        if let Some(last) = memrchr(b'\n', &bytes[end..]) {
            end += last + 1;
        }
        if start < end {
            emit(&[&bytes[start..end]]);
        }
        self.partial.extend_from_slice(&bytes[end..]);
    }

    /// The stream has ended: what is left is a line too.
    pub(super) fn finish(&mut self, emit: impl FnOnce(&[&[u8]])) {
        if !self.partial.is_empty() {
            emit(&[&self.partial, b"\n"]);
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.partial.clear();
        self.partial.shrink_to(SMALL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines_of(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::default();
        let mut text = Vec::new();
        let mut emit = |parts: &[&[u8]]| {
            let whole = parts.concat();
            assert_eq!(whole.last(), Some(&b'\n'), "whole lines only");
            text.extend(whole);
        };
        for chunk in chunks {
            cutter.feed(chunk, &mut emit);
            assert!(cutter.partial.len() <= MAX_LINE);
        }
        cutter.finish(&mut emit);
        let mut lines: Vec<Vec<u8>> = text.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        assert_eq!(lines.pop().as_deref(), Some(&b""[..]));
        lines
    }

    /// The same, byte by byte.
    fn plainly(bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(std::mem::take(&mut line));
                continue;
            }
            if line.len() == MAX_LINE {
                lines.push(std::mem::take(&mut line));
            }
            line.push(*byte);
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }

    #[test]
    fn lines_are_put_together_across_chunks() {
        assert_eq!(
            lines_of(&[b"one\ntw", b"o\r\n", b"\nlast"]),
            [&b"one"[..], b"two\r", b"", b"last"]
        );
    }

    #[test]
    fn a_stream_without_newline_is_cut_and_nothing_is_lost() {
        let long = vec![b'x'; 3 * MAX_LINE + 10];
        let lines = lines_of(&[&long]);
        assert_eq!(
            lines.iter().map(Vec::len).collect::<Vec<_>>(),
            [MAX_LINE, MAX_LINE, MAX_LINE, 10]
        );
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_one_line() {
        let mut text = vec![b'x'; MAX_LINE];
        text.push(b'\n');
        assert_eq!(lines_of(&[&text]).len(), 1);
        assert_eq!(lines_of(&[&text[..MAX_LINE], b"\n"]).len(), 1);
    }

    /// Lines of all lengths, some far too long, cut into chunks anywhere.
    fn chunks() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let piece = prop_oneof![
            4 => 0..200usize,
            1 => MAX_LINE - 2..MAX_LINE + 3,
            1 => 0..3 * MAX_LINE,
        ];
        let chunk = (piece, prop::bool::ANY).prop_map(|(length, ends)| {
            let mut chunk = vec![b'x'; length];
            if ends {
                chunk.push(b'\n');
            }
            chunk
        });
        prop::collection::vec(chunk, 0..20)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn cutting_in_bulk_is_cutting_byte_by_byte(chunks in chunks(), split in 1..200_000usize) {
            let whole = chunks.concat();
            let expected = plainly(&whole);
            let pieces: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(lines_of(&pieces), expected.clone());
            let pieces: Vec<&[u8]> = whole.chunks(split).collect();
            prop_assert_eq!(lines_of(&pieces), expected);
        }
    }
}
