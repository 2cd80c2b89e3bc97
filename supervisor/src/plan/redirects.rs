//! Redirects, one a line: `FROM TO [STATUS]`.

use super::keys::Wrong;
use super::values::each_line;
use crate::router::redirect::{Origin, Redirect};
use http::Uri;
use std::collections::HashSet;

const EXPECTED: &str = "expected lines such as `/old /new 301` or `http://example.com/* https://www.example.com/* 308`";
/// What a client does only once, or each time; 303, 307 and 308 say what becomes of the method.
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
/// Where the line says nothing: a mistake is not remembered by browsers.
const DEFAULT_STATUS: u16 = 302;

/// Reads redirects.
///
/// # Errors
/// What was expected, with the line that is none.
pub(super) fn redirects(text: &str) -> Result<Vec<Redirect>, Wrong> {
    let mut known = HashSet::new();
    let redirects = each_line(text, |line| {
        let redirect = redirect(line).map_err(|why| format!("{why}, found `{line}`"))?;
        let origin = redirect.origin.as_ref();
        let origin = origin.map(|from| (from.scheme.clone(), from.host.clone()));
        if !known.insert((origin, redirect.path.clone(), redirect.below)) {
            let star = if redirect.below { "*" } else { "" };
            return Err(format!("there are two rules for `{}{star}`", redirect.path));
        }
        Ok(redirect)
    })?;
    match redirects.is_empty() {
        true => Err(EXPECTED.into()),
        false => Ok(redirects),
    }
}

fn redirect(line: &str) -> Result<Redirect, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (from, to, status) = match words.as_slice() {
        [from, to] => (*from, *to, None),
        [from, to, status] => (*from, *to, Some(*status)),
        _ => return Err(EXPECTED.to_owned()),
    };
    let status = match status {
        None => DEFAULT_STATUS,
        Some(status) => status
            .parse()
            .ok()
            .filter(|status| STATUSES.contains(status))
            .ok_or("the status is one of 301, 302, 303, 307 and 308")?,
    };
    let (origin, path) = match from.starts_with('/') {
        true => (None, from.to_owned()),
        false => {
            let uri = absolute(from)
                .ok_or("what is redirected is a path, or one behind `http://HOST`")?;
            let (scheme, host) = (uri.scheme_str(), uri.authority());
            let origin = Origin {
                scheme: scheme.unwrap_or_default().to_owned(),
                host: host
                    .map(|host| host.as_str().to_ascii_lowercase())
                    .unwrap_or_default(),
            };
            (Some(origin), uri.path().to_owned())
        }
    };
    let (path, below) = without_star(&path)?;
    if !is_path(path) || from.contains('?') {
        return Err("what is redirected is a path without a query".to_owned());
    }
    let (to, keeps_rest) = without_star(to)?;
    if keeps_rest && !below {
        return Err("there is no `*` that the one of the target could stand for".to_owned());
    }
    let local = to.starts_with('/') && !to.starts_with("//") && is_path(to);
    if !local && absolute(to).is_none() {
        return Err("the target is a path or an `http://` or `https://` URL".to_owned());
    }
    let redirect = Redirect {
        origin,
        path: path.to_owned(),
        below,
        to: to.to_owned(),
        keeps_rest,
        status,
    };
    match leads_to_itself(&redirect) {
        true => Err("this would lead to itself".to_owned()),
        false => Ok(redirect),
    }
}

/// `/a/*` is all below `/a/`.
fn without_star(text: &str) -> Result<(&str, bool), String> {
    match text.split_once('*') {
        None => Ok((text, false)),
        Some((before, "")) if before.ends_with('/') => Ok((before, true)),
        Some(_) => Err("`*` stands at the end, behind a slash".to_owned()),
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"#\\\"<>".contains(&byte))
}

fn absolute(text: &str) -> Option<Uri> {
    let known = text.starts_with("http://") || text.starts_with("https://");
    let uri: Uri = text.parse().ok().filter(|_| known && !text.contains('#'))?;
    // Else what is put behind it would become a part of the host.
    let has_path = text.splitn(4, '/').count() == 4;
    let host = uri.authority()?;
    (has_path && !host.as_str().contains('@')).then_some(uri)
}

fn leads_to_itself(redirect: &Redirect) -> bool {
    let target = redirect.to.split('?').next().unwrap_or_default();
    let matches = |path: &str| match redirect.below {
        true => path.starts_with(&redirect.path),
        false => path == redirect.path,
    };
    match (&redirect.origin, absolute(&redirect.to)) {
        (_, None) => matches(target),
        (Some(origin), Some(uri)) => {
            uri.scheme_str() == Some(origin.scheme.as_str())
                && uri
                    .authority()
                    .is_some_and(|host| host.as_str().eq_ignore_ascii_case(&origin.host))
                && matches(uri.path())
        }
        (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_redirect() {
        let text =
            "\n/old /new 301\n\n http://Example.com/* https://www.example.com/*  308\n/a/* /b";
        let read = redirects(text).unwrap();
        let origin = Origin {
            scheme: "http".to_owned(),
            host: "example.com".to_owned(),
        };
        assert_eq!(read[0].status, 301);
        assert_eq!((&*read[0].path, read[0].below), ("/old", false));
        assert_eq!(read[1].origin, Some(origin));
        assert_eq!((&*read[1].path, read[1].below), ("/", true));
        assert_eq!(
            (&*read[1].to, read[1].keeps_rest),
            ("https://www.example.com/", true)
        );
        assert_eq!((read[2].status, read[2].keeps_rest), (302, false));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "",
            "/old",
            "/old /new 200",
            "/old /new 301 x",
            "old /new",
            "ftp://a/ /b",
            "/old new",
            "/old //evil.example/",
            "/old /\\evil.example/",
            "/old https://example.com",
            "/old/* https://example.com*",
            "/old/* https://me@example.com/*",
            "/old* /new",
            "/old/*/x /new",
            "/old /new/*",
            "/old?a=b /new",
            "/old /new#part",
            "/old /old",
            "/* /new",
            "/a/* /a/b/*",
            "http://a.example/* http://A.example/x",
            "/old /new\n/a /b\n/old /other 301",
            "http://a.example/x /y\nhttp://A.example/x /z",
        ] {
            assert!(redirects(line).is_err(), "{line}");
        }
        let second = redirects("\n/a /b\n\n/a /c").unwrap_err();
        assert_eq!(second.line, Some(3));
        assert!(redirects("http://a.example/* https://a.example/*").is_ok());
        assert!(redirects("/old /new?from=old").is_ok());
        assert!(redirects("/old /new\n/old/* /new/*\nhttp://a.example/old /other").is_ok());
    }
}
