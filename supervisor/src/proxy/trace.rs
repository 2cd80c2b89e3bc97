//! W3C Trace Context: `traceparent` and `tracestate`, read and written as the recommendation says
//! (<https://www.w3.org/TR/trace-context-2/>, sections 3.2 to 3.4).
//!
//! Without `traceparent = on` we are no part of a trace and pass both on as they are.

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of a `traceparent` of version 00: `00-` trace-id `-` parent-id `-` flags.
const LENGTH: usize = 55;
/// Whoever sent it may have recorded the trace.
const SAMPLED: u8 = 0x01;
/// The trace id is random (level 2).
const RANDOM: u8 = 0x02;

/// A place in a trace: who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trace {
    /// Never 0.
    pub(super) id: u128,
    /// Of the one who asks, never 0.
    pub(super) span: u64,
    flags: u8,
}

impl Trace {
    /// What a request says; none if it says nothing that is valid.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        match (lines.next(), lines.next()) {
            (Some(only), None) => Self::parse(only.as_bytes()),
            _ => None,
        }
    }

    /// A later version may have more behind what version 00 has.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let version = hex(&known[..2])?;
        let ends = more.is_empty() || version != 0 && more[0] == b'-';
        let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        if version == 0xff || !ends || !dashes {
            return None;
        }
        let trace = Self {
            id: hex(&known[3..35])?,
            span: u64::try_from(hex(&known[36..52])?).ok()?,
            flags: u8::try_from(hex(&known[53..])?).ok()?,
        };
        (trace.id != 0 && trace.span != 0).then_some(trace)
    }

    /// A new one; so many of a million are sampled.
    fn begin(sampled: u32) -> Self {
        let is_sampled = fastrand::u32(0..1_000_000) < sampled;
        Self {
            id: fastrand::u128(1..),
            span: fastrand::u64(1..),
            flags: if is_sampled { RANDOM | SAMPLED } else { RANDOM },
        }
    }

    /// The same trace, with us as the one who asks.
    fn go_on(self) -> Self {
        Self {
            span: fastrand::u64(1..),
            flags: self.flags & (SAMPLED | RANDOM),
            ..self
        }
    }

    fn field(self) -> HeaderValue {
        let Self { id, span, flags } = self;
        let text = format!("00-{id:032x}-{span:016x}-{flags:02x}");
        HeaderValue::try_from(text).expect("hexadecimal digits are valid in a field")
    }
}

/// Takes part in the trace that a request belongs to, or begins one, of which so many in a million are sampled. The state belongs to
/// the trace, so it goes with an invalid one.
pub(super) fn take_part(headers: &mut HeaderMap, sampled: u32) -> Trace {
    let ours = match Trace::of(headers) {
        Some(theirs) => theirs.go_on(),
        None => {
            headers.remove(TRACESTATE);
            Trace::begin(sampled)
        }
    };
    headers.insert(TRACEPARENT, ours.field());
    ours
}

/// Digits in lower case only; at most 32.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;
    /// The example of the recommendation.
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(parents: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(TRACEPARENT, parent.parse().unwrap());
        }
        headers.append(TRACESTATE, "a=1".parse().unwrap());
        headers.append(TRACESTATE, "b=2".parse().unwrap());
        headers
    }

    #[test]
    fn a_valid_one_is_read() {
        let trace = Trace::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((trace.id, trace.span, trace.flags), (ID, SPAN, 1));
        let later = format!("cc{}-more", &GOOD[2..]);
        assert_eq!(Trace::parse(later.as_bytes()), Some(trace));
        assert_eq!(trace.field(), GOOD);
    }

    #[test]
    fn what_is_not_valid_is_nothing() {
        for bad in [
            "",
            "00",
            &GOOD[..54],
            &format!("{GOOD}0"),
            &format!("{GOOD}-"),
            &format!("ff{}", &GOOD[2..]),
            &format!("cc{}.", &GOOD[2..]),
            &GOOD.to_uppercase(),
            &GOOD.replace("4bf9", "4Bf9"),
            &GOOD.replace("-01", "-0g"),
            &GOOD.replace("-00f0", "_00f0"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(Trace::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Trace::of(&headers(&[GOOD, GOOD])), None, "one line only");
    }

    #[test]
    fn who_takes_part_is_the_parent_of_what_follows() {
        let mut headers = headers(&[&GOOD.replace("-01", "-ff")]);
        let ours = take_part(&mut headers, 0);
        assert_eq!((ours.id, ours.flags), (ID, SAMPLED | RANDOM));
        assert_ne!(ours.span, SPAN);
        assert_eq!(Trace::of(&headers), Some(ours));
        assert_eq!(headers.get_all(TRACESTATE).iter().count(), 2);
    }

    #[test]
    fn a_trace_begins_where_there_is_none() {
        for parents in [&[][..], &["nonsense"], &[GOOD, GOOD]] {
            let mut headers = headers(parents);
            let ours = take_part(&mut headers, 1_000_000);
            assert_ne!((ours.id, ours.span), (ID, SPAN));
            assert_eq!(ours.flags, SAMPLED | RANDOM);
            assert_eq!(Trace::of(&headers), Some(ours));
            assert!(!headers.contains_key(TRACESTATE), "that of another trace");
        }
        let sampled = (0..1000).filter(|_| Trace::begin(500_000).flags & SAMPLED != 0);
        assert!((300..700).contains(&sampled.count()));
        assert!((0..1000).all(|_| Trace::begin(0).flags == RANDOM));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Trace::parse(&bytes);
        }

        #[test]
        fn what_is_written_is_read(id in 1u128.., span in 1u64.., flags in any::<u8>()) {
            let trace = Trace { id, span, flags };
            prop_assert_eq!(Trace::parse(trace.field().as_bytes()), Some(trace));
        }
    }
}
