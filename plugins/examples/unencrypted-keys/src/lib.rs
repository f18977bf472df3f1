//! Labels files with private keys by whether the keys are encrypted at rest. It returns no type, so the next classifier
//! determines the type.

use crypto_tracer_plugin::{Classifier, File, Interest, PemBlock, Verdict};
use serde::Deserialize;

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
        // The blocks cost a read of the file.
        if !self.suffixes.iter().any(|suffix| path.ends_with(&suffix.to_ascii_lowercase())) {
            return None;
        }
        let encrypted = encrypted(&file.blocks())?;
        Some(Verdict::no_type().label("key_encrypted", encrypted))
    }
}

/// Whether the private keys of a PEM file are encrypted: the one that is protected least decides. None: it has no private
/// key.
fn encrypted(blocks: &[PemBlock]) -> Option<&'static str> {
    let keys = blocks.iter().filter(|block| block.label.contains("PRIVATE KEY"));
    let protection = |key: &PemBlock| match key.encrypted {
        Some(false) => (0, "no"),
        None => (1, "unknown"),
        Some(true) => (2, "yes"),
    };
    keys.map(protection).min().map(|(_, word)| word)
}

crypto_tracer_plugin::classifier!(Keys);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    #[test]
    fn the_key_that_is_protected_least_decides() {
        let (keys, _) = testing::classifier::<Keys, _>("{}").unwrap();
        let cases: [(&[_], _); 6] = [
            (&[("PRIVATE KEY", Some(false))], Some("no")),
            (&[("RSA PRIVATE KEY", Some(true))], Some("yes")),
            (&[("PGP PRIVATE KEY BLOCK", None)], Some("unknown")),
            (&[("EC PRIVATE KEY", Some(true)), ("EC PRIVATE KEY", Some(false))], Some("no")),
            (&[("CERTIFICATE", None), ("ENCRYPTED PRIVATE KEY", Some(true))], Some("yes")),
            (&[("CERTIFICATE", None)], None),
        ];
        for (blocks, word) in cases {
            let file =
                blocks.iter().fold(testing::File::new("/a.pem"), |file, (label, encrypted)| {
                    file.with_block(label, *encrypted)
                });
            let expected = word.map(|word| Verdict::no_type().label("key_encrypted", word));
            assert_eq!(keys.classify(&file), expected, "{blocks:?}");
        }
    }

    #[test]
    fn other_files_are_not_read() {
        let (keys, interest) = testing::classifier::<Keys, _>("{}").unwrap();
        assert_eq!(interest.file_suffixes(), [".key", ".pem"]);
        let verdict =
            |path| keys.classify(&testing::File::new(path).with_block("PRIVATE KEY", Some(false)));
        assert_eq!(verdict("/a.KEY"), Some(Verdict::no_type().label("key_encrypted", "no")));
        assert_eq!(verdict("/a.p12"), None);
    }
}
