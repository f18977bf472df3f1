//! Replaces names with pseudonyms.
//!
//! `/home/alice/key.pem` becomes `~u-fdbf8b1cacd3/key.pem`. This is not a path below `/home`, so the bundled redactor,
//! which runs after this one for the secrets in command lines, does not hide the pseudonym.

use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::paths::Homes;
use crypto_tracer_plugin::REDACTED;

/// Minimum size of a key, in bytes: a shorter key could be found by trying all keys.
const LEAST_KEY: usize = 16;
/// Maximum size of a returned text, in bytes.
const MOST_TEXT: usize = 64 * 1024;
/// Bytes of the hash in a pseudonym: among ten thousand users, two share a pseudonym with a probability of 1 in 5 million.
const SHOWN: usize = 6;

/// The plugin's own part of the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Identifies users: keep it secret.
    key: String,
    /// Directories that contain home directories.
    #[serde(default = "homes")]
    homes: Vec<String>,
    /// Names that are replaced wherever they occur as a word.
    #[serde(default)]
    users: Vec<String>,
}

fn homes() -> Vec<String> {
    vec!["/home".to_owned()]
}

/// The checked configuration.
pub struct Rules {
    key: String,
    homes: Homes,
    users: Vec<String>,
}

impl Rules {
    /// Checks the configuration.
    ///
    /// # Errors
    /// A message for the operator, which never contains the key.
    pub fn new(config: Config) -> Result<Rules, String> {
        let Config { key, homes, users } = config;
        if key.len() < LEAST_KEY {
            let what = "`openssl rand -hex 32` generates one";
            return Err(format!("the key has fewer than {LEAST_KEY} bytes: {what}"));
        }
        let homes = Homes::new(&homes)?;
        if let Some(odd) = users.iter().find(|name| name.is_empty() || !name.chars().all(in_name)) {
            return Err(format!(
                "the user {odd:?} is not a name of letters, digits, `.`, `_`, `-`"
            ));
        }
        Ok(Rules { key, homes, users })
    }

    /// The redacted text; `None` if it contains no name. `arguments` are those of a command line, if they are known
    /// separately.
    pub fn redact(&self, field: &str, value: &str, arguments: &[String]) -> Option<String> {
        let named = |name: &str| self.pseudonym(name);
        let mut shown = match field {
            // A path component may contain every character except a slash.
            "file" | "library" | "exe" => self.homes.in_path(value, &named),
            "cmdline" if !arguments.is_empty() => {
                let shown = arguments.iter().map(|argument| self.homes.in_text(argument, &named));
                shown.collect::<Vec<_>>().join(" ")
            }
            _ => self.homes.in_text(value, &named),
        };
        for user in &self.users {
            shown = self.hide_word(&shown, user);
        }
        if shown.len() > MOST_TEXT {
            // The host counts a longer text as a failed call.
            return Some(REDACTED.to_owned());
        }
        (shown != value).then_some(shown)
    }

    fn hide_word(&self, text: &str, user: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((clear, after)) = rest.split_once(user) {
            let word = !clear.ends_with(in_word) && !after.starts_with(in_word);
            // The output so far may also end in the middle of a word.
            let word = word && (!clear.is_empty() || !shown.ends_with(in_word));
            shown.push_str(clear);
            if word {
                shown.push_str(&self.pseudonym(user))
            } else {
                shown.push_str(user)
            }
            rest = after;
        }
        shown + rest
    }

    /// The same for the same name. It reveals nothing without the key.
    fn pseudonym(&self, name: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()) else {
            // HMAC accepts keys of any length. If this ever fails, the name must still be hidden.
            return "u-".to_owned();
        };
        mac.update(name.as_bytes());
        let hash = mac.finalize().into_bytes();
        let digits = hash.iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
        digits.fold("u-".to_owned(), |text, digits| text + &digits)
    }
}

/// Whether the character continues a word: `alice` is a word in `alice@host`.
fn in_word(c: char) -> bool {
    in_name(c) && c != '@'
}

/// Whether the character may occur in a name.
fn in_name(c: char) -> bool {
    c.is_alphanumeric() || "._-@+".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<Rules, String> {
        Rules::new(crypto_tracer_plugin::testing::config(config)?)
    }

    const CONFIG: &str =
        r#"{"key": "0123456789abcdef", "homes": ["/home", "/srv/people/"], "users": ["alice"]}"#;
    // printf alice | openssl dgst -sha256 -hmac 0123456789abcdef
    const ALICE: &str = "u-fdbf8b1cacd3";

    fn shown(field: &str, value: &str) -> String {
        let rules = read(CONFIG).unwrap();
        rules.redact(field, value, &[]).unwrap_or_else(|| value.to_owned())
    }

    #[test]
    fn names_in_home_directories_are_replaced() {
        for (value, wanted) in [
            ("/home/alice/key.pem", format!("~{ALICE}/key.pem")),
            ("/home/alice", format!("~{ALICE}")),
            ("//home//alice/x", format!("~{ALICE}/x")),
            ("/srv/people/alice/x", format!("~{ALICE}/x")),
            ("…/home/alice/x", format!("…/~{ALICE}/x")),
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
    fn pseudonyms_are_equal_for_equal_names_only() {
        let [a, b] = ["/home/bob/x", "/home/bobby/x"].map(|path| shown("exe", path));
        assert_ne!(a, b);
        assert_eq!(a, shown("file", "/srv/people/bob/x"));
        let other = read(r#"{"key": "fedcba9876543210"}"#).unwrap();
        assert_ne!(other.redact("exe", "/home/bob/x", &[]), Some(a));
    }

    #[test]
    fn listed_names_are_replaced_as_words() {
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
    fn paths_are_resolved_before_replacement() {
        for (value, wanted) in [
            ("/home/./alice/key.pem", format!("~{ALICE}/key.pem")),
            ("/home/bobby/../alice/x", format!("~{ALICE}/x")),
            ("/mnt/../home/alice", format!("~{ALICE}")),
            ("/proc/1/root/home/alice/x", format!("/proc/1/root/~{ALICE}/x")),
            ("/proc/self/root/home/alice/x", format!("/proc/self/root/~{ALICE}/x")),
            ("/proc/1/task/2/root/proc/3/root/home/alice", {
                format!("/proc/1/task/2/root/proc/3/root/~{ALICE}")
            }),
            ("/home/bobby/../../etc/hosts", "/etc/hosts".to_owned()),
            ("…/people/alice/x", format!("…/~{ALICE}/x")),
            ("…/bobby/x", "…/x".to_owned()),
            ("/etc/./ssl//a.pem", "/etc/./ssl//a.pem".to_owned()),
        ] {
            for field in ["file", "exe", "cmdline", "labels.path"] {
                assert_eq!(shown(field, value), wanted, "{field} {value}");
            }
        }
    }

    #[test]
    fn paths_in_arguments_are_found() {
        let rules = read(CONFIG).unwrap();
        let jane = rules.pseudonym("Jane Doe");
        for (argument, wanted) in [
            ("-I/home/alice/include", format!("-I~{ALICE}/include")),
            ("-f/home/alice/x", format!("-f~{ALICE}/x")),
            ("/home/Jane Doe/x", format!("~{jane}/x")),
            ("/home/Jane Doe", format!("~{jane}")),
            ("cat '/home/Jane Doe'; ls", format!("cat '~{jane}'; ls")),
            ("cat '/home/Jane Doe/x'", format!("cat '~{jane}/x'")),
            ("../../home/alice/x", format!("~{ALICE}/x")),
            ("cat ~alice/x ~/y", format!("cat ~{ALICE}/x ~/y")),
            ("a=/x:/home/alice/bin", format!("a=/x:~{ALICE}/bin")),
            ("sftp://host/home/alice/x", format!("sftp://host~{ALICE}/x")),
            ("https://host/home/bob/x", "https://host/home/bob/x".to_owned()),
            ("host:/home/alice", format!("host:~{ALICE}")),
        ] {
            let all = ["cc".to_owned(), argument.to_owned()];
            let shown = rules.redact("cmdline", &all.join(" "), &all);
            let shown = shown.unwrap_or_else(|| all.join(" "));
            assert_eq!(shown, format!("cc {wanted}"));
            // Redaction of a redacted text changes nothing.
            let again = rules.redact("cmdline", &shown, &[]);
            assert_eq!(again.unwrap_or_else(|| shown.clone()), shown);
        }
        let shown = shown("cmdline", "ls /home/{mary,bob}/x");
        assert!(shown.starts_with("ls ~u-") && shown.ends_with("/x"), "{shown}");
        assert!(!shown.contains("mary") && !shown.contains("bob"), "{shown}");
    }

    #[test]
    fn any_combination_of_parts_is_redacted_without_panic() {
        let parts =
            ["/", "home", "alice", "…", "~", " ", "'", "é", "..", ":", "{", "-I", "/proc/1/root"];
        for a in parts {
            for b in parts {
                for c in parts {
                    for d in parts {
                        let text = format!("{a}{b}{c}{d}");
                        assert!(
                            !shown("cmdline", &format!("{text} /home/zoe/x")).contains("zoe"),
                            "{text}"
                        );
                        let _ = shown("file", &text);
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_that_grows_too_long_is_hidden() {
        assert_eq!(shown("cmdline", &"alice ".repeat(10_000)), "[REDACTED]");
    }

    #[test]
    fn configuration_errors_name_the_cause() {
        for (config, wanted) in [
            ("{}", "missing field `key`"),
            (r#"{"key": "short"}"#, "fewer than 16 bytes"),
            (r#"{"key": "0123456789abcdef", "homes": ["home"]}"#, "\"home\""),
            (r#"{"key": "0123456789abcdef", "homes": ["/"]}"#, "absolute"),
            (r#"{"key": "0123456789abcdef", "users": ["a b"]}"#, "\"a b\""),
            (r#"{"key": "0123456789abcdef", "user": []}"#, "unknown field `user`"),
        ] {
            let error = read(config).map(|_| ()).unwrap_err();
            assert!(error.contains(wanted) && !error.contains("0123456789"), "{config}: {error}");
        }
    }
}
