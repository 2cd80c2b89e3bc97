//! What a request asks for and whom: request target and Host, checked and never repaired (RFC 9112 section 3).

use super::error::ProxyError;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

/// Where a valid request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Origin form, as the client sent it.
    Path(PathAndQuery),
    /// `OPTIONS *`: the server itself.
    Server,
}

/// Checks method, target and Host. With a target in absolute form its authority replaces the Host field
/// (RFC 9112 section 3.2.2).
///
/// # Errors
/// 405 for CONNECT and TRACE, 414 for a target over the limit, else 400.
pub(super) fn check(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &mut HeaderMap,
    longest: usize,
) -> Result<Target, ProxyError> {
    if method == Method::CONNECT || method == Method::TRACE {
        return Err(ProxyError::MethodNotAllowed);
    }
    check_host_field(version, headers)?;
    let Some(target) = uri.path_and_query() else {
        return Err(ProxyError::BadRequest("the request target is no path"));
    };
    if target.as_str().len() > longest {
        return Err(ProxyError::TargetTooLong);
    }
    match (uri.scheme(), uri.authority()) {
        (None, None) => {}
        (Some(scheme), Some(authority)) => {
            if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
                return Err(ProxyError::BadRequest(
                    "the scheme of the request target is unknown",
                ));
            }
            if !is_host(authority.as_str().as_bytes()) {
                return Err(ProxyError::BadRequest(
                    "the authority of the request target is invalid",
                ));
            }
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| {
                ProxyError::BadRequest("the authority of the request target is invalid")
            })?;
            headers.insert(HOST, host);
        }
        _ => return Err(ProxyError::BadRequest("the request target is no path")),
    }
    match target.path() {
        "*" if method == Method::OPTIONS => Ok(Target::Server),
        path if path.starts_with('/') => Ok(Target::Path(target.clone())),
        _ => Err(ProxyError::BadRequest("the request target is no path")),
    }
}

/// RFC 9112 section 3.2: exactly one valid Host; only HTTP/1.0 may do without.
fn check_host_field(version: Version, headers: &HeaderMap) -> Result<(), ProxyError> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (None, _) => Err(ProxyError::BadRequest("the Host field is missing")),
        (Some(_), Some(_)) => Err(ProxyError::BadRequest("there is more than one Host field")),
        (Some(host), None) if host.is_empty() || is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(ProxyError::BadRequest("the Host field is invalid")),
    }
}

/// `uri-host [ ":" port ]` of RFC 3986 section 3.2.2, without userinfo. An empty port is allowed there.
pub(super) fn is_host(text: &[u8]) -> bool {
    let (host_ok, rest) = if text.first() == Some(&b'[') {
        let Some(end) = text.iter().position(|&b| b == b']') else {
            return false;
        };
        (is_ip_literal(&text[1..end]), &text[end + 1..])
    } else {
        let end = text.iter().position(|&b| b == b':').unwrap_or(text.len());
        (is_reg_name(&text[..end]), &text[end..])
    };
    host_ok && is_port(rest)
}

/// By byte: unreserved characters and sub-delims.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        let is_mark = matches!(byte, b'-' | b'.' | b'_' | b'~')
            || matches!(
                byte,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
            );
        table[byte as usize] = is_mark || byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
};

fn is_reg_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        let fine = match byte {
            b'%' => {
                let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
                hex(bytes.next()) && hex(bytes.next())
            }
            other => IN_NAMES[usize::from(other)],
        };
        if !fine {
            return false;
        }
    }
    !name.is_empty()
}

fn is_ip_literal(literal: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(literal) else {
        return false;
    };
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return true;
    }
    // IPvFuture: "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
    let Some((version, address)) = text
        .strip_prefix(['v', 'V'])
        .and_then(|t| t.split_once('.'))
    else {
        return false;
    };
    !version.is_empty()
        && version.bytes().all(|b| b.is_ascii_hexdigit())
        && is_reg_name(address.replace(':', "-").as_bytes())
        && !address.contains('%')
}

fn is_port(rest: &[u8]) -> bool {
    match rest {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits
                    .iter()
                    .fold(0_u32, |n, d| n * 10 + u32::from(d - b'0'))
                    <= 65535
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 16 * 1024;

    fn checked(method: Method, target: &str, hosts: &[&str]) -> Result<(Target, HeaderMap), u16> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, host.parse().unwrap());
        }
        let uri: Uri = target.parse().unwrap();
        check(&method, &uri, Version::HTTP_11, &mut headers, LONGEST)
            .map(|target| (target, headers))
            .map_err(|error| error.status().as_u16())
    }

    #[test]
    fn hosts_follow_the_grammar_of_uris() {
        for good in [
            "example.org",
            "a_b",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "x:",
            "[v1.a:b]",
            "%41b",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "a/b",
            "user@a",
            "[::1",
            "::1",
            "a:b",
            "a:65536",
            "a:1:2",
            "[::1]x",
            "a\\b",
            "a?b",
            "a#b",
            "[1.2.3.4]",
            "%4",
            ":80",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn exactly_one_host_is_needed() {
        assert!(checked(Method::GET, "/", &["a"]).is_ok());
        assert_eq!(checked(Method::GET, "/", &[]).err(), Some(400));
        assert_eq!(checked(Method::GET, "/", &["a", "a"]).err(), Some(400));
        assert_eq!(checked(Method::GET, "/", &["a b"]).err(), Some(400));
    }

    #[test]
    fn http_1_0_may_come_without_host() {
        let uri: Uri = "/".parse().unwrap();
        assert!(
            check(
                &Method::GET,
                &uri,
                Version::HTTP_10,
                &mut HeaderMap::new(),
                LONGEST
            )
            .is_ok()
        );
    }

    #[test]
    fn an_absolute_target_overrides_the_host_field() {
        let (target, headers) = checked(Method::GET, "http://b.example:81/x?y", &["a"]).unwrap();
        assert_eq!(target, Target::Path(PathAndQuery::from_static("/x?y")));
        assert_eq!(headers[HOST], "b.example:81");
        assert_eq!(checked(Method::GET, "ftp://b/", &["a"]).err(), Some(400));
        assert_eq!(checked(Method::GET, "http://u@b/", &["a"]).err(), Some(400));
    }

    #[test]
    fn the_target_is_kept_byte_for_byte() {
        let (target, _) = checked(Method::GET, "/a/../b//%2e%2F?x=?", &["a"]).unwrap();
        assert_eq!(
            target,
            Target::Path(PathAndQuery::from_static("/a/../b//%2e%2F?x=?"))
        );
    }

    #[test]
    fn other_forms_are_refused() {
        assert_eq!(checked(Method::GET, "foo", &["a"]).err(), Some(400));
        assert_eq!(checked(Method::GET, "*", &["a"]).err(), Some(400));
        assert_eq!(
            checked(Method::OPTIONS, "*", &["a"]).unwrap().0,
            Target::Server
        );
        assert_eq!(checked(Method::CONNECT, "a:1", &["a"]).err(), Some(405));
        assert_eq!(checked(Method::TRACE, "/", &["a"]).err(), Some(405));
        let long = format!("/{}", "a".repeat(LONGEST));
        assert_eq!(checked(Method::GET, &long, &["a"]).err(), Some(414));
    }
}
