//! Which events are left out, and which are labelled. No bindings, so `cargo test` runs it as it is.

use serde::Deserialize;

/// The plugin's own part of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Names of processes that nobody wants to hear of.
    pub quiet: Vec<String>,
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        serde_json::from_str(config).map_err(|error| error.to_string())
    }

    /// Whether a process of this name is left out.
    pub fn is_quiet(&self, process: &str) -> bool {
        self.quiet.iter().any(|name| name == process)
    }
}

/// Whether this open may change a private key. An event that is no open has neither.
pub fn is_written_key(file_type: Option<&str>, flags: Option<&str>) -> bool {
    file_type == Some("private_key") && flags.is_some_and(|flags| !flags.starts_with("O_RDONLY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_are_quiet() {
        let rules = Rules::read(r#"{"quiet": ["logrotate"]}"#).unwrap();
        assert!(rules.is_quiet("logrotate"));
        assert!(!rules.is_quiet("log"));
        assert!(!Rules::default().is_quiet("logrotate"));
        assert!(Rules::read(r#"{"quite": []}"#).is_err());
    }

    #[test]
    fn keys_that_are_written() {
        assert!(is_written_key(Some("private_key"), Some("O_WRONLY|O_CREAT|O_TRUNC")));
        assert!(is_written_key(Some("private_key"), Some("O_RDWR")));
        assert!(!is_written_key(Some("private_key"), Some("O_RDONLY")));
        assert!(!is_written_key(Some("certificate"), Some("O_RDWR")));
        assert!(!is_written_key(None, None));
    }
}
