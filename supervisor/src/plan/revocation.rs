//! Lists of certificates that their authority has taken back (RFC 5280 section 5), read from PEM files.

use super::certificate::{Fault, Half, contents};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

/// Reads the lists in `file`, as DER: one at least. `authorities` are those that clients have their certificates from, DER as well.
///
/// # Errors
/// A file that cannot be read, or has something else in it, or a list that the proxy could not use.
pub(super) fn read(file: &Path, authorities: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Fault> {
    let pem = contents(Half::Certificate, file)?;
    let shown = file.display();
    let lists: Vec<CertificateRevocationListDer<'static>> =
        CertificateRevocationListDer::pem_slice_iter(&pem)
            .collect::<Result<_, PemError>>()
            .map_err(|error| Half::Certificate.fault(format!("{shown} is not PEM: {error}")))?;
    if lists.is_empty() {
        let message = format!("there is no list of revoked certificates in {shown}");
        return Err(Half::Certificate
            .fault(message)
            .hint("expected PEM: `-----BEGIN X509 CRL-----`"));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned().map(CertificateDer::from));
    let roots = Arc::new(roots);
    for list in &lists {
        usable(list, &roots, file)?;
    }
    Ok(lists.iter().map(|list| list.to_vec()).collect())
}

/// As the proxy will look at it.
fn usable(
    list: &CertificateRevocationListDer<'static>,
    roots: &Arc<RootCertStore>,
    file: &Path,
) -> Result<(), Fault> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider);
    let fault = |why: &str| {
        let shown = file.display();
        Half::Certificate.fault(format!(
            "a list of revoked certificates in {shown} cannot be used: {why}"
        ))
    };
    let parsed = CertificateRevocationList::from_der(list);
    if parsed.is_ok_and(|(_, list)| list.version() != Some(X509Version::V2)) {
        return Err(fault("it is of version 1").hint(
            "`crl_extensions` and `crlnumber` in the configuration of `openssl ca -gencrl` make it version 2",
        ));
    }
    match verifier.with_crls([list.clone()]).build() {
        // Without roots the lists are not looked at; those have a problem of their own.
        Ok(_) | Err(VerifierBuilderError::NoRootAnchors) => Ok(()),
        Err(error) => Err(fault(&error.to_string())),
    }
}

/// When the next list was due, if that is over: nothing is known of certificates then.
pub(super) fn over(list: &[u8], now: SystemTime) -> Option<ASN1Time> {
    let (_, list) = CertificateRevocationList::from_der(list).ok()?;
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let end = list.next_update()?;
    (i64::try_from(now).unwrap_or(i64::MAX) >= end.timestamp()).then_some(end)
}

/// The names of those of `authorities` that none of `lists` is from.
pub(super) fn without(authorities: &[Vec<u8>], lists: &[Vec<u8>]) -> Vec<String> {
    let lists: Vec<CertificateRevocationList<'_>> = lists
        .iter()
        .filter_map(|list| Some(CertificateRevocationList::from_der(list).ok()?.1))
        .collect();
    let authorities = authorities
        .iter()
        .filter_map(|authority| Some(X509Certificate::from_der(authority).ok()?.1));
    authorities
        .filter(|authority| {
            let name = authority.subject().as_raw();
            lists.iter().all(|list| list.issuer().as_raw() != name)
        })
        .map(|authority| authority.subject().to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `openssl ca -gencrl` makes it where its configuration has no `crl_extensions`.
    const OF_VERSION_1: &str = "-----BEGIN X509 CRL-----
MIGSMDkwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCY2EXDTI2MTEyMjAyNDI1MVoX
DTM2MTExOTAyNDI1MVowCgYIKoZIzj0EAwIDSQAwRgIhAOb47lEIWXIqtw7UtDzh
75G2e+g7d02R4kWXIMf7hTaYAiEA8Zz0r3QZaxSMPkAq/Ocr0MC6t0IwdXnjEAy3
qDHA4VY=
-----END X509 CRL-----
";

    fn authority() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        certificate.der().to_vec()
    }

    #[test]
    fn what_is_no_list_that_can_be_used_is_said() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("crl.pem");
        let fault = |text: &str| {
            std::fs::write(&file, text).expect("written");
            read(&file, &[authority()]).expect_err("of no use").message
        };
        assert!(fault("").contains("no list of revoked certificates"));
        assert!(fault("-----BEGIN X509 CRL-----\n").contains("is not PEM"));
        assert!(fault(OF_VERSION_1).contains("version 1"));
        let garbage = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
        assert!(fault(garbage).contains("cannot be used"));
        std::fs::remove_file(&file).expect("there");
        let gone = read(&file, &[]).expect_err("no file").message;
        assert!(gone.contains("cannot read"), "{gone}");
    }
}
