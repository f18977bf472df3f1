//! Reads the facts of one certificate.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::Time;

use super::names::{curve, key, signature};

/// `Raw` accepts serial numbers that are longer than RFC 5280 allows: some certificates in use have them.
type Certificate = CertificateInner<Raw>;

/// Names and values.
pub type Facts = Vec<(String, String)>;

/// Maximum size of a fact's value in bytes, part of the contract.
pub const MAX_VALUE: usize = 1024;

/// Reads a certificate, which is all of `der`.
pub fn facts(der: &[u8]) -> Option<Facts> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = &certificate.tbs_certificate;
    let (algorithm, bits) = public_key(&tbs.subject_public_key_info);
    let constraints = extension::<BasicConstraints>(&certificate);
    let self_signed = tbs.subject == tbs.issuer && is_own_issuer(&certificate);
    let true_or_false = |is: bool| if is { "true" } else { "false" }.to_owned();
    let named = [
        ("sha256", Some(hex(&Sha256::digest(der)))),
        ("subject", Some(tbs.subject.to_string())),
        ("issuer", Some(tbs.issuer.to_string())),
        ("serial", Some(serial(tbs.serial_number.as_bytes()))),
        ("not_before", Some(date(&tbs.validity.not_before))),
        ("not_after", Some(date(&tbs.validity.not_after))),
        ("public_key", Some(algorithm)),
        ("bits", bits.map(|bits| bits.to_string())),
        ("signature", Some(named(certificate.signature_algorithm.oid, signature))),
        ("ca", Some(true_or_false(constraints.is_some_and(|constraints| constraints.ca)))),
        ("self_signed", Some(true_or_false(self_signed))),
        ("names", alternative_names(&certificate)),
    ];
    let fact = |(name, value): (&str, Option<String>)| Some((name.to_owned(), shortened(value?)));
    Some(named.into_iter().filter_map(fact).collect())
}

fn extension<'a, T: Decode<'a> + AssociatedOid>(certificate: &'a Certificate) -> Option<T> {
    let all = certificate.tbs_certificate.extensions.as_ref()?;
    let found = all.iter().find(|extension| extension.extn_id == T::OID)?;
    T::from_der(found.extn_value.as_bytes()).ok()
}

/// Whether issuer and subject have the same key identifier; true if one of the identifiers is absent. The signature is not
/// verified.
fn is_own_issuer(certificate: &Certificate) -> bool {
    let issuer = extension::<AuthorityKeyIdentifier>(certificate).and_then(|it| it.key_identifier);
    let subject = extension::<SubjectKeyIdentifier>(certificate);
    match (issuer, subject) {
        (Some(issuer), Some(subject)) => issuer == subject.0,
        _ => true,
    }
}

/// The subject's alternative names, separated by spaces, as many as fit whole. `None`: there are none.
fn alternative_names(certificate: &Certificate) -> Option<String> {
    let mut names = String::new();
    for name in extension::<SubjectAltName>(certificate)?.0 {
        let text = match &name {
            GeneralName::DnsName(name) => name.to_string(),
            GeneralName::Rfc822Name(name) => name.to_string(),
            GeneralName::UniformResourceIdentifier(name) => name.to_string(),
            GeneralName::IpAddress(bytes) => address(bytes.as_bytes()),
            GeneralName::DirectoryName(name) => name.to_string(),
            _ => continue,
        };
        // A space would read as the end of the name.
        let text = text.replace(char::is_whitespace, "_");
        let space = usize::from(!names.is_empty());
        if text.is_empty() || names.len() + space + text.len() > MAX_VALUE {
            continue;
        }
        if space > 0 {
            names.push(' ');
        }
        names.push_str(&text);
    }
    (!names.is_empty()).then_some(names)
}

fn address(bytes: &[u8]) -> String {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return std::net::Ipv4Addr::from(bytes).to_string();
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => std::net::Ipv6Addr::from(bytes).to_string(),
        Err(_) => String::new(),
    }
}

/// A serial number in hexadecimal, without the zero byte that only says that the number is positive.
fn serial(bytes: &[u8]) -> String {
    hex(match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        bytes => bytes,
    })
}

/// A time in the form of RFC 3339.
fn date(time: &Time) -> String {
    let time = time.to_date_time();
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minutes, seconds) = (time.hour(), time.minutes(), time.seconds());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minutes:02}:{seconds:02}Z")
}

/// The name, if it is known, otherwise the object identifier.
fn named(oid: ObjectIdentifier, name: fn(&str) -> Option<&'static str>) -> String {
    let text = oid.to_string();
    name(&text).map_or(text, str::to_owned)
}

/// The key's algorithm, followed by the name of the curve if it has one, and its length in bits.
fn public_key(info: &SubjectPublicKeyInfoOwned) -> (String, Option<usize>) {
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value, truncated to the maximum size.
fn shortened(value: String) -> String {
    if value.len() <= MAX_VALUE {
        return value;
    }
    let end = value.floor_char_boundary(MAX_VALUE - '…'.len_utf8());
    format!("{}…", value.get(..end).unwrap_or_default())
}
