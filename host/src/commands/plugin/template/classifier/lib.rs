//! Recognises site keys by the suffix of their name.

use crypto_tracer_plugin::{Classifier, File, Interest, Verdict};
use serde::Deserialize;

/// The plugin's own part of the configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SiteKeys {
    /// Suffixes of file names, 3 to 15 bytes each.
    suffixes: Vec<String>,
}

impl Default for SiteKeys {
    fn default() -> SiteKeys {
        SiteKeys { suffixes: vec![".sitekey".to_owned()] }
    }
}

impl Classifier<SiteKeys> for SiteKeys {
    fn new(config: SiteKeys, interest: &Interest) -> Result<SiteKeys, String> {
        // The kernel reports only files in the interest of a classifier.
        config.suffixes.iter().for_each(|suffix| interest.file_suffix(suffix));
        Ok(config)
    }

    fn classify(&self, file: &File) -> Option<Verdict> {
        let path = file.path().to_ascii_lowercase();
        if !self.suffixes.iter().any(|suffix| path.ends_with(&suffix.to_ascii_lowercase())) {
            // No opinion: the host calls the next classifier.
            return None;
        }
        let size = file.size().map(|size| ("size", size.to_string()));
        Some(Verdict::other("site_key").labels(size))
    }
}

crypto_tracer_plugin::classifier!(SiteKeys);

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::testing;

    fn site_keys(config: &str) -> SiteKeys {
        testing::classifier(config).unwrap().0
    }

    #[test]
    fn suffixes_are_compared_without_case() {
        let file = |path| testing::File::new(path).with_size(16);
        let verdict = Some(Verdict::other("site_key").label("size", "16"));
        assert_eq!(site_keys("{}").classify(&file("/srv/app/a.sitekey")), verdict);
        assert_eq!(site_keys("{}").classify(&file("/srv/app/A.SiteKey")), verdict);
        assert_eq!(site_keys("{}").classify(&file("/srv/app/a.pem")), None);
    }

    #[test]
    fn suffixes_can_be_configured() {
        let config = r#"{"suffixes": [".tier1"]}"#;
        let (_, interest) = testing::classifier::<SiteKeys, _>(config).unwrap();
        assert_eq!(interest.file_suffixes(), [".tier1"]);
        assert!(site_keys(config).classify(&testing::File::new("/srv/app/a.tier1")).is_some());
        let refused = testing::classifier::<SiteKeys, _>(r#"{"suffix": ".tier1"}"#).unwrap_err();
        assert!(refused.contains("suffixes"), "{refused}");
    }
}
