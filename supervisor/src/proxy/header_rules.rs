//! Fields that the configuration sets, adds or removes in answers.

use crate::router::answers::HeaderRule;
use http::{HeaderMap, HeaderName, HeaderValue};

/// In the order of the file.
#[derive(Debug, Default)]
pub(super) struct HeaderRules(Box<[Rule]>);

#[derive(Debug)]
enum Rule {
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Default(HeaderName, HeaderValue),
    Remove(HeaderName),
}

impl HeaderRules {
    /// What is no valid field is left out; planning has refused it.
    pub(super) fn new(rules: Vec<HeaderRule>) -> Self {
        let field = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        };
        let rules = rules.iter().filter_map(|rule| {
            Some(match rule {
                HeaderRule::Set(name, value) => {
                    let (name, value) = field(name, value)?;
                    Rule::Set(name, value)
                }
                HeaderRule::Add(name, value) => {
                    let (name, value) = field(name, value)?;
                    Rule::Add(name, value)
                }
                HeaderRule::Default(name, value) => {
                    let (name, value) = field(name, value)?;
                    Rule::Default(name, value)
                }
                HeaderRule::Remove(name) => {
                    Rule::Remove(HeaderName::from_bytes(name.as_bytes()).ok()?)
                }
            })
        });
        Self(rules.collect())
    }

    /// Changes the fields of a final answer.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for rule in &self.0 {
            match rule {
                Rule::Set(name, value) => {
                    headers.insert(name, value.clone());
                }
                Rule::Add(name, value) => {
                    headers.append(name, value.clone());
                }
                Rule::Default(name, value) => {
                    headers.entry(name).or_insert_with(|| value.clone());
                }
                Rule::Remove(name) => {
                    headers.remove(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_applied_one_after_the_other() {
        let rules = HeaderRules::new(vec![
            HeaderRule::Remove("Server".into()),
            HeaderRule::Set("X-Frame-Options".into(), "DENY".into()),
            HeaderRule::Add("set-cookie".into(), "b=2".into()),
            HeaderRule::Default("cache-control".into(), "no-store".into()),
            HeaderRule::Default("x-new".into(), "1".into()),
            HeaderRule::Set("x-new".into(), "2".into()),
        ]);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("server", "app"),
            ("x-frame-options", "SAMEORIGIN"),
            ("x-frame-options", "ALLOW"),
            ("set-cookie", "a=1"),
            ("cache-control", "max-age=5"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        rules.apply(&mut headers);
        let all = |name: &str| {
            let values = headers.get_all(name).iter();
            values.map(|v| v.to_str().unwrap()).collect::<Vec<_>>()
        };
        assert!(all("server").is_empty());
        assert_eq!(all("x-frame-options"), ["DENY"]);
        assert_eq!(all("set-cookie"), ["a=1", "b=2"]);
        assert_eq!(all("cache-control"), ["max-age=5"]);
        assert_eq!(all("x-new"), ["2"]);
    }
}
