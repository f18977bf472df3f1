use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    let header = match (high, low) {
        (0, ..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [header, value].concat()
}

fn certificate(filler: u8) -> Vec<u8> {
    der(0x30, &[&der(0x30, &[&[0xa0, 3, 2, 1, 2], &der(4, &[&[filler; 300]])])])
}

const OID_SIGNED: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const OID_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";

fn pkcs7(content: &[u8], certificates: &[&[u8]], signers: &[u8]) -> Vec<u8> {
    let encapsulated = der(0x30, &[OID_DATA, content]);
    let parts = [
        &[2, 1, 1][..],
        &der(0x31, &[]),
        &encapsulated,
        &der(0xa0, certificates),
        &der(0x31, &[signers]),
    ];
    der(0x30, &[OID_SIGNED, &der(0xa0, &[&der(0x30, &parts)])])
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A keystore with a private key, its chain of one, and a trusted certificate.
fn keystore(magic: &[u8], secret: &[u8], chain: &[u8], trusted: &[u8]) -> Vec<u8> {
    let entry = |tag: u8| [&[0, 0, 0, tag][..], b"\0\x01a", &[0; 8]].concat();
    let x509 = b"\0\x05X.509";
    let key = [entry(1), counted(secret), vec![0, 0, 0, 1], x509.to_vec(), counted(chain)];
    let trusted = [entry(2), x509.to_vec(), counted(trusted)];
    let head = [magic, &[0, 0, 0, 2], &[0, 0, 0, 2]].concat();
    [head, key.concat(), trusted.concat(), vec![9; 20]].concat()
}

fn pem(label: &str, body: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(body);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn certificates_that_follow_one_another_are_visible() {
    let both = [certificate(1), certificate(2)].concat();
    let with_key = [&both[..], b"\x30\x03\x02\x01\x00 a secret"].concat();
    assert_eq!(visible(&with_key, false), both);
    assert_eq!(visible(&both[..both.len() - 1], true), certificate(1));
}

#[test]
fn pkcs7_of_certificates_is_visible() {
    let bag = pkcs7(&[], &[&certificate(1), &certificate(2)], &[]);
    assert_eq!(visible(&bag, false), bag);
    assert_eq!(visible(&[&bag[..], b"a secret"].concat(), false), bag);
    for label in ["PKCS7", "PKCS #7 SIGNED DATA", "CMS"] {
        let text = pem(label, &bag);
        assert_eq!(visible(text.as_bytes(), false), text.as_bytes(), "{label}");
    }
}

#[test]
fn pkcs7_of_anything_else_is_not_visible() {
    let secret = b"\x04\x08a secret";
    for bag in [
        pkcs7(&der(0xa0, &[secret]), &[&certificate(1)], &[]),
        pkcs7(&[], &[&certificate(1), secret], &[]),
        pkcs7(&[], &[&certificate(1)], secret),
        [&certificate(1)[..4], secret].concat(),
    ] {
        for content in [bag.clone(), pem("PKCS7", &bag).into_bytes()] {
            let visible = visible(&content, false);
            assert!(visible.len() < 30, "{visible:?}");
            assert_eq!(visible, public_prefix(&content, false));
        }
    }
}

#[test]
fn certificates_of_a_java_keystore_are_visible() {
    let secret = vec![0x5e; 500];
    for magic in [b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"] {
        let store = keystore(magic, &secret, &certificate(1), &certificate(2));
        let both = [certificate(1), certificate(2)].concat();
        assert_eq!(visible(&store, false), both);
        for len in 0..store.len() {
            let visible = visible(&store[..len], true);
            let is_part = both.starts_with(&visible) || store.starts_with(&visible);
            assert!(is_part && visible.len() <= both.len(), "{len}");
        }
        // A keystore whose lengths point a certificate's field at the key.
        let odd = keystore(magic, &[], &secret, &secret);
        assert!(visible(&odd, false).is_empty());
    }
}

#[test]
fn all_public_blocks_up_to_the_limit_are_visible() {
    let block = pem("CERTIFICATE", &[0x5a; 2000]);
    let key = pem("PRIVATE KEY", b"a secret that must not be seen");
    let file = format!("text\n{}{key}{}", block.repeat(100), block.repeat(500));
    let visible = visible(file.as_bytes(), false);
    let expected =
        format!("{}-----BEGIN PRIVATE KEY-----\n{}", block.repeat(100), block.repeat(500));
    assert!(visible.len() <= VISIBLE_BYTES && visible.len() > VISIBLE_BYTES - 100);
    assert!(expected.as_bytes().starts_with(&visible));
}

/// Fragments of all formats, with a secret.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        Just(SECRET.to_vec()),
        Just(certificate(1)),
        Just(pkcs7(&[], &[&certificate(1)], &[])),
        Just(pkcs7(&der(0xa0, &[SECRET]), &[&certificate(1)], SECRET)),
        Just(keystore(b"\xfe\xed\xfe\xed", SECRET, &certificate(1), &certificate(2))),
        Just(pem("PRIVATE KEY", SECRET).into_bytes()),
        Just(pem("PKCS7", SECRET).into_bytes()),
        Just(pem("CERTIFICATE", &certificate(1)).into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(fragment, 1..6).prop_map(|parts| parts.concat())
}

const SECRET: &[u8] = b"%the secret of this file, which no plugin may see%";

fn holds(visible: &[u8], secret: &[u8]) -> bool {
    visible.windows(secret.len()).any(|window| window == secret)
}

proptest! {
    #[test]
    fn secrets_are_never_visible(content in content(), cut in any::<prop::sample::Index>()) {
        let encoded = BASE64_STANDARD.encode(SECRET);
        let cut = cut.index(content.len() + 1);
        for (content, is_truncated) in [(&content[..], false), (&content[..cut], true)] {
            let visible = visible(content, is_truncated);
            prop_assert!(visible.len() <= VISIBLE_BYTES);
            // The head's rules, which have their own tests, show the first bytes of unknown formats.
            let is_head = visible == public_prefix(content, is_truncated);
            let has_secret =
                holds(&visible, &SECRET[..8]) || holds(&visible, &encoded.as_bytes()[..12]);
            prop_assert!(is_head || !has_secret, "{visible:?}");
        }
    }

    #[test]
    fn any_bytes_are_accepted(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
        for magic in [&b""[..], b"\xfe\xed\xfe\xed\0\0\0\x02", b"\x30\x82", OID_SIGNED] {
            let content = [magic, &content].concat();
            prop_assert!(visible(&content, false).len() <= content.len() + 64);
        }
    }
}
