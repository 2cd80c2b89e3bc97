//! What a client has proved of itself in the TLS handshake, and how workers are told: with the names and the forms that mod_ssl and nginx have.

use super::rewrite::ENVIRON;
use super::told::Told;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_encode;
use rustls::pki_types::CertificateDer;
use std::fmt::Write as _;
use std::io;
use x509_parser::asn1_rs::ToDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// For the Python host: see docs/worker-contract.md.
pub(super) const PASTER_CLIENT: HeaderName = HeaderName::from_static("paster-client-certificate");
/// How the fields begin that tell other workers of a client's certificate.
pub(super) const X_SSL_CLIENT: &str = "x-ssl-client-";
const VERIFY: HeaderName = HeaderName::from_static("x-ssl-client-verify");
const S_DN: HeaderName = HeaderName::from_static("x-ssl-client-s-dn");
const I_DN: HeaderName = HeaderName::from_static("x-ssl-client-i-dn");
const SERIAL: HeaderName = HeaderName::from_static("x-ssl-client-serial");

/// Of a client that was asked for a certificate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientCertificate {
    /// None: it has shown none, and need not.
    pub(super) holder: Option<Holder>,
    for_python: HeaderValue,
    for_others: Vec<(HeaderName, HeaderValue)>,
}

/// Whom a certificate is about: names as RFC 2253 writes them, all of it ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// Hexadecimal, in capitals.
    pub(super) serial: String,
}

impl ClientCertificate {
    /// `chain` is what the handshake has verified.
    ///
    /// # Errors
    /// A certificate that cannot be told of.
    pub(super) fn of(chain: Option<&[CertificateDer<'_>]>) -> io::Result<Self> {
        let holder = match chain.and_then(<[_]>::first) {
            Some(first) => Some(Holder::of(first).ok_or_else(|| {
                io::Error::other("the client's certificate cannot be understood")
            })?),
            None => None,
        };
        Ok(Self::telling(holder))
    }

    fn telling(holder: Option<Holder>) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).expect("visible ASCII and spaces");
        let verify = match &holder {
            Some(_) => "SUCCESS",
            None => "NONE",
        };
        let mut words = verify.to_owned();
        let mut for_others = vec![(VERIFY, HeaderValue::from_static(verify))];
        if let Some(holder) = &holder {
            let facts = [
                (S_DN, &holder.subject),
                (I_DN, &holder.issuer),
                (SERIAL, &holder.serial),
            ];
            for (name, fact) in facts {
                words.push(' ');
                words.extend(percent_encode(fact.as_bytes(), ENVIRON));
                for_others.push((name, value(fact)));
            }
        }
        Self {
            holder,
            for_python: value(&words),
            for_others,
        }
    }

    /// What the access log shows.
    pub(super) fn verify(&self) -> &HeaderValue {
        &self.for_others[0].1
    }

    /// As our Python host is told.
    pub(super) fn tell_python(&self, told: &mut Told) {
        told.field(&PASTER_CLIENT, &self.for_python);
    }

    /// As other workers are told.
    pub(super) fn tell(&self, told: &mut Told) {
        for (name, value) in &self.for_others {
            told.field(name, value);
        }
    }

    /// Removes what anybody else has said of it: we know.
    pub(super) fn take_off(&self, headers: &mut HeaderMap) {
        for name in [&VERIFY, &S_DN, &I_DN, &SERIAL] {
            headers.remove(name);
        }
    }
}

impl Holder {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some(Self {
            subject: written(parsed.subject())?,
            issuer: written(parsed.issuer())?,
            serial: hexadecimal(positive(parsed.raw_serial())),
        })
    }
}

/// Without the zero that keeps a large number from being negative (X.690 section 8.3).
fn positive(number: &[u8]) -> &[u8] {
    match number {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// A distinguished name as RFC 2253 section 2 and OpenSSL write it: the last part first; `,` between parts, `+` within one.
fn written(name: &X509Name<'_>) -> Option<String> {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (at, attribute) in part.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute)?;
        }
    }
    Some(text)
}

/// Short names of attributes: RFC 2253 section 2.3, and those that OpenSSL has besides.
const SHORT: [(&str, &str); 14] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) -> Option<()> {
    let kind = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(id, _)| *id == kind);
    text.push_str(short.map_or(&kind, |(_, short)| short));
    text.push('=');
    match attribute.as_str() {
        Ok(value) if short.is_some() => push_escaped(text, value),
        // Its encoding, where the value has no text that everybody would write in the same way.
        _ => {
            text.push('#');
            text.push_str(&hexadecimal(&attribute.attr_value().to_der_vec().ok()?));
        }
    }
    Some(())
}

/// RFC 2253 section 2.4; what is not visible ASCII is written byte by byte.
fn push_escaped(text: &mut String, value: &str) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber};

    fn holder(names: &[(DnType, &str)], serial: &[u8]) -> Holder {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.serial_number = Some(SerialNumber::from_slice(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Holder::of(certificate.der()).expect("a certificate")
    }

    #[test]
    fn names_are_written_as_nginx_and_openssl_write_them() {
        let names = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Smith, Sons + \"Co\""),
            (DnType::CommonName, " #Zoë\n "),
        ];
        let holder = holder(&names, &[0x0a, 0xff]);
        let expected = r#"CN=\ #Zo\C3\AB\0A\ ,O=Smith\, Sons \+ \"Co\",C=DE"#;
        assert_eq!(holder.subject, expected);
        assert_eq!(holder.issuer, expected, "self-signed");
        assert_eq!(holder.serial, "0AFF");
    }

    #[test]
    fn what_has_no_name_is_written_as_it_is_encoded() {
        let custom = DnType::CustomDnType(vec![1, 2, 3, 4]);
        let holder = holder(&[(custom, "x"), (DnType::CommonName, "#a")], &[0xff]);
        assert_eq!(holder.subject, r"CN=\#a,1.2.3.4=#0C0178");
        assert_eq!(holder.serial, "FF");
    }

    #[test]
    fn who_is_unknown_is_nobody() {
        let nobody = ClientCertificate::of(None).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(S_DN, HeaderValue::from_static("CN=admin"));
        nobody.take_off(&mut headers);
        assert!(headers.is_empty());
        let mut told = Told::default();
        nobody.tell(&mut told);
        nobody.tell_python(&mut told);
        assert_eq!(told.get(&VERIFY), Some("NONE"));
        assert_eq!(told.get(&S_DN), None);
        assert_eq!(told.get(&PASTER_CLIENT), Some("NONE"));
    }

    #[test]
    fn the_python_host_gets_words() {
        let holder = Holder {
            subject: r"CN=a b\,%".to_owned(),
            issuer: String::new(),
            serial: "01".to_owned(),
        };
        let told = ClientCertificate::telling(Some(holder));
        assert_eq!(told.for_python, "SUCCESS CN=a%20b%5C,%25  01");
        assert_eq!(told.for_others.len(), 4);
    }

    #[test]
    fn what_is_no_certificate_is_nobody_at_all() {
        let garbage = [CertificateDer::from(b"garbage".to_vec())];
        assert!(ClientCertificate::of(Some(&garbage)).is_err());
    }
}
