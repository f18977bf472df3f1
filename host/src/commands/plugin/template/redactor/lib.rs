//! Hides the names of customers: the entries of some directories.

use crypto_tracer_plugin::{Redactor, Text};
use serde::Deserialize;

/// The plugin's own part of the configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Customers {
    /// Directories whose entries are names of customers.
    directories: Vec<String>,
}

impl Default for Customers {
    fn default() -> Customers {
        Customers { directories: vec!["/srv/customers".to_owned()] }
    }
}

impl Redactor<Customers> for Customers {
    fn new(config: Customers) -> Result<Customers, String> {
        match config.directories.iter().find(|path| !path.starts_with('/') || path.ends_with('/')) {
            Some(path) => Err(format!("{path:?} is not an absolute path without a trailing /")),
            None => Ok(config),
        }
    }

    fn redact(&self, text: &Text) -> Option<String> {
        // A path, or a command line that contains paths.
        let value = text.value();
        let mut redacted = value.clone();
        for directory in &self.directories {
            redacted = hide_entries(&redacted, directory);
        }
        (redacted != value).then_some(redacted)
    }
}

crypto_tracer_plugin::redactor!(Customers);

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
    use crypto_tracer_plugin::testing;

    fn redacted(text: &str) -> Option<String> {
        let customers: Customers = testing::redactor("{}").unwrap();
        customers.redact(&testing::Text::new("file", text))
    }

    #[test]
    fn customers_are_hidden_anywhere_in_a_text() {
        let hidden = "/srv/customers/CUSTOMER/key.pem";
        assert_eq!(redacted("/srv/customers/acme/key.pem").unwrap(), hidden);
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
        assert!(testing::redactor::<Customers, _>(r#"{"directories": ["srv"]}"#).is_err());
        assert!(testing::redactor::<Customers, _>(r#"{"directory": []}"#).is_err());
    }
}
