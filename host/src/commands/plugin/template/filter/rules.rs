//! Drops events of quiet processes and recognises written keys. Uses no bindings, so `cargo test` can run it.

use serde::Deserialize;

/// The plugin's own configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Names of processes whose events are dropped.
    pub quiet: Vec<String>,
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// The problem with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        serde_json::from_str(config).map_err(|error| error.to_string())
    }

    /// Whether events of a process with this name are dropped.
    pub fn is_quiet(&self, process: &str) -> bool {
        self.quiet.iter().any(|name| name == process)
    }
}

/// Whether this open may change a private key. Events other than opens have neither field.
pub fn is_written_key(file_type: Option<&str>, flags: Option<&str>) -> bool {
    file_type == Some("private_key") && flags.is_some_and(|flags| !flags.starts_with("O_RDONLY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_processes_are_quiet() {
        let rules = Rules::read(r#"{"quiet": ["logrotate"]}"#).unwrap();
        assert!(rules.is_quiet("logrotate"));
        assert!(!rules.is_quiet("log"));
        assert!(!Rules::default().is_quiet("logrotate"));
        assert!(Rules::read(r#"{"quite": []}"#).is_err());
    }

    #[test]
    fn written_keys_are_recognised() {
        assert!(is_written_key(Some("private_key"), Some("O_WRONLY|O_CREAT|O_TRUNC")));
        assert!(is_written_key(Some("private_key"), Some("O_RDWR")));
        assert!(!is_written_key(Some("private_key"), Some("O_RDONLY")));
        assert!(!is_written_key(Some("certificate"), Some("O_RDWR")));
        assert!(!is_written_key(None, None));
    }
}
