//! The content codings that we make, piece by piece.

use crate::router::answers::Coding;
use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt;
use std::io::{self, Write};

/// As far back as brotli and zstd look (two to this power in bytes), about what gzip can: more would cost each answer that is on its
/// way megabytes.
const WINDOW: u8 = 17;
/// Of brotli's own buffer.
const BROTLI_BUFFER: usize = 4096;

/// Where each begins to cost much more for little.
const GZIP_LEVEL: u32 = 5;
const BROTLI_LEVEL: i32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// An answer on its way into a coding. What comes out is collected until it is taken.
pub(super) enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// For an answer of `length` bytes, where that is known: a short one needs less memory.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn new(coding: Coding, length: Option<u64>) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: brotli_window(length),
                    size_hint: length.map_or(0, |length| usize::try_from(length).unwrap_or(0)),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
                Self::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(u32::from(WINDOW))?;
                encoder.set_pledged_src_size(length)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    /// # Errors
    /// The encoder has no memory, or got more than was announced.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.writer().write_all(data)
    }

    /// All that was written can be decoded from what is out afterwards.
    ///
    /// # Errors
    /// As [`Encoder::write`].
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// Bytes that are out.
    pub(super) fn ready(&mut self) -> usize {
        self.output().len()
    }

    /// What is out.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.output())
    }

    /// The rest, with the end of the coding.
    ///
    /// # Errors
    /// As [`Encoder::write`], or less was written than was announced.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// What holds all of the answer, from the 1 KiB that brotli has at least.
fn brotli_window(length: Option<u64>) -> i32 {
    let needed = length.map_or(u32::from(WINDOW), |length| length.max(1).ilog2() + 1);
    needed.clamp(10, u32::from(WINDOW)) as i32
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    /// What can be decoded of a beginning.
    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut decoder: Box<dyn Read> = match coding {
            Coding::Gzip => Box::new(flate2::read::GzDecoder::new(bytes)),
            Coding::Brotli => Box::new(brotli::Decompressor::new(bytes, 4096)),
            Coding::Zstd => Box::new(zstd::Decoder::new(bytes).unwrap()),
        };
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = decoder.read(&mut buffer) {
            text.extend_from_slice(&buffer[..count]);
        }
        text
    }

    /// # Errors
    /// It is cut short, or not in this coding.
    pub(in crate::proxy) fn decode(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut text),
            Coding::Zstd => zstd::Decoder::new(bytes)?.read_to_end(&mut text),
        }?;
        Ok(text)
    }

    /// A piece of an answer: letters that repeat, or noise; then a flush or not.
    fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
        let data = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3000),
            ("[a-e ]{0,40}", 0usize..800).prop_map(|(text, times)| text.repeat(times).into_bytes()),
        ];
        prop::collection::vec((data, any::<bool>()), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_goes_in_comes_out_however_it_is_cut(
            pieces in pieces(),
            announced in any::<bool>(),
            coding in prop::sample::select(Coding::ALL.to_vec()),
        ) {
            let whole: Vec<u8> = pieces.iter().flat_map(|(data, _)| data.clone()).collect();
            let length = announced.then_some(whole.len() as u64);
            let mut encoder = Encoder::new(coding, length).unwrap();
            let (mut written, mut out) = (Vec::new(), Vec::new());
            for (data, flush) in &pieces {
                encoder.write(data).unwrap();
                written.extend_from_slice(data);
                if *flush {
                    encoder.flush().unwrap();
                    out.extend(encoder.take());
                    prop_assert_eq!(&decoded(coding, &out), &written);
                } else if encoder.ready() > 1000 {
                    out.extend(encoder.take());
                }
            }
            out.extend(encoder.finish().unwrap());
            prop_assert_eq!(decode(coding, &out).unwrap(), whole);
        }
    }

    #[test]
    fn text_becomes_much_shorter() {
        let text = "a line that is repeated, as lines are\n".repeat(1000);
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, None).unwrap();
            encoder.write(text.as_bytes()).unwrap();
            let out = encoder.finish().unwrap();
            assert!(out.len() < text.len() / 20, "{coding:?}: {}", out.len());
        }
    }

    #[test]
    fn a_cut_is_noticed() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, None).unwrap();
            encoder.write(b"some text").unwrap();
            encoder.flush().unwrap();
            assert!(decode(coding, &encoder.take()).is_err(), "{coding:?}");
        }
    }
}
