//! TLS: the certificates in force, and which of them a client is shown.
//!
//! A handshake takes the configuration of its moment, so renewed certificates are for new connections and disturb no old one.

use super::client_certificate::ClientCertificate;
use crate::router::message::{Certificate, ClientAuthorities, TlsServer};
use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;

/// What we speak inside, preferred first.
pub(super) const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// How a connection is kept from others, by the names that OpenSSL has for it.
#[derive(Debug, Clone)]
pub(super) struct Secured {
    pub(super) version: &'static str,
    pub(super) cipher: &'static str,
    /// None where clients are not asked for theirs.
    pub(super) client: Option<Arc<ClientCertificate>>,
}

impl Secured {
    /// # Errors
    /// What was negotiated has no name, or the client's certificate cannot be understood.
    pub(super) fn of(connection: &ServerConnection, server: &Server) -> io::Result<Self> {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => return Err(io::Error::other("a version of TLS that has no name")),
        };
        let suite = connection.negotiated_cipher_suite();
        let cipher = suite
            .and_then(|suite| suite.suite().as_str())
            .ok_or_else(|| io::Error::other("a cipher suite that has no name"))?;
        let client = match server.asks {
            true => {
                let shown = ClientCertificate::of(connection.peer_certificates())?;
                Some(Arc::new(shown))
            }
            false => None,
        };
        Ok(Self {
            version,
            cipher,
            client,
        })
    }
}

/// How one server speaks TLS.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: Arc<ServerConfig>,
    /// Clients are asked for certificates.
    asks: bool,
}

/// By name.
#[derive(Debug, Default)]
pub(super) struct Servers(ArcSwap<BTreeMap<String, Arc<Server>>>);

impl Servers {
    pub(super) fn get(&self, server: &str) -> Option<Arc<Server>> {
        self.0.load().get(server).cloned()
    }

    /// From now on, all at once. Nothing changes when one of them is of no use.
    ///
    /// # Errors
    /// A key or certificate that cannot be used; the supervisor has tried them before.
    pub(super) fn replace(&self, told: &BTreeMap<String, TlsServer>) -> Result<(), Unusable> {
        let mut servers = BTreeMap::new();
        for (name, server) in told {
            servers.insert(name.clone(), Arc::new(Server::new(server)?));
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

impl Server {
    fn new(told: &TlsServer) -> Result<Self, Unusable> {
        let shown = Shown::new(&told.certificates)?;
        let provider = Arc::new(ring::default_provider());
        let verifier = match &told.clients {
            Some(clients) => verifier(clients)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        // The client keeps what a resumption needs, so nothing here grows with clients. A ticket is of use with this configuration
        // only, so whom other authorities have certified is asked again.
        config.ticketer = ring::Ticketer::new()?;
        Ok(Self {
            config: Arc::new(config),
            asks: told.clients.is_some(),
        })
    }
}

/// Who shows a certificate that these authorities have not signed, or have taken back, or that has expired, is not let in, required or not.
fn verifier(clients: &ClientAuthorities) -> Result<Arc<dyn ClientCertVerifier>, Unusable> {
    let mut roots = RootCertStore::empty();
    for authority in &clients.authorities {
        roots.add(CertificateDer::from(authority.clone()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let revoked = clients.revoked.iter().cloned();
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .with_crls(revoked.map(CertificateRevocationListDer::from))
        .enforce_revocation_expiration();
    let builder = match clients.required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| Unusable(error.to_string()))
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
        let main = |certificate, clients| {
            let certificates = vec![certificate];
            let server = TlsServer {
                certificates,
                clients,
            };
            BTreeMap::from([("main".to_owned(), server)])
        };
        let good = main(certificate(&["a"]), None);
        servers.replace(&good).unwrap();
        let mut bad = certificate(&["a"]);
        bad.key = PrivateKey(b"no key".to_vec());
        let bad = main(bad, None);
        assert!(servers.replace(&bad).is_err());
        let nobody = ClientAuthorities {
            authorities: Vec::new(),
            revoked: Vec::new(),
            required: true,
        };
        let bad = main(certificate(&["a"]), Some(nobody));
        assert!(servers.replace(&bad).is_err());
        assert!(servers.get("main").is_some());
    }
}
