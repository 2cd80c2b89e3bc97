//! What a server section asks clients for: gunicorn's `cert_reqs` and `ca_certs`, and nginx's `ssl_crl`.

use super::certificate;
use super::listen::Reader;
use super::manner::Line;
use super::revocation;
use crate::config::problem::Problem;
use crate::router::message::ClientAuthorities;
use std::time::SystemTime;

/// gunicorn's and Python's number for it (the ssl module's CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requirement {
    None,
    Optional,
    Required,
}

impl Reader<'_> {
    /// None: clients are asked for nothing. Files are read.
    pub(super) fn clients(&mut self) -> Option<ClientAuthorities> {
        let requirement = self.take("cert_reqs", |text| match text.trim() {
            "" | "0" => Ok(Requirement::None),
            "1" => Ok(Requirement::Optional),
            "2" => Ok(Requirement::Required),
            _ => Err(
                "expected 0 (ask for no certificate), 1 (ask) or 2 (let nobody in without)"
                    .to_owned(),
            ),
        });
        let files = self.lines("ca_certs");
        let lists = self.lines("ssl_crl");
        let requirement = requirement.unwrap_or(Requirement::None);
        if requirement == Requirement::None {
            self.warn_in_vain("ca_certs", &files);
            self.warn_in_vain("ssl_crl", &lists);
            return None;
        }
        if files.is_empty() {
            self.refuse_request(
                "no authority is believed",
                "name the file with their certificates in `ca_certs`",
            );
        }
        if !self.asks_for_tls() {
            self.refuse_request(
                "there is no TLS here",
                "name the server's own certificate in `certfile` and `keyfile`, or in `ssl_pem`",
            );
        }
        let here = self.here();
        let mut authorities = Vec::new();
        for Line { number, text } in files {
            let path = here.join(text);
            match certificate::authorities(&path) {
                Ok(more) => authorities.extend(more),
                Err(fault) => self.refuse_file(("ca_certs", number), fault),
            }
            self.files.push(path);
        }
        let revoked = self.revoked(&authorities, lists);
        // Empty only where a file was refused; a problem was pushed then.
        (!authorities.is_empty()).then_some(ClientAuthorities {
            authorities,
            revoked,
            required: requirement == Requirement::Required,
        })
    }

    /// Reads what `ssl_crl` names.
    fn revoked(&mut self, authorities: &[Vec<u8>], files: Vec<Line>) -> Vec<Vec<u8>> {
        let here = self.here();
        let mut lists = Vec::new();
        for Line { number, text } in files {
            let path = here.join(text);
            match revocation::read(&path, authorities) {
                Ok(more) => {
                    for list in &more {
                        if let Some(end) = revocation::over(list, SystemTime::now()) {
                            let message = format!(
                                "a list of revoked certificates in {} has ended at {end}: no certificate that it is about is accepted",
                                path.display()
                            );
                            let warning = Problem::new("Warning", message)
                                .hint("fetch the next one, then `paster reload`");
                            let warning = self.placed_line("ssl_crl", number, warning);
                            self.warnings.push(warning);
                        }
                    }
                    lists.extend(more);
                }
                Err(fault) => self.refuse_file(("ssl_crl", number), fault),
            }
            self.files.push(path);
        }
        if !lists.is_empty() {
            for name in revocation::without(authorities, &lists) {
                let message = format!(
                    "`ssl_crl` has no list of {name}: no certificate that it has signed is accepted"
                );
                let warning = Problem::new("Warning", message).hint(
                    "name its list, too; each authority between a client and `ca_certs` needs one",
                );
                let warning = self.placed("ssl_crl", warning);
                self.warnings.push(warning);
            }
        }
        lists
    }

    fn warn_in_vain(&mut self, key: &str, files: &[Line]) {
        if !files.is_empty() {
            let message = format!("`{key}` without `cert_reqs` asks no client for a certificate");
            let warning = Problem::new("Warning", message).hint(
                "`cert_reqs = 2` lets in only who has one of the authorities in `ca_certs`, `cert_reqs = 1` asks for it",
            );
            let warning = self.placed(key, warning);
            self.warnings.push(warning);
        }
    }

    fn refuse_request(&mut self, why: &str, hint: &str) {
        let message = format!("`cert_reqs` asks for certificates of clients, but {why}");
        self.refuse(
            "cert_reqs",
            Problem::new("SettingError", message).hint(hint),
        );
    }
}
