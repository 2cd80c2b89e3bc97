//! Content codings of copies that lie beside a file, and which of them a client takes. Pure.

use crate::proxy::accept_encoding::Accepted;
use crate::router::answers::Coding;

/// The smallest first: among those that are equally welcome, its copy is taken.
const SMALLEST_FIRST: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// Of the names of copies.
pub(super) fn suffix(coding: Coding) -> &'static [u8] {
    match coding {
        Coding::Brotli => b".br",
        Coding::Zstd => b".zst",
        Coding::Gzip => b".gz",
    }
}

/// The codings that a client takes, the best first.
pub(super) fn welcome(accepted: Accepted) -> impl Iterator<Item = Coding> {
    let mut left = SMALLEST_FIRST.to_vec();
    std::iter::from_fn(move || {
        let best = accepted.best(&left)?;
        left.retain(|coding| *coding != best);
        Some(best)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::ACCEPT_ENCODING;
    use http::{HeaderMap, HeaderValue};

    fn codings(field: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(field));
        let codings: Vec<&str> = welcome(Accepted::by(&headers)).map(Coding::token).collect();
        codings.join(" ")
    }

    #[test]
    fn the_client_says_what_it_takes() {
        assert_eq!(welcome(Accepted::default()).count(), 0);
        assert_eq!(codings("gzip, deflate, br, zstd"), "br zstd gzip");
        assert_eq!(codings("gzip;q=1.0, br;q=0.5"), "gzip br");
        assert_eq!(codings("br;q=0, *;q=0.3"), "zstd gzip");
        assert_eq!(codings("identity"), "");
    }
}
