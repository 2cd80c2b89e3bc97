//! HTTP/2 frames that carry nothing: SETTINGS, PING, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty DATA, unknown types. A client
//! needs some, and more the more it is sent; one that sends them without end costs CPU and pays nothing (CVE-2019-9512 and others).

/// Frames at once …
const BURST: u64 = 50_000;
/// … so many more each millisecond …
const PER_MS: u64 = 5;
/// … and one for so many bytes that the client has been sent, which it acknowledges by WINDOW_UPDATE, however small its windows.
const BYTES: u64 = 256;

/// Before the first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;
const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Follows the bytes of a client from frame to frame.
#[derive(Debug)]
pub(super) struct Toll {
    /// Of what is read or of a payload, bytes that do not matter.
    skip: usize,
    head: [u8; FRAME_HEAD],
    /// Bytes of it that are there.
    known: usize,
    left: u64,
    /// Until when `left` was counted, in milliseconds.
    at: u64,
    /// Bytes sent that were not counted yet.
    sent: u64,
}

/// Too many frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unpaid;

impl Toll {
    /// `now` is in milliseconds, of any clock.
    pub(super) fn new(now: u64) -> Self {
        Self {
            skip: PREFACE,
            head: [0; FRAME_HEAD],
            known: 0,
            left: BURST,
            at: now,
            sent: 0,
        }
    }

    /// The client takes bytes.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// These bytes have come.
    ///
    /// # Errors
    /// There are more frames in them than are free.
    pub(super) fn pass(&mut self, mut bytes: &[u8], now: u64) -> Result<(), Unpaid> {
        let earned = now.saturating_sub(self.at) * PER_MS + self.sent / BYTES;
        self.at = now;
        self.sent %= BYTES;
        self.left = BURST.min(self.left.saturating_add(earned));
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let more = (FRAME_HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + more].copy_from_slice(&bytes[..more]);
            self.known += more;
            bytes = &bytes[more..];
            if self.known == FRAME_HEAD {
                self.known = 0;
                self.count()?;
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Unpaid> {
        let [a, b, c, kind, ..] = self.head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        let carries = kind == HEADERS || (kind == DATA && self.skip > 0);
        if !carries {
            self.left = self.left.checked_sub(1).ok_or(Unpaid)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE_BYTES: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        bytes.resize(FRAME_HEAD + length as usize, 0xff);
        bytes
    }

    fn passed(frames: &[u8], times: u64) -> Result<Toll, Unpaid> {
        let mut toll = Toll::new(0);
        toll.pass(PREFACE_BYTES, 0)?;
        for _ in 0..times {
            toll.pass(frames, 0)?;
        }
        Ok(toll)
    }

    #[test]
    fn requests_and_bodies_are_free() {
        for frames in [frame(HEADERS, 20), frame(DATA, 1)] {
            assert!(passed(&frames, 3 * BURST).is_ok());
        }
    }

    #[test]
    fn what_carries_nothing_is_not() {
        for frames in [
            frame(DATA, 0),
            frame(4, 0),
            frame(6, 8),
            frame(8, 4),
            frame(0xbe, 99),
        ] {
            assert!(passed(&frames, BURST).is_ok());
            assert_eq!(passed(&frames, BURST + 1).err(), Some(Unpaid));
        }
    }

    #[test]
    fn time_and_bytes_that_were_taken_pay() {
        let ping = frame(6, 8);
        let mut toll = passed(&ping, BURST).unwrap();
        for _ in 0..PER_MS {
            toll.pass(&ping, 1).unwrap();
        }
        assert_eq!(toll.pass(&ping, 1), Err(Unpaid));
        let mut toll = passed(&ping, BURST).unwrap();
        toll.sent(BYTES as usize - 1);
        assert_eq!(toll.pass(&ping, 0), Err(Unpaid));
        let mut toll = passed(&ping, BURST).unwrap();
        toll.sent(BYTES as usize);
        assert_eq!(toll.pass(&ping, 0), Ok(()));
        assert_eq!(toll.pass(&ping, 0), Err(Unpaid));
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut all = PREFACE_BYTES.to_vec();
        for kind in [4, HEADERS, 6, DATA, 8, DATA] {
            all.extend(frame(kind, if kind == 4 { 0 } else { 30 }));
        }
        for size in 1..all.len() {
            let mut toll = Toll::new(0);
            for piece in all.chunks(size) {
                toll.pass(piece, 0).unwrap();
            }
            assert_eq!(
                (toll.left, toll.known, toll.skip),
                (BURST - 3, 0, 0),
                "{size}"
            );
        }
    }
}
