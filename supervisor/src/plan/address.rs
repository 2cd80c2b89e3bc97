//! `host:port` and its relatives.

use super::spec::Listen;
use std::path::PathBuf;

/// Reads an address as typed: `HOST:PORT`, `[IPV6]:PORT`, `*:PORT`, `:PORT`, `unix:PATH` for a socket of the mode 0600, or
/// `fd:NAME` for sockets that the service manager passes.
///
/// # Errors
/// What was expected.
pub fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            "" => Err("expected a path behind `unix:`".to_owned()),
            path => Ok(Listen::Unix {
                path: PathBuf::from(path),
                mode: 0o600,
            }),
        };
    }
    if let Some(passed) = passed(text) {
        return passed;
    }
    match host_and_port(text)? {
        (host, Some(port)) => Ok(Listen::Tcp { host, port }),
        (_, None) => Err(format!("expected HOST:PORT, found `{text}`")),
    }
}

/// Reads `fd:NAME`; none for anything else.
pub(super) fn passed(text: &str) -> Option<Result<Listen, String>> {
    let name = text.strip_prefix("fd:")?;
    // sd_listen_fds(3): names are separated by colons.
    let fits = |c: char| c.is_ascii_graphic() && c != ':';
    Some(if !name.is_empty() && name.chars().all(fits) {
        let name = name.to_owned();
        Ok(Listen::Passed { name })
    } else {
        Err(format!(
            "expected `fd:NAME` with the name of a passed socket, found `{text}`"
        ))
    })
}

/// Splits `host`, `host:port`, `*:port`, `[::1]:port`, `[::1]`, `:port` and a bare IPv6 address. Brackets are removed;
/// `*` and an empty host with a port are all addresses (`0.0.0.0`).
///
/// # Errors
/// What was expected, for a port that is no number from 0 to 65535 and a host that cannot be one.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let text = text.trim();
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or_else(|| format!("`{text}` has no closing bracket"))?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err(format!("expected a port behind `]`, found `{after}`")),
        }
    } else if text.matches(':').count() > 1 {
        (text, None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map(self::port).transpose()?;
    if host == "*" || (host.is_empty() && port.is_some()) {
        return Ok(("0.0.0.0".to_owned(), port));
    }
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.chars().all(fits) {
        Ok((host.to_owned(), port))
    } else {
        Err(format!("`{host}` is no host name or address"))
    }
}

/// Reads a port number.
///
/// # Errors
/// What was expected.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parsed = if digits { text.parse().ok() } else { None };
    parsed.ok_or_else(|| format!("expected a port from 0 to 65535, found `{text}`"))
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Option<(String, Option<u16>)> {
        host_and_port(text).ok()
    }

    fn pair(host: &str, port: Option<u16>) -> Option<(String, Option<u16>)> {
        Some((host.to_owned(), port))
    }

    #[test]
    fn the_usual_forms_are_understood() {
        assert_eq!(split("localhost"), pair("localhost", None));
        assert_eq!(split("localhost:80"), pair("localhost", Some(80)));
        assert_eq!(split("*:80"), pair("0.0.0.0", Some(80)));
        assert_eq!(split(":80"), pair("0.0.0.0", Some(80)));
        assert_eq!(split("[::1]:80"), pair("::1", Some(80)));
        assert_eq!(split("[::1]"), pair("::1", None));
        assert_eq!(split("::1"), pair("::1", None));
    }

    #[test]
    fn bad_ports_and_hosts_are_refused() {
        for text in [
            "h:", "h:x", "h:70000", "[::1", "[::1]80", "a b", "h:-1", "h:+1", "a/b", "u@h",
        ] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_passed_socket_is_named() {
        let name = "site.socket".to_owned();
        assert_eq!(listen("fd:site.socket"), Ok(Listen::Passed { name }));
        for text in ["fd:", "fd:a:b", "fd:a b"] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_ipv6_address_gets_brackets() {
        assert_eq!(join("::1", 80), "[::1]:80");
        assert_eq!(join("localhost", 80), "localhost:80");
    }
}
