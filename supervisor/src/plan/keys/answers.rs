//! What the proxy does with the answers of an app.

use super::{Key, Scope};
use crate::plan::error_pages;
use crate::plan::header_rules;
use crate::plan::media_types::{self, show_types};
use crate::plan::units::{show_size, size};
use crate::router::answers::{Coding, TYPES};

pub(super) static KEYS: &[Key] = &[
    Key {
        name: "compress",
        scope: Scope::App,
        default: "off",
        about: "answers are compressed for clients that can decode it: `on`, `off`, or some of `zstd gzip br` in the order of preference",
        set: |draft, text, _| {
            draft.settings.answers.compress.codings = codings(text)?;
            Ok(())
        },
        show: |view| Some(show_codings(&view.settings.answers.compress.codings)),
    },
    Key {
        name: "compress_types",
        scope: Scope::App,
        default: TYPES,
        about: "media types that are compressed: `type/subtype`, `type/*` or `*+suffix`",
        set: |draft, text, _| {
            let types = media_types::types(text)?;
            let is_default = show_types(&types) == TYPES;
            draft.settings.answers.compress.types = if is_default { Vec::new() } else { types };
            Ok(())
        },
        show: |view| {
            Some(match view.settings.answers.compress.types.as_slice() {
                [] => TYPES.to_owned(),
                types => show_types(types),
            })
        },
    },
    Key {
        name: "compress_min_length",
        scope: Scope::App,
        default: "1K",
        about: "bytes; a shorter answer is not compressed, one of unknown length is",
        set: |draft, text, _| {
            draft.settings.answers.compress.min_length = size(text)?;
            Ok(())
        },
        show: |view| Some(show_size(view.settings.answers.compress.min_length)),
    },
    Key {
        name: "response_headers",
        scope: Scope::App,
        default: "(none)",
        about: "changes of the fields of answers, one a line: `Name: value` sets, `+Name: value` adds, `?Name: value` sets where there is none, `-Name` removes",
        set: |draft, text, _| {
            draft.settings.answers.headers = header_rules::rules(text)?;
            Ok(())
        },
        show: |view| Some(header_rules::show(&view.settings.answers.headers)),
    },
    Key {
        name: "error_pages",
        scope: Scope::App,
        default: "(none)",
        about: "pages for errors of the proxy, one rule a line: `STATUS… = FILE`, relative to the INI file",
        set: |draft, text, here| {
            draft.settings.answers.pages = error_pages::rules(text, here)?;
            Ok(())
        },
        show: |view| Some(error_pages::show(&view.settings.answers.pages)),
    },
];

fn codings(text: &str) -> Result<Vec<Coding>, String> {
    match text.trim() {
        "on" => return Ok(Coding::ALL.to_vec()),
        "off" => return Ok(Vec::new()),
        _ => {}
    }
    let mut codings = Vec::new();
    for word in text.split_whitespace() {
        let known = Coding::ALL
            .into_iter()
            .find(|coding| coding.token() == word);
        match known {
            Some(coding) if codings.contains(&coding) => {
                return Err(format!("`{word}` is there twice"));
            }
            Some(coding) => codings.push(coding),
            None => {
                return Err(format!(
                    "expected `on`, `off`, or some of `zstd`, `gzip` and `br`, found `{word}`"
                ));
            }
        }
    }
    match codings.is_empty() {
        true => Err("expected `on`, `off`, or some of `zstd`, `gzip` and `br`".to_owned()),
        false => Ok(codings),
    }
}

fn show_codings(codings: &[Coding]) -> String {
    match codings {
        [] => "off".to_owned(),
        codings => codings
            .iter()
            .map(|coding| coding.token())
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_in_the_order_of_the_file() {
        assert_eq!(codings("on"), Ok(Coding::ALL.to_vec()));
        assert_eq!(
            codings(" gzip\n br"),
            Ok(vec![Coding::Gzip, Coding::Brotli])
        );
        assert_eq!(show_codings(&[Coding::Gzip, Coding::Brotli]), "gzip br");
        for text in ["", "deflate", "gzip gzip", "on gzip", "gzip, br"] {
            assert!(codings(text).is_err(), "{text}");
        }
    }
}
