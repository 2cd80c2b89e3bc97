//! The grammar of a chunked body (RFC 9112 section 7.1): of a request, where it ends (hyper decodes it); of an answer, what in it
//! is data.

/// More than this of extensions and trailers is refused, in all.
const OVERHEAD: usize = 16 * 1024;

/// More digits than this in one size are refused: 16 are enough for all sizes, but zeros may stand before them.
const DIGITS: usize = 64;

/// What is no chunked coding.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// So many bytes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Framing(usize),
    Data(usize),
    /// Of their lines, without the empty one at the end.
    Trailers(usize),
}

/// Reads one body, in as many pieces as it comes.
#[derive(Debug)]
pub(super) struct ChunkScan {
    stage: Stage,
    /// Of the chunk that is being read.
    size: u64,
    /// Of that size.
    digits: usize,
    overhead: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the first digit of a size.
    Begin,
    Size,
    /// Whitespace after a size: an extension has to follow, or the end of the line.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line after the last chunk.
    TrailerBegin,
    Trailer,
    TrailerLf,
    EndLf,
    Done,
}

impl Default for ChunkScan {
    fn default() -> Self {
        Self {
            stage: Stage::Begin,
            size: 0,
            digits: 0,
            overhead: 0,
        }
    }
}

impl ChunkScan {
    /// How many of `bytes` belong to the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && self.stage != Stage::Done {
            at += match self.next(&bytes[at..])? {
                Piece::Framing(length) | Piece::Data(length) | Piece::Trailers(length) => length,
            };
        }
        Ok(at)
    }

    /// What `bytes`, of which there is one at least, begin with. Not to be asked when [done](Self::is_done).
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Result<Piece, Malformed> {
        if self.stage == Stage::Data {
            let left = usize::try_from(self.size).unwrap_or(usize::MAX);
            let take = left.min(bytes.len());
            self.size -= take as u64;
            if self.size == 0 {
                self.stage = Stage::DataCr;
            }
            return Ok(Piece::Data(take));
        }
        let mut length = 0;
        let is_trailer = self.is_trailer(bytes[0]);
        for &byte in bytes {
            let goes_on = !matches!(self.stage, Stage::Data | Stage::Done);
            if !goes_on || self.is_trailer(byte) != is_trailer {
                break;
            }
            self.stage = self.step(byte)?;
            length += 1;
        }
        Ok(match is_trailer {
            true => Piece::Trailers(length),
            false => Piece::Framing(length),
        })
    }

    /// Whether `byte`, as the next one, belongs to a line of trailers.
    fn is_trailer(&self, byte: u8) -> bool {
        match self.stage {
            Stage::TrailerBegin => byte != b'\r',
            Stage::Trailer | Stage::TrailerLf => true,
            _ => false,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    fn step(&mut self, byte: u8) -> Result<Stage, Malformed> {
        Ok(match (self.stage, byte) {
            (Stage::Begin | Stage::Size, digit) if digit.is_ascii_hexdigit() => {
                let value = char::from(digit).to_digit(16).unwrap_or(0);
                let shifted = self.size.checked_mul(16).ok_or(Malformed)?;
                self.size = shifted + u64::from(value);
                self.digits += 1;
                if self.digits > DIGITS {
                    return Err(Malformed);
                }
                Stage::Size
            }
            (Stage::Size | Stage::Blank | Stage::Extension, b'\r') => Stage::SizeLf,
            (Stage::Size | Stage::Blank, b';') => self.extension(byte)?,
            (Stage::Size | Stage::Blank, b' ' | b'\t') => {
                self.spend()?;
                Stage::Blank
            }
            (Stage::Extension, byte) => self.extension(byte)?,
            (Stage::SizeLf, b'\n') if self.size == 0 => Stage::TrailerBegin,
            (Stage::SizeLf, b'\n') => Stage::Data,
            (Stage::DataCr, b'\r') => Stage::DataLf,
            (Stage::DataLf, b'\n') => {
                self.size = 0;
                self.digits = 0;
                Stage::Begin
            }
            (Stage::TrailerBegin, b'\r') => Stage::EndLf,
            (Stage::TrailerBegin, b' ' | b'\t') => return Err(Malformed),
            (Stage::Trailer, b'\r') => Stage::TrailerLf,
            (Stage::TrailerBegin | Stage::Trailer, byte) => {
                self.text(byte)?;
                Stage::Trailer
            }
            (Stage::TrailerLf, b'\n') => Stage::TrailerBegin,
            (Stage::EndLf, b'\n') => Stage::Done,
            _ => return Err(Malformed),
        })
    }

    fn extension(&mut self, byte: u8) -> Result<Stage, Malformed> {
        self.text(byte)?;
        Ok(Stage::Extension)
    }

    fn text(&mut self, byte: u8) -> Result<(), Malformed> {
        if byte != b'\t' && byte.is_ascii_control() {
            return Err(Malformed);
        }
        self.spend()
    }

    fn spend(&mut self) -> Result<(), Malformed> {
        self.overhead += 1;
        if self.overhead > OVERHEAD {
            return Err(Malformed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n00 ;z\r\nX-Sum: 1\r\n\r\n";

    #[test]
    fn the_end_is_found_however_the_body_is_cut() {
        let next = [BODY, b"GET / HTTP/1.1\r\n"].concat();
        let mut scan = ChunkScan::default();
        assert_eq!(scan.feed(&next), Ok(BODY.len()));
        assert!(scan.is_done());
        let mut scan = ChunkScan::default();
        for byte in BODY {
            assert!(!scan.is_done());
            assert_eq!(scan.feed(&[*byte]), Ok(1));
        }
        assert!(scan.is_done());
    }

    #[test]
    fn there_may_be_any_number_of_chunks() {
        let body = [b"1\r\na\r\n".repeat(100_000), b"0\r\n\r\n".to_vec()].concat();
        let mut scan = ChunkScan::default();
        assert_eq!(scan.feed(&body), Ok(body.len()));
        assert!(scan.is_done());
    }

    #[test]
    fn data_and_trailers_are_told_from_framing_however_the_body_is_cut() {
        for size in 1..=BODY.len() {
            let mut scan = ChunkScan::default();
            let (mut data, mut trailers) = (Vec::new(), Vec::new());
            for mut bytes in BODY.chunks(size) {
                while !bytes.is_empty() {
                    let piece = scan.next(bytes).unwrap();
                    let (Piece::Framing(length) | Piece::Data(length) | Piece::Trailers(length)) =
                        piece;
                    let (taken, rest) = bytes.split_at(length);
                    match piece {
                        Piece::Framing(_) => {}
                        Piece::Data(_) => data.extend_from_slice(taken),
                        Piece::Trailers(_) => trailers.extend_from_slice(taken),
                    }
                    bytes = rest;
                }
            }
            assert!(scan.is_done());
            assert_eq!(data, b"abc0123456789");
            assert_eq!(trailers, b"X-Sum: 1\r\n");
        }
    }

    #[test]
    fn what_the_grammar_does_not_know_is_malformed() {
        for bad in [
            "\r\n",
            "x\r\n",
            "+3\r\n",
            " 3\r\n",
            "0x3\r\n",
            "3\n",
            "3\ra",
            "3 3\r\n",
            "3;x\n",
            "3;\0\r\n",
            "3\r\nabcd",
            "3\r\nabc\n",
            "0\r\n\n",
            "0\r\nX: 1\n",
            "0\r\n X: 1\r\n",
            "10000000000000000\r\n",
        ] {
            assert_eq!(
                ChunkScan::default().feed(bad.as_bytes()),
                Err(Malformed),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let chunk = b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n";
        let mut scan = ChunkScan::default();
        let fed = (0..OVERHEAD).find(|_| scan.feed(chunk).is_err());
        assert!(fed.is_some());
        let endless = [&b"0\r\nX: "[..], &[b'a'; OVERHEAD]].concat();
        assert_eq!(ChunkScan::default().feed(&endless), Err(Malformed));
    }
}
