//! Hides names of customers. Uses no bindings, so `cargo test` can run it.

use serde::Deserialize;

/// The plugin's own configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Directories whose entries are names of customers.
    pub directories: Vec<String>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { directories: vec!["/srv/customers".to_owned()] }
    }
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// The problem with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        let rules: Rules = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match rules.directories.iter().find(|path| !path.starts_with('/') || path.ends_with('/')) {
            Some(path) => Err(format!("{path:?} is not an absolute path without a trailing /")),
            None => Ok(rules),
        }
    }

    /// Redacts a path, or a command line that contains paths. None: the text is unchanged.
    pub fn redact(&self, text: &str) -> Option<String> {
        let mut redacted = text.to_owned();
        for directory in &self.directories {
            redacted = hide_entries(&redacted, directory);
        }
        (redacted != text).then_some(redacted)
    }
}

/// Replaces the entries of `directory`: the text after it and a slash, up to the next slash, space or quote.
fn hide_entries(text: &str, directory: &str) -> String {
    let prefix = format!("{directory}/");
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&prefix) {
        let name_end = after.find(['/', ' ', '"', '\'']).unwrap_or(after.len());
        let (name, after) = after.split_at(name_end);
        redacted.push_str(before);
        redacted.push_str(&prefix);
        redacted.push_str(if name.is_empty() { "" } else { "CUSTOMER" });
        rest = after;
    }
    redacted + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> Option<String> {
        Rules::default().redact(text)
    }

    #[test]
    fn customers_are_hidden_anywhere_in_a_text() {
        assert_eq!(
            redacted("/srv/customers/acme/key.pem").unwrap(),
            "/srv/customers/CUSTOMER/key.pem"
        );
        assert_eq!(redacted("/srv/customers/acme").unwrap(), "/srv/customers/CUSTOMER");
        let command = "cp /srv/customers/a/x --to=/srv/customers/b/";
        let hidden = "cp /srv/customers/CUSTOMER/x --to=/srv/customers/CUSTOMER/";
        assert_eq!(redacted(command).unwrap(), hidden);
    }

    #[test]
    fn other_texts_are_unchanged() {
        for text in ["", "/etc/ssl/certs/a.pem", "/srv/customers", "/srv/customers/"] {
            assert_eq!(redacted(text), None, "{text}");
        }
    }

    #[test]
    fn invalid_configurations_are_refused() {
        assert!(Rules::read(r#"{"directories": ["srv"]}"#).is_err());
        assert!(Rules::read(r#"{"directory": []}"#).is_err());
    }
}
