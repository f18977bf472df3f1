//! Where names stand, and what stands there instead. No bindings, so `cargo test` runs it as it is.
//!
//! `/home/alice/key.pem` becomes `~u-fdbf8b1cacd3/key.pem`: no path below `/home` any more, so that the bundled
//! redactor can come behind this one, for the secrets in command lines, without hiding the pseudonym.

use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

/// Fewest bytes of a key: with less, names could be guessed by trying keys.
const LEAST_KEY: usize = 16;
/// Bytes of the longest text that may be answered.
const MOST_TEXT: usize = 64 * 1024;
/// Bytes of the hash that are shown: among ten thousand users two share one with a chance of 1 in 5 million.
const SHOWN: usize = 6;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Whoever has it can tell which user is which.
    key: String,
    /// Directories of home directories.
    #[serde(default = "homes")]
    homes: Vec<String>,
    /// Names that are replaced wherever they stand as a word.
    #[serde(default)]
    users: Vec<String>,
}

fn homes() -> Vec<String> {
    vec!["/home".to_owned()]
}

impl Rules {
    /// Reads the configuration, a JSON object.
    ///
    /// # Errors
    /// What is wrong with it, for the operator; never the key.
    pub fn read(config: &str) -> Result<Rules, String> {
        let mut rules: Rules = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if rules.key.len() < LEAST_KEY {
            let what = "`openssl rand -hex 32` makes one";
            return Err(format!("the key has less than {LEAST_KEY} bytes: {what}"));
        }
        for home in &mut rules.homes {
            *home = home.trim_end_matches('/').to_owned();
            if !home.starts_with('/') {
                return Err(format!("the home {home:?} is no absolute path of a directory"));
            }
        }
        if let Some(odd) =
            rules.users.iter().find(|name| name.is_empty() || !name.chars().all(in_name))
        {
            return Err(format!("the user {odd:?} is no name of letters, digits, `.`, `_`, `-`"));
        }
        Ok(rules)
    }

    /// The text to show instead; None: there is no name in it.
    pub fn redact(&self, field: &str, value: &str) -> Option<String> {
        // A path's names may hold anything but a slash; in other texts a path ends with its word.
        let ends: fn(char) -> bool = match field {
            "file" | "library" | "exe" => |c| c == '/',
            _ => |c| !in_name(c),
        };
        let mut shown = value.to_owned();
        for home in &self.homes {
            shown = self.hide_homes(&shown, home, ends);
        }
        for user in &self.users {
            shown = self.hide_word(&shown, user);
        }
        if shown.len() > MOST_TEXT {
            // The contract takes no longer answer, and would count it as a failure.
            return Some("[REDACTED]".to_owned());
        }
        (shown != value).then_some(shown)
    }

    fn hide_homes(&self, text: &str, home: &str, ends: fn(char) -> bool) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((clear, behind)) = rest.split_once(home) {
            let path = behind.trim_start_matches('/');
            let before = clear.trim_end_matches('/');
            let begins = !before.ends_with(in_name);
            let name_len = path.find(ends).unwrap_or(path.len());
            let (name, left) = path.split_at(name_len);
            if begins && path.len() < behind.len() && !name.is_empty() {
                shown.push_str(before);
                shown.push('~');
                shown.push_str(&self.pseudonym(name));
                rest = left;
            } else {
                shown.push_str(clear);
                shown.push_str(home);
                rest = behind;
            }
        }
        shown + rest
    }

    fn hide_word(&self, text: &str, user: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((clear, behind)) = rest.split_once(user) {
            let word = !clear.ends_with(in_word) && !behind.starts_with(in_word);
            // What was shown already may end in the middle of a word, too.
            let word = word && (!clear.is_empty() || !shown.ends_with(in_word));
            shown.push_str(clear);
            if word {
                shown.push_str(&self.pseudonym(user))
            } else {
                shown.push_str(user)
            }
            rest = behind;
        }
        shown + rest
    }

    /// The same for the same name, and nothing to anybody without the key.
    fn pseudonym(&self, name: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()) else {
            // A key of any length is one; if that ever changes, the name stays hidden.
            return "u-".to_owned();
        };
        mac.update(name.as_bytes());
        let hash = mac.finalize().into_bytes();
        let digits = hash.iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
        digits.fold("u-".to_owned(), |text, digits| text + &digits)
    }
}

/// What goes on with a word: `alice` is one in `alice@host`.
fn in_word(c: char) -> bool {
    in_name(c) && c != '@'
}

/// What names are made of; a path goes on with it, too.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || "._-@+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str =
        r#"{"key": "0123456789abcdef", "homes": ["/home", "/srv/people/"], "users": ["alice"]}"#;
    // printf alice | openssl dgst -sha256 -hmac 0123456789abcdef
    const ALICE: &str = "u-fdbf8b1cacd3";

    fn shown(field: &str, value: &str) -> String {
        let rules = Rules::read(CONFIG).unwrap();
        rules.redact(field, value).unwrap_or_else(|| value.to_owned())
    }

    #[test]
    fn homes_lose_their_names() {
        for (value, wanted) in [
            ("/home/alice/key.pem", format!("~{ALICE}/key.pem")),
            ("/home/alice", format!("~{ALICE}")),
            ("//home//alice/x", format!("~{ALICE}/x")),
            ("/srv/people/alice/x", format!("~{ALICE}/x")),
            ("…/home/alice/x", format!("…~{ALICE}/x")),
            ("/home/", "/home/".to_owned()),
            ("/homes/bob/x", "/homes/bob/x".to_owned()),
            ("/srv/home/bob/x", "/srv/home/bob/x".to_owned()),
            ("/etc/ssl/a.pem", "/etc/ssl/a.pem".to_owned()),
            ("", String::new()),
        ] {
            assert_eq!(shown("file", value), wanted, "{value}");
        }
        assert!(!shown("file", "/home/mary ann: é/x").contains(['m', 'é', ':']));
    }

    #[test]
    fn one_user_stays_one_user_and_another_is_another() {
        let [a, b] = ["/home/bob/x", "/home/bobby/x"].map(|path| shown("exe", path));
        assert_ne!(a, b);
        assert_eq!(a, shown("file", "/srv/people/bob/x"));
        let other = Rules::read(r#"{"key": "fedcba9876543210"}"#).unwrap();
        assert_ne!(other.redact("exe", "/home/bob/x"), Some(a));
    }

    #[test]
    fn words_in_command_lines() {
        for (value, wanted) in [
            ("ssh -l alice bob@host", format!("ssh -l {ALICE} bob@host")),
            ("ssh alice@host", format!("ssh {ALICE}@host")),
            ("cat /home/alice/a '/home/alice'", format!("cat ~{ALICE}/a '~{ALICE}'")),
            ("cp --to=/home/alice/a", format!("cp --to=~{ALICE}/a")),
            ("alice", ALICE.to_owned()),
            ("malice alice2 alicealice", "malice alice2 alicealice".to_owned()),
        ] {
            assert_eq!(shown("cmdline", value), wanted, "{value}");
        }
    }

    #[test]
    fn no_answer_is_too_long() {
        assert_eq!(shown("cmdline", &"alice ".repeat(10_000)), "[REDACTED]");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, wanted) in [
            ("{}", "missing field `key`"),
            (r#"{"key": "short"}"#, "less than 16 bytes"),
            (r#"{"key": "0123456789abcdef", "homes": ["home"]}"#, "\"home\""),
            (r#"{"key": "0123456789abcdef", "homes": ["/"]}"#, "absolute"),
            (r#"{"key": "0123456789abcdef", "users": ["a b"]}"#, "\"a b\""),
            (r#"{"key": "0123456789abcdef", "user": []}"#, "unknown field `user`"),
        ] {
            let told = Rules::read(config).map(|_| ()).unwrap_err();
            assert!(told.contains(wanted) && !told.contains("0123456789"), "{config}: {told}");
        }
    }
}
