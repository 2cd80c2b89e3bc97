//! One resolution: the files it has opened, where it is, and what it has noticed.

use super::context::{ConfigLoader, Context, Globals, Problems, Site};
use super::document::{DEFAULT, Document, Documents};
use super::expression;
use super::interpolate;
use super::lookup::{self, Kind};
use super::problem::Problem;
use super::python::Environments;
use super::tree::Conf;
use super::uri;
use indexmap::{IndexMap, IndexSet};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// References nested deeper than this are a cycle (Paste Deploy's own limit is Python's stack,
/// at somewhat under 500).
const MAX_DEPTH: usize = 400;
/// A configuration that resolves to more objects than this is given up.
const MAX_OBJECTS: usize = 20_000;

/// One resolution: the opened files, what was noticed, and where it is.
pub(crate) struct Resolver<'e> {
    pub(super) environments: &'e dyn Environments,
    documents: &'e mut Documents,
    /// The file that was opened first.
    pub(super) outermost: Option<Rc<ConfigLoader>>,
    pub(super) files: IndexSet<PathBuf>,
    pub(super) warnings: Vec<Problem>,
    /// The sections that are being resolved, outermost first.
    pub(super) trail: Vec<Step>,
    objects: usize,
    /// A nesting without end was met while problems were collected: look no further.
    pub(super) endless: bool,
    /// Where relative paths and environments start from.
    pub(super) directory: String,
}

/// A section that is being resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) file: Rc<str>,
    pub(super) section: String,
}

impl<'e> Resolver<'e> {
    pub(crate) fn new(
        environments: &'e dyn Environments,
        documents: &'e mut Documents,
        directory: String,
    ) -> Resolver<'e> {
        Resolver {
            environments,
            documents,
            outermost: None,
            files: IndexSet::new(),
            warnings: Vec::new(),
            trail: Vec::new(),
            objects: 0,
            endless: false,
            directory,
        }
    }

    /// Opens a file; `caller` becomes parser defaults where the file has none of that name.
    pub(crate) fn open(
        &mut self,
        file: &str,
        caller: Option<&Conf>,
    ) -> Result<Rc<ConfigLoader>, Problems> {
        let document = self.documents.read(file)?;
        let absolute = uri::absolute_path(file, &self.directory);
        let mut defaults = own_defaults(&document, &absolute);
        let mut added = Conf::new();
        for (name, text) in caller.into_iter().flatten() {
            if !defaults.contains_key(name) {
                let default = interpolate::Default {
                    text: text.clone(),
                    literal: false,
                    line: 0,
                };
                defaults.insert(name.clone(), default);
                added.insert(name.clone(), text.clone());
            }
        }
        self.files.insert(PathBuf::from(absolute));
        let loader = Rc::new(ConfigLoader {
            file: Rc::from(file),
            ini: document.to_ini(),
            document,
            defaults,
            added,
            expanded: OnceCell::new(),
        });
        self.outermost.get_or_insert_with(|| Rc::clone(&loader));
        Ok(loader)
    }

    /// Resolves a name in a file: a section, or a URI.
    pub(crate) fn object(
        &mut self,
        loader: &Rc<ConfigLoader>,
        kind: Kind,
        name: Option<&str>,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Result<Context, Problems> {
        if let Some(name) = name.filter(|name| uri::absolute(name).is_some()) {
            return self.uri(
                kind,
                name,
                None,
                Some(uri::directory_of(&loader.file)),
                caller,
                site,
            );
        }
        let document = Arc::clone(&loader.document);
        let section = match lookup::find(&document, kind, name)
            .map_err(|problem| vec![site.mark(problem)])?
        {
            Some(section) => section,
            None => match name.filter(|name| expression::is_module_attribute(name)) {
                Some(target) => return Ok(self.module(kind, target, caller, site)),
                None => {
                    return Err(vec![site.mark(lookup::absent(
                        &document,
                        kind,
                        name.unwrap_or("main"),
                    ))]);
                }
            },
        };
        self.enter(
            Step {
                file: Rc::clone(&loader.file),
                section: section.name.clone(),
            },
            section.line,
        )?;
        let result = self.section(loader, kind, section, caller);
        self.trail.pop();
        result
    }

    fn enter(&mut self, step: Step, line: usize) -> Result<(), Problems> {
        self.objects += 1;
        self.trail.push(step);
        if self.trail.len() > MAX_DEPTH {
            let problem = self
                .cycle()
                .at(&*self.trail[self.trail.len() - 1].file, line);
            self.trail.pop();
            return Err(vec![problem]);
        }
        if self.objects > MAX_OBJECTS {
            self.trail.pop();
            let message = format!("the configuration comes to more than {MAX_OBJECTS} objects");
            return Err(vec![Problem::new("RecursionError", message)]);
        }
        Ok(())
    }

    /// The problem of a trail that does not end.
    pub(super) fn cycle(&self) -> Problem {
        let trail: Vec<&Step> = self
            .trail
            .iter()
            .filter(|step| !step.section.is_empty())
            .collect();
        let before = trail.len().saturating_sub(1);
        let Some(start) = trail[..before]
            .iter()
            .rposition(|step| Some(step) == trail.last())
        else {
            return Problem::new("RecursionError", "the references are nested too deeply");
        };
        let mut chain: Vec<String> = Vec::new();
        for step in &trail[start..] {
            let elsewhere = step.file != trail[start].file;
            let place = if elsewhere {
                format!(" in {}", step.file)
            } else {
                String::new()
            };
            chain.push(format!("[{}]{place}", step.section));
        }
        let own_name = trail[start]
            .section
            .split_once(':')
            .map(|(_, name)| name.trim());
        let hint = match own_name {
            // A single section: most likely the module beside the file was meant.
            Some(name) if chain.len() == 2 => format!(
                "change the reference; for a Python object of that name write `use = {name}:factory`"
            ),
            _ => "change one of these references".to_owned(),
        };
        Problem::new(
            "RecursionError",
            format!("a section leads back to itself: {}", chain.join(" → ")),
        )
        .hint(hint)
    }

    pub(super) fn warn(&mut self, problem: Problem) {
        if !self.warnings.contains(&problem) {
            self.warnings.push(problem);
        }
    }
}

/// The defaults that a file has by itself. `[DEFAULT]` may override `here` and `__file__`.
fn own_defaults(document: &Document, absolute: &str) -> interpolate::Defaults {
    let built_in = [
        ("here", uri::directory_of(absolute)),
        ("__file__", absolute),
    ];
    let built_in = built_in.map(|(name, text)| {
        (
            name.to_owned(),
            interpolate::Default {
                text: text.to_owned(),
                literal: true,
                line: 0,
            },
        )
    });
    let mut defaults: interpolate::Defaults = IndexMap::from(built_in);
    for option in document
        .section(DEFAULT)
        .iter()
        .flat_map(|section| &section.options)
    {
        let default = interpolate::Default {
            text: option.value.clone(),
            literal: false,
            line: option.line,
        };
        defaults.insert(option.name.clone(), default);
    }
    defaults
}
