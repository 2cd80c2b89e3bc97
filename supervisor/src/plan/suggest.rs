//! What somebody probably meant.

/// The candidate that is spelt most like `written`, if one is near enough to be worth a suggestion.
pub(super) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const NEAR_ENOUGH: f64 = 0.7;
    let similarity = |candidate: &str| strsim::normalized_damerau_levenshtein(written, candidate);
    candidates
        .into_iter()
        .map(|candidate| (similarity(candidate), candidate))
        .filter(|(near, _)| *near >= NEAR_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_pen_are_recognised() {
        assert_eq!(
            nearest("proceses", ["threads", "processes"]),
            Some("processes")
        );
        assert_eq!(nearest("blgo", ["wiki", "blog"]), Some("blog"));
        assert_eq!(nearest("colour", ["threads", "processes"]), None);
        assert_eq!(nearest("", ["threads"]), None);
    }
}
