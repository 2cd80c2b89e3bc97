//! Lists of media types (RFC 9110 section 8.3.1).

use super::keys::Wrong;
use super::values::each_line;

/// Reads types separated by white space, `type/subtype`, `type/*` or `*+suffix`, into lower case.
///
/// # Errors
/// What was expected, when a word is anything else.
pub(super) fn types(text: &str) -> Result<Vec<String>, Wrong> {
    let one = |word: &str| match is_type(word) {
        true => Ok(word.to_ascii_lowercase()),
        false => Err(format!(
            "expected types such as `text/html`, `text/*` or `*+json`, found `{word}`"
        )),
    };
    let types: Vec<Vec<String>> =
        each_line(text, |line| line.split_whitespace().map(one).collect())?;
    match types.concat() {
        types if types.is_empty() => Err("expected types such as `text/html`".into()),
        types => Ok(types),
    }
}

/// As [`types`] reads them.
pub(super) fn show_types(types: &[String]) -> String {
    types.join(" ")
}

fn is_type(word: &str) -> bool {
    if let Some(suffix) = word.strip_prefix("*+") {
        return is_token(suffix);
    }
    match word.split_once('/') {
        Some((kind, "*")) => is_token(kind),
        Some((kind, subtype)) => is_token(kind) && is_token(subtype),
        None => false,
    }
}

/// Without `*`, which is one by the letter of RFC 9110 section 5.6.2 and means something else here.
fn is_token(text: &str) -> bool {
    let punctuation = b"!#$%&'+-.^_`|~";
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_words() {
        let read = types("Text/* \n application/vnd.api+json *+xml").unwrap();
        assert_eq!(read, ["text/*", "application/vnd.api+json", "*+xml"]);
        assert_eq!(types(&show_types(&read)), Ok(read));
        for text in [
            "",
            "text",
            "text/",
            "/html",
            "*",
            "*/*",
            "text/html;q=1",
            "text/html, a/b",
        ] {
            assert!(types(text).is_err(), "{text}");
        }
        let wrong = types("text/html\n text/css html\n").expect_err("no type");
        assert_eq!(wrong.line, Some(1));
    }
}
