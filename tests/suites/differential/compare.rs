//! When two answers are the same.

use crate::deviations;
use serde_json::{Map, Value};

/// The first place where the answers differ, in words; none if they agree. Trees must be equal, member by member;
/// of errors the class.
pub(crate) fn difference(ours: &Value, theirs: &Value) -> Option<String> {
    differ("context", ours, theirs)
}

/// The class of an ERROR.
pub(crate) fn class(answer: &Value) -> Option<&str> {
    let answer = answer.as_object()?;
    (answer.len() == 2 && answer.contains_key("message")).then(|| answer.get("error")?.as_str())?
}

fn differ(at: &str, ours: &Value, theirs: &Value) -> Option<String> {
    if ours == theirs || deviations::allowed(ours, theirs).is_some() {
        return None;
    }
    match (ours, theirs) {
        _ if class(theirs).is_some() => (class(ours) != class(theirs))
            .then(|| format!("{at}: {} instead of {}", gist(ours), gist(theirs))),
        (Value::Object(ours), Value::Object(theirs)) => objects(at, ours, theirs),
        (Value::Array(ours), Value::Array(theirs)) => {
            if ours.len() != theirs.len() {
                return Some(format!(
                    "{at}: {} instead of {} items",
                    ours.len(),
                    theirs.len()
                ));
            }
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs
                .find_map(|(index, (ours, theirs))| differ(&format!("{at}[{index}]"), ours, theirs))
        }
        _ => Some(format!("{at}: {} instead of {}", gist(ours), gist(theirs))),
    }
}

fn objects(at: &str, ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Option<String> {
    if let Some(surplus) = ours.keys().find(|&key| !theirs.contains_key(key)) {
        return Some(format!("{at}: {surplus:?} should not be there"));
    }
    theirs.iter().find_map(|(key, theirs)| match ours.get(key) {
        None => Some(format!("{at}: {key:?} is missing")),
        Some(ours) => differ(&format!("{at}.{key}"), ours, theirs),
    })
}

/// Enough of a value to see what it is.
fn gist(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
