//! TLS: the certificates in force, and which of them a client is shown.
//!
//! A handshake takes the configuration of its moment, so renewed certificates are for new connections and disturb no old one.

use crate::router::message::Certificate;
use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// What we speak inside, preferred first.
pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// How a connection is kept from others, by the names that OpenSSL has for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secured {
    pub(super) version: &'static str,
    pub(super) cipher: &'static str,
}

impl Secured {
    pub(super) fn of(connection: &ServerConnection) -> Option<Self> {
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            ProtocolVersion::TLSv1_3 => "TLSv1.3",
            _ => return None,
        };
        let cipher = connection.negotiated_cipher_suite()?.suite().as_str()?;
        Some(Self { version, cipher })
    }
}

/// Configurations by server.
#[derive(Debug, Default)]
pub(super) struct Servers(ArcSwap<BTreeMap<String, Arc<ServerConfig>>>);

impl Servers {
    pub(super) fn get(&self, server: &str) -> Option<Arc<ServerConfig>> {
        self.0.load().get(server).cloned()
    }

    /// From now on, all at once. Nothing changes when one of them is of no use.
    ///
    /// # Errors
    /// A key or certificate that cannot be used; the supervisor has tried them before.
    pub(super) fn replace(
        &self,
        certificates: &BTreeMap<String, Vec<Certificate>>,
    ) -> Result<(), Unusable> {
        let mut servers = BTreeMap::new();
        for (server, certificates) in certificates {
            servers.insert(server.clone(), Arc::new(configuration(certificates)?));
        }
        self.0.store(Arc::new(servers));
        Ok(())
    }
}

/// A certificate that this process cannot use.
#[derive(Debug)]
pub(super) struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<rustls::Error> for Unusable {
    fn from(error: rustls::Error) -> Self {
        Self(error.to_string())
    }
}

fn configuration(certificates: &[Certificate]) -> Result<ServerConfig, Unusable> {
    let shown = Shown::new(certificates)?;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
    // The client keeps what a resumption needs, so nothing here grows with clients.
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

/// Certificates by name.
#[derive(Debug)]
struct Shown {
    /// In the order of the configuration; for clients that name nobody we know.
    all: Vec<Arc<CertifiedKey>>,
    /// A wildcard is kept without its `*`.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
}

impl Shown {
    fn new(certificates: &[Certificate]) -> Result<Self, Unusable> {
        let mut shown = Self {
            all: Vec::new(),
            by_name: HashMap::new(),
        };
        for certificate in certificates {
            let key = PrivateKeyDer::try_from(certificate.key.0.clone())
                .map_err(|error| Unusable(error.to_owned()))?;
            let chain = certificate.chain.iter().cloned().map(CertificateDer::from);
            let key = ring::sign::any_supported_type(&key)?;
            let certified = Arc::new(CertifiedKey::new(chain.collect(), key));
            for name in &certificate.names {
                let name = name.strip_prefix('*').unwrap_or(name);
                let known = shown.by_name.entry(name.to_owned()).or_default();
                known.push(Arc::clone(&certified));
            }
            shown.all.push(certified);
        }
        Ok(shown)
    }

    /// Those for a name: its own, else those of its wildcard, else all.
    fn candidates(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let known = |name: &str| self.by_name.get(name).map(Vec::as_slice);
        name.map(str::to_ascii_lowercase)
            .and_then(|name| {
                let label = name.find('.').unwrap_or(name.len());
                known(&name).or_else(|| known(&name[label..]))
            })
            .unwrap_or(&self.all)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = client.signature_schemes();
        let candidates = self.candidates(client.server_name());
        let fits = |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(schemes).is_some();
        candidates.iter().find(fits).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::message::PrivateKey;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        Certificate {
            names,
            chain: vec![made.cert.der().to_vec()],
            key: PrivateKey(made.signing_key.serialize_der()),
        }
    }

    #[test]
    fn a_client_is_shown_the_certificate_of_the_name_that_it_wants() {
        let shown = Shown::new(&[
            certificate(&["a.example"]),
            certificate(&["*.a.example", "b.example"]),
        ])
        .unwrap();
        let index = |name: Option<&str>| {
            let first = &shown.candidates(name)[0];
            shown.all.iter().position(|known| Arc::ptr_eq(known, first))
        };
        assert_eq!(index(Some("a.example")), Some(0));
        assert_eq!(index(Some("x.A.example")), Some(1));
        assert_eq!(index(Some("b.example")), Some(1));
        assert_eq!(index(Some("y.x.a.example")), Some(0), "one label only");
        assert_eq!(
            index(Some("c.example")),
            Some(0),
            "the first is for all others"
        );
        assert_eq!(index(None), Some(0));
    }

    #[test]
    fn a_bad_key_changes_nothing() {
        let servers = Servers::default();
        let good = BTreeMap::from([("main".to_owned(), vec![certificate(&["a"])])]);
        servers.replace(&good).unwrap();
        let mut bad = certificate(&["a"]);
        bad.key = PrivateKey(b"no key".to_vec());
        let bad = BTreeMap::from([("main".to_owned(), vec![bad])]);
        assert!(servers.replace(&bad).is_err());
        assert!(servers.get("main").is_some());
    }
}
