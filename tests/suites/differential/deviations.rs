//! Where we mean to differ from the original. Everything else that differs is a defect.

use crate::compare::class;
use serde_json::Value;

/// One intended difference.
struct Deviation {
    name: &'static str,
    /// Why, for whoever reads this table.
    #[expect(dead_code, reason = "documentation that cannot be left out")]
    reason: &'static str,
    applies: fn(ours: &Value, theirs: &Value) -> bool,
}

const DEVIATIONS: [Deviation; 3] = [
    Deviation {
        name: "module:attr",
        reason: "`use = module:attr` names a Python object; the original knows no such scheme, or no such section",
        applies: |ours, theirs| {
            let missing = between(theirs, "URI scheme not known: '", "'").or(between(
                theirs,
                "No section '",
                "'",
            ));
            let is_it = |via: &str, target: &str| {
                via == "module"
                    && missing.is_some_and(|missing| {
                        target.split(':').next() == missing.split(':').next()
                    })
            };
            class(theirs) == Some("LookupError") && any_factory(ours, &is_it)
        },
    },
    Deviation {
        name: "more schemes",
        reason: "`exec:`, `unix:` and `http:` name what is no Python object; the original knows no such scheme",
        applies: |ours, theirs| {
            let scheme = between(theirs, "URI scheme not known: '", "'");
            let is_it =
                |via: &str, _: &str| matches!(via, "exec" | "unix" | "http") && scheme == Some(via);
            class(theirs) == Some("LookupError") && any_factory(ours, &is_it)
        },
    },
    Deviation {
        name: "percent in the directory",
        reason: "the original interpolates `here` and `__file__`, so a `%` in a path makes every file below it fail",
        applies: |ours, theirs| {
            let is_interpolation =
                class(theirs).is_some_and(|class| class.starts_with("Interpolation"));
            let file = between(theirs, "Error in file ", ": ");
            is_interpolation && file.is_some_and(|file| file.contains('%')) && class(ours).is_none()
        },
    },
];

/// The name of the intended difference between two answers, if that is what it is.
pub(crate) fn allowed(ours: &Value, theirs: &Value) -> Option<&'static str> {
    DEVIATIONS
        .iter()
        .find(|deviation| (deviation.applies)(ours, theirs))
        .map(|deviation| deviation.name)
}

/// The part of an error's message after a beginning, up to an end.
fn between<'a>(error: &'a Value, begin: &str, end: &str) -> Option<&'a str> {
    error["message"]
        .as_str()?
        .strip_prefix(begin)?
        .split(end)
        .next()
}

/// Whether a node of the tree has such a factory; asked with its `via` and target.
fn any_factory(tree: &Value, is_it: &dyn Fn(&str, &str) -> bool) -> bool {
    let factory = &tree["factory"];
    if let (Some(via), Some(target)) = (factory["via"].as_str(), factory["target"].as_str())
        && is_it(via, target)
    {
        return true;
    }
    match tree {
        Value::Object(members) => members.values().any(|member| any_factory(member, is_it)),
        Value::Array(items) => items.iter().any(|item| any_factory(item, is_it)),
        _ => false,
    }
}
