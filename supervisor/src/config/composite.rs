//! Members of the stock urlmap and cascade: resolved after everything else, because in Paste their
//! factories ask for them when they are called.

use super::context::{Cascade, Context, Parts, Problems, Route, Routes, Setting, Site};
use super::lookup::Kind;
use super::problem::Problem;
use super::resolve::{Resolver, Step};
use super::text::split;
use super::tree::{CASCADE_TARGET, Conf, ObjectType, URLMAP_TARGET};
use super::urlmap_key::{self, Key, KeyError};
use indexmap::IndexMap;
use std::rc::Rc;

/// Objects nested deeper than this are a cycle through composites.
const MAX_NESTING: usize = 60;

/// The statuses that `catch` can name: those with an exception class in `paste.httpexceptions`.
const CATCHABLE: [std::ops::RangeInclusive<i64>; 5] =
    [300..=305, 307..=307, 400..=417, 429..=429, 500..=505];

type Options = IndexMap<String, Setting>;

impl Resolver<'_> {
    /// Resolves the members of all composites below `context`. A problem of a member stays with its
    /// composite; the `Err` is a nesting without end.
    pub(crate) fn expand(&mut self, context: &mut Context, depth: usize) -> Result<(), Problems> {
        let step = Step {
            file: Rc::from(context.origin.file.to_string_lossy().as_ref()),
            section: context.origin.section.clone(),
        };
        self.trail.push(step);
        let result = if depth > MAX_NESTING {
            Err(vec![self.cycle()])
        } else {
            self.expand_parts(context, depth)
        };
        self.trail.pop();
        result
    }

    fn expand_parts(&mut self, context: &mut Context, depth: usize) -> Result<(), Problems> {
        match &mut context.parts {
            Parts::Pipeline { filters, app } => {
                for filter in filters {
                    self.expand(filter, depth + 1)?;
                }
                return self.expand(app, depth + 1);
            }
            Parts::Filtered { filter, next } => {
                self.expand(filter, depth + 1)?;
                return self.expand(next, depth + 1);
            }
            _ => {}
        }
        let composite = matches!(
            context.protocol.as_deref(),
            Some("paste.composite_factory" | "paste.composit_factory")
        );
        if !composite || context.object_type != ObjectType::Application {
            return Ok(());
        }
        let target = context
            .factory
            .as_ref()
            .map(|factory| factory.target.clone());
        let options = context.locals.borrow().clone();
        context.parts = match target.as_deref() {
            Some(URLMAP_TARGET) => Parts::Urlmap(self.urlmap(context, options, depth)?),
            Some(CASCADE_TARGET) => Parts::Cascade(self.cascade(context, options, depth)?),
            _ => Parts::Opaque,
        };
        Ok(())
    }

    fn urlmap(
        &mut self,
        context: &Context,
        mut options: Options,
        depth: usize,
    ) -> Result<Result<Routes, Problems>, Problems> {
        let mut problems = reserved(&options);
        let not_found_app = self.not_found(context, &mut options, &mut problems);
        let mut routes: Vec<(Key, Route)> = Vec::new();
        for (text, setting) in options {
            let route = self.route(context, (&text, setting), &routes, &mut problems);
            if let Some((key, route)) = route {
                routes.retain(|(other, _)| *other != key);
                routes.push((key, route));
            }
        }
        routes.sort_by(|(a, _), (b, _)| a.compare(b));
        let mut members = Routes {
            routes: routes.into_iter().map(|(_, route)| route).collect(),
            not_found_app,
        };
        let apps = members.routes.iter_mut().map(|route| &mut *route.app);
        let apps: Vec<&mut Context> = apps
            .chain(members.not_found_app.iter_mut().map(|(_, app)| &mut **app))
            .collect();
        self.expand_members(apps, &mut problems, depth)?;
        Ok(if problems.is_empty() {
            Ok(members)
        } else {
            Err(problems)
        })
    }

    /// What answers where no route matches, if that is said.
    fn not_found(
        &mut self,
        context: &Context,
        options: &mut Options,
        problems: &mut Problems,
    ) -> Option<(String, Box<Context>)> {
        let said = options
            .shift_remove("not_found_app")
            .or_else(|| inherited(&context.globals.borrow()));
        let said = said.filter(|setting| !setting.value.is_empty())?;
        let app = self.member(
            &context.loader,
            Kind::App,
            Some(&said.value),
            Some(&context.globals),
            &said.site,
        );
        let app = app.map_err(|more| problems.extend(more)).ok()?;
        Some((said.value, Box::new(app)))
    }

    /// One option of a urlmap; `known` are the routes before it.
    fn route(
        &mut self,
        context: &Context,
        (text, setting): (&str, Setting),
        known: &[(Key, Route)],
        problems: &mut Problems,
    ) -> Option<(Key, Route)> {
        let address = urlmap_key::address(text)
            .map_err(|error| problems.push(route_problem(error, &setting.site)))
            .ok()?;
        let app = self.member(
            &context.loader,
            Kind::App,
            Some(&setting.value),
            Some(&context.globals),
            &setting.site,
        );
        let app = app.map_err(|more| problems.extend(more)).ok();
        let key = urlmap_key::normalize(&address)
            .map_err(|error| problems.push(route_problem(error, &setting.site)))
            .ok()?;
        self.warn_upper_case(&key, &setting.site);
        let app = app?;
        if known.iter().any(|(other, _)| other.incomparable(&key)) {
            let message = format!(
                "`{text}` has an empty domain, and another route has the same path without one"
            );
            problems.push(setting.site.mark(Problem::new("TypeError", message)));
        }
        let route = Route {
            domain: key.domain.clone(),
            prefix: key.prefix.clone(),
            name: setting.value,
            app: Box::new(app),
            line: setting.site.line,
        };
        Some((key, route))
    }

    fn cascade(
        &mut self,
        context: &Context,
        mut options: Options,
        depth: usize,
    ) -> Result<Result<Cascade, Problems>, Problems> {
        let mut problems = reserved(&options);
        let catch = options.shift_remove("catch");
        let mut apps: Vec<(String, String, Context)> = Vec::new();
        for (key, setting) in options {
            if !key.starts_with("app") {
                let message =
                    format!("`{key}` is no option of a cascade: its members are called `app…`");
                problems.push(setting.site.mark(
                    Problem::new("ValueError", message).hint(format!("call it `app_{key}`")),
                ));
                continue;
            }
            match self.member(
                &context.loader,
                Kind::App,
                Some(&setting.value),
                Some(&context.globals),
                &setting.site,
            ) {
                Ok(app) => apps.push((key, setting.value, app)),
                Err(more) => problems.extend(more),
            }
        }
        apps.sort_by(|a, b| a.0.cmp(&b.0));
        let site = catch
            .as_ref()
            .map(|setting| setting.site.clone())
            .unwrap_or_default();
        let codes = catch_codes(catch.as_ref().map_or("404", |setting| &setting.value));
        let catch = codes
            .map_err(|problem| problems.push(site.mark(problem)))
            .unwrap_or_default();
        let mut members = Cascade {
            catch,
            apps: apps.into_iter().map(|(_, name, app)| (name, app)).collect(),
        };
        let apps = members.apps.iter_mut().map(|(_, app)| app).collect();
        self.expand_members(apps, &mut problems, depth)?;
        Ok(if problems.is_empty() {
            Ok(members)
        } else {
            Err(problems)
        })
    }

    /// Expands the members. Where the composite has a problem already, this only serves to
    /// find the problems below it, and stops at a nesting without end.
    fn expand_members(
        &mut self,
        apps: Vec<&mut Context>,
        problems: &mut Problems,
        depth: usize,
    ) -> Result<(), Problems> {
        let broken = !problems.is_empty();
        for app in apps {
            if broken && self.endless {
                return Ok(());
            }
            match self.expand(app, depth + 1) {
                Ok(()) if broken => super::snapshot::problems(app, problems),
                Ok(()) => {}
                Err(endless) if broken => {
                    self.endless = true;
                    problems.extend(endless);
                }
                Err(endless) => return Err(endless),
            }
        }
        Ok(())
    }

    fn warn_upper_case(&mut self, key: &Key, site: &Site) {
        let Some(domain) = key
            .domain
            .as_deref()
            .filter(|domain| domain.chars().any(char::is_uppercase))
        else {
            return;
        };
        let message = format!(
            "the domain `{domain}` never matches in Paste, which compares it with the Host in lower case; paster ignores case"
        );
        let hint = format!("write `{}`", domain.to_lowercase());
        self.warn(site.mark(Problem::new("Warning", message).hint(hint)));
    }
}

/// Options that clash with the positional parameters of the factories.
fn reserved(options: &Options) -> Problems {
    let clash = |name: &str| {
        let setting = options.get(name)?;
        let message =
            format!("`{name}` cannot be an option here: the factory has a parameter of that name");
        Some(setting.site.mark(Problem::new("TypeError", message)))
    };
    ["loader", "global_conf"]
        .into_iter()
        .find_map(clash)
        .into_iter()
        .collect()
}

/// `not_found_app` from the global configuration, which reaches every map below.
fn inherited(globals: &Conf) -> Option<Setting> {
    Some(Setting {
        value: globals.get("not_found_app")?.clone(),
        site: Site::default(),
    })
}

fn route_problem(error: KeyError, site: &Site) -> Problem {
    let problem = Problem::new(error.class, error.message);
    site.mark(problem.hint(
        "every option of a urlmap is a route: `/path = app` or `domain NAME port PORT /path = app`",
    ))
}

/// The statuses of a `catch` option, sorted.
fn catch_codes(text: &str) -> Result<Vec<u16>, Problem> {
    let mut codes = Vec::new();
    for word in split(text) {
        let Some(code) = python_int(word) else {
            return Err(Problem::new(
                "ValueError",
                format!("`{word}` in `catch` is not a status code"),
            ));
        };
        if !CATCHABLE.iter().any(|range| range.contains(&code)) {
            return Err(
                Problem::new("KeyError", format!("`catch` cannot name the status {word}"))
                    .hint("use 404, or another error status"),
            );
        }
        codes.extend(u16::try_from(code));
    }
    codes.sort_unstable();
    codes.dedup();
    Ok(codes)
}

/// Python's `int(text)` for text without white space: sign, digits, single underscores between
/// digits. Numbers beyond any status come out as -1.
fn python_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let well_formed = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !well_formed {
        return None;
    }
    let number = digits.replace('_', "").parse::<i64>().unwrap_or(-1);
    Some(if negative { -number.abs() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catch_takes_what_python_and_paste_take() {
        assert_eq!(
            catch_codes("500 404 4_04 +403").expect("codes"),
            [403, 404, 500]
        );
        assert!(catch_codes("").expect("none").is_empty());
        assert_eq!(catch_codes("x").expect_err("no number").class, "ValueError");
        assert_eq!(
            catch_codes("4__04").expect_err("no number").class,
            "ValueError"
        );
        assert_eq!(catch_codes("299").expect_err("unknown").class, "KeyError");
        assert_eq!(
            catch_codes("99999999999999999999")
                .expect_err("unknown")
                .class,
            "KeyError"
        );
    }
}
