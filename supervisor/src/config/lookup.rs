//! Which section defines an object.

use super::document::{Document, Section};
use super::problem::Problem;
use super::text::{nearest, strip};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    App,
    Filter,
    Server,
}

impl Kind {
    /// Section prefixes: groups of aliases, in search order.
    pub(crate) fn prefixes(self) -> &'static [&'static [&'static str]] {
        match self {
            Kind::App => &[
                &["app", "application"],
                &["composite", "composit"],
                &["pipeline"],
                &["filter-app"],
            ],
            Kind::Filter => &[&["filter"]],
            Kind::Server => &[&["server"]],
        }
    }

    /// Factory protocols (also entry point groups): groups of alternatives, in search order.
    pub(crate) fn protocols(self) -> &'static [&'static [&'static str]] {
        match self {
            Kind::App => &[
                &["paste.app_factory"],
                &["paste.composite_factory"],
                &["paste.composit_factory"],
            ],
            Kind::Filter => &[&["paste.filter_factory", "paste.filter_app_factory"]],
            Kind::Server => &[&["paste.server_factory", "paste.server_runner"]],
        }
    }

    /// The protocol that a plain callable has where an object of this kind is wanted.
    pub(crate) fn implied_protocol(self) -> &'static str {
        match self {
            Kind::App => "paste.app_factory",
            Kind::Filter => "paste.filter_factory",
            Kind::Server => "paste.server_factory",
        }
    }

    /// For messages.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::App => "app",
            Kind::Filter => "filter",
            Kind::Server => "server",
        }
    }
}

/// Finds the section for `name`; none means that a composite asked without a name, which a section
/// without one (`[app]`) may answer. Two sections for one name are a problem.
pub(crate) fn find<'a>(
    document: &'a Document,
    kind: Kind,
    name: Option<&str>,
) -> Result<Option<&'a Section>, Problem> {
    let wanted = name.unwrap_or("main");
    // (prefix, section) of all that have the name, whatever they define.
    let mut candidates: Vec<(&str, &Section)> = Vec::new();
    for section in &document.sections {
        match section.name.split_once(':') {
            Some((prefix, rest)) if strip(rest) == wanted => candidates.push((prefix, section)),
            None if name.is_none() => candidates.push((&section.name, section)),
            _ => {}
        }
    }
    let with_prefix = |prefix: &str| -> Vec<&Section> {
        candidates
            .iter()
            .filter(|(other, _)| *other == prefix)
            .map(|(_, section)| *section)
            .collect()
    };
    let mut hits: Vec<&Section> = Vec::new();
    for group in kind.prefixes() {
        let found = group
            .iter()
            .map(|prefix| with_prefix(prefix))
            .find(|hits| !hits.is_empty());
        hits.extend(found.unwrap_or_default());
    }
    match hits[..] {
        [section] => Ok(Some(section)),
        [] => Ok(None),
        [_, second, ..] => {
            let names: Vec<String> = hits
                .iter()
                .map(|hit| format!("[{}] (line {})", hit.name, hit.line))
                .collect();
            let message = format!(
                "more than one section defines the {} `{}`: {}",
                kind.noun(),
                wanted,
                names.join(", ")
            );
            Err(Problem::new("LookupError", message)
                .at(&document.path, second.line)
                .hint("rename all but one of them"))
        }
    }
}

/// Why a name has several lines, which nobody means.
pub(super) const CONTINUED: &str =
    "a line that is indented goes on with the value above it; begin it at the margin";

/// For messages: what was written in several lines.
pub(super) fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    match text.contains('\n') {
        true => text.replace('\n', " ").into(),
        false => text.into(),
    }
}

/// A header without its end, which reads as an option of the section above: `[app:main` as `[app = main`.
fn unfinished_header(document: &Document) -> Option<(&Section, usize)> {
    document.sections.iter().find_map(|section| {
        let mut options = section.options.iter();
        let option = options.find(|option| option.name.starts_with('['))?;
        Some((section, option.line))
    })
}

/// The problem of a name that no section has.
pub(crate) fn absent(document: &Document, kind: Kind, name: &str) -> Problem {
    let prefixes: Vec<&str> = kind.prefixes().concat();
    let shown = one_line(name);
    let usual: Vec<String> = kind
        .prefixes()
        .iter()
        .map(|group| format!("[{}:{shown}]", group[0]))
        .collect();
    let message = format!(
        "no {} `{shown}` in {}: there is no {}",
        kind.noun(),
        document.path.display(),
        usual.join(" or ")
    );
    let problem = Problem::new("LookupError", message);
    if name.contains('\n') {
        return problem.hint(CONTINUED);
    }
    if let Some(section) = document.sections.iter().find(|s| s.name == name) {
        return problem.hint(format!(
            "[{name}] at line {} has no kind; write [{}:{name}]",
            section.line, prefixes[0]
        ));
    }
    if let Some((section, line)) = unfinished_header(document) {
        return problem.hint(format!(
            "line {line} has no `]`, so it is an option of [{}]",
            section.name
        ));
    }
    // (prefix, name, section)
    let named: Vec<(&str, &str, &Section)> = document
        .sections
        .iter()
        .filter_map(|section| {
            section
                .name
                .split_once(':')
                .map(|(prefix, name)| (prefix, strip(name), section))
        })
        .collect();
    let (fitting, others): (Vec<_>, Vec<_>) = named
        .into_iter()
        .partition(|(prefix, ..)| prefixes.contains(prefix));
    if let Some((.., section)) = others.iter().find(|(_, other, _)| *other == name) {
        return problem.hint(format!(
            "[{}] at line {} does not define a{} {}",
            section.name,
            section.line,
            if kind == Kind::App { "n" } else { "" },
            kind.noun()
        ));
    }
    let near = nearest(name, fitting.iter().map(|(_, other, _)| *other));
    match fitting.iter().find(|(_, other, _)| Some(*other) == near) {
        Some((_, near, section)) => problem.hint(format!(
            "did you mean `{near}`, defined at line {}?",
            section.line
        )),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::parse("site.ini", text.as_bytes()).expect("a valid document")
    }

    fn found(text: &str, kind: Kind, name: Option<&str>) -> Result<String, String> {
        match find(&document(text), kind, name) {
            Ok(Some(section)) => Ok(section.name.clone()),
            Ok(None) => Err("none".to_owned()),
            Err(problem) => Err(problem.class),
        }
    }

    #[test]
    fn the_first_alias_of_a_group_wins() {
        assert_eq!(
            found("[application:x]\n[app:x]\n", Kind::App, Some("x")),
            Ok("app:x".to_owned())
        );
    }

    #[test]
    fn two_sections_for_one_name_are_ambiguous() {
        assert_eq!(
            found("[app:x]\n[app: x]\n", Kind::App, Some("x")),
            Err("LookupError".to_owned())
        );
        assert_eq!(
            found("[app:x]\n[composite:x]\n", Kind::App, Some("x")),
            Err("LookupError".to_owned())
        );
    }

    #[test]
    fn a_bare_section_answers_only_without_a_name() {
        assert_eq!(found("[app]\n", Kind::App, None), Ok("app".to_owned()));
        assert!(found("[app]\n", Kind::App, Some("main")).is_err());
    }

    #[test]
    fn names_and_prefixes_are_exact() {
        for text in [
            "[App:x]\n",
            "[app :x]\n",
            "[ app:x]\n",
            "[app:X]\n",
            "[filter:x]\n",
        ] {
            assert!(found(text, Kind::App, Some("x")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_that_goes_on_in_the_next_line_and_a_section_without_a_kind_are_explained() {
        let told = |text: &str, name: &str| absent(&document(text), Kind::App, name);
        let bare = told("[main]\n", "main").hint;
        let expected = "[main] at line 1 has no kind; write [app:main]";
        assert_eq!(bare.as_deref(), Some(expected));
        let open = told("[server:main]\nport = 1\n[app:main\nx = 1\n", "main").hint;
        let expected = "line 3 has no `]`, so it is an option of [server:main]";
        assert_eq!(open.as_deref(), Some(expected));
        let two = told("[app:a]\n", "a\nx = 1");
        assert_eq!(two.hint.as_deref(), Some(CONTINUED));
        assert!(two.message.starts_with("no app `a x = 1` in "), "{two:?}");
    }

    #[test]
    fn a_misspelt_name_is_corrected() {
        let hint = |text: &str, name: &str| absent(&document(text), Kind::App, name).hint;
        let near = hint("[app:blog]\n[filter:blgo2]\n", "blgo");
        assert_eq!(
            near.as_deref(),
            Some("did you mean `blog`, defined at line 1?")
        );
        let other = hint("[filter:gz]\n", "gz");
        assert_eq!(
            other.as_deref(),
            Some("[filter:gz] at line 1 does not define an app")
        );
    }
}
