//! Rules for the fields of answers, one a line: `Name: value` sets, `+Name: value` adds, `?Name: value` sets where the answer has none,
//! `-Name` removes.

use super::keys::Wrong;
use super::values::each_line;
use crate::router::answers::HeaderRule;
use http::{HeaderName, HeaderValue};

/// The connection and its framing, and the date: no rule may touch them.
const OURS: [&str; 9] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads rules.
///
/// # Errors
/// What was expected, with the line that is none.
pub(super) fn rules(text: &str) -> Result<Vec<HeaderRule>, Wrong> {
    let rules = each_line(text, rule)?;
    match rules.is_empty() {
        true => Err("expected lines such as `X-Frame-Options: DENY`"
            .to_owned()
            .into()),
        false => Ok(rules),
    }
}

fn rule(line: &str) -> Result<HeaderRule, String> {
    if let Some(removed) = line.strip_prefix('-') {
        return match removed.contains(':') {
            true => Err(format!(
                "a field is removed by its name alone, found `{line}`"
            )),
            false => Ok(HeaderRule::Remove(name(removed, line)?)),
        };
    }
    let (act, field): (fn(String, String) -> HeaderRule, &str) = match line.as_bytes()[0] {
        b'+' => (HeaderRule::Add, &line[1..]),
        b'?' => (HeaderRule::Default, &line[1..]),
        _ => (HeaderRule::Set, line),
    };
    let (field, value) = field.split_once(':').ok_or_else(|| {
        format!("expected `Name: value` (with `+` or `?` before it) or `-Name`, found `{line}`")
    })?;
    Ok(act(name(field, line)?, valid(value.trim(), line)?))
}

/// A token (RFC 9110 section 5.1).
fn name(text: &str, line: &str) -> Result<String, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("`{text}` is no name of a field, in `{line}`"))?;
    match OURS.contains(&name.as_str()) {
        true => Err(format!(
            "`{text}` is written by the proxy itself, in `{line}`"
        )),
        false => Ok(text.to_owned()),
    }
}

/// RFC 9110 section 5.5, without what it calls obsolete.
fn valid(text: &str, line: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("a value is missing in `{line}`"));
    }
    match HeaderValue::from_str(text) {
        Ok(_) if text.is_ascii() => Ok(text.to_owned()),
        _ => Err(format!(
            "a value is visible ASCII, found `{}`",
            line.escape_debug()
        )),
    }
}

/// As [`rules`] reads them, on one line.
pub(super) fn show(rules: &[HeaderRule]) -> String {
    let shown = rules.iter().map(|rule| match rule {
        HeaderRule::Set(name, value) => format!("{name}: {value}"),
        HeaderRule::Add(name, value) => format!("+{name}: {value}"),
        HeaderRule::Default(name, value) => format!("?{name}: {value}"),
        HeaderRule::Remove(name) => format!("-{name}"),
    });
    match rules.is_empty() {
        true => "(none)".to_owned(),
        false => shown.collect::<Vec<_>>().join(" | "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_rule() {
        let text = "\nX-Frame-Options: DENY\n-Server\n\n+Set-Cookie: a=1; Path=/\n ?Cache-Control:no-store";
        let read = rules(text).unwrap();
        assert_eq!(
            show(&read),
            "X-Frame-Options: DENY | -Server | +Set-Cookie: a=1; Path=/ | ?Cache-Control: no-store"
        );
    }

    #[test]
    fn what_is_no_field_or_not_theirs_is_refused() {
        for line in [
            "",
            "X-A",
            "X A: b",
            ": b",
            "X-A:",
            "-",
            "-X-A: b",
            "X-A: caf\u{e9}",
            "X-A: a\tb\u{1}",
            "Content-Length: 3",
            "-Transfer-Encoding",
            "+connection: close",
            "?Upgrade: h2c",
        ] {
            assert!(rules(line).is_err(), "{line}");
        }
        let error = rules("X-A: b\nTE: trailers").unwrap_err();
        assert!(error.expected.contains("`TE: trailers`"), "{error:?}");
        assert_eq!(error.line, Some(1));
    }
}
