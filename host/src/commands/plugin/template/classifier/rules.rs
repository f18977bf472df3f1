//! Recognises site keys. Uses no bindings, so `cargo test` can run it.

use serde::Deserialize;

/// The plugin's own configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Suffixes of file names, 3 to 15 bytes each.
    pub suffixes: Vec<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { suffixes: vec![".sitekey".to_owned()] }
    }
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// The problem with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        serde_json::from_str(config).map_err(|error| error.to_string())
    }

    /// The type of a file. None: these rules do not know it.
    pub fn file_type(&self, path: &str) -> Option<&'static str> {
        let path = path.to_ascii_lowercase();
        let ends = |suffix: &String| path.ends_with(&suffix.to_ascii_lowercase());
        self.suffixes.iter().any(ends).then_some("site_key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_compared_without_case() {
        let rules = Rules::read("{}").unwrap();
        assert_eq!(rules.file_type("/srv/app/a.sitekey"), Some("site_key"));
        assert_eq!(rules.file_type("/srv/app/A.SiteKey"), Some("site_key"));
        assert_eq!(rules.file_type("/srv/app/a.pem"), None);
    }

    #[test]
    fn suffixes_can_be_configured() {
        let rules = Rules::read(r#"{"suffixes": [".tier1"]}"#).unwrap();
        assert_eq!(rules.file_type("/srv/app/a.tier1"), Some("site_key"));
        assert_eq!(rules.file_type("/srv/app/a.sitekey"), None);
        assert!(Rules::read(r#"{"suffix": ".tier1"}"#).unwrap_err().contains("suffixes"));
    }
}
