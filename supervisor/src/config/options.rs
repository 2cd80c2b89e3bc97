//! Reading the options of a section: globals, locals, `set` and `get`.

use super::context::{ConfigLoader, Globals, Locals, Problems, Setting, Site};
use super::document::{DEFAULT, Section};
use super::problem::Problem;
use super::resolve::Resolver;
use super::text::strip;
use super::tree::Conf;
use indexmap::IndexMap;
use std::cell::RefCell;
use std::rc::Rc;

/// A section's options, sorted by what they do.
pub(super) struct Reading {
    pub(super) globals: Globals,
    pub(super) locals: Locals,
    /// What `set` lines gave.
    pub(super) additions: Conf,
}

impl Resolver<'_> {
    /// Reads the options of a section in file order, then the defaults that it does not override.
    pub(super) fn read(
        &mut self,
        loader: &Rc<ConfigLoader>,
        section: &Section,
        caller: Option<&Globals>,
    ) -> Result<Reading, Problems> {
        let mut globals = self.expanded_defaults(loader)?.clone();
        for (name, value) in caller.iter().flat_map(|caller| caller.borrow().clone()) {
            globals.insert(name, value);
        }
        let scope = loader.scope(&section.name);
        let mut problems = Problems::new();
        let mut locals: IndexMap<String, Setting> = IndexMap::new();
        let mut additions = Conf::new();
        let mut gets: IndexMap<String, Setting> = IndexMap::new();
        for (option, line) in visible(loader, section) {
            let hidden = !is_command(option) && loader.defaults.contains_key(option);
            if hidden {
                self.warn_hidden(loader, section, option);
                continue;
            }
            let line = if line > 0 { line } else { section.line };
            let value = match scope.get(option) {
                Ok(value) => value,
                Err(failed) => {
                    problems.push(failed.at(&loader.file, line));
                    continue;
                }
            };
            if let Some(name) = option.strip_prefix("set ") {
                globals.insert(strip(name).to_owned(), value.clone());
                additions.insert(strip(name).to_owned(), value);
                continue;
            }
            let file = Rc::clone(&loader.file);
            let setting = Setting {
                value,
                site: Site { file, line },
            };
            match option.strip_prefix("get ") {
                Some(name) => gets.insert(strip(name).to_owned(), setting),
                None => locals.insert(option.to_owned(), setting),
            };
        }
        for option in &section.options {
            self.warn_comment(&option.name, &option.value, &loader.file, option.line);
            self.warn_header(section, &option.name, &loader.file, option.line);
        }
        for (local, wanted) in gets {
            match globals.get(&wanted.value) {
                Some(value) => {
                    let value = value.clone();
                    locals.insert(
                        local,
                        Setting {
                            value,
                            site: wanted.site,
                        },
                    );
                }
                None => problems.push(wanted.site.mark(unknown_global(&wanted.value, &globals))),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (globals, locals) = (
            Rc::new(RefCell::new(globals)),
            Rc::new(RefCell::new(locals)),
        );
        Ok(Reading {
            globals,
            locals,
            additions,
        })
    }

    /// `here`, `__file__` and `[DEFAULT]`, expanded. A value that expands to nothing stays as it is
    /// written (a quirk of Paste Deploy that files may rely on).
    fn expanded_defaults<'a>(&mut self, loader: &'a ConfigLoader) -> Result<&'a Conf, Problems> {
        if let Some(conf) = loader.expanded.get() {
            return Ok(conf);
        }
        let scope = loader.scope(DEFAULT);
        let mut conf = Conf::new();
        let mut problems = Problems::new();
        for (name, default) in &loader.defaults {
            match scope.get(name) {
                Ok(value) if value.is_empty() && !default.text.is_empty() => {
                    let message = format!(
                        "`{name}` expands to nothing, so its global value is the text `{}` itself (as with Paste Deploy)",
                        default.text
                    );
                    self.warn(
                        Problem::new("Warning", message).at(&*loader.file, default.line.max(1)),
                    );
                    conf.insert(name.clone(), default.text.clone());
                }
                Ok(value) => drop(conf.insert(name.clone(), value)),
                Err(failed) => problems.push(failed.at(&loader.file, default.line)),
            }
            if default.line > 0 {
                self.warn_comment(name, &default.text, &loader.file, default.line);
            }
        }
        if problems.is_empty() {
            Ok(loader.expanded.get_or_init(|| conf))
        } else {
            Err(problems)
        }
    }

    fn warn_hidden(&mut self, loader: &ConfigLoader, section: &Section, option: &str) {
        let Some(line) = section.option(option).map(|option| option.line) else {
            return;
        };
        let by = match loader.defaults.get(option) {
            Some(default) if default.line > 0 => format!("[DEFAULT] (line {})", default.line),
            Some(default) if default.literal => "the built-in value".to_owned(),
            _ => "a global value from outside the file".to_owned(),
        };
        let message = format!(
            "`{option}` of [{}] has no effect: {by} of the same name hides it",
            section.name
        );
        let problem = Problem::new("Warning", message)
            .hint(format!("write `set {option} = …` to override it"));
        self.warn(problem.at(&*loader.file, line));
    }

    /// A header that does not end is an option like any other, as far as there is a colon in it.
    fn warn_header(&mut self, section: &Section, option: &str, file: &str, line: usize) {
        if option.starts_with('[') {
            let message = format!(
                "`{option}` is an option of [{}], and no header",
                section.name
            );
            let problem = Problem::new("Warning", message).hint("a header ends with `]`");
            self.warn(problem.at(file, line));
        }
    }

    /// A note behind a value is part of it, which is rarely meant.
    fn warn_comment(&mut self, option: &str, raw: &str, file: &str, line: usize) {
        if [" #", " ;", "\t#", "\t;"]
            .iter()
            .any(|mark| raw.contains(mark))
        {
            let message = format!("what looks like a comment is part of the value of `{option}`");
            let problem =
                Problem::new("Warning", message).hint("put comments on lines of their own");
            self.warn(problem.at(file, line));
        }
    }
}

/// Names and lines (0: none) of the options that a section has or inherits.
fn visible<'a>(
    loader: &'a ConfigLoader,
    section: &'a Section,
) -> impl Iterator<Item = (&'a str, usize)> {
    let own = section
        .options
        .iter()
        .map(|option| (option.name.as_str(), option.line));
    let inherited = loader
        .defaults
        .iter()
        .filter(|(name, _)| section.option(name).is_none());
    own.chain(inherited.map(|(name, default)| (name.as_str(), default.line)))
}

/// Whether an option is a `set` or `get` line.
fn is_command(option: &str) -> bool {
    option.starts_with("set ") || option.starts_with("get ")
}

fn unknown_global(name: &str, globals: &Conf) -> Problem {
    let problem = Problem::new("KeyError", format!("there is no global `{name}` to get"));
    match super::text::nearest(name, globals.keys().map(String::as_str)) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint(format!("put `{name} = …` in [DEFAULT]")),
    }
}
