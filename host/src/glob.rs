//! File globs over whole paths, by character.
//!
//! globset reads the pattern, so its syntax and its errors are those that people know. It matches bytes, though: its
//! `?` takes half of an `é`. So what decides is a regular expression over characters, made from the same pattern,
//! where `*` also crosses `/` and a byte that is no UTF-8 is one character.

use regex::Regex;

/// A pattern, ready to match.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    regex: Regex,
}

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Glob {
    /// Reads a pattern: `*`, `?`, `[…]`, `[!…]`, `{a,b}`, and `\` before a character that stands for itself.
    pub fn new(pattern: &str) -> Result<Glob, Malformed> {
        let checked = globset::GlobBuilder::new(pattern).backslash_escape(true).build();
        checked.map_err(|error| Malformed(error.kind().to_string()))?;
        let regex = format!("^(?s:{})$", Translation::of(pattern));
        let regex = Regex::new(&regex).map_err(|error| Malformed(error.to_string()))?;
        Ok(Glob { text: pattern.to_owned(), regex })
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of `path` matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        match std::str::from_utf8(path) {
            Ok(path) => self.regex.is_match(path),
            Err(_) => self.regex.is_match(&characters(path)),
        }
    }
}

/// The path with U+FFFD for each single byte that is no UTF-8.
fn characters(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// A pattern on its way to a regular expression. globset has checked it before.
struct Translation<'a> {
    rest: std::str::Chars<'a>,
    regex: String,
    alternatives: usize,
}

impl Translation<'_> {
    fn of(pattern: &str) -> String {
        let mut it = Translation { rest: pattern.chars(), regex: String::new(), alternatives: 0 };
        while let Some(c) = it.rest.next() {
            it.token(c);
        }
        it.regex
    }

    fn token(&mut self, c: char) {
        match c {
            '*' => self.regex.push_str(".*"),
            '?' => self.regex.push('.'),
            '[' => self.class(),
            '{' => {
                self.alternatives += 1;
                self.regex.push_str("(?:");
            }
            '}' if self.alternatives > 0 => {
                self.alternatives -= 1;
                self.regex.push(')');
            }
            ',' if self.alternatives > 0 => self.regex.push('|'),
            '\\' => {
                if let Some(escaped) = self.rest.next() {
                    self.literal(escaped);
                }
            }
            c => self.literal(c),
        }
    }

    fn class(&mut self) {
        self.regex.push('[');
        let mut rest = self.rest.clone();
        if matches!(rest.next(), Some('!' | '^')) {
            self.rest = rest;
            self.regex.push('^');
        }
        let mut first = true;
        while let Some(c) = self.rest.next() {
            match c {
                // Directly behind the bracket it is one of the characters.
                ']' if !first => break,
                '-' if !first && !self.rest.as_str().starts_with(']') => self.regex.push('-'),
                c => self.literal(c),
            }
            first = false;
        }
        self.regex.push(']');
    }

    fn literal(&mut self, c: char) {
        // Every ASCII punctuation may be escaped, in classes too.
        if c.is_ascii_punctuation() {
            self.regex.push('\\');
        }
        self.regex.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn the_documented_patterns() {
        for (pattern, path, expected) in [
            ("*.pem", "/etc/ssl/a.pem", true),
            ("*.pem", "/etc/ssl/a.PEM", false),
            ("/etc/ssl/*", "/etc/ssl/certs/deep/a.pem", true),
            ("/etc/ssl/*", "/opt/etc/ssl/a.pem", false),
            ("*server*", "/a/server/b.key", true),
            ("/a/?.pem", "/a/b.pem", true),
            ("/a/?.pem", "/a/bb.pem", false),
            ("/a/?/x", "/a///x", true),
            ("/a/[abc].pem", "/a/b.pem", true),
            ("/a/[a-z].pem", "/a/q.pem", true),
            ("/a/[a-z].pem", "/a/Q.pem", false),
            ("/a/[!a-z].pem", "/a/Q.pem", true),
            ("/a/[]].pem", "/a/].pem", true),
            ("/a/[a-].pem", "/a/-.pem", true),
            ("*.{pem,key}", "/a/b.key", true),
            ("*.{pem,key}", "/a/b.crt", false),
            (r"/a/\*.pem", "/a/*.pem", true),
            (r"/a/\*.pem", "/a/b.pem", false),
            ("/a/**/c", "/a/b/c", true),
            ("a.pem", "/a.pem", false),
            ("/a.b+(c)$", "/a.b+(c)$", true),
        ] {
            assert_eq!(matches(pattern, path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_character_is_one_whatever_its_bytes() {
        assert!(matches("/caf?.pem", "/café.pem".as_bytes()));
        assert!(matches("/caf[é].pem", "/café.pem".as_bytes()));
        assert!(matches("/caf[à-ü].pem", "/café.pem".as_bytes()));
        assert!(matches("/caf?.pem", b"/caf\xff.pem"));
        assert!(!matches("/caf?.pem", b"/caf\xff\xfe.pem"));
        assert!(matches("/caf??.pem", b"/caf\xff\xfe.pem"));
        assert!(matches("/a?b", b"/a\nb"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["[", "[a", "{a", "a}", "[z-a]"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        /// On ASCII both mean the same, `**` aside: globset gives it a meaning of its own.
        #[test]
        fn agrees_with_globset(pattern in r"[ab/.?*\[\]!^{},\\-]{0,10}", path in "[ab/.,-]{0,10}") {
            prop_assume!(!pattern.contains("**"));
            let theirs = globset::GlobBuilder::new(&pattern).backslash_escape(true).build();
            if let Ok(theirs) = theirs {
                let ours = Glob::new(&pattern).unwrap();
                prop_assert_eq!(
                    ours.matches(path.as_bytes()), theirs.compile_matcher().is_match(&path),
                    "{} against {}", theirs.regex(), ours.regex
                );
            }
        }

        #[test]
        fn never_panics(pattern in any::<String>(), path in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(glob) = Glob::new(&pattern) {
                let _ = glob.matches(&path);
            }
        }
    }
}
