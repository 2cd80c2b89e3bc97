//! Resolving a section that has been found: `use`, factory lines, pipelines, filter-apps and
//! `filter-with`.

use super::context::{ConfigLoader, Context, Globals, Loader, Parts, Problems, Site};
use super::document::Section;
use super::expression;
use super::lookup::{self, Kind};
use super::options::Reading;
use super::problem::Problem;
use super::resolve::Resolver;
use super::text::split;
use super::tree::{Factory, ObjectType, Origin, Via};
use std::path::PathBuf;
use std::rc::Rc;

impl Resolver<'_> {
    /// Resolves a section; `caller` are the globals of what refers to it.
    pub(super) fn section(
        &mut self,
        loader: &Rc<ConfigLoader>,
        kind: Kind,
        section: &Section,
        caller: Option<&Globals>,
    ) -> Result<Context, Problems> {
        let reading = self.read(loader, section, caller)?;
        let site = |option: &str| Site {
            file: Rc::clone(&loader.file),
            line: section
                .option(option)
                .map_or(section.line, |option| option.line),
        };
        let filter_with = if kind == Kind::Server {
            None
        } else {
            reading.locals.borrow_mut().shift_remove("filter-with")
        };
        let require = reading.locals.borrow().get("require").cloned();
        if let Some(require) = require {
            for distribution in split(&require.value) {
                self.require(distribution, &require.site)?;
            }
            reading.locals.borrow_mut().shift_remove("require");
        }
        let context = if section.name.starts_with("filter-app:") {
            self.filter_app(loader, section, &reading)?
        } else if section.name.starts_with("pipeline:") {
            self.pipeline(loader, section, &reading)?
        } else if reading.locals.borrow().contains_key("use") {
            self.used(loader, kind, section, &reading)?
        } else {
            self.explicit(loader, kind, section, &reading)?
        };
        let Some(name) = filter_with else {
            return Ok(context);
        };
        let filter = self.object(
            loader,
            Kind::Filter,
            Some(&name.value),
            Some(&reading.globals),
            &name.site,
        )?;
        if kind == Kind::App && context.object_type != ObjectType::Application {
            let message = format!(
                "`filter-with` on [{}], which is not a plain app: Paste Deploy builds something unusable here, paster applies the filter",
                section.name
            );
            self.warn(site("filter-with").mark(Problem::new("Warning", message)));
        }
        Ok(Context {
            object_type: ObjectType::FilteredWith,
            protocol: None,
            implied: kind.implied_protocol(),
            factory: None,
            loader: Loader::Config(Rc::clone(loader)),
            globals: reading.globals,
            locals: reading.locals,
            parts: Parts::Filtered {
                filter: Box::new(filter),
                next: Box::new(context),
            },
            origin: origin(loader, section, 0),
        })
    }

    fn used(
        &mut self,
        loader: &Rc<ConfigLoader>,
        kind: Kind,
        section: &Section,
        reading: &Reading,
    ) -> Result<Context, Problems> {
        let used = reading
            .locals
            .borrow_mut()
            .shift_remove("use")
            .expect("the caller has seen `use`");
        let mut context = self.object(
            loader,
            kind,
            Some(&used.value),
            Some(&reading.globals),
            &used.site,
        )?;
        let file = reading.globals.borrow().get("__file__").cloned();
        {
            let mut globals = context.globals.borrow_mut();
            globals.extend(reading.additions.clone());
            globals.extend(file.map(|file| ("__file__".to_owned(), file)));
        }
        let locals = reading.locals.borrow().clone();
        context.locals.borrow_mut().extend(locals);
        context.loader = Loader::Config(Rc::clone(loader));
        if context.protocol.is_none() {
            let prefix = section.name.split(':').next().unwrap_or_default();
            context.protocol = Some(match prefix {
                "app" | "application" => "paste.app_factory".to_owned(),
                "composite" | "composit" => "paste.composit_factory".to_owned(),
                prefix => format!("paste.{prefix}_factory"),
            });
        }
        context.origin = origin(loader, section, used.site.line);
        Ok(context)
    }

    fn explicit(
        &mut self,
        loader: &Rc<ConfigLoader>,
        kind: Kind,
        section: &Section,
        reading: &Reading,
    ) -> Result<Context, Problems> {
        let mut locals = reading.locals.borrow_mut();
        let possible: Vec<&str> = kind
            .protocols()
            .iter()
            .filter_map(|group| {
                group
                    .iter()
                    .copied()
                    .find(|protocol| locals.contains_key(*protocol))
            })
            .collect();
        let problem = |message: String, line: usize| {
            Problem::new("LookupError", message).at(&*loader.file, line)
        };
        let protocol = match possible[..] {
            [protocol] => protocol,
            [] => {
                let message = format!("[{}] does not say what it is", section.name);
                let hint = format!(
                    "add `use = …` or `{} = module:attribute`",
                    kind.implied_protocol()
                );
                return Err(vec![problem(message, section.line).hint(hint)]);
            }
            [_, second, ..] => {
                let message = format!(
                    "[{}] names more than one factory: {}",
                    section.name,
                    possible.join(", ")
                );
                let line = section
                    .option(second)
                    .map_or(section.line, |option| option.line);
                return Err(vec![problem(message, line).hint("keep one of them")]);
            }
        };
        let expression = locals.shift_remove(protocol).expect("it was found there");
        drop(locals);
        let Some(target) = expression::entry_point(&expression.value) else {
            return Err(vec![expression.site.mark(malformed(&expression.value))]);
        };
        Ok(Context {
            object_type: object_type(kind),
            protocol: Some(protocol.to_owned()),
            implied: kind.implied_protocol(),
            factory: Some(Factory {
                via: Via::Explicit,
                target,
                group: None,
                name: None,
                distribution: None,
            }),
            loader: Loader::Config(Rc::clone(loader)),
            globals: Rc::clone(&reading.globals),
            locals: Rc::clone(&reading.locals),
            parts: Parts::Leaf,
            origin: origin(loader, section, expression.site.line),
        })
    }

    fn filter_app(
        &mut self,
        loader: &Rc<ConfigLoader>,
        section: &Section,
        reading: &Reading,
    ) -> Result<Context, Problems> {
        let next = reading.locals.borrow_mut().shift_remove("next");
        let Some(next) = next else {
            return Err(vec![missing(loader, section, "next")]);
        };
        let next = self.object(
            loader,
            Kind::App,
            Some(&next.value),
            Some(&reading.globals),
            &next.site,
        )?;
        let filter = if reading.locals.borrow().contains_key("use") {
            self.used(loader, Kind::Filter, section, reading)?
        } else {
            self.explicit(loader, Kind::Filter, section, reading)?
        };
        let parts = Parts::Filtered {
            filter: Box::new(filter),
            next: Box::new(next),
        };
        Ok(structure(
            ObjectType::FilterApp,
            loader,
            section,
            reading,
            parts,
        ))
    }

    fn pipeline(
        &mut self,
        loader: &Rc<ConfigLoader>,
        section: &Section,
        reading: &Reading,
    ) -> Result<Context, Problems> {
        let pipeline = reading.locals.borrow_mut().shift_remove("pipeline");
        let Some(pipeline) = pipeline else {
            return Err(vec![missing(loader, section, "pipeline")]);
        };
        if let Some((_, first)) = reading.locals.borrow().first() {
            let names: Vec<String> = reading
                .locals
                .borrow()
                .keys()
                .map(|name| format!("`{name}`"))
                .collect();
            let message = format!(
                "[{}] has settings that a pipeline cannot take: {}",
                section.name,
                names.join(", ")
            );
            let problem = Problem::new("LookupError", message)
                .hint("move them to the sections of its members, or write `set NAME = …`");
            return Err(vec![first.site.mark(problem)]);
        }
        let items: Vec<&str> = split(&pipeline.value).collect();
        let Some((app, filters)) = items.split_last() else {
            let problem = Problem::new(
                "IndexError",
                format!("the pipeline of [{}] is empty", section.name),
            );
            return Err(vec![
                pipeline
                    .site
                    .mark(problem.hint("its last item must be an app")),
            ]);
        };
        let app = self.object(
            loader,
            Kind::App,
            Some(app),
            Some(&reading.globals),
            &pipeline.site,
        )?;
        let filters: Result<Vec<Context>, Problems> = filters
            .iter()
            .map(|name| {
                self.object(
                    loader,
                    Kind::Filter,
                    Some(name),
                    Some(&reading.globals),
                    &pipeline.site,
                )
            })
            .collect();
        let parts = Parts::Pipeline {
            filters: filters?,
            app: Box::new(app),
        };
        Ok(structure(
            ObjectType::Pipeline,
            loader,
            section,
            reading,
            parts,
        ))
    }
}

/// The type of an object that stands for itself.
pub(super) fn object_type(kind: Kind) -> ObjectType {
    match kind {
        Kind::App => ObjectType::Application,
        Kind::Filter => ObjectType::Filter,
        Kind::Server => ObjectType::Server,
    }
}

/// The problem of an expression that does not name a Python object.
pub(super) fn malformed(expression: &str) -> Problem {
    let shown = lookup::one_line(expression);
    Problem::new(
        "AttributeError",
        format!("`{shown}` does not name a Python object"),
    )
    .hint(match expression.contains('\n') {
        true => lookup::CONTINUED,
        false => "write `module.path:attribute`",
    })
}

fn origin(loader: &ConfigLoader, section: &Section, factory_line: usize) -> Origin {
    Origin {
        file: PathBuf::from(&*loader.file),
        section: section.name.clone(),
        line: section.line,
        factory_line,
    }
}

fn structure(
    object_type: ObjectType,
    loader: &Rc<ConfigLoader>,
    section: &Section,
    reading: &Reading,
    parts: Parts,
) -> Context {
    Context {
        object_type,
        protocol: None,
        implied: Kind::App.implied_protocol(),
        factory: None,
        loader: Loader::Config(Rc::clone(loader)),
        globals: Rc::clone(&reading.globals),
        locals: Rc::clone(&reading.locals),
        parts,
        origin: origin(loader, section, 0),
    }
}

fn missing(loader: &ConfigLoader, section: &Section, option: &str) -> Problem {
    Problem::new(
        "LookupError",
        format!("[{}] has no `{option}` setting", section.name),
    )
    .at(&*loader.file, section.line)
    .hint(format!(
        "add `{option} = …`; an option of that name in [DEFAULT] would hide it"
    ))
}
