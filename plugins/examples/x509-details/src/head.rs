//! Turns the head of a file into labels.

use base64ct::{Base64, Encoding};
use serde::Deserialize;

use crate::certificate::{Details, details, not_after};

/// Maximum size of a file head that a plugin may read, in bytes.
pub const MOST_BYTES: u32 = 64 * 1024;
/// Maximum size of a label's value, in bytes.
const VALUE: usize = 256;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// The plugin's own part of the configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Suffixes of files that may hold certificates.
    pub suffixes: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        let usual = [".pem", ".crt", ".cer", ".der"];
        Config { suffixes: usual.map(str::to_owned).into() }
    }
}

impl Config {
    /// Whether a file with this path may hold certificates.
    pub fn wants(&self, path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        self.suffixes.iter().any(|suffix| path.ends_with(&suffix.to_ascii_lowercase()))
    }
}

/// The labels for a file that begins with `head`; `None` if it holds no certificate. `size` is the file's size in bytes, if
/// known.
///
/// The details are those of the first certificate that can be parsed: in a chain, this is the end-entity certificate. A
/// bundle also has the number of certificates and the earliest expiry date. `certificates` ends with `+` unless
/// the head covers the whole file.
pub fn labels(head: &[u8], size: Option<u64>) -> Option<Vec<(String, String)>> {
    if head.starts_with(&[0x30]) {
        return details(head).map(|details| of_first(&details));
    }
    let mut bodies = blocks(head).filter_map(|body| Some((not_after(&body)?, body)));
    // A damaged certificate is skipped; those after it are still read.
    let (end, first) = bodies.find_map(|(end, body)| Some((end, details(&body)?)))?;
    let mut labels = of_first(&first);
    let (mut certificates, mut earliest) = (1, end);
    for (end, _) in bodies {
        certificates += 1;
        // All dates have the same format, so the smallest text is the earliest date.
        earliest = earliest.min(end);
    }
    // The host removes possible secrets from a head, so only the file's size shows whether the file continues.
    let whole = size.is_some_and(|size| size <= u64::from(MOST_BYTES));
    if certificates > 1 || !whole {
        let more = if whole { "" } else { "+" };
        labels.push(("certificates".to_owned(), format!("{certificates}{more}")));
        labels.push(("earliest_not_after".to_owned(), earliest));
    }
    Some(labels)
}

fn of_first(details: &Details) -> Vec<(String, String)> {
    let Details { subject, issuer, not_after, key, key_bits, signature, self_signed, ca } = details;
    let bits = key_bits.map(|bits| bits.to_string());
    let yes_or_no = |is: &bool| if *is { "yes" } else { "no" };
    let named = [
        ("subject", Some(subject.as_str())),
        ("issuer", Some(issuer)),
        ("not_after", Some(not_after)),
        ("key", Some(key)),
        ("key_bits", bits.as_deref()),
        ("signature", Some(signature)),
        ("self_signed", Some(yes_or_no(self_signed))),
        ("ca", Some(yes_or_no(ca))),
    ];
    let label = |(name, value): (&str, Option<&str>)| Some((name.to_owned(), shortened(value?)));
    named.into_iter().filter_map(label).collect()
}

/// The decoded bodies of all complete certificate blocks.
fn blocks(head: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut body: Option<Vec<u8>> = None;
    head.split(|&byte| byte == b'\n').filter_map(move |line| {
        let line = line.trim_ascii();
        if let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) {
            body = label.ends_with(b"CERTIFICATE").then(Vec::new);
            None
        } else if line.starts_with(DASHES) {
            let text = body.take()?;
            Base64::decode_vec(std::str::from_utf8(&text).ok()?).ok()
        } else {
            if let Some(body) = &mut body {
                body.extend_from_slice(line);
            }
            None
        }
    })
}

/// The value, truncated to the maximum size of a label.
fn shortened(value: &str) -> String {
    if value.len() <= VALUE {
        return value.to_owned();
    }
    let end = value.floor_char_boundary(VALUE - '…'.len_utf8());
    format!("{}…", value.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Config, String> {
        crypto_tracer_plugin::testing::config(config)
    }

    const RSA: &str = include_str!("../fixtures/rsa.pem");
    const BUNDLE: &str = include_str!("../fixtures/bundle.pem");
    const CA: &str = include_str!("../fixtures/ca.pem");

    fn of<'a>(labels: &'a [(String, String)], name: &str) -> Option<&'a str> {
        labels.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    #[test]
    fn labels_describe_the_first_certificate_of_a_chain() {
        let chain = format!("text before\n{RSA}{CA}");
        let labels = labels(chain.as_bytes(), Some(chain.len() as u64)).unwrap();
        assert!(of(&labels, "subject").unwrap().contains("CN=server.example"));
        assert_eq!(of(&labels, "ca"), Some("no"));
        assert_eq!(of(&labels, "certificates"), Some("2"));
        assert!(of(&labels, "earliest_not_after") <= of(&labels, "not_after"));
    }

    #[test]
    fn a_single_certificate_has_no_count() {
        let labels = labels(CA.as_bytes(), Some(CA.len() as u64)).unwrap();
        assert_eq!(of(&labels, "certificates"), None);
        assert_eq!((of(&labels, "ca"), of(&labels, "self_signed")), (Some("yes"), Some("yes")));
    }

    #[test]
    fn the_count_of_a_truncated_bundle_ends_with_plus() {
        // Each certificate expires before the one above it, so the last complete one in the head is the earliest.
        let head = &BUNDLE.as_bytes()[..MOST_BYTES as usize];
        let whole = BUNDLE[..head.len()].matches("-----END").count();
        let last = BUNDLE.split_inclusive("-----END CERTIFICATE-----\n").nth(whole - 1).unwrap();
        let [labels, last] = [(head, BUNDLE), (last.as_bytes(), last)]
            .map(|(head, all)| labels(head, Some(all.len() as u64)).unwrap());

        assert_eq!(of(&labels, "certificates"), Some(format!("{whole}+").as_str()));
        assert_eq!(of(&labels, "earliest_not_after"), of(&last, "not_after"));
        assert!(of(&labels, "earliest_not_after") < of(&labels, "not_after"));
    }

    #[test]
    fn der_without_pem_is_read() {
        let body = blocks(RSA.as_bytes()).next().unwrap();
        let labels = labels(&body, Some(body.len() as u64)).unwrap();
        assert!(of(&labels, "subject").unwrap().contains("server.example"));
    }

    #[test]
    fn a_file_without_certificates_has_no_labels() {
        let cut = &RSA.as_bytes()[..RSA.len() / 2];
        let odd = RSA.replace("MII", "!!!");
        let key = b"-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE";
        for head in [&b""[..], b"0", b"\x30\x82\xff\xff", cut, odd.as_bytes(), key] {
            assert_eq!(labels(head, Some(head.len() as u64)), None, "{head:?}");
        }
    }

    #[test]
    fn a_damaged_certificate_does_not_hide_the_next() {
        // The date remains readable when the last bytes are missing.
        let der = blocks(RSA.as_bytes()).next().unwrap();
        let body = Base64::encode_string(&der[..der.len() - 10]);
        let cut = format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
        for odd in [RSA.replace("MII", "!!!"), cut] {
            let file = format!("{odd}{CA}");
            let labels = labels(file.as_bytes(), Some(file.len() as u64)).unwrap();
            assert_eq!(of(&labels, "subject"), Some("CN=Example CA,O=Example Ltd"), "{odd}");
            assert_eq!(of(&labels, "certificates"), None, "{odd}");
        }
    }

    #[test]
    fn truncated_and_corrupted_certificates_do_not_panic() {
        let body = blocks(RSA.as_bytes()).next().unwrap();
        for at in 0..body.len() {
            let _ = labels(&body[..at], None);
            let mut changed = body.clone();
            changed[at] ^= 0xff;
            let found = labels(&changed, None).unwrap_or_default();
            assert!(found.iter().all(|(_, value)| value.len() <= VALUE));
        }
    }

    #[test]
    fn values_are_truncated_to_the_label_limit() {
        let long = shortened(&"é".repeat(200));
        assert!(long.len() <= VALUE && long.ends_with('…'), "{long}");
        assert_eq!(shortened("a"), "a");
    }

    #[test]
    fn suffixes_can_be_configured() {
        let config = read("{}").unwrap();
        assert!(config.wants("/a.PEM") && config.wants("/a.crt") && !config.wants("/a.key"));
        let config = read(r#"{"suffixes": [".chain"]}"#).unwrap();
        assert!(config.wants("/a.chain") && !config.wants("/a.pem"));
        assert!(read(r#"{"suffix": 1}"#).is_err());
    }
}
