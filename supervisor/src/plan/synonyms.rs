//! Options of known servers that mean what one of our own settings means; and those that nearly do, with the way to go.
//!
//! What they mean is said by gunicorn's docs/source/settings.rst and waitress's docs/arguments.rst.

use super::keys::{Draft, Wrong, key};
use super::listen::Reader;
use super::servers::Speech;
use super::settings::Entry;
use super::units::{number, switch};
use crate::config::problem::{Place, Problem};
use std::path::Path;

/// An option of a server, and the setting of `[isolate]` that means the same.
struct Synonym {
    option: &'static str,
    setting: &'static str,
    unit: Unit,
}

/// What the number of an option counts.
#[derive(Clone, Copy)]
enum Unit {
    Seconds,
    /// Things or bytes.
    Things,
    /// Things; 0 is none at all.
    ThingsOrOff,
}

const fn synonym(option: &'static str, setting: &'static str, unit: Unit) -> Synonym {
    Synonym {
        option,
        setting,
        unit,
    }
}

const GUNICORN: &[Synonym] = &[
    synonym("limit_request_line", "max_target", Unit::Things),
    synonym("limit_request_fields", "max_fields", Unit::Things),
    synonym("keepalive", "keep_alive_timeout", Unit::Seconds),
    synonym("graceful_timeout", "drain_timeout", Unit::Seconds),
    synonym("max_requests", "max_requests", Unit::ThingsOrOff),
    synonym("max_requests_jitter", "max_requests_jitter", Unit::Things),
];

const WAITRESS: &[Synonym] = &[
    synonym("max_request_header_size", "max_head", Unit::Things),
    synonym("max_request_body_size", "max_body", Unit::Things),
    synonym("channel_timeout", "keep_alive_timeout", Unit::Seconds),
    synonym("connection_limit", "max_connections", Unit::Things),
];

/// Options without a counterpart, and what to write in their place.
const INSTEAD: &[(Speech, &str, &str)] = &[
    (
        Speech::Gunicorn,
        "limit_request_field_size",
        "`max_head` of [isolate] bounds all fields of a request together",
    ),
    (
        Speech::Gunicorn,
        "timeout",
        "`request_timeout` of [isolate] bounds a request, `watchdog` finds workers that are stuck",
    ),
    (
        Speech::Gunicorn,
        "proxy_allow_ips",
        "`trusted_proxy` of [isolate] says who may send a header of the PROXY protocol",
    ),
    (
        Speech::Gunicorn,
        "preload_app",
        "`preload` of [isolate] loads the code once for all workers",
    ),
    (
        Speech::Gunicorn,
        "accesslog",
        "`access_log` of [isolate] says where requests are logged",
    ),
    (
        Speech::Gunicorn,
        "chdir",
        "`directory` of [isolate] is where workers run",
    ),
    (
        Speech::Gunicorn,
        "raw_env",
        "`environment` of [isolate] is what workers are given",
    ),
    (
        Speech::Waitress,
        "ident",
        "`response_headers = Server: …` of [isolate] names the server",
    ),
    (
        Speech::Waitress,
        "expose_tracebacks",
        "`debug = true` in [DEFAULT] lets error pages tell what happened",
    ),
    (
        Speech::Waitress,
        "trusted_proxy_headers",
        "what a trusted proxy sends is believed: docs/proxy.md tells which fields",
    ),
];

/// What paster has in place of an option that it does not honour.
pub(super) fn instead(speech: Speech, option: &str) -> Option<&'static str> {
    let fits = |(server, name, _): &&(Speech, &str, &str)| *server == speech && *name == option;
    INSTEAD.iter().find(fits).map(|(_, _, hint)| *hint)
}

impl Reader<'_> {
    /// Options that are settings by another name, as settings; `[isolate]` goes before them. A number that the setting does not
    /// take is a warning: the server would have run with it.
    pub(super) fn settings(&mut self) -> Vec<Entry> {
        let synonyms = match self.server.speech {
            Speech::Gunicorn => GUNICORN,
            Speech::Waitress => WAITRESS,
            Speech::Plain | Speech::Unknown | Speech::Foreign(_) => &[],
        };
        if self.server.speech == Speech::Waitress {
            self.always_cleared();
        }
        synonyms
            .iter()
            .filter_map(|synonym| self.setting(synonym))
            .collect()
    }

    /// Fields of proxies that are not trusted never reach an app, so there is nothing to switch on; off is a warning.
    fn always_cleared(&mut self) {
        const CLEARED: &str = "clear_untrusted_proxy_headers";
        let text = self.node.local_conf.get(CLEARED);
        if text.is_some_and(|text| switch(text) == Ok(true)) {
            self.used.push(CLEARED);
        }
    }

    fn setting(&mut self, synonym: &Synonym) -> Option<Entry> {
        if !self.says(synonym.option) {
            self.used.push(synonym.option);
            return None;
        }
        let written = self.take(synonym.option, |text| number(text, 0, u64::from(u32::MAX)))?;
        let value = match synonym.unit {
            Unit::Seconds => format!("{written}s"),
            Unit::ThingsOrOff if written == 0 => "off".to_owned(),
            Unit::Things | Unit::ThingsOrOff => written.to_string(),
        };
        let row = key(synonym.setting).expect("the table names settings");
        if let Err(Wrong { expected, .. }) =
            (row.set)(&mut Draft::default(), &value, Path::new("/"))
        {
            let Synonym {
                option, setting, ..
            } = synonym;
            let message = format!("`{option} = {written}` is not honoured: {expected}");
            let warning = Problem::new("Warning", message).hint(format!(
                "it would be `{setting}` of [isolate], which has its default"
            ));
            let warning = self.placed(option, warning);
            self.warnings.push(warning);
            return None;
        }
        Some(Entry {
            key: synonym.setting.to_owned(),
            value,
            place: self.position(synonym.option),
            lines: Vec::new(),
        })
    }

    /// Where an option stands, or else the section.
    fn position(&self, option: &str) -> Place {
        let origin = &self.node.origin;
        (self.place)(option, 0).unwrap_or_else(|| Place {
            file: origin.file.clone(),
            line: origin.line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::listen::{Listening, listening};
    use super::*;
    use crate::plan::testing;

    const WAITRESS_TARGET: &str = "waitress:serve_paste";
    const GUNICORN_TARGET: &str = "gunicorn.app.pasterapp:serve";

    fn read(target: &str, options: &[(&str, &str)]) -> Listening {
        listening(&testing::server(target, options), &|_, _| None).expect("good")
    }

    fn settings(target: &str, options: &[(&str, &str)]) -> Vec<(String, String)> {
        let read = read(target, options);
        assert_eq!(read.warnings, []);
        let pair = |entry: Entry| (entry.key, entry.value);
        read.settings.into_iter().map(pair).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn each_names_a_setting() {
        for synonym in GUNICORN.iter().chain(WAITRESS) {
            assert!(key(synonym.setting).is_some(), "{}", synonym.setting);
        }
    }

    #[test]
    fn what_gunicorn_means_is_a_setting_of_ours() {
        let options = [
            ("limit_request_line", "8190"),
            ("limit_request_fields", "50"),
            ("keepalive", "5"),
            ("graceful_timeout", "20"),
            ("max_requests", "1000"),
            ("max_requests_jitter", "50"),
        ];
        let expected = pairs(&[
            ("max_target", "8190"),
            ("max_fields", "50"),
            ("keep_alive_timeout", "5s"),
            ("drain_timeout", "20s"),
            ("max_requests", "1000"),
            ("max_requests_jitter", "50"),
        ]);
        assert_eq!(settings(GUNICORN_TARGET, &options), expected);
        let never = settings(GUNICORN_TARGET, &[("max_requests", "0")]);
        assert_eq!(never, pairs(&[("max_requests", "off")]));
        assert_eq!(settings(GUNICORN_TARGET, &[("keepalive", "")]), []);
    }

    #[test]
    fn what_waitress_means_is_a_setting_of_ours() {
        let options = [
            ("max_request_header_size", "16384"),
            ("max_request_body_size", "1000"),
            ("channel_timeout", "60"),
            ("connection_limit", "500"),
            ("clear_untrusted_proxy_headers", "true"),
        ];
        let expected = pairs(&[
            ("max_head", "16384"),
            ("max_body", "1000"),
            ("keep_alive_timeout", "60s"),
            ("max_connections", "500"),
        ]);
        assert_eq!(settings(WAITRESS_TARGET, &options), expected);
    }

    #[test]
    fn a_number_that_is_not_taken_is_named_and_a_word_is_refused() {
        let read = read(GUNICORN_TARGET, &[("limit_request_line", "0")]);
        assert_eq!(read.settings, []);
        let message = "`limit_request_line = 0` is not honoured: expected 1024 to 61440";
        assert_eq!(read.warnings[0].message, message);
        let node = testing::server(GUNICORN_TARGET, &[("keepalive", "long")]);
        let problems = listening(&node, &|_, _| None).expect_err("no number");
        assert!(problems[0].message.starts_with("`keepalive = long`"));
    }

    #[test]
    fn each_server_has_its_own_words() {
        let others = read(WAITRESS_TARGET, &[("keepalive", "5"), ("ident", "me")]);
        assert_eq!(others.settings, []);
        let hint = |at: usize| others.warnings[at].hint.clone().unwrap_or_default();
        assert!(hint(0).contains("docs/settings.md"), "{}", hint(0));
        assert!(hint(1).contains("response_headers"), "{}", hint(1));
    }
}
