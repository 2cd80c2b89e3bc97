//! `exec:`, `unix:` and `http:`: what the text after the scheme means.

use crate::router::message::WorkerAddress;
use std::path::Path;

/// Placeholders that a worker's arguments may contain; `{here}` is replaced while planning, the others at the start.
pub(super) const PLACEHOLDERS: [&str; 5] = ["socket", "port", "app", "slot", "here"];

/// Splits the program and arguments of `exec:` as a shell does (quotes and backslashes, no expansion).
///
/// `{here}` becomes the directory of the INI file; a program with a slash in its name that is not absolute is relative to
/// that directory, one without is looked up on PATH when it is started.
///
/// # Errors
/// No program, a quote that is not closed, an unknown placeholder.
pub(super) fn argv(target: &str, here: &Path) -> Result<Vec<String>, String> {
    let words = shlex::split(target).ok_or("`exec:` has a quote that is not closed")?;
    for word in &words {
        check_placeholders(word)?;
    }
    let here_text = here.to_string_lossy();
    let mut argv: Vec<String> = words
        .into_iter()
        .map(|word| word.replace("{here}", &here_text))
        .collect();
    match argv.first_mut() {
        Some(program) if !program.is_empty() => {
            if program.contains('/') {
                *program = here.join(&*program).to_string_lossy().into_owned();
            }
            Ok(argv)
        }
        _ => Err("`exec:` names no program".to_owned()),
    }
}

/// The socket of `unix:/path`.
///
/// # Errors
/// A path that is not absolute, or one with a NUL.
pub(super) fn unix(target: &str) -> Result<WorkerAddress, String> {
    if !target.starts_with('/') || target.contains('\0') {
        return Err("`unix:` needs the path of a socket, such as `unix:/run/blog.sock`".to_owned());
    }
    Ok(WorkerAddress::Unix(target.into()))
}

/// The address of `http://host:port`; without port it is 80.
///
/// # Errors
/// Anything else: a missing host, a bad port, a path, a user.
pub(super) fn http(target: &str) -> Result<WorkerAddress, String> {
    let expected = || format!("expected `http://host:port`, found `http:{target}`");
    let authority = target.strip_prefix("//").ok_or_else(expected)?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(['/', '?', '#']) {
        return Err(format!("{}; a path belongs into the route", expected()));
    }
    let (host, port) = super::address::host_and_port(authority).map_err(|_| expected())?;
    let port = port.unwrap_or(80);
    if host.is_empty() || port == 0 {
        return Err(expected());
    }
    Ok(WorkerAddress::Tcp(super::address::join(&host, port)))
}

/// `{word}` of lower-case letters counts as a placeholder; any other brace is text (JSON in an argument, say).
fn check_placeholders(word: &str) -> Result<(), String> {
    let mut rest = word;
    while let Some(start) = rest.find('{') {
        rest = &rest[start + 1..];
        let Some(end) = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_') else {
            return Ok(());
        };
        let name = &rest[..end];
        if rest[end..].starts_with('}') && !name.is_empty() && !PLACEHOLDERS.contains(&name) {
            let known = PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", ");
            return Err(format!(
                "unknown placeholder `{{{name}}}`, expected one of {known}"
            ));
        }
        rest = &rest[end..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/srv/site";

    #[test]
    fn words_are_split_as_in_a_shell() {
        let words = argv(
            "node 'my server.js' --fd 3 --app {app} {here}/x",
            Path::new(HERE),
        );
        assert_eq!(
            words.expect("good"),
            [
                "node",
                "my server.js",
                "--fd",
                "3",
                "--app",
                "{app}",
                "/srv/site/x"
            ]
        );
    }

    #[test]
    fn a_program_with_a_slash_is_relative_to_the_file() {
        assert_eq!(
            argv("./bin/blog -v", Path::new(HERE)).expect("good")[0],
            "/srv/site/./bin/blog"
        );
        assert_eq!(
            argv("/bin/true", Path::new(HERE)).expect("good")[0],
            "/bin/true"
        );
    }

    #[test]
    fn unknown_placeholders_are_named_but_other_braces_are_text() {
        assert!(
            argv("x {sock}", Path::new(HERE))
                .expect_err("unknown")
                .contains("{sock}")
        );
        assert!(argv("x '{\"a\": {}}' {A} {", Path::new(HERE)).is_ok());
    }

    #[test]
    fn a_program_is_needed() {
        for text in ["", "  ", "''", "'open"] {
            assert!(argv(text, Path::new(HERE)).is_err(), "{text}");
        }
    }

    #[test]
    fn upstreams_are_addresses() {
        assert_eq!(
            http("//10.0.0.1:9000"),
            Ok(WorkerAddress::Tcp("10.0.0.1:9000".to_owned()))
        );
        assert_eq!(
            http("//example.org/"),
            Ok(WorkerAddress::Tcp("example.org:80".to_owned()))
        );
        assert_eq!(
            http("//[::1]:90"),
            Ok(WorkerAddress::Tcp("[::1]:90".to_owned()))
        );
        for text in [
            "",
            "//",
            "x:1",
            "//h:p",
            "//h:99999",
            "//h/path",
            "//u@h",
            "//h:0",
        ] {
            assert!(http(text).is_err(), "{text}");
        }
        assert_eq!(
            unix("/run/a.sock"),
            Ok(WorkerAddress::Unix("/run/a.sock".into()))
        );
        assert!(unix("run/a.sock").is_err());
    }
}
