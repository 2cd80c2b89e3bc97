//! `filters`: filters of the configuration around single apps.

use super::Builder;
use crate::config::Kind;
use crate::config::problem::Problem;
use crate::config::tree::{Conf, Node, ObjectType, Parts};
use crate::plan::settings::Policy;

impl Builder<'_> {
    /// A pipeline of `filters` with the app at its end, if there are any.
    pub(super) fn filtered(&mut self, app: Node, policy: &Policy) -> Node {
        let mut filters = Vec::new();
        for name in &policy.settings.filters {
            let before = self.problems.len();
            let found = self.resolve(&self.request.query(Kind::Filter, Some(name)));
            filters.extend(found.map(|found| found.node));
            let place = policy.places.get("filters");
            for problem in &mut self.problems[before..] {
                problem.message = format!("`filters` names `{name}`: {}", problem.message);
                if problem.place.is_none() {
                    problem.place = place.cloned();
                }
            }
        }
        if filters.is_empty() {
            return app;
        }
        Node {
            object_type: ObjectType::Pipeline,
            protocol: None,
            factory: None,
            loader: app.loader.clone(),
            global_conf: app.global_conf.clone(),
            local_conf: Conf::new(),
            origin: app.origin.clone(),
            parts: Parts::Pipeline {
                filters,
                app: Box::new(app),
            },
        }
    }

    /// Only the Python host can put filters around an app.
    pub(super) fn refuse_filters(&mut self, app: &str, policy: &Policy) {
        if policy.own.contains("filters")
            && let (false, Some(place)) = (
                policy.settings.filters.is_empty(),
                policy.places.get("filters"),
            )
        {
            let message = format!("app `{app}` is no Python app: `filters` cannot stand around it");
            let hint = "remove it; in [isolate] it is for the Python apps alone";
            let problem = Problem::new("SettingError", message);
            self.problems
                .push(problem.at(&place.file, place.line).hint(hint));
        }
    }
}
