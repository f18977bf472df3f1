//! What one certificate says of itself.

use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Reader, SliceReader, Tagged};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};

use crate::names::{curve, key, signature};

/// Some of those that are in use have longer serial numbers than RFC 5280 allows: no reason to say nothing of them.
type Certificate = CertificateInner<Raw>;

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// As in RFC 4514.
    pub subject: String,
    /// As in RFC 4514.
    pub issuer: String,
    /// `YYYY-MM-DDTHH:MM:SSZ`. The days left are told by no clock: a plugin has none.
    pub not_after: String,
    /// The key's algorithm, with the curve where there is one.
    pub key: String,
    /// How long the key is, where that says something.
    pub key_bits: Option<usize>,
    /// The signature's algorithm.
    pub signature: String,
    /// Subject and issuer are the same, and so are their keys as far as they are named. The signature is not verified.
    pub self_signed: bool,
    /// It may sign others.
    pub ca: bool,
}

/// Reads a certificate from DER; whatever follows it does not matter.
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

/// When a certificate ends, as [`Details::not_after`]. Reads no more than it needs: bundles hold many.
pub fn not_after(der: &[u8]) -> Option<String> {
    let tbs = first(first(der)?.value())?;
    let mut reader = SliceReader::new(tbs.value()).ok()?;
    // Version (left out in the first one), serial number, signature, issuer, validity.
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

/// Whether the issuer's key is the subject's, as far as the certificate names them.
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

/// A known name, else the numbers.
fn named(oid: ObjectIdentifier, name: fn(&str) -> Option<&'static str>) -> String {
    let numbers = oid.to_string();
    name(&numbers).map_or(numbers, str::to_owned)
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

/// Of an RSAPublicKey: a sequence of the modulus and the exponent.
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
        let told = read(include_str!("../fixtures/rsa.pem"));
        assert_eq!(told.subject, "CN=server.example,O=Example Ltd,C=CH");
        assert_eq!(told.issuer, "CN=Example CA,O=Example Ltd");
        assert_eq!((told.key.as_str(), told.key_bits), ("rsa", Some(2048)));
        assert_eq!(told.signature, "ecdsa-with-SHA384");
        assert_eq!((told.self_signed, told.ca), (false, false));
        assert_eq!(told.not_after.len(), "2045-01-01T00:00:00Z".len());
    }

    #[test]
    fn a_ca_on_a_curve() {
        let told = read(include_str!("../fixtures/ca.pem"));
        assert_eq!((told.key.as_str(), told.key_bits), ("ec P-384", Some(384)));
        assert_eq!(told.subject, told.issuer);
        assert_eq!((told.self_signed, told.ca), (true, true));
    }

    #[test]
    fn a_serial_number_of_thirty_bytes() {
        assert_eq!(read(include_str!("../fixtures/serial.pem")).subject, "CN=long serial number");
    }

    #[test]
    fn a_curve_without_a_name() {
        let told = read(include_str!("../fixtures/explicit.pem"));
        assert_eq!((told.key.as_str(), told.key_bits), ("ec", None));
    }

    #[test]
    fn ed25519_with_an_odd_name() {
        let told = read(include_str!("../fixtures/ed25519.pem"));
        assert_eq!((told.key.as_str(), told.key_bits), ("ed25519", Some(256)));
        assert_eq!(told.signature, "ed25519");
        assert!(told.self_signed && !told.ca);
        assert!(told.subject.contains("Zürich"), "{}", told.subject);
    }
}
