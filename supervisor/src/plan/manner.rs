//! What a server section says about how its clients are spoken to: TLS, redirection, the PROXY protocol.

use super::certificate::{self, Half};
use super::listen::Reader;
use super::spec::{Manner, Redirect, Tls};
use super::units::switch;
use crate::config::problem::Problem;
use std::time::SystemTime;

/// Options of other servers that paster has no equal of. Without them clients would be let in that they keep out.
const NOT_SERVED: [(&str, &str); 3] = [
    (
        "ca_certs",
        "certificates of clients, which paster does not check",
    ),
    (
        "cert_reqs",
        "certificates of clients, which paster does not check",
    ),
    (
        "ssl_context",
        "a context made in Python, which paster cannot use",
    ),
];

/// Certificate and key under the names that known servers have for them.
const PAIRS: [(&str, &str); 2] = [
    ("certfile", "keyfile"),
    ("ssl_certificate", "ssl_private_key"),
];

impl Reader<'_> {
    /// Reads the manner of the section; files are read too.
    pub(super) fn manner(&mut self) -> Manner {
        self.refuse_what_is_not_served();
        let tls = self.tls();
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
            claims_https,
            redirect,
            proxy_protocol: self.take("proxy_protocol", switch).unwrap_or(false),
        }
    }

    /// Whether it asks for TLS, in whatever words.
    pub(super) fn asks_for_tls(&self) -> bool {
        self.says("ssl_pem") || PAIRS.iter().any(|(certificate, _)| self.says(certificate))
    }

    fn refuse_what_is_not_served(&mut self) {
        for (key, what) in NOT_SERVED {
            let harmless = key == "cert_reqs"
                && self
                    .node
                    .local_conf
                    .get(key)
                    .is_some_and(|v| v.trim() == "0");
            if !self.says(key) || harmless {
                self.used.push(key);
                continue;
            }
            let problem = Problem::new("SettingError", format!("`{key}` asks for {what}")).hint(
                format!("remove `{key}`, or let a front end in front of paster do TLS"),
            );
            self.refuse(key, problem);
        }
    }

    fn tls(&mut self) -> Option<Tls> {
        let in_one = self
            .take("ssl_pem", |text| Ok(lines(text)))
            .unwrap_or_default();
        if in_one.iter().any(|line| line == "*") {
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
            let chains = self
                .take(certificate_key, |text| Ok(lines(text)))
                .unwrap_or_default();
            let keys = self
                .take(key_key, |text| Ok(lines(text)))
                .unwrap_or_default();
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

    /// Reads a certificate and its key; each is given as its option and its path.
    fn pair(
        &mut self,
        (chain_key, chain): (&'static str, &str),
        (key_key, key): (&'static str, &str),
    ) -> Option<crate::router::message::Certificate> {
        let here = self.here();
        let (chain, key) = (here.join(chain), here.join(key));
        for path in [&chain, &key] {
            if !self.files.contains(path) {
                self.files.push(path.clone());
            }
        }
        let option = |half| match half {
            Half::Certificate => chain_key,
            Half::Key => key_key,
        };
        match certificate::read(&chain, &key, SystemTime::now()) {
            Ok(pair) => {
                for concern in pair.concerns {
                    let warning = Problem::new("Warning", concern.message).hint(concern.hint);
                    let warning = self.placed(option(concern.about), warning);
                    self.warnings.push(warning);
                }
                Some(pair.certificate)
            }
            Err(fault) => {
                let problem = Problem::new("SettingError", fault.message);
                let problem = match fault.hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                };
                self.refuse(option(fault.about), problem);
                None
            }
        }
    }
}

fn files(count: usize) -> String {
    match count {
        1 => "one file".to_owned(),
        _ => format!("{count} files"),
    }
}

/// One path in each line.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}
