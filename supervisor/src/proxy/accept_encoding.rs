//! Which content coding a client likes best (RFC 9110 section 12.5.3).

use super::hop::tokens;
use crate::router::answers::Coding;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Quality in thousandths; 0: not acceptable.
type Quality = u16;

const BEST: Quality = 1000;

/// How much a client likes each coding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    zstd: Quality,
    brotli: Quality,
    gzip: Quality,
    /// To have it as it is; 0 where the client has not said so, for then any coding that it names is better.
    identity: Quality,
}

impl Accepted {
    /// A client that sends no `Accept-Encoding` gets none: the RFC would let us choose, but who does not say that it can decode
    /// often cannot. What is malformed says nothing.
    pub(super) fn by(headers: &HeaderMap) -> Self {
        let mut named: [Option<Quality>; 4] = [None; 4];
        let mut others = None;
        for member in headers.get_all(ACCEPT_ENCODING).iter().flat_map(tokens) {
            let Some((coding, quality)) = weighted(member) else {
                continue;
            };
            let said = match coding {
                b"*" => &mut others,
                coding if coding.eq_ignore_ascii_case(b"zstd") => &mut named[0],
                coding if coding.eq_ignore_ascii_case(b"br") => &mut named[1],
                // RFC 9110 section 8.4.1.3: x-gzip is the same.
                coding
                    if coding.eq_ignore_ascii_case(b"gzip")
                        || coding.eq_ignore_ascii_case(b"x-gzip") =>
                {
                    &mut named[2]
                }
                coding if coding.eq_ignore_ascii_case(b"identity") => &mut named[3],
                _ => continue,
            };
            // Said twice, the more willing word counts.
            *said = Some(said.map_or(quality, |before| before.max(quality)));
        }
        let [zstd, brotli, gzip, identity] = named;
        let or_other = |said: Option<Quality>| said.or(others).unwrap_or(0);
        Self {
            zstd: or_other(zstd),
            brotli: or_other(brotli),
            gzip: or_other(gzip),
            identity: identity.unwrap_or(0),
        }
    }

    fn quality(&self, coding: Coding) -> Quality {
        match coding {
            Coding::Zstd => self.zstd,
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
        }
    }

    /// The one of `offered` that the client likes best, the earlier one among equals. None: it is to have the answer as it is.
    pub(super) fn best(&self, offered: &[Coding]) -> Option<Coding> {
        let mut best: Option<(Coding, Quality)> = None;
        for &coding in offered {
            let quality = self.quality(coding);
            if quality > best.map_or(0, |(_, quality)| quality) {
                best = Some((coding, quality));
            }
        }
        best.filter(|(_, quality)| *quality >= self.identity)
            .map(|(coding, _)| coding)
    }
}

/// `gzip;q=0.5`. None where it is malformed.
fn weighted(member: &[u8]) -> Option<(&[u8], Quality)> {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let coding = parts.next()?;
    let quality = match parts.next() {
        None => BEST,
        Some(weight) => {
            let (name, value) = weight.split_at_checked(2)?;
            name.eq_ignore_ascii_case(b"q=").then(|| qvalue(value))??
        }
    };
    parts.next().is_none().then_some((coding, quality))
}

/// RFC 9110 section 12.4.2: 0 to 1 with up to three digits behind the point.
fn qvalue(text: &[u8]) -> Option<Quality> {
    let (whole, rest) = text.split_first()?;
    let digits = match rest {
        [] => &[][..],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut fraction = 0;
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        fraction = fraction * 10 + Quality::from(digit - b'0');
    }
    match (whole, fraction) {
        (b'0', _) => Some(fraction),
        (b'1', 0) => Some(BEST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn accepted(lines: &[&str]) -> Accepted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        Accepted::by(&headers)
    }

    fn best(line: &str) -> Option<&'static str> {
        accepted(&[line]).best(&Coding::ALL).map(Coding::token)
    }

    #[test]
    fn among_equals_our_own_order_counts() {
        assert_eq!(best("gzip, deflate, br, zstd"), Some("zstd"));
        let brotli_first = [Coding::Brotli, Coding::Gzip];
        let browser = accepted(&["gzip, deflate, br, zstd"]);
        assert_eq!(browser.best(&brotli_first), Some(Coding::Brotli));
        assert_eq!(browser.best(&[]), None);
    }

    #[test]
    fn otherwise_the_clients_weights_count() {
        assert_eq!(best("zstd;q=0.1, br;q=0.9, gzip;q=0.5"), Some("br"));
        assert_eq!(best("zstd; q=0, br ;Q=0.001"), Some("br"));
        assert_eq!(best("GZIP;q=1.000"), Some("gzip"));
        assert_eq!(best("x-gzip"), Some("gzip"));
        assert_eq!(best("zstd;q=0, gzip;q=0"), None);
    }

    #[test]
    fn who_says_nothing_gets_it_as_it_is() {
        assert_eq!(accepted(&[]).best(&Coding::ALL), None);
        assert_eq!(best(""), None);
        assert_eq!(best("deflate, compress"), None);
        assert_eq!(best("identity"), None);
    }

    #[test]
    fn a_star_is_all_that_is_not_named() {
        assert_eq!(best("*"), Some("zstd"));
        assert_eq!(best("*;q=0"), None);
        assert_eq!(best("*;q=0, gzip;q=0.2"), Some("gzip"));
        assert_eq!(best("zstd;q=0, *;q=0.1"), Some("gzip"));
    }

    #[test]
    fn the_answer_as_it_is_may_be_liked_better() {
        assert_eq!(best("identity, gzip;q=0.5"), None);
        assert_eq!(best("identity, *;q=0.5"), None);
        assert_eq!(best("identity;q=0.5, gzip;q=0.5"), Some("gzip"));
        assert_eq!(best("identity;q=0, gzip;q=0.001"), Some("gzip"));
        assert_eq!(best("gzip;q=0.001"), Some("gzip"));
    }

    #[test]
    fn several_lines_are_one_list() {
        let both = accepted(&["gzip;q=0.5", "br;q=0.7"]);
        assert_eq!(both.best(&Coding::ALL), Some(Coding::Brotli));
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for line in [
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.1234",
            "gzip;q=",
            "gzip;q",
            "gzip;q=.5",
            "gzip;x=1",
            "gzip;q=0.5;q=1",
            "gzip;q=-1",
            "gzip gzip",
        ] {
            assert_eq!(best(line), None, "{line}");
            assert_eq!(best(&format!("{line}, br;q=0.1")), Some("br"), "{line}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_chosen_that_is_refused_or_liked_less(
            members in prop::collection::vec(("(gzip|br|zstd|identity|deflate|\\*)", 0u16..=1000), 0..6),
            offered in prop::sample::subsequence(Coding::ALL.to_vec(), 0..=3).prop_shuffle(),
        ) {
            let line: Vec<String> = members
                .iter()
                .map(|(coding, q)| format!("{coding};q={}.{:03}", q / 1000, q % 1000))
                .collect();
            let chosen = accepted(&[&line.join(", ")]).best(&offered);
            // As the RFC words it, member by member.
            let said = |name: &str| members.iter().filter(|(n, _)| n == name).map(|(_, q)| *q).max();
            let quality = |coding: Coding| said(coding.token()).or(said("*")).unwrap_or(0);
            let most = offered.iter().copied().map(quality).max().unwrap_or(0);
            match chosen {
                Some(coding) => {
                    prop_assert!(offered.contains(&coding));
                    prop_assert!(quality(coding) > 0 && quality(coding) == most);
                    prop_assert!(said("identity").unwrap_or(0) <= most);
                    let first = offered.iter().position(|&other| quality(other) == most);
                    prop_assert_eq!(first, offered.iter().position(|&other| other == coding));
                }
                None => prop_assert!(most == 0 || said("identity").unwrap_or(0) > most),
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let mut headers = HeaderMap::new();
                headers.insert(ACCEPT_ENCODING, value);
                let _ = Accepted::by(&headers);
            }
        }
    }
}
