//! References by URI: `config:`, `egg:`, `call:`, and the schemes and forms that paster adds.

use super::context::{Context, Globals, Loader, Parts, Problems, Site};
use super::expression;
use super::lookup::Kind;
use super::metadata::{self, Distribution};
use super::problem::Problem;
use super::resolve::Resolver;
use super::section::{malformed, object_type};
use super::text::{nearest, strip};
use super::tree::{Conf, Factory, Origin, Via};
use super::uri;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The schemes that a URI can have, for messages.
const SCHEMES: [&str; 6] = ["config", "egg", "call", "exec", "unix", "http"];

impl Resolver<'_> {
    /// Resolves a URI. `base` is the directory that relative `config:` paths start from; `name` wins
    /// over the URI's fragment.
    pub(crate) fn uri(
        &mut self,
        kind: Kind,
        reference: &str,
        name: Option<&str>,
        base: Option<&str>,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Result<Context, Problems> {
        // Programs and addresses may contain `#`.
        if let Some((scheme, rest)) = uri::absolute(reference) {
            let via = match scheme.to_ascii_lowercase().as_str() {
                "exec" => Some(Via::Exec),
                "unix" => Some(Via::Unix),
                "http" => Some(Via::Http),
                _ => None,
            };
            if let Some(via) = via {
                return self.elsewhere(kind, via, reference, rest, caller, site);
            }
        }
        let (plain, fragment) = uri::split_fragment(reference);
        let name = name.or(fragment).unwrap_or("main");
        let Some((scheme, rest)) = plain.split_once(':') else {
            let problem = Problem::new("LookupError", format!("`{plain}` has no scheme"));
            return Err(vec![site.mark(problem.hint(
                "write `config:PATH`, `egg:DIST#NAME` or `call:MODULE:ATTR`",
            ))]);
        };
        match scheme.to_lowercase().as_str() {
            "config" => {
                let Some(path) = uri::config_path(rest, base) else {
                    let message = format!(
                        "`{reference}` is relative, and there is no file that it could be relative to"
                    );
                    return Err(vec![site.mark(
                        Problem::new("ValueError", message).hint("write the whole path"),
                    )]);
                };
                let values = caller.map(|caller| caller.borrow().clone());
                let loader = self
                    .open(&path, values.as_ref())
                    .map_err(|problems| marked(problems, site))?;
                self.object(&loader, kind, Some(name), caller, site)
            }
            "egg" => self.egg(kind, rest, Some(name), caller, site),
            "call" => self.call(kind, rest, caller, site),
            _ if expression::is_module_attribute(reference) => {
                Ok(self.module(kind, reference, caller, site))
            }
            unknown => {
                let message = format!(
                    "`{unknown}` is no known scheme in `{reference}` ({} are)",
                    SCHEMES.join(", ")
                );
                let mut problem = Problem::new("LookupError", message);
                problem.hint = nearest(unknown, SCHEMES.into_iter())
                    .map(|near| format!("did you mean `{near}:`?"));
                Err(vec![site.mark(problem)])
            }
        }
    }

    /// Resolves what a composite asks its loader for.
    pub(crate) fn member(
        &mut self,
        loader: &Loader,
        kind: Kind,
        name: Option<&str>,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Result<Context, Problems> {
        match loader {
            Loader::Config(loader) => self.object(loader, kind, name, caller, site),
            Loader::Egg { spec } => self.egg(kind, spec, name, caller, site),
            Loader::Call { spec } => self.call(kind, spec, caller, site),
        }
    }

    /// `egg:SPEC#NAME`; a name that is a URI itself is resolved instead, without a base.
    fn egg(
        &mut self,
        kind: Kind,
        spec: &str,
        name: Option<&str>,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Result<Context, Problems> {
        if let Some(name) = name.filter(|name| uri::absolute(name).is_some()) {
            return self.uri(kind, name, None, None, caller, site);
        }
        let name = name.unwrap_or("main");
        let distribution = self.distribution(kind, spec, name, site)?;
        let mut found: Vec<(String, &'static str)> = Vec::new();
        for group in kind.protocols() {
            for protocol in *group {
                let value = distribution
                    .entry_point(protocol, name)
                    .map_err(|problem| vec![site.mark(problem)])?;
                if let Some(value) = value {
                    let target = expression::entry_point(&value)
                        .ok_or_else(|| vec![site.mark(malformed(&value))])?;
                    found.push((target, *protocol));
                    break;
                }
            }
        }
        let (target, protocol) = match &found[..] {
            [one] => one.clone(),
            [] => {
                return Err(vec![site.mark(no_entry_point(
                    kind,
                    spec,
                    name,
                    &distribution,
                ))]);
            }
            several => {
                let groups: Vec<&str> = several.iter().map(|(_, protocol)| *protocol).collect();
                let message = format!(
                    "`{name}` of the distribution `{spec}` is ambiguous: it is in {}",
                    groups.join(" and ")
                );
                return Err(vec![site.mark(Problem::new("LookupError", message))]);
            }
        };
        let factory = Factory {
            via: Via::Egg,
            target,
            group: Some(protocol.to_owned()),
            name: Some(name.to_owned()),
            distribution: Some(distribution.name().to_owned()),
        };
        let mut context = leaf(
            kind,
            factory,
            Loader::Egg {
                spec: spec.to_owned(),
            },
            caller,
            site,
        );
        context.protocol = Some(protocol.to_owned());
        Ok(context)
    }

    fn call(
        &mut self,
        kind: Kind,
        spec: &str,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Result<Context, Problems> {
        let target = expression::call(spec)
            .map_err(|(class, message)| vec![site.mark(Problem::new(class, message))])?;
        Ok(leaf(
            kind,
            python(Via::Call, target),
            Loader::Call {
                spec: spec.to_owned(),
            },
            caller,
            site,
        ))
    }

    /// `use = module:attribute`, our extension.
    pub(super) fn module(
        &mut self,
        kind: Kind,
        target: &str,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Context {
        leaf(
            kind,
            python(Via::Module, target.to_owned()),
            Loader::Call {
                spec: target.to_owned(),
            },
            caller,
            site,
        )
    }

    fn elsewhere(
        &mut self,
        kind: Kind,
        via: Via,
        reference: &str,
        rest: &str,
        caller: Option<&Globals>,
        site: &Site,
    ) -> Result<Context, Problems> {
        let target = strip(rest);
        let problem = |message: String| Err(vec![site.mark(Problem::new("LookupError", message))]);
        if kind != Kind::App {
            return problem(format!(
                "`{reference}` can be an app, but not a {}",
                kind.noun()
            ));
        }
        let usable = match via {
            Via::Unix => target.starts_with('/'),
            Via::Http => target
                .strip_prefix("//")
                .is_some_and(|host| !host.is_empty()),
            _ => !target.is_empty(),
        };
        if !usable {
            return problem(format!(
                "`{reference}` is incomplete: write `exec:PROGRAM ARGS…`, `unix:/path` or `http://host:port`"
            ));
        }
        Ok(leaf(
            kind,
            python(via, target.to_owned()),
            Loader::Call {
                spec: reference.to_owned(),
            },
            caller,
            site,
        ))
    }

    /// Checks one name of a `require` line.
    pub(super) fn require(&mut self, name: &str, site: &Site) -> Result<(), Problems> {
        let path = self.search_path();
        path.has(name).map_err(|problem| vec![site.mark(problem)])
    }

    /// The distribution `spec`, as installed; where it is not, a stock one will do if it has what is wanted.
    fn distribution(
        &mut self,
        kind: Kind,
        spec: &str,
        name: &str,
        site: &Site,
    ) -> Result<Distribution, Problems> {
        if spec.is_empty() {
            let problem = Problem::new("ValueError", "`egg:` needs the name of a distribution");
            return Err(vec![site.mark(problem.hint("write `egg:DIST#NAME`"))]);
        }
        let path = self.search_path();
        let wanted = |stock: &Distribution| {
            let groups = kind.protocols().concat();
            stock.names(&groups).iter().any(|known| known == name)
        };
        let found = metadata::find(&path.directories, spec);
        match found.or_else(|| super::stock::find(spec).filter(wanted)) {
            Some(distribution) => Ok(distribution),
            None => Err(vec![site.mark(path.lacks(spec))]),
        }
    }

    /// Where distributions of the section that is being resolved are searched.
    fn search_path(&self) -> super::python::SearchPath {
        let directory = match &self.outermost {
            Some(loader) => {
                uri::directory_of(&uri::absolute_path(&loader.file, &self.directory)).to_owned()
            }
            None => self.directory.clone(),
        };
        self.environments
            .search_path(self.python_setting().as_deref(), Path::new(&directory))
    }

    /// `python` in `[isolate:NAME]` for the innermost section that has one, else in `[isolate]`.
    /// A value that cannot be expanded is left for the plan to complain about.
    fn python_setting(&self) -> Option<String> {
        let loader = self.outermost.as_ref()?;
        let sections = self
            .trail
            .iter()
            .rev()
            .filter_map(|step| step.section.split_once(':'));
        let sections = sections.map(|(_, name)| format!("isolate:{}", strip(name)));
        sections
            .chain(std::iter::once("isolate".to_owned()))
            .find(|section| loader.document.option(section, "python").is_some())
            .and_then(|section| loader.scope(&section).get("python").ok())
            .filter(|python| !python.is_empty())
    }
}

/// Gives problems without a place the place of the reference; those of a file keep theirs.
fn marked(problems: Problems, site: &Site) -> Problems {
    problems
        .into_iter()
        .map(|problem| site.mark(problem))
        .collect()
}

fn python(via: Via, target: String) -> Factory {
    Factory {
        via,
        target,
        group: None,
        name: None,
        distribution: None,
    }
}

fn leaf(
    kind: Kind,
    factory: Factory,
    loader: Loader,
    caller: Option<&Globals>,
    site: &Site,
) -> Context {
    // An empty dictionary is not passed on but replaced.
    let globals = caller
        .filter(|caller| !caller.borrow().is_empty())
        .map_or_else(|| Rc::new(RefCell::new(Conf::new())), Rc::clone);
    Context {
        object_type: object_type(kind),
        protocol: None,
        implied: kind.implied_protocol(),
        factory: Some(factory),
        loader,
        globals,
        locals: Rc::default(),
        parts: Parts::Leaf,
        origin: Origin {
            file: PathBuf::from(&*site.file),
            section: String::new(),
            line: 0,
            factory_line: site.line,
        },
    }
}

fn no_entry_point(kind: Kind, spec: &str, name: &str, distribution: &Distribution) -> Problem {
    let groups: Vec<&str> = kind.protocols().concat();
    let message = format!(
        "the distribution `{spec}` has no {} `{name}` (in {})",
        kind.noun(),
        groups.join(", ")
    );
    let mut problem = Problem::new("LookupError", message);
    let names = distribution.names(&groups);
    problem.hint = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => Some(format!("did you mean `egg:{spec}#{near}`?")),
        None if names.is_empty() => None,
        None => Some(format!("it has {}", names.join(", "))),
    };
    problem
}
