//! Labels private keys by whether their file is encrypted. It returns no type, so the next classifier determines the type.

use crypto_tracer_plugin::{Classifier, File, Interest, Verdict};
use serde::Deserialize;

/// Bytes of the head that are read: keys come first in their files, except for those after certificates.
const HEAD: u32 = 64 * 1024;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    /// Suffixes of files that may hold keys.
    suffixes: Vec<String>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { suffixes: [".key", ".pem"].map(str::to_owned).into() }
    }
}

impl Classifier<Keys> for Keys {
    fn new(config: Keys, interest: &Interest) -> Result<Keys, String> {
        config.suffixes.iter().for_each(|suffix| interest.file_suffix(suffix));
        Ok(config)
    }

    fn classify(&self, file: &File) -> Option<Verdict> {
        let path = file.path().to_ascii_lowercase();
        // A head costs a read of the file.
        if !self.suffixes.iter().any(|suffix| path.ends_with(&suffix.to_ascii_lowercase())) {
            return None;
        }
        let encrypted = encrypted(&file.head(HEAD))?;
        Some(Verdict::no_type().label("key_encrypted", encrypted))
    }
}

/// Whether the first private key of a PEM file is encrypted. None: it has no private key.
fn encrypted(head: &[u8]) -> Option<&'static str> {
    let lines = head.split(|&byte| byte == b'\n');
    let mut labels = lines
        .filter_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"));
    labels.find_map(|label| match label {
        b"ENCRYPTED PRIVATE KEY" | b"ENCRYPTED SIGSTORE PRIVATE KEY" => Some("yes"),
        b"PRIVATE KEY" => Some("no"),
        // The older forms say it in the body, which the host does not show.
        label if label.ends_with(b"PRIVATE KEY") => Some("unknown"),
        _ => None,
    })
}

crypto_tracer_plugin::classifier!(Keys);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    #[test]
    fn the_first_private_key_decides() {
        for (head, wanted) in [
            ("-----BEGIN PRIVATE KEY-----\n", Some("no")),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\r\n", Some("yes")),
            ("-----BEGIN RSA PRIVATE KEY-----\n", Some("unknown")),
            (
                "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----",
                Some("no"),
            ),
            ("-----BEGIN PUBLIC KEY-----\n", None),
            ("-----BEGIN PRIVATE KEY", None),
            ("", None),
        ] {
            assert_eq!(encrypted(head.as_bytes()), wanted, "{head}");
        }
    }

    #[test]
    fn other_files_are_not_read() {
        let (keys, interest) = testing::classifier::<Keys, _>("{}").unwrap();
        assert_eq!(interest.file_suffixes(), [".key", ".pem"]);
        let key = "-----BEGIN PRIVATE KEY-----\n";
        let verdict = |path| keys.classify(&testing::File::new(path).with_head(key));
        assert_eq!(verdict("/a.KEY"), Some(Verdict::no_type().label("key_encrypted", "no")));
        assert_eq!(verdict("/a.p12"), None);
    }
}
