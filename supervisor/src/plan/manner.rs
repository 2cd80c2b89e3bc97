//! What a server section says about how its clients are spoken to: TLS, redirection, the PROXY protocol.

use super::certificate::{self, Fault, Half};
use super::listen::Reader;
use super::spec::{Manner, Redirect, Tls};
use super::units::switch;
use crate::config::problem::Problem;
use std::time::SystemTime;

/// Certificate and key under the names that known servers have for them.
const PAIRS: [(&str, &str); 2] = [
    ("certfile", "keyfile"),
    ("ssl_certificate", "ssl_private_key"),
];

impl Reader<'_> {
    /// Reads the manner of the section; files are read too.
    pub(super) fn manner(&mut self) -> Manner {
        self.refuse_context();
        let tls = self.tls();
        let clients = self.clients();
        let redirect = self
            .take("https_redirect", |text| match text.trim() {
                "on" => Ok(Some(Redirect::Ours)),
                "off" | "" => Ok(None),
                port => super::address::port(port)
                    .map(|port| Some(Redirect::Port(port)))
                    .map_err(|_| "expected `on`, `off` or the port of the TLS server".to_owned()),
            })
            .flatten();
        if redirect.is_some() && tls.is_some() {
            let problem = Problem::new(
                "SettingError",
                "`https_redirect` in a section that speaks TLS leads nowhere",
            )
            .hint("put it into a section of its own for the plain port, and name that in `servers` of [isolate]");
            self.refuse("https_redirect", problem);
        }
        let claims_https = self
            .take("url_scheme", |text| match text.trim() {
                "http" | "" => Ok(false),
                "https" => Ok(true),
                _ => Err("expected `http` or `https`".to_owned()),
            })
            .unwrap_or(false);
        Manner {
            server: self.node.origin.section.clone(),
            tls,
            clients,
            claims_https,
            redirect,
            proxy_protocol: self.take("proxy_protocol", switch).unwrap_or(false),
        }
    }

    /// Whether it asks for TLS, in whatever words.
    pub(super) fn asks_for_tls(&self) -> bool {
        self.says("ssl_pem") || PAIRS.iter().any(|(certificate, _)| self.says(certificate))
    }

    /// Without it clients might be let in that it keeps out.
    fn refuse_context(&mut self) {
        if self.says("ssl_context") {
            let problem = Problem::new(
                "SettingError",
                "`ssl_context` asks for a context made in Python, which paster cannot use",
            )
            .hint("`certfile`, `keyfile`, `cert_reqs`, `ca_certs` and `ssl_crl` say what paster can do");
            self.refuse("ssl_context", problem);
        }
        self.used.push("ssl_context");
    }

    fn tls(&mut self) -> Option<Tls> {
        let in_one = self.lines("ssl_pem");
        if in_one.iter().any(|line| line.text == "*") {
            if in_one.len() == 1 && !PAIRS.iter().any(|(key, _)| self.says(key)) {
                return Some(Tls::SelfSigned);
            }
            let problem = Problem::new(
                "SettingError",
                "`ssl_pem = *` is a certificate for development; it stands alone or not at all",
            );
            self.refuse("ssl_pem", problem);
            return None;
        }
        let mut certificates = Vec::new();
        for file in in_one {
            certificates.extend(self.pair(("ssl_pem", &file), ("ssl_pem", &file)));
        }
        for (certificate_key, key_key) in PAIRS {
            let chains = self.lines(certificate_key);
            let keys = self.lines(key_key);
            // A file of both needs no second name.
            let keys = if keys.is_empty() { &chains } else { &keys };
            if keys.len() != chains.len() {
                let problem = Problem::new(
                    "SettingError",
                    format!(
                        "`{certificate_key}` names {} and `{key_key}` {}",
                        files(chains.len()),
                        files(keys.len())
                    ),
                )
                .hint("one file in each line, the key of each certificate in the same order");
                self.refuse(key_key, problem);
                continue;
            }
            for (chain, key) in chains.iter().zip(keys) {
                certificates.extend(self.pair((certificate_key, chain), (key_key, key)));
            }
        }
        // None where a file was refused; a problem was pushed then.
        (!certificates.is_empty()).then_some(Tls::Certificates(certificates))
    }

    /// Reads a certificate and its key; each is given as its option and the line with its path.
    fn pair(
        &mut self,
        (chain_key, chain): (&'static str, &Line),
        (key_key, key): (&'static str, &Line),
    ) -> Option<crate::router::message::Certificate> {
        let here = self.here();
        let option = |half| match half {
            Half::Certificate => (chain_key, chain.number),
            Half::Key => (key_key, key.number),
        };
        let (chain, key) = (here.join(&chain.text), here.join(&key.text));
        for path in [&chain, &key] {
            if !self.files.contains(path) {
                self.files.push(path.clone());
            }
        }
        match certificate::read(&chain, &key, SystemTime::now()) {
            Ok(pair) => {
                for concern in pair.concerns {
                    let warning = Problem::new("Warning", concern.message).hint(concern.hint);
                    let (option, line) = option(concern.about);
                    let warning = self.placed_line(option, line, warning);
                    self.warnings.push(warning);
                }
                Some(pair.certificate)
            }
            Err(fault) => {
                self.refuse_file(option(fault.about), fault);
                None
            }
        }
    }

    /// One path in each line of an option.
    pub(super) fn lines(&mut self, key: &'static str) -> Vec<Line> {
        self.used.push(key);
        let text = self.node.local_conf.get(key).map_or("", String::as_str);
        let lines = text.lines().map(str::trim).enumerate();
        lines
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| Line {
                number,
                text: line.to_owned(),
            })
            .collect()
    }

    pub(super) fn refuse_file(&mut self, (option, line): (&str, usize), fault: Fault) {
        let problem = Problem::new("SettingError", fault.message);
        let problem = match fault.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        };
        self.refuse_line(option, line, problem);
    }
}

fn files(count: usize) -> String {
    match count {
        1 => "one file".to_owned(),
        _ => format!("{count} files"),
    }
}

/// A line of an option.
pub(super) struct Line {
    /// From 0.
    pub(super) number: usize,
    pub(super) text: String,
}
