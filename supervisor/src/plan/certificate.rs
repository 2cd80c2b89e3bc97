//! A certificate and its key, read from PEM files and held against each other.

use crate::router::message::{Certificate, PrivateKey};
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// Far more than a chain of certificates needs.
const LARGEST_FILE: u64 = 1 << 20;
/// A certificate that ends within this is worth a word.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// What was read.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate: Certificate,
    /// What somebody should look after, in words.
    pub(super) concerns: Vec<Concern>,
}

/// Something about a pair that can be served all the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Concern {
    pub(super) about: Half,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

/// Why there is no pair.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) about: Half,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Certificate,
    Key,
}

impl Half {
    pub(super) fn fault(self, message: String) -> Fault {
        let (about, hint) = (self, None);
        Fault {
            about,
            message,
            hint,
        }
    }
}

impl Fault {
    pub(super) fn hint(self, hint: &'static str) -> Fault {
        let hint = Some(hint);
        Fault { hint, ..self }
    }
}

/// Reads the chain in `chain` (its own certificate first) and the key in `key`, which may be one file.
///
/// # Errors
/// A file that cannot be read or does not contain what it should, and a key that is not the certificate's.
pub(super) fn read(chain: &Path, key: &Path, now: SystemTime) -> Result<Pair, Fault> {
    let certificates = certificates(chain)?;
    let (_, parsed) = X509Certificate::from_der(&certificates[0]).map_err(|_| {
        Half::Certificate.fault(format!(
            "the certificate in {} cannot be read",
            chain.display()
        ))
    })?;
    let private = private_key(key)?;
    matches(&certificates, &private, chain, key)?;
    let mut concerns = Vec::new();
    concerns.extend(exposed(key));
    concerns.extend(age(&parsed, chain, now));
    let certificate = Certificate {
        names: names(&parsed),
        key: PrivateKey(private.secret_der().to_vec()),
        chain: certificates.iter().map(|der| der.to_vec()).collect(),
    };
    Ok(Pair {
        certificate,
        concerns,
    })
}

/// Reads the certificates of authorities in `file`, as DER.
///
/// # Errors
/// A file that cannot be read, or has something else in it.
pub(super) fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, Fault> {
    let certificates = certificates(file)?;
    for certificate in &certificates {
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| {
                let shown = file.display();
                Half::Certificate.fault(format!(
                    "a certificate in {shown} is of no use as that of an authority: {error}"
                ))
            })?;
    }
    Ok(certificates.iter().map(|der| der.to_vec()).collect())
}

/// One at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let pem = contents(Half::Certificate, file)?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, PemError>>()
        .map_err(|error| {
            Half::Certificate.fault(format!("{} is not PEM: {error}", file.display()))
        })?;
    if certificates.is_empty() {
        let message = format!("there is no certificate in {}", file.display());
        return Err(Half::Certificate
            .fault(message)
            .hint("expected PEM: `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(certificates)
}

/// The bytes of a file that may be PEM.
pub(super) fn contents(half: Half, path: &Path) -> Result<Vec<u8>, Fault> {
    let failed =
        |error: std::io::Error| half.fault(format!("cannot read {}: {error}", path.display()));
    // First, because a pipe is waited for when it is opened.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(half.fault(format!("{} is no file", path.display())));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(half.fault(format!("{} is too large for PEM", path.display())));
    }
    Ok(bytes)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let pem = contents(Half::Key, path)?;
    let shown = path.display();
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        PemError::NoItemsFound if is_encrypted(&pem) => Half::Key
            .fault(format!("the key in {shown} is encrypted"))
            .hint("`openssl pkey -in KEY -out PLAIN` asks for the passphrase and writes it without; keep that file private"),
        PemError::NoItemsFound => Half::Key
            .fault(format!("there is no private key in {shown}"))
            .hint("expected PEM: `-----BEGIN PRIVATE KEY-----`, in the file of the certificate or in one of its own"),
        // Its text may quote the file.
        _ => Half::Key.fault(format!("{shown} is not PEM")),
    })
}

fn is_encrypted(pem: &[u8]) -> bool {
    pem.windows(9).any(|part| part == b"ENCRYPTED")
}

fn matches(
    certificates: &[CertificateDer<'static>],
    private: &PrivateKeyDer<'static>,
    chain: &Path,
    key: &Path,
) -> Result<(), Fault> {
    let signing = any_supported_type(private).map_err(|_| {
        Half::Key
            .fault(format!(
                "the key in {} is of no kind that TLS can use here",
                key.display()
            ))
            .hint("expected RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519")
    })?;
    match CertifiedKey::new(certificates.to_vec(), signing).keys_match() {
        Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(TlsError::InconsistentKeys(_)) => Err(Half::Key
            .fault(format!(
                "the key in {} does not belong to the first certificate in {}",
                key.display(),
                chain.display()
            ))
            .hint("the server's own certificate comes first, those of the authorities behind it")),
        Err(error) => Err(Half::Certificate.fault(format!(
            "the certificate in {} cannot be used: {error}",
            chain.display()
        ))),
    }
}

fn exposed(key: &Path) -> Option<Concern> {
    const OTHERS: u32 = 0o004;
    let mode = fs::metadata(key).ok()?.permissions().mode();
    (mode & OTHERS != 0).then(|| Concern {
        about: Half::Key,
        message: format!("everybody can read the key in {}", key.display()),
        hint: "`chmod 600` it; only the user who starts paster has to read it",
    })
}

fn age(certificate: &X509Certificate<'_>, chain: &Path, now: SystemTime) -> Option<Concern> {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before, validity.not_after);
    let shown = chain.display();
    let (message, hint) = if seconds(now) > end.timestamp() {
        (
            format!("the certificate in {shown} expired at {end}: clients refuse it"),
            "renew it, then `paster reload`",
        )
    } else if seconds(now) < begin.timestamp() {
        (
            format!("the certificate in {shown} is not valid before {begin}: clients refuse it"),
            "look at the clock of this machine",
        )
    } else if seconds(now + SOON) > end.timestamp() {
        (
            format!("the certificate in {shown} expires at {end}"),
            "renew it, then `paster reload`",
        )
    } else {
        return None;
    };
    let about = Half::Certificate;
    Some(Concern {
        about,
        message,
        hint,
    })
}

/// The DNS names of a certificate, in lower case; of one without any, its common name, as it was once done.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let mut names: Vec<String> = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = certificate.subject().iter_common_name();
        let texts = common.filter_map(|name| name.as_str().ok());
        names.extend(texts.map(str::to_ascii_lowercase));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};
    use std::path::PathBuf;

    struct Files {
        directory: tempfile::TempDir,
        key: KeyPair,
    }

    impl Files {
        fn new(names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> Files {
            let directory = tempfile::tempdir().expect("temporary directory");
            let key = KeyPair::generate().expect("a key");
            let names = names.iter().map(|name| (*name).to_owned());
            let mut params = CertificateParams::new(names.collect::<Vec<_>>()).expect("names");
            edit(&mut params);
            let certificate = params.self_signed(&key).expect("a certificate");
            let files = Files { directory, key };
            files.write("cert.pem", &certificate.pem());
            files.write("key.pem", &files.key.serialize_pem());
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.path(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours");
        }

        fn read(&self) -> Result<Pair, Fault> {
            read(
                &self.path("cert.pem"),
                &self.path("key.pem"),
                SystemTime::now(),
            )
        }
    }

    #[test]
    fn names_are_those_of_the_alternatives_and_else_the_common_one() {
        let files = Files::new(&["Example.org", "*.example.org", "127.0.0.1"], |_| {});
        let pair = files.read().expect("good");
        assert_eq!(pair.certificate.names, ["example.org", "*.example.org"]);
        assert_eq!(pair.certificate.chain.len(), 1);
        assert!(pair.concerns.is_empty(), "{:?}", pair.concerns);
        let files = Files::new(&[], |params| {
            params
                .distinguished_name
                .push(DnType::CommonName, "Old.example");
        });
        assert_eq!(
            files.read().expect("good").certificate.names,
            ["old.example"]
        );
    }

    #[test]
    fn one_file_may_hold_both() {
        let files = Files::new(&["a.example"], |_| {});
        let text = |name| fs::read_to_string(files.path(name)).expect("written");
        files.write("both.pem", &(text("key.pem") + &text("cert.pem")));
        let path = files.path("both.pem");
        assert!(read(&path, &path, SystemTime::now()).is_ok());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let files = Files::new(&["a.example"], |_| {});
        let other = KeyPair::generate().expect("a key").serialize_pem();
        files.write("key.pem", &other);
        let fault = files.read().expect_err("another key");
        assert_eq!(fault.about, Half::Key);
        assert!(fault.message.contains("does not belong"), "{fault:?}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let files = Files::new(&["a.example"], |_| {});
        files.write("key.pem", "nothing\n");
        assert!(
            files
                .read()
                .expect_err("no key")
                .message
                .contains("no private key")
        );
        files.write(
            "key.pem",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        assert!(
            files
                .read()
                .expect_err("encrypted")
                .message
                .contains("encrypted")
        );
        files.write("cert.pem", "nothing\n");
        assert!(
            files
                .read()
                .expect_err("no certificate")
                .message
                .contains("no certificate")
        );
        fs::remove_file(files.path("cert.pem")).expect("there");
        assert_eq!(files.read().expect_err("no file").about, Half::Certificate);
    }

    #[test]
    fn an_expired_certificate_is_a_concern() {
        let files = Files::new(&["a.example"], |params| {
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        let concerns = files.read().expect("readable").concerns;
        assert!(concerns[0].message.contains("expired"), "{concerns:?}");
    }

    #[test]
    fn a_key_for_everybody_is_a_concern() {
        let files = Files::new(&["a.example"], |_| {});
        let open = fs::Permissions::from_mode(0o644);
        fs::set_permissions(files.path("key.pem"), open).expect("ours");
        let concerns = files.read().expect("readable").concerns;
        assert_eq!(concerns[0].about, Half::Key);
    }

    #[test]
    fn a_key_is_not_shown() {
        let files = Files::new(&["a.example"], |_| {});
        let certificate = files.read().expect("good").certificate;
        let shown = format!("{certificate:?}");
        assert!(shown.contains("PrivateKey(..)"), "{shown}");
    }
}
