//! Python's idea of white space and words, where it differs from Rust's.

/// Whether Python's `str.strip()` and `str.split()` treat `c` as white space: Unicode White_Space
/// plus the four information separators U+001C to U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text` without surrounding white space.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `text` without trailing white space.
pub(crate) fn strip_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

/// The pieces between runs of white space; none of them is empty.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|piece| !piece.is_empty())
}

/// Whether `c` matches `\w` in a Python regular expression.
pub(crate) fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Lines as `str.splitlines()` cuts them: at every character that Unicode calls a line boundary.
pub(crate) fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    // A CR LF pair gives an extra empty line here, which no user of this function can see.
    text.split(|c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    })
}

/// The candidate that resembles `wanted` most, if it is near enough for "did you mean".
pub(crate) fn nearest<'a>(
    wanted: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_separators_are_white_space_and_zero_width_characters_are_not() {
        assert_eq!(strip("\u{1c}a\u{1f}"), "a");
        assert_eq!(strip("\u{200b}a\u{feff}"), "\u{200b}a\u{feff}");
        assert_eq!(
            split("a\u{1d}b\u{a0}c").collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn a_misspelt_name_finds_its_neighbour() {
        assert_eq!(nearest("blgo", ["wiki", "blog"].into_iter()), Some("blog"));
        assert_eq!(nearest("zzz", ["wiki", "blog"].into_iter()), None);
    }
}
