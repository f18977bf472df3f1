//! Matches files against the rules.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The rules, in the order of the configuration: the first matching rule decides.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

/// Assigns a type and labels to matching files.
#[derive(Debug)]
pub struct Rule {
    /// A documented type, or one of the site's own.
    pub file_type: String,
    /// The name filter that the kernel side applies.
    pub matching: Matching,
    /// The directory that contains the files; `None` for any.
    under: Option<String>,
    /// Labels to add.
    pub labels: BTreeMap<String, String>,
}

/// How a file name matches.
#[derive(Debug)]
pub enum Matching {
    /// By its end, case-insensitive.
    Suffix(String),
    /// By the complete name.
    Name(String),
}

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    #[serde(rename = "type")]
    file_type: String,
    suffix: Option<String>,
    name: Option<String>,
    under: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Rules {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The invalid rule, and what is valid.
    pub fn new(raw: RawConfig) -> Result<Rules, String> {
        if raw.rules.is_empty() {
            return Err("`rules` is empty: add at least one".to_owned());
        }
        let rules = raw.rules.into_iter().enumerate();
        let rules =
            rules.map(|(at, rule)| rule.check().map_err(|e| format!("rule {}: {e}", at + 1)));
        rules.collect::<Result<_, _>>().map(Rules)
    }

    /// All rules.
    pub fn all(&self) -> &[Rule] {
        &self.0
    }

    /// The first rule that matches a file.
    pub fn of(&self, path: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.matches(path))
    }
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        let named = match &self.matching {
            Matching::Suffix(suffix) => ends_with(name, suffix),
            Matching::Name(whole) => name == whole,
        };
        named && self.under.as_deref().is_none_or(|directory| is_under(path, directory))
    }
}

fn ends_with(name: &str, suffix: &str) -> bool {
    let (name, suffix) = (name.as_bytes(), suffix.as_bytes());
    let end = name.len().checked_sub(suffix.len()).and_then(|at| name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

fn is_under(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

impl RawRule {
    /// Refuses at the start, while the operator is present, what the host would refuse at each call.
    fn check(self) -> Result<Rule, String> {
        let RawRule { file_type, suffix, name, under, labels } = self;
        if !is_word(&file_type, 64, b"_-") {
            return Err(format!("the type {file_type:?} is not 1 to 64 of a-z, 0-9, `_`, `-`"));
        }
        let matching = match (suffix, name) {
            (Some(suffix), None) => Matching::Suffix(suffix),
            (None, Some(name)) => Matching::Name(name),
            _ => return Err("`suffix` or `name` is required, exactly one of them".to_owned()),
        };
        match &matching {
            Matching::Suffix(text)
                if !(3..=15).contains(&text.len())
                    || !text.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                return Err(format!("the suffix {text:?} is not 3 to 15 bytes of ASCII"));
            }
            Matching::Name(text) if !(1..=31).contains(&text.len()) || text.contains('/') => {
                return Err(format!("the name {text:?} is not 1 to 31 bytes without `/`"));
            }
            _ => {}
        }
        if let Some(path) = under.as_deref().filter(|path| !is_plain(path)) {
            return Err(format!(
                "`under` {path:?} is not an absolute path of a directory without `.`, `..` and `//`"
            ));
        }
        // Every file is below `/`, including a path that lost its beginning.
        let under = under.map(|path| path.trim_end_matches('/').to_owned());
        let under = under.filter(|path| !path.is_empty());
        if labels.len() > 16 {
            return Err(format!("{} labels: at most 16 are allowed", labels.len()));
        }
        for (name, value) in &labels {
            if !is_word(name, 64, b"_") || value.len() > 256 {
                return Err(format!(
                    "the label {name:?}: a name has 1 to 64 of a-z, 0-9, `_`, and a value at most 256 bytes"
                ));
            }
        }
        Ok(Rule { file_type, matching, under, labels })
    }
}

/// File paths are absolute and resolved: another path would never match.
fn is_plain(path: &str) -> bool {
    let within = path.trim_end_matches('/');
    path.starts_with('/') && !within.split('/').skip(1).any(|name| matches!(name, "" | "." | ".."))
}

fn is_word(text: &str, most: usize, others: &[u8]) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || others.contains(&b);
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Rules, String> {
        Rules::new(crypto_tracer_plugin::testing::config(config)?)
    }

    const RULES: &str = r#"{"rules": [
        {"type": "tier1_key", "suffix": ".key", "under": "/srv/tier1/", "labels": {"tier": "gold"}},
        {"type": "hsm_slot", "suffix": ".hsmslot"},
        {"type": "keystore", "name": "krb5.keytab"}
    ]}"#;

    fn type_of(path: &str) -> Option<String> {
        read(RULES).unwrap().of(path).map(|rule| rule.file_type.clone())
    }

    #[test]
    fn the_first_matching_rule_decides() {
        for (path, file_type) in [
            ("/srv/tier1/a.key", Some("tier1_key")),
            ("/srv/tier1/deep/er/A.KEY", Some("tier1_key")),
            ("/srv/tier10/a.key", None),
            ("/srv/a.key", None),
            ("/a.hsmslot", Some("hsm_slot")),
            ("/etc/krb5.keytab", Some("keystore")),
            ("/etc/krb5.keytab.old", None),
            ("/krb5.keytab/x", None),
            ("", None),
            ("…/é.hsmslot", Some("hsm_slot")),
            ("/schlüssel", None),
        ] {
            assert_eq!(type_of(path).as_deref(), file_type, "{path}");
        }
    }

    #[test]
    fn every_file_is_below_the_root() {
        for root in ["/", "//"] {
            let config =
                format!(r#"{{"rules": [{{"type": "a", "name": "b", "under": "{root}"}}]}}"#);
            let rules = read(&config).unwrap();
            for (path, fits) in [("/b", true), ("/a/b", true), ("…/b", true), ("/b/a", false)] {
                assert_eq!(rules.of(path).is_some(), fits, "{root} {path}");
            }
        }
    }

    #[test]
    fn configuration_errors_name_the_rule() {
        let long = format!(r#"{{"type": "a", "suffix": "{}"}}"#, "x".repeat(16));
        for (rule, wanted) in [
            (r#"{"type": "A", "suffix": ".abc"}"#, "rule 2: the type \"A\""),
            (r#"{"type": "a"}"#, "`suffix` or `name`"),
            (r#"{"type": "a", "suffix": ".ab", "name": "b"}"#, "exactly one of them"),
            (r#"{"type": "a", "suffix": ".a"}"#, "3 to 15"),
            (&long, "3 to 15"),
            (r#"{"type": "a", "name": "a/b"}"#, "without `/`"),
            (
                r#"{"type": "a", "name": "b", "under": "srv/"}"#,
                "`under` \"srv/\" is not an absolute path",
            ),
            (r#"{"type": "a", "name": "b", "under": "/a/../b"}"#, "`under` \"/a/../b\" is not"),
            (r#"{"type": "a", "name": "b", "under": "/a//b"}"#, "`under` \"/a//b\" is not"),
            (r#"{"type": "a", "name": "b", "under": ""}"#, "`under` \"\" is not an absolute path"),
            (r#"{"type": "a", "name": "b", "labels": {"A": "x"}}"#, "the label \"A\""),
            (r#"{"type": "a", "nam": "b"}"#, "unknown field `nam`"),
        ] {
            let config = format!(r#"{{"rules": [{{"type": "b", "name": "c"}}, {rule}]}}"#);
            let error = read(&config).unwrap_err();
            assert!(error.contains(wanted), "{rule}: {error}");
        }
        assert!(read(r#"{"rules": []}"#).unwrap_err().contains("at least one"));
        assert!(read("{}").unwrap_err().contains("`rules`"));
    }
}
