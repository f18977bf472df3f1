use proptest::prelude::*;

use super::*;
use crate::certificate::MAX_VALUE;

const RSA: &str = include_str!("../../fixtures/rsa.pem");
const CA: &str = include_str!("../../fixtures/ca.pem");
const ED25519: &str = include_str!("../../fixtures/ed25519.pem");
const PKCS7: &[u8] = include_bytes!("../../fixtures/both.p7b");
const PKCS7_PEM: &str = include_str!("../../fixtures/both.p7c");

fn der(pem: &str) -> Vec<u8> {
    let mut der = Vec::new();
    blocks(pem.as_bytes(), |_, body| der = body.to_vec());
    der
}

fn pem(der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

fn of<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

fn subjects(visible: &[u8]) -> Vec<String> {
    certificates(visible).iter().map(|facts| of(facts, "subject").unwrap().to_owned()).collect()
}

const BOTH: [&str; 2] = ["CN=server.example,O=Example Ltd,C=CH", "CN=Example CA,O=Example Ltd"];

/// A certificate like `RSA` with another serial number.
fn numbered(number: u16) -> Vec<u8> {
    let mut der = der(RSA);
    let serial = b"\x02\x05\x00\xf1\xe2\xd3\xc4";
    let at = der.windows(serial.len()).position(|window| window == serial).unwrap();
    der[at + 5..at + 7].copy_from_slice(&number.to_be_bytes());
    der
}

#[test]
fn facts_of_a_server_certificate() {
    let [facts] = &certificates(RSA.as_bytes())[..] else { panic!("one certificate") };
    for (name, value) in [
        ("subject", "CN=server.example,O=Example Ltd,C=CH"),
        ("issuer", "CN=Example CA,O=Example Ltd"),
        ("serial", "f1e2d3c4"),
        ("public_key", "rsa"),
        ("bits", "2048"),
        ("signature", "ecdsa-with-SHA256"),
        ("ca", "false"),
        ("self_signed", "false"),
        (
            "names",
            "server.example *.server.example 192.0.2.1 2001:db8::1 admin@example https://server.example/a",
        ),
    ] {
        assert_eq!(of(facts, name), Some(value), "{name}");
    }
    let (from, to) = (of(facts, "not_before").unwrap(), of(facts, "not_after").unwrap());
    assert_eq!((from.len(), to.len()), (20, 20));
    assert!(from < to && to.ends_with('Z'), "{from} {to}");
    let hash = of(facts, "sha256").unwrap();
    assert_eq!(hash, include_str!("../../fixtures/rsa.sha256").trim());
}

#[test]
fn facts_of_an_authority_and_of_a_non_ascii_name() {
    let facts = certificates(format!("{CA}{ED25519}").as_bytes());
    let [ca, zurich] = &facts[..] else { panic!("two certificates") };
    assert_eq!((of(ca, "ca"), of(ca, "self_signed")), (Some("true"), Some("true")));
    assert_eq!((of(ca, "public_key"), of(ca, "bits")), (Some("ec P-384"), Some("384")));
    assert_eq!(of(ca, "names"), None);
    assert_eq!(of(zurich, "subject"), Some("CN=Zürich"));
    assert_eq!((of(zurich, "ca"), of(zurich, "signature")), (Some("false"), Some("ed25519")));
}

#[test]
fn each_format_is_read() {
    let one_after_the_other = [der(RSA), der(CA)].concat();
    let trusted = pem(&[&der(RSA)[..], b"\x30\x03\x02\x01\x00"].concat())
        .replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let bundles = [PKCS7, PKCS7_PEM.as_bytes(), &one_after_the_other, (trusted + CA).as_bytes()]
        .map(subjects);
    for found in bundles {
        assert_eq!(found, BOTH);
    }
    assert_eq!(subjects(&der(CA)), BOTH[1..]);
}

#[test]
fn a_bundle_of_150_certificates_is_whole() {
    let bundle: String = (0..150).map(|number| pem(&numbered(number))).collect();
    let all = certificates(bundle.as_bytes());
    assert_eq!(all.len(), 150);
    let serials: BTreeSet<&str> = all.iter().filter_map(|facts| of(facts, "serial")).collect();
    assert_eq!(serials.len(), 150);
}

#[test]
fn a_longer_bundle_is_cut_and_copies_are_listed_once() {
    let bundle: String = (0..400).map(|number| pem(&numbered(number))).collect();
    assert_eq!(certificates(bundle.as_bytes()).len(), MAX_CERTIFICATES);
    assert_eq!(subjects(format!("{RSA}{CA}{RSA}").as_bytes()), BOTH);
}

#[test]
fn a_damaged_certificate_does_not_hide_the_next() {
    let whole = der(RSA);
    let cut = pem(&whole[..whole.len() - 10]);
    for odd in [RSA.replace("MII", "!!!"), cut, RSA.replace("-----END", "")] {
        let found = subjects(format!("{odd}{CA}").as_bytes());
        assert_eq!(found, BOTH[1..], "{odd}");
    }
}

#[test]
fn other_files_have_no_certificates() {
    let key = b"-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE";
    for content in [&b""[..], b"0", b"\x30\x82\xff\xff", b"\x30\0", &b"\x30\x80".repeat(5000), key]
    {
        assert!(certificates(content).is_empty(), "{content:?}");
    }
    assert!(!may_hold_certificates(b"ssh-rsa AAAA") && !may_hold_certificates(b""));
    assert!(may_hold_certificates(RSA.as_bytes()) && may_hold_certificates(PKCS7));
}

fn is_within_bounds(all: &[Facts]) -> bool {
    let is_fact = |(name, value): &(String, String)| name.len() <= 64 && value.len() <= MAX_VALUE;
    all.len() <= MAX_CERTIFICATES
        && all.iter().all(|facts| facts.len() <= 32 && facts.iter().all(is_fact))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_certificates_are_accepted_or_refused(
        which in 0..4usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut content = [der(RSA), der(CA), der(ED25519), PKCS7.to_vec()][which].clone();
        for (at, byte) in changes {
            let at = at.index(content.len());
            content[at] = byte;
        }
        let kept = &content[..cut.index(content.len()) + 1];
        for content in [&content[..], kept, pem(&content).as_bytes()] {
            prop_assert!(is_within_bounds(&certificates(content)));
        }
    }

    #[test]
    fn any_bytes_are_accepted(content in proptest::collection::vec(any::<u8>(), 0..500)) {
        for start in [&b""[..], b"\x30\x82\x01\x00\x30\x82", BEGIN] {
            prop_assert!(is_within_bounds(&certificates(&[start, &content].concat())));
        }
        prop_assert!(is_within_bounds(&certificates(pem(&content).as_bytes())));
    }
}
