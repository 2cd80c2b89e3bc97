//! What the proxies are told of certificates: those of the plan, and for development one of our own making.

use crate::plan::spec::{Endpoint, Listen, Plan, Tls};
use crate::router::message::{Certificate, PrivateKey, TlsServer, ToProxy};
use rcgen::{CertificateParams, DnType, KeyPair};
use std::collections::{BTreeMap, BTreeSet};

/// Names by which a developer reaches the own machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Keeps the certificate of our own making: whoever has accepted it in a browser is not asked again after a reload.
#[derive(Default)]
pub struct SelfSigned(Option<(BTreeSet<String>, Certificate)>);

impl SelfSigned {
    /// The message for a proxy; none where nothing listens with TLS.
    ///
    /// # Errors
    /// No certificate could be made.
    pub fn message(&mut self, plan: &Plan) -> Result<Option<ToProxy>, rcgen::Error> {
        let mut all = BTreeMap::new();
        for Endpoint { manner, .. } in &plan.listen {
            let certificates = match &manner.tls {
                None => continue,
                Some(Tls::Certificates(certificates)) => certificates.clone(),
                Some(Tls::SelfSigned) => vec![self.certificate(&plan.listen)?],
            };
            let server = TlsServer {
                certificates,
                clients: manner.clients.clone(),
            };
            all.insert(manner.server.clone(), server);
        }
        Ok((!all.is_empty()).then_some(ToProxy::Certificates(all)))
    }

    fn certificate(&mut self, endpoints: &[Endpoint]) -> Result<Certificate, rcgen::Error> {
        let hosts = endpoints
            .iter()
            .filter_map(|endpoint| match &endpoint.listen {
                Listen::Tcp { host, .. } if host.is_ascii() => Some(host.clone()),
                _ => None,
            });
        let names: BTreeSet<String> = LOCAL.map(str::to_owned).into_iter().chain(hosts).collect();
        match &self.0 {
            Some((known, certificate)) if *known == names => Ok(certificate.clone()),
            _ => {
                let made = make(&names)?;
                self.0 = Some((names, made.clone()));
                Ok(made)
            }
        }
    }
}

fn make(names: &BTreeSet<String>) -> Result<Certificate, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "paster, for development");
    let certificate = params.self_signed(&key)?;
    Ok(Certificate {
        names: names.iter().cloned().collect(),
        chain: vec![certificate.der().to_vec()],
        key: PrivateKey(key.serialize_der()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint {
            listen: Listen::Tcp {
                host: host.to_owned(),
                port: 0,
            },
            manner: Default::default(),
        }
    }

    #[test]
    fn it_stays_until_it_is_for_other_names() {
        let mut made = SelfSigned::default();
        let first = made.certificate(&[endpoint("127.0.0.1")]).expect("made");
        let again = made.certificate(&[endpoint("localhost")]).expect("kept");
        assert_eq!(first, again);
        let other = made.certificate(&[endpoint("dev.example")]).expect("made");
        assert_ne!(first, other);
        assert!(other.names.iter().any(|name| name == "dev.example"));
    }
}
