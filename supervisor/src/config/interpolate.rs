//! `%(name)s` in values, as `ConfigParser`'s basic interpolation does it when an option is read.

use super::problem::Problem;
use indexmap::IndexMap;
use ini::Properties;

/// Values nested deeper than this are an error; the value itself is level 1.
const MAX_DEPTH: usize = 10;
/// An expansion longer than this (bytes) is given up; no honest file comes near.
const MAX_LENGTH: usize = 16 << 20;

/// The parser defaults of one file: `here`, `__file__`, `[DEFAULT]` and what the caller added.
pub(crate) type Defaults = IndexMap<String, Default>;

/// One parser default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Default {
    pub(crate) text: String,
    /// `here` and `__file__` are taken as they are: a `%` in a directory's name means nothing.
    pub(crate) literal: bool,
    /// Line in `[DEFAULT]`; 0 for values that no line of the file gave.
    pub(crate) line: usize,
}

/// What a value is read in.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) file: &'a str,
    /// Name of the section that is read, for messages.
    pub(crate) section: &'a str,
    /// Raw options of that section; none when the defaults themselves are read.
    pub(crate) options: Option<&'a Properties>,
    pub(crate) defaults: &'a Defaults,
}

/// A problem of one expansion; the option that was being read is the place.
pub(crate) struct Failed {
    pub(crate) class: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Failed {
    pub(crate) fn at(self, file: &str, line: usize) -> Problem {
        let mut problem = Problem::new(self.class, self.message);
        problem.hint = self.hint;
        if line > 0 {
            problem.at(file, line)
        } else {
            problem
        }
    }
}

impl<'a> Scope<'a> {
    /// The expanded value of `option`, which must be one that is visible here.
    pub(crate) fn get(&self, option: &str) -> Result<String, Failed> {
        let Some((raw, literal)) = self.raw(option) else {
            return Err(self.missing(option, option, ""));
        };
        if literal {
            return Ok(raw.to_owned());
        }
        let mut out = String::new();
        self.expand(option, raw, raw, 1, &mut out)?;
        Ok(out)
    }

    fn raw(&self, name: &str) -> Option<(&'a str, bool)> {
        if let Some(raw) = self.options.and_then(|options| options.get(name)) {
            return Some((raw, false));
        }
        self.defaults
            .get(name)
            .map(|default| (default.text.as_str(), default.literal))
    }

    fn expand(
        &self,
        option: &str,
        whole: &str,
        text: &str,
        depth: usize,
        out: &mut String,
    ) -> Result<(), Failed> {
        if depth > MAX_DEPTH {
            return Err(Failed {
                class: "InterpolationDepthError",
                message: format!(
                    "option `{option}` of [{}] refers to itself or nests more than {MAX_DEPTH} values deep: `{}`",
                    self.section,
                    shown(whole)
                ),
                hint: None,
            });
        }
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(tail) = rest.strip_prefix("%%") {
                out.push('%');
                rest = tail;
            } else if rest.starts_with("%(") {
                let Some((name, tail)) = reference(rest) else {
                    return Err(self.syntax(
                        option,
                        format!("`{}` is not a reference like %(name)s", shown(rest)),
                    ));
                };
                rest = tail;
                match self.raw(name) {
                    None => return Err(self.missing(option, name, whole)),
                    Some((value, false)) if value.contains('%') => {
                        self.expand(option, whole, value, depth + 1, out)?
                    }
                    Some((value, _)) => out.push_str(value),
                }
                if out.len() > MAX_LENGTH {
                    return Err(Failed {
                        class: "MemoryError",
                        message: format!(
                            "option `{option}` of [{}] expands to more than {MAX_LENGTH} bytes",
                            self.section
                        ),
                        hint: None,
                    });
                }
            } else {
                return Err(self.syntax(
                    option,
                    format!("`%` must be followed by `%` or `(`: `{}`", shown(rest)),
                ));
            }
        }
        out.push_str(rest);
        Ok(())
    }

    fn syntax(&self, option: &str, message: String) -> Failed {
        Failed {
            class: "InterpolationSyntaxError",
            message: format!(
                "option `{option}` of [{}] in {}: {message}",
                self.section, self.file
            ),
            hint: Some("write `%%` for a percent sign".to_owned()),
        }
    }

    fn missing(&self, option: &str, name: &str, whole: &str) -> Failed {
        let names = self
            .options
            .into_iter()
            .flat_map(Properties::iter)
            .map(|(name, _)| name);
        let names = names.chain(self.defaults.keys().map(String::as_str));
        let hint = match super::text::nearest(name, names) {
            Some(near) => format!("did you mean `%({near})s`?"),
            None => format!("set `{name}` in [{}] or in [DEFAULT]", self.section),
        };
        Failed {
            class: "InterpolationMissingOptionError",
            message: format!(
                "option `{option}` of [{}] in {} refers to `{name}`, which is not defined: `{}`",
                self.section,
                self.file,
                shown(whole)
            ),
            hint: Some(hint),
        }
    }
}

/// Splits `%(name)s…` into the name and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (name, tail) = text.strip_prefix("%(")?.split_once(')')?;
    let tail = tail.strip_prefix('s')?;
    (!name.is_empty()).then_some((name, tail))
}

/// Enough of a value to recognise it.
fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(80).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(
        options: &[(&str, &str)],
        defaults: &[(&str, &str)],
        name: &str,
    ) -> Result<String, &'static str> {
        let mut properties = Properties::new();
        for (name, value) in options {
            properties.insert(*name, *value);
        }
        let defaults = defaults
            .iter()
            .map(|(name, text)| {
                let literal = *name == "here";
                (
                    (*name).to_owned(),
                    Default {
                        text: (*text).to_owned(),
                        literal,
                        line: 0,
                    },
                )
            })
            .collect();
        let scope = Scope {
            file: "x.ini",
            section: "s",
            options: Some(&properties),
            defaults: &defaults,
        };
        scope.get(name).map_err(|failed| failed.class)
    }

    #[test]
    fn references_are_looked_up_in_the_section_then_in_the_defaults() {
        let options = [
            ("a", "%(b)s-%(c)s-%%"),
            ("b", "1"),
            ("with space", "w"),
            ("d", "%(with space)s"),
        ];
        assert_eq!(
            get(&options, &[("b", "x"), ("c", "%(b)s")], "a"),
            Ok("1-1-%".to_owned())
        );
        assert_eq!(get(&options, &[], "d"), Ok("w".to_owned()));
    }

    #[test]
    fn a_stray_percent_is_an_error() {
        for bad in ["50%", "%s", "%()s", "%(a)", "%(a", "%(b)d"] {
            assert_eq!(
                get(&[("a", "1"), ("x", bad)], &[], "x"),
                Err("InterpolationSyntaxError"),
                "{bad}"
            );
        }
        assert_eq!(
            get(&[("x", "%(A)s"), ("a", "1")], &[], "x"),
            Err("InterpolationMissingOptionError")
        );
    }

    #[test]
    fn ten_levels_pass_and_eleven_do_not() {
        let mut options: Vec<(String, String)> = (1..11)
            .map(|i| (format!("v{i}"), format!("%(v{})s", i + 1)))
            .collect();
        options.push(("v11".to_owned(), "end".to_owned()));
        let chain = |last: &str| {
            options[10] = ("v11".to_owned(), last.to_owned());
            let borrowed: Vec<(&str, &str)> = options
                .iter()
                .map(|(a, b)| (a.as_str(), b.as_str()))
                .collect();
            get(&borrowed, &[], "v1")
        };
        let mut chain = chain;
        assert_eq!(chain("end"), Ok("end".to_owned()));
        assert_eq!(chain("%%"), Err("InterpolationDepthError"));
        assert_eq!(
            get(&[("x", "%(x)s")], &[], "x"),
            Err("InterpolationDepthError")
        );
    }

    #[test]
    fn a_percent_in_the_directory_is_only_a_percent() {
        assert_eq!(
            get(&[("x", "%(here)s/a")], &[("here", "/srv/50%")], "x"),
            Ok("/srv/50%/a".to_owned())
        );
    }

    #[test]
    fn an_expansion_that_explodes_is_given_up() {
        let wide = "%(next)s".repeat(4096).replace("next", "b");
        let b = "%(c)s".repeat(4096);
        let c = "x".repeat(64);
        assert_eq!(
            get(&[("a", &wide), ("b", &b), ("c", &c)], &[], "a"),
            Err("MemoryError")
        );
    }
}
