//! The texts that name Python objects.

use super::text::{is_space, is_word};

/// `module.path:attr.attr [extras]`, as in entry points and `paste.*_factory` options. Returns
/// `module:attr` (or `module`), without white space and extras; none where Python's pattern
/// does not match.
pub(crate) fn entry_point(text: &str) -> Option<String> {
    let (module, rest) = dotted(text)?;
    let mut target = module.to_owned();
    let mut rest = rest.trim_start_matches(is_space);
    if let Some(tail) = rest.strip_prefix(':') {
        let (attribute, tail) = dotted(tail.trim_start_matches(is_space))?;
        target.push(':');
        target.push_str(attribute);
        rest = tail.trim_start_matches(is_space);
    }
    let extras = rest.trim_end_matches(is_space);
    let fine = extras.is_empty()
        || (extras.len() > 1
            && extras.starts_with('[')
            && extras.ends_with(']')
            && !extras.contains('\n'));
    fine.then_some(target)
}

/// The longest run of word characters and dots at the start; not empty.
fn dotted(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !is_word(c) && c != '.')
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// What is wrong with the text after `call:`, as (exception class, message).
pub(crate) type CallError = (&'static str, String);

/// `module.path:attr` after `call:`: exactly one colon and a single attribute.
pub(crate) fn call(spec: &str) -> Result<String, CallError> {
    let Some((module, attribute)) = spec.split_once(':') else {
        return Err((
            "LookupError",
            format!("`call:{spec}` is not of the form call:module:function"),
        ));
    };
    if attribute.contains(':') {
        return Err((
            "ValueError",
            format!("`call:{spec}` has too many colons (call:module:function)"),
        ));
    }
    if attribute.contains('.') {
        return Err((
            "AttributeError",
            format!("`call:{spec}`: `call:` looks up one attribute, without dots"),
        ));
    }
    Ok(if attribute.is_empty() {
        module.to_owned()
    } else {
        format!("{module}:{attribute}")
    })
}

/// Whether a name reads like `package.module:object.attribute`, our extension for `use`.
pub(crate) fn is_module_attribute(name: &str) -> bool {
    name.split_once(':')
        .is_some_and(|(module, attribute)| is_path(module) && is_path(attribute))
}

fn is_path(text: &str) -> bool {
    text.split('.').all(|piece| {
        piece.chars().all(is_word)
            && piece
                .chars()
                .next()
                .is_some_and(|first| !first.is_numeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_lose_white_space_and_extras() {
        for (text, target) in [
            ("a.b:c.d", "a.b:c.d"),
            ("a : c [x, y] ", "a:c"),
            ("a.b", "a.b"),
            ("a [x]", "a"),
            ("a\n:b", "a:b"),
        ] {
            assert_eq!(entry_point(text).as_deref(), Some(target), "{text}");
        }
    }

    #[test]
    fn malformed_expressions_are_none() {
        for text in [
            "", "\na:b", "a:", "a b", "a:b c", "a:b:c", "a-b:c", "a:b [x", "a [\n]", "a:b [",
        ] {
            assert_eq!(entry_point(text), None, "{text:?}");
        }
    }

    #[test]
    fn call_takes_one_colon_and_one_attribute() {
        assert_eq!(call("m.n:f"), Ok("m.n:f".to_owned()));
        assert_eq!(call("m:"), Ok("m".to_owned()));
        assert_eq!(call("m").map_err(|error| error.0), Err("LookupError"));
        assert_eq!(call("m:a:b").map_err(|error| error.0), Err("ValueError"));
        assert_eq!(
            call("m:C.f").map_err(|error| error.0),
            Err("AttributeError")
        );
    }

    #[test]
    fn module_names_look_like_python() {
        assert!(is_module_attribute("salmon:factory"));
        assert!(is_module_attribute("my_shop.wsgi:App.make"));
        for name in [
            "v1.0:x", "a:", ":b", "a:b#c", "a b:c", "a..b:c", "http://x", "main",
        ] {
            assert!(!is_module_attribute(name), "{name}");
        }
    }
}
