//! Which file is what. No bindings, so `cargo test` runs it as it is.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The rules, in the order of the configuration: the first that fits decides.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

/// What one kind of files is called.
#[derive(Debug)]
pub struct Rule {
    /// A documented type, or a word of the site's own.
    pub file_type: String,
    /// By what the kernel looks for such files.
    pub matching: Matching,
    /// Only below this directory.
    under: Option<String>,
    /// What is told besides.
    pub labels: BTreeMap<String, String>,
}

/// What a file's name has to be.
#[derive(Debug)]
pub enum Matching {
    /// Its end, whatever the case.
    Suffix(String),
    /// All of it.
    Name(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    rules: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    #[serde(rename = "type")]
    file_type: String,
    suffix: Option<String>,
    name: Option<String>,
    under: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// Which rule is wrong, and what is right.
    pub fn read(config: &str) -> Result<Rules, String> {
        let written: Written = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if written.rules.is_empty() {
            return Err("`rules` is empty: write at least one".to_owned());
        }
        let rules = written.rules.into_iter().enumerate();
        let rules =
            rules.map(|(at, rule)| rule.check().map_err(|e| format!("rule {}: {e}", at + 1)));
        rules.collect::<Result<_, _>>().map(Rules)
    }

    /// All of them.
    pub fn all(&self) -> &[Rule] {
        &self.0
    }

    /// The rule for a file.
    pub fn of(&self, path: &str) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.fits(path))
    }
}

impl Rule {
    fn fits(&self, path: &str) -> bool {
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

impl WrittenRule {
    /// What the contract would refuse later is refused while somebody looks.
    fn check(self) -> Result<Rule, String> {
        let WrittenRule { file_type, suffix, name, under, labels } = self;
        if !is_word(&file_type, 64, b"_-") {
            return Err(format!("the type {file_type:?} is not 1 to 64 of a-z, 0-9, `_`, `-`"));
        }
        let matching = match (suffix, name) {
            (Some(suffix), None) => Matching::Suffix(suffix),
            (None, Some(name)) => Matching::Name(name),
            _ => return Err("`suffix` or `name` says which files, one of them".to_owned()),
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
                "`under` {path:?} is no absolute path of a directory without `.`, `..` and `//`"
            ));
        }
        // Below `/` is everything, also what has lost its beginning.
        let under = under.map(|path| path.trim_end_matches('/').to_owned());
        let under = under.filter(|path| !path.is_empty());
        if labels.len() > 16 {
            return Err(format!("{} labels, at most 16 are right", labels.len()));
        }
        for (name, value) in &labels {
            if !is_word(name, 64, b"_") || value.len() > 256 {
                return Err(format!(
                    "the label {name:?}: a name of 1 to 64 of a-z, 0-9, `_`, and a value of up to 256 bytes are right"
                ));
            }
        }
        Ok(Rule { file_type, matching, under, labels })
    }
}

/// Paths of files are absolute and have no detours: what has one would never fit.
fn is_plain(path: &str) -> bool {
    let within = path.trim_end_matches('/');
    path.starts_with('/') && !within.split('/').skip(1).any(|name| matches!(name, "" | "." | ".."))
}

fn is_word(text: &str, most: usize, besides: &[u8]) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || besides.contains(&b);
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"{"rules": [
        {"type": "tier1_key", "suffix": ".key", "under": "/srv/tier1/", "labels": {"tier": "gold"}},
        {"type": "hsm_slot", "suffix": ".hsmslot"},
        {"type": "keystore", "name": "krb5.keytab"}
    ]}"#;

    fn type_of(path: &str) -> Option<String> {
        Rules::read(RULES).unwrap().of(path).map(|rule| rule.file_type.clone())
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
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
    fn everything_is_below_the_root() {
        for root in ["/", "//"] {
            let config =
                format!(r#"{{"rules": [{{"type": "a", "name": "b", "under": "{root}"}}]}}"#);
            let rules = Rules::read(&config).unwrap();
            for (path, fits) in [("/b", true), ("/a/b", true), ("…/b", true), ("/b/a", false)] {
                assert_eq!(rules.of(path).is_some(), fits, "{root} {path}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!(r#"{{"type": "a", "suffix": "{}"}}"#, "x".repeat(16));
        for (rule, wanted) in [
            (r#"{"type": "A", "suffix": ".abc"}"#, "rule 2: the type \"A\""),
            (r#"{"type": "a"}"#, "`suffix` or `name`"),
            (r#"{"type": "a", "suffix": ".ab", "name": "b"}"#, "one of them"),
            (r#"{"type": "a", "suffix": ".a"}"#, "3 to 15"),
            (&long, "3 to 15"),
            (r#"{"type": "a", "name": "a/b"}"#, "without `/`"),
            (
                r#"{"type": "a", "name": "b", "under": "srv/"}"#,
                "`under` \"srv/\" is no absolute path",
            ),
            (r#"{"type": "a", "name": "b", "under": "/a/../b"}"#, "`under` \"/a/../b\" is no"),
            (r#"{"type": "a", "name": "b", "under": "/a//b"}"#, "`under` \"/a//b\" is no"),
            (r#"{"type": "a", "name": "b", "under": ""}"#, "`under` \"\" is no absolute path"),
            (r#"{"type": "a", "name": "b", "labels": {"A": "x"}}"#, "the label \"A\""),
            (r#"{"type": "a", "nam": "b"}"#, "unknown field `nam`"),
        ] {
            let config = format!(r#"{{"rules": [{{"type": "b", "name": "c"}}, {rule}]}}"#);
            let told = Rules::read(&config).unwrap_err();
            assert!(told.contains(wanted), "{rule}: {told}");
        }
        assert!(Rules::read(r#"{"rules": []}"#).unwrap_err().contains("at least one"));
        assert!(Rules::read("{}").unwrap_err().contains("`rules`"));
    }
}
