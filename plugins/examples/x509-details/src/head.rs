//! From the beginning of a file to labels. No bindings, so `cargo test` runs it as it is.

use base64ct::{Base64, Encoding};
use serde::Deserialize;

use crate::certificate::{Details, details, not_after};

/// Most bytes of a file that a plugin may see.
pub const MOST_BYTES: u32 = 64 * 1024;
/// Bytes of a label's value.
const VALUE: usize = 256;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";

/// The plugin's own part of the configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Endings of files that may hold certificates.
    pub suffixes: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        let usual = [".pem", ".crt", ".cer", ".der"];
        Config { suffixes: usual.map(str::to_owned).into() }
    }
}

impl Config {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn read(config: &str) -> Result<Config, String> {
        serde_json::from_str(config).map_err(|error| error.to_string())
    }

    /// Whether a file of this name may hold certificates.
    pub fn wants(&self, path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        self.suffixes.iter().any(|suffix| path.ends_with(&suffix.to_ascii_lowercase()))
    }
}

/// What to tell of a file that begins with `head`, and has `size` bytes where that is known. None: no certificate.
///
/// Details are those of the first certificate that can be read: in a chain that is the one that matters. Of a bundle the number of
/// certificates and the earliest end are told besides; `certificates` ends in `+` when there is more than was seen.
pub fn labels(head: &[u8], size: Option<u64>) -> Option<Vec<(String, String)>> {
    if head.starts_with(&[0x30]) {
        return details(head).map(|details| of_first(&details));
    }
    let mut bodies = blocks(head).filter_map(|body| Some((not_after(&body)?, body)));
    // One that is damaged says nothing, and hides no other.
    let (end, first) = bodies.find_map(|(end, body)| Some((end, details(&body)?)))?;
    let mut labels = of_first(&first);
    let (mut certificates, mut earliest) = (1, end);
    for (end, _) in bodies {
        certificates += 1;
        // Texts of one form: the least is the earliest.
        earliest = earliest.min(end);
    }
    // A head comes without what might be secret, so only the file's size tells whether there is more.
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

/// The bodies of the blocks of certificates that end.
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

/// As much as a label holds.
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

    const RSA: &str = include_str!("../fixtures/rsa.pem");
    const BUNDLE: &str = include_str!("../fixtures/bundle.pem");
    const CA: &str = include_str!("../fixtures/ca.pem");

    fn of<'a>(labels: &'a [(String, String)], name: &str) -> Option<&'a str> {
        labels.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    #[test]
    fn the_first_certificate_of_a_chain() {
        let chain = format!("text before\n{RSA}{CA}");
        let labels = labels(chain.as_bytes(), Some(chain.len() as u64)).unwrap();
        assert!(of(&labels, "subject").unwrap().contains("CN=server.example"));
        assert_eq!(of(&labels, "ca"), Some("no"));
        assert_eq!(of(&labels, "certificates"), Some("2"));
        assert!(of(&labels, "earliest_not_after") <= of(&labels, "not_after"));
    }

    #[test]
    fn one_alone_is_not_counted() {
        let labels = labels(CA.as_bytes(), Some(CA.len() as u64)).unwrap();
        assert_eq!(of(&labels, "certificates"), None);
        assert_eq!((of(&labels, "ca"), of(&labels, "self_signed")), (Some("yes"), Some("yes")));
    }

    #[test]
    fn what_is_cut_off_is_told() {
        // Each ends before the one above it, so the last that was seen whole is the earliest.
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
    fn der_as_it_is() {
        let body = blocks(RSA.as_bytes()).next().unwrap();
        let labels = labels(&body, Some(body.len() as u64)).unwrap();
        assert!(of(&labels, "subject").unwrap().contains("server.example"));
    }

    #[test]
    fn no_certificate_no_labels() {
        let cut = &RSA.as_bytes()[..RSA.len() / 2];
        let odd = RSA.replace("MII", "!!!");
        let key = b"-----BEGIN PRIVATE KEY-----\n-----BEGIN CERTIFICATE";
        for head in [&b""[..], b"0", b"\x30\x82\xff\xff", cut, odd.as_bytes(), key] {
            assert_eq!(labels(head, Some(head.len() as u64)), None, "{head:?}");
        }
    }

    #[test]
    fn one_that_is_damaged_hides_no_other() {
        // Without its last bytes there is still a date in it.
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
    fn any_cut_and_any_changed_byte_is_borne() {
        let body = blocks(RSA.as_bytes()).next().unwrap();
        for at in 0..body.len() {
            let _ = labels(&body[..at], None);
            let mut changed = body.clone();
            changed[at] ^= 0xff;
            let told = labels(&changed, None).unwrap_or_default();
            assert!(told.iter().all(|(_, value)| value.len() <= VALUE));
        }
    }

    #[test]
    fn values_fit_into_labels() {
        let long = shortened(&"é".repeat(200));
        assert!(long.len() <= VALUE && long.ends_with('…'), "{long}");
        assert_eq!(shortened("a"), "a");
    }

    #[test]
    fn endings_can_be_configured() {
        let config = Config::read("{}").unwrap();
        assert!(config.wants("/a.PEM") && config.wants("/a.crt") && !config.wants("/a.key"));
        let config = Config::read(r#"{"suffixes": [".chain"]}"#).unwrap();
        assert!(config.wants("/a.chain") && !config.wants("/a.pem"));
        assert!(Config::read(r#"{"suffix": 1}"#).is_err());
    }
}
