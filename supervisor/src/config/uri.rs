//! URIs and paths as Paste Deploy understands them.

/// Splits `scheme:rest` where a name inside a file counts as a URI: one or more ASCII letters and
/// a colon. Everything else is a section name, taken literally.
pub(crate) fn absolute(name: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = name.split_once(':')?;
    (!scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic()))
        .then_some((scheme, rest))
}

/// The URI of a command-line argument: two or more letters and a colon make one, anything else is
/// a path.
pub fn from_argument(argument: &str) -> String {
    match absolute(argument) {
        Some((scheme, _)) if scheme.len() > 1 => argument.to_owned(),
        _ => format!("config:{argument}"),
    }
}

/// Splits off the object name after the first `#`.
pub(crate) fn split_fragment(uri: &str) -> (&str, Option<&str>) {
    match uri.split_once('#') {
        Some((uri, name)) => (uri, Some(name)),
        None => (uri, None),
    }
}

/// The file that `config:PATH` opens; none when a relative path has nothing to start from.
/// Backslashes are slashes, percent escapes are decoded in the whole path, directory included.
pub(crate) fn config_path(path: &str, base: Option<&str>) -> Option<String> {
    let absolute = path.starts_with('/');
    let mut path = path.replace('\\', "/");
    if !absolute {
        let base = base.filter(|base| !base.is_empty())?.replace('\\', "/");
        let slash = if base.ends_with('/') { "" } else { "/" };
        path = format!("{base}{slash}{path}");
    }
    if path.starts_with("///") {
        path.drain(..2);
    }
    let decoded = percent_encoding::percent_decode_str(&path).decode_utf8_lossy();
    Some(super::text::strip(&decoded).to_owned())
}

/// `os.path.dirname`: what a relative `config:` path in a file starts from.
pub(crate) fn directory_of(path: &str) -> &str {
    let head = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
    let trimmed = head.trim_end_matches('/');
    if trimmed.is_empty() { head } else { trimmed }
}

/// `os.path.abspath`: lexical; `..` is collapsed, symbolic links are not resolved, exactly two
/// leading slashes stay.
pub(crate) fn absolute_path(path: &str, working_directory: &str) -> String {
    let joined = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{working_directory}/{path}")
    };
    let root = if joined.starts_with("//") && !joined.starts_with("///") {
        "//"
    } else {
        "/"
    };
    let mut pieces: Vec<&str> = Vec::new();
    for piece in joined.split('/') {
        match piece {
            "" | "." => {}
            ".." => drop(pieces.pop()),
            piece => pieces.push(piece),
        }
    }
    format!("{root}{}", pieces.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_before_the_colon_make_a_uri() {
        assert_eq!(absolute("egg:Paste#urlmap"), Some(("egg", "Paste#urlmap")));
        assert_eq!(absolute("shop:make"), Some(("shop", "make")));
        for name in ["v1.0:x", "shop.wsgi:make", "main", ":x", "a#b"] {
            assert_eq!(absolute(name), None, "{name}");
        }
    }

    #[test]
    fn a_drive_letter_is_no_scheme_on_the_command_line() {
        assert_eq!(from_argument("a:b.ini"), "config:a:b.ini");
        assert_eq!(from_argument("site.ini#api"), "config:site.ini#api");
        assert_eq!(from_argument("egg:Paste"), "egg:Paste");
    }

    #[test]
    fn config_paths_follow_pastes_order_of_steps() {
        let path = |path| config_path(path, Some("/srv/a%20b"));
        assert_eq!(path("x.ini").as_deref(), Some("/srv/a b/x.ini"));
        assert_eq!(path("sub\\x.ini").as_deref(), Some("/srv/a b/sub/x.ini"));
        assert_eq!(path("///etc/x.ini").as_deref(), Some("/etc/x.ini"));
        assert_eq!(path("//etc/x.ini").as_deref(), Some("//etc/x.ini"));
        assert_eq!(path("%2Fx.ini ").as_deref(), Some("/srv/a b//x.ini"));
        assert_eq!(config_path("x.ini", None), None);
    }

    #[test]
    fn absolute_paths_are_lexical() {
        assert_eq!(absolute_path("/srv/../etc//x.ini", "/"), "/etc/x.ini");
        assert_eq!(absolute_path("x.ini", "/srv"), "/srv/x.ini");
        assert_eq!(absolute_path("//srv/x", "/"), "//srv/x");
        assert_eq!(absolute_path("///srv/../..", "/"), "/");
    }

    #[test]
    fn directories_keep_the_root() {
        assert_eq!(directory_of("/x.ini"), "/");
        assert_eq!(directory_of("/srv//x.ini"), "/srv");
        assert_eq!(directory_of("x.ini"), "");
    }
}
