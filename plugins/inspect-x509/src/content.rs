//! Finds the certificates in what the host shows of a file: PEM, DER certificates that follow one another, and PKCS#7 in
//! both.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding};
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Reader, SliceReader, Tag, Tagged};

use super::certificate::{self, Facts};

/// The kind of the assets.
pub const KIND: &str = "certificate";
/// Maximum size of what is visible of a file, in bytes.
pub const MAX_CONTENT: u32 = 1 << 20;
/// Bytes of a head that identify the format.
pub const START: u32 = 64;
/// Maximum number of certificates, part of the contract.
pub const MAX_CERTIFICATES: usize = 256;
/// Maximum size of all facts in bytes, so that the host accepts them in one call.
pub const MAX_FACTS: usize = 384 << 10;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// Whether a file that begins with `start` may hold certificates.
pub fn may_hold_certificates(start: &[u8]) -> bool {
    // The host removes what precedes the first block, and it normalizes the line.
    let formats = [BEGIN, b"\x30", b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"];
    formats.iter().any(|format| start.starts_with(format))
}

/// The facts of each certificate, in the order of the file. A certificate that occurs again is listed once. One that cannot
/// be read is omitted.
pub fn certificates(visible: &[u8]) -> Vec<Facts> {
    let mut found = Found::default();
    if visible.starts_with(BEGIN) {
        blocks(visible, |label, der| {
            // A trusted certificate is followed by OpenSSL's own data.
            if label.ends_with(b"CERTIFICATE") {
                found.add(der);
            } else if is_pkcs7(label) {
                found.add_pkcs7(der);
            }
        });
    } else if !found.add_pkcs7(visible) {
        let mut rest = visible;
        while let Some((_, after)) = element(rest) {
            found.add(rest);
            rest = after;
        }
    }
    found.all
}

fn is_pkcs7(label: &[u8]) -> bool {
    label.starts_with(b"PKCS") || label == b"CMS"
}

#[derive(Default)]
struct Found {
    all: Vec<Facts>,
    hashes: BTreeSet<String>,
    bytes: usize,
}

impl Found {
    /// Adds the certificate at the start of `der`.
    fn add(&mut self, der: &[u8]) {
        if self.all.len() >= MAX_CERTIFICATES {
            return;
        }
        let Some((whole, _)) = element(der) else { return };
        let Some(facts) = certificate::facts(whole) else { return };
        let bytes: usize = facts.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        let hash = facts.iter().find(|(name, _)| name == "sha256").map(|(_, hash)| hash.clone());
        if self.bytes + bytes <= MAX_FACTS && self.hashes.insert(hash.unwrap_or_default()) {
            self.bytes += bytes;
            self.all.push(facts);
        }
    }

    /// Adds the certificates of a PKCS#7 structure. Returns whether it is one.
    fn add_pkcs7(&mut self, der: &[u8]) -> bool {
        let Some(set) = pkcs7_certificates(der) else { return false };
        let mut rest = set;
        while let Some((_, after)) = element(rest) {
            self.add(rest);
            rest = after;
        }
        true
    }
}

/// The content of the certificate set of signed data. `None`: the structure is another one.
fn pkcs7_certificates(der: &[u8]) -> Option<&[u8]> {
    let any = |bytes| AnyRef::decode(&mut SliceReader::new(bytes).ok()?).ok();
    let outer: AnyRef<'_> = any(der)?;
    let (kind, rest) = element(outer.value())?;
    if any(kind)?.tag() != Tag::ObjectIdentifier {
        return None;
    }
    let signed = any(any(rest)?.value())?;
    let mut rest = signed.value();
    let mut certificates: &[u8] = &[];
    while let Some((member, after)) = element(rest) {
        let member = any(member)?;
        // The certificates have the tag [0], the revocation lists [1].
        if member.tag().is_context_specific() && member.tag().number().value() == 0 {
            certificates = member.value();
        }
        rest = after;
    }
    Some(certificates)
}

/// Splits off the first element with its header. `None`: there is none that is complete.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(der).ok()?;
    AnyRef::decode(&mut reader).ok()?;
    let len = usize::try_from(reader.position()).ok()?;
    der.split_at_checked(len)
}

/// Calls `add` with the label and the decoded body of each complete block.
fn blocks(pem: &[u8], mut add: impl FnMut(&[u8], &[u8])) {
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for line in pem.split(|&byte| byte == b'\n') {
        if let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) {
            open = Some((label, Vec::new()));
        } else if line.starts_with(DASHES) {
            if let Some((label, body)) = open.take()
                && let Ok(body) = std::str::from_utf8(&body)
                && let Ok(der) = Base64::decode_vec(body)
            {
                add(label, &der);
            }
        } else if let Some((_, body)) = &mut open {
            body.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests;
