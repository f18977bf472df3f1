//! What is hidden. No bindings, so `cargo test` runs it as it is.

use serde::Deserialize;

/// The plugin's own part of the configuration.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Directories whose entries are customers' names.
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
    /// What is wrong with it, for the operator.
    pub fn read(config: &str) -> Result<Rules, String> {
        let rules: Rules = serde_json::from_str(config).map_err(|error| error.to_string())?;
        match rules.directories.iter().find(|path| !path.starts_with('/') || path.ends_with('/')) {
            Some(odd) => Err(format!("{odd:?} is no absolute path without / at its end")),
            None => Ok(rules),
        }
    }

    /// The text to show instead; none: it hides nothing. A path, or a command line with paths in it.
    pub fn redact(&self, text: &str) -> Option<String> {
        let mut shown = text.to_owned();
        for directory in &self.directories {
            shown = hide_entries(&shown, directory);
        }
        (shown != text).then_some(shown)
    }
}

/// Replaces what follows `directory` and a slash, up to the next slash, space or quote.
fn hide_entries(text: &str, directory: &str) -> String {
    let before = format!("{directory}/");
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((clear, behind)) = rest.split_once(&before) {
        let name_ends = behind.find(['/', ' ', '"', '\'']).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(name_ends);
        shown.push_str(clear);
        shown.push_str(&before);
        shown.push_str(if name.is_empty() { "" } else { "CUSTOMER" });
        rest = behind;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        Rules::default().redact(text)
    }

    #[test]
    fn customers_are_hidden_wherever_they_stand() {
        assert_eq!(shown("/srv/customers/acme/key.pem").unwrap(), "/srv/customers/CUSTOMER/key.pem");
        assert_eq!(shown("/srv/customers/acme").unwrap(), "/srv/customers/CUSTOMER");
        let command = "cp /srv/customers/a/x --to=/srv/customers/b/";
        let hidden = "cp /srv/customers/CUSTOMER/x --to=/srv/customers/CUSTOMER/";
        assert_eq!(shown(command).unwrap(), hidden);
    }

    #[test]
    fn the_rest_is_shown_as_it_is() {
        for text in ["", "/etc/ssl/certs/a.pem", "/srv/customers", "/srv/customers/"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn wrong_configurations_are_refused() {
        assert!(Rules::read(r#"{"directories": ["srv"]}"#).is_err());
        assert!(Rules::read(r#"{"directory": []}"#).is_err());
    }
}
