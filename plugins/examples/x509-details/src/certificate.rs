//! Reads the details of one certificate.

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Reader, SliceReader, Tagged};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};

use crate::names::{curve, key, signature};

/// `Raw` accepts serial oid_text that are longer than RFC 5280 allows: some certificates in use have them.
type Certificate = CertificateInner<Raw>;

/// The details of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// As in RFC 4514.
    pub subject: String,
    /// As in RFC 4514.
    pub issuer: String,
    /// `YYYY-MM-DDTHH:MM:SSZ`. A plugin has no clock to compute the remaining days.
    pub not_after: String,
    /// The key's algorithm, followed by the name of the curve, if it has one.
    pub key: String,
    /// The length of the key, for algorithms that have one.
    pub key_bits: Option<usize>,
    /// The signature's algorithm.
    pub signature: String,
    /// Subject and issuer are equal, and so are their key identifiers, if both are present. The signature is not verified.
    pub self_signed: bool,
    /// The certificate may sign other certificates.
    pub ca: bool,
}

/// Reads a certificate from DER; ignores bytes that follow it.
pub fn details(der: &[u8]) -> Option<Details> {
    let mut reader = SliceReader::new(der).ok()?;
    let certificate: Certificate = reader.decode().ok()?;
    let tbs = &certificate.tbs_certificate;
    let (key, key_bits) = key_of(&tbs.subject_public_key_info);
    let ca = extension::<BasicConstraints>(&certificate).is_some_and(|constraints| constraints.ca);
    Some(Details {
        subject: tbs.subject.to_string(),
        issuer: tbs.issuer.to_string(),
        not_after: date(&tbs.validity.not_after),
        key,
        key_bits,
        signature: named(certificate.signature_algorithm.oid, signature),
        self_signed: tbs.subject == tbs.issuer && is_own_issuer(&certificate),
        ca,
    })
}

/// The expiry date, as in [`Details::not_after`]. Decodes only the fields up to it, because bundles hold many certificates.
pub fn not_after(der: &[u8]) -> Option<String> {
    let tbs = first(first(der)?.value())?;
    let mut reader = SliceReader::new(tbs.value()).ok()?;
    // Version (absent in X.509 version 1), serial number, signature, issuer, validity.
    let mut next = || AnyRef::decode(&mut reader).ok();
    let version_or_serial = next()?;
    let before = if version_or_serial.tag().is_context_specific() { 3 } else { 2 };
    for _ in 0..before {
        next()?;
    }
    let validity: Validity = next()?.decode_as().ok()?;
    Some(date(&validity.not_after))
}

fn first(der: &[u8]) -> Option<AnyRef<'_>> {
    AnyRef::decode(&mut SliceReader::new(der).ok()?).ok()
}

fn extension<'a, T: Decode<'a> + AssociatedOid>(certificate: &'a Certificate) -> Option<T> {
    let all = certificate.tbs_certificate.extensions.as_ref()?;
    let found = all.iter().find(|extension| extension.extn_id == T::OID)?;
    T::from_der(found.extn_value.as_bytes()).ok()
}

/// Whether issuer and subject have the same key identifier; true if one of the identifiers is absent.
fn is_own_issuer(certificate: &Certificate) -> bool {
    let issuer = extension::<AuthorityKeyIdentifier>(certificate).and_then(|it| it.key_identifier);
    let subject = extension::<SubjectKeyIdentifier>(certificate);
    match (issuer, subject) {
        (Some(issuer), Some(subject)) => issuer == subject.0,
        _ => true,
    }
}

fn date(time: &Time) -> String {
    let time = time.to_date_time();
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minutes, seconds) = (time.hour(), time.minutes(), time.seconds());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minutes:02}:{seconds:02}Z")
}

/// The name, if it is known, otherwise the object identifier.
fn named(oid: ObjectIdentifier, name: fn(&str) -> Option<&'static str>) -> String {
    let oid_text = oid.to_string();
    name(&oid_text).map_or(oid_text, str::to_owned)
}

fn key_of(info: &SubjectPublicKeyInfoOwned) -> (String, Option<usize>) {
    let algorithm = named(info.algorithm.oid, key);
    let bits = info.subject_public_key.raw_bytes();
    match algorithm.as_str() {
        "rsa" | "rsa-pss" => (algorithm, modulus_bits(bits)),
        "ec" => {
            let oid = info.algorithm.parameters.as_ref().and_then(|any| any.decode_as().ok());
            let curve = oid.and_then(|oid: ObjectIdentifier| curve(&oid.to_string()));
            match curve {
                Some((name, bits)) => (format!("{algorithm} {name}"), Some(bits)),
                None => (algorithm, None),
            }
        }
        "ed25519" | "x25519" => (algorithm, Some(256)),
        "ed448" | "x448" => (algorithm, Some(456)),
        _ => (algorithm, None),
    }
}

/// The length of the modulus of an RSAPublicKey, which is a sequence of modulus and exponent.
fn modulus_bits(key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(key).ok()?;
    let modulus = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        UintRef::decode(inner)?;
        Ok(modulus)
    });
    let modulus = modulus.ok()?;
    let bytes = modulus.as_bytes();
    let first = bytes.first()?;
    Some(bytes.len() * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Encoding};

    use super::*;

    fn read(pem: &str) -> Details {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = Base64::decode_vec(&body).unwrap();
        let details = details(&der).unwrap();
        assert_eq!(not_after(&der).unwrap(), details.not_after);
        details
    }

    #[test]
    fn rsa_signed_by_a_ca() {
        let details = read(include_str!("../fixtures/rsa.pem"));
        assert_eq!(details.subject, "CN=server.example,O=Example Ltd,C=CH");
        assert_eq!(details.issuer, "CN=Example CA,O=Example Ltd");
        assert_eq!((details.key.as_str(), details.key_bits), ("rsa", Some(2048)));
        assert_eq!(details.signature, "ecdsa-with-SHA384");
        assert_eq!((details.self_signed, details.ca), (false, false));
        assert_eq!(details.not_after.len(), "2045-01-01T00:00:00Z".len());
    }

    #[test]
    fn ca_with_an_elliptic_curve_key() {
        let details = read(include_str!("../fixtures/ca.pem"));
        assert_eq!((details.key.as_str(), details.key_bits), ("ec P-384", Some(384)));
        assert_eq!(details.subject, details.issuer);
        assert_eq!((details.self_signed, details.ca), (true, true));
    }

    #[test]
    fn serial_number_of_thirty_bytes() {
        assert_eq!(read(include_str!("../fixtures/serial.pem")).subject, "CN=long serial number");
    }

    #[test]
    fn curve_with_explicit_parameters() {
        let details = read(include_str!("../fixtures/explicit.pem"));
        assert_eq!((details.key.as_str(), details.key_bits), ("ec", None));
    }

    #[test]
    fn ed25519_with_a_non_ascii_name() {
        let details = read(include_str!("../fixtures/ed25519.pem"));
        assert_eq!((details.key.as_str(), details.key_bits), ("ed25519", Some(256)));
        assert_eq!(details.signature, "ed25519");
        assert!(details.self_signed && !details.ca);
        assert!(details.subject.contains("Zürich"), "{}", details.subject);
    }
}
