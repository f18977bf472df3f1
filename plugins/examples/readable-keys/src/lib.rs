//! Labels private keys that users other than their owner may read. It returns no type, so the next classifier determines the
//! type.

use crypto_tracer_plugin::{Classifier, File, Interest, Verdict};
use serde::Deserialize;

/// Permissions to read.
const GROUP: u32 = 0o040;
const OTHERS: u32 = 0o004;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Keys {
    /// Suffixes of files that may hold keys.
    suffixes: Vec<String>,
    /// Prefixes of files that may hold keys.
    prefixes: Vec<String>,
    /// Groups that may read keys.
    groups: Vec<u32>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            suffixes: [".key", ".pem"].map(str::to_owned).into(),
            prefixes: vec!["id_".to_owned()],
            groups: Vec::new(),
        }
    }
}

impl Classifier<Keys> for Keys {
    fn new(config: Keys, interest: &Interest) -> Result<Keys, String> {
        config.suffixes.iter().for_each(|suffix| interest.file_suffix(suffix));
        config.prefixes.iter().for_each(|prefix| interest.file_prefix(prefix));
        Ok(config)
    }

    fn classify(&self, file: &File) -> Option<Verdict> {
        if !self.may_be_key(&file.path()) {
            return None;
        }
        // A file that could not be inspected is shown.
        let (permissions, group) = (file.permissions()?, file.group()?);
        let blocks = file.blocks();
        if !blocks.iter().any(|block| block.label.ends_with("PRIVATE KEY")) {
            // The prefix also brings `id_card.txt`. Files that another classifier is interested in are still shown.
            file.skip();
            return None;
        }
        let readers = self.readers(permissions, group)?;
        Some(Verdict::no_type().label("key_readers", readers))
    }
}

impl Keys {
    fn may_be_key(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        let lower = name.to_ascii_lowercase();
        self.suffixes.iter().any(|suffix| lower.ends_with(&suffix.to_ascii_lowercase()))
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Who may read a key apart from its owner. None: no user.
    fn readers(&self, permissions: u32, group: u32) -> Option<&'static str> {
        match permissions {
            all if all & OTHERS != 0 => Some("others"),
            group_only if group_only & GROUP != 0 && !self.groups.contains(&group) => Some("group"),
            _ => None,
        }
    }
}

crypto_tracer_plugin::classifier!(Keys);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    #[test]
    fn keys_that_others_may_read_are_labelled() {
        let (keys, interest) = testing::classifier::<Keys, _>(r#"{"groups": [110]}"#).unwrap();
        assert_eq!((interest.file_suffixes().len(), interest.file_prefixes().len()), (2, 1));
        for (path, group, mode, readers) in [
            ("/a.key", 0, 0o600, None),
            ("/a.key", 0, 0o604, Some("others")),
            ("/a.KEY", 0, 0o644, Some("others")),
            ("/home/a/id_work", 0, 0o640, Some("group")),
            // The group of TLS servers.
            ("/a.pem", 110, 0o640, None),
            ("/a.pem", 110, 0o644, Some("others")),
            ("/a.p12", 0, 0o644, None),
            ("/id_a/card.txt", 0, 0o644, None),
        ] {
            let file = testing::File::new(path).owned(0, group, mode);
            let verdict = keys.classify(&file.with_block("RSA PRIVATE KEY", Some(true)));
            let expected = readers.map(|readers| Verdict::no_type().label("key_readers", readers));
            assert_eq!(verdict, expected, "{path} {mode:o}");
        }
    }

    #[test]
    fn other_files_are_skipped() {
        let (keys, _) = testing::classifier::<Keys, _>("{}").unwrap();
        let card = testing::File::new("/id_card.txt").owned(0, 0, 0o644);
        assert_eq!((keys.classify(&card), card.is_skipped()), (None, true));
        let public = testing::File::new("/a.pem").owned(0, 0, 0o644).with_block("PUBLIC KEY", None);
        assert_eq!((keys.classify(&public), public.is_skipped()), (None, true));
        let other = testing::File::new("/a.p12");
        assert_eq!((keys.classify(&other), other.is_skipped()), (None, false));
        let unread = testing::File::new("/id_card.txt");
        assert_eq!((keys.classify(&unread), unread.is_skipped()), (None, false));
    }
}
