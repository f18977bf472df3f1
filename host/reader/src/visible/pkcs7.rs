//! PKCS#7 that only holds certificates and revocation lists, as in `.p7b` files. It is signed data without content and
//! without signatures.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, TagNumber, Tagged};

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Returns the length of the structure at the start of `content`. `None`: it is another structure, or it holds anything
/// else.
pub(super) fn certificates_only(content: &[u8]) -> Option<usize> {
    let outer = first(content)?;
    let [kind, explicit] = elements(outer.value())?.try_into().ok()?;
    let is_signed_data = kind.tag() == Tag::ObjectIdentifier
        && kind.decode_as::<ObjectIdentifier>().is_ok_and(|kind| kind == SIGNED_DATA);
    if outer.tag() != Tag::Sequence || !is_signed_data || explicit.tag() != context(0) {
        return None;
    }
    let signed = first(explicit.value())?;
    let [version, algorithms, encapsulated, sets @ .., signers] = &elements(signed.value())?[..]
    else {
        return None;
    };
    let has_content = elements(encapsulated.value())?.len() != 1;
    let is_empty = algorithms.value().is_empty() && signers.value().is_empty() && !has_content;
    let tags = [version, algorithms, encapsulated, signers].map(Tagged::tag);
    let is_plain = tags == [Tag::Integer, Tag::Set, Tag::Sequence, Tag::Set];
    let all_public = sets.iter().all(|set| {
        let is_public = set.tag() == context(0) || set.tag() == context(1);
        let members = elements(set.value());
        is_public && members.is_some_and(|all| all.iter().all(|member| begins_nested(member)))
    });
    if !(is_empty && is_plain && all_public) {
        return None;
    }
    length(content, &outer)
}

/// Whether these bytes are exactly one structure of the shape of a certificate.
pub(super) fn is_certificate(bytes: &[u8]) -> bool {
    first(bytes)
        .is_some_and(|outer| length(bytes, &outer) == Some(bytes.len()) && begins_nested(&outer))
}

/// Whether this is a sequence that begins with a sequence, as certificates and revocation lists do.
fn begins_nested(element: &AnyRef<'_>) -> bool {
    element.tag() == Tag::Sequence
        && first(element.value()).is_some_and(|inner| inner.tag() == Tag::Sequence)
}

fn context(number: u8) -> Tag {
    let number = if number == 0 { TagNumber::N0 } else { TagNumber::N1 };
    Tag::ContextSpecific { constructed: true, number }
}

fn first(content: &[u8]) -> Option<AnyRef<'_>> {
    AnyRef::decode(&mut SliceReader::new(content).ok()?).ok()
}

/// The length of the first element of `content`, with its header.
fn length(content: &[u8], element: &AnyRef<'_>) -> Option<usize> {
    let start = element.value().as_ptr().addr().checked_sub(content.as_ptr().addr())?;
    Some(start + element.value().len())
}

/// The elements that follow one another. `None`: these are not complete elements.
fn elements(content: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content).ok()?;
    let mut all = Vec::new();
    while !reader.is_finished() {
        all.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(all)
}
