//! File globs that match whole paths by character.
//!
//! globset validates the pattern, so syntax and errors are the known ones. But globset matches bytes: its `?` matches half
//! of an `é`. Matching therefore uses a regular expression over characters, translated from the same pattern. In it, `*`
//! also matches `/`, and a byte that is not valid UTF-8 is one character.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use globset::GlobBuilder;
use regex::Regex;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    regex: Regex,
}

/// The pattern is invalid.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidGlob(String);

impl Glob {
    /// Compiles a pattern: `*`, `?`, `[…]`, `[!…]`, `{a,b}`, `**` for any number of folders, and `\` as the escape
    /// character.
    pub fn new(pattern: &str) -> Result<Glob, InvalidGlob> {
        let checked = globset_builder(pattern).build();
        checked.map_err(|error| InvalidGlob(error.kind().to_string()))?;
        let regex = format!("^(?s:{})$", Translation::of(pattern));
        let regex = Regex::new(&regex).map_err(|error| InvalidGlob(error.to_string()))?;
        Ok(Glob { text: pattern.to_owned(), regex })
    }

    /// Returns the source pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Splits the pattern into the literal path of the last folder without wildcards, unescaped, and the rest. A pattern
    /// without wildcards has no rest.
    pub fn fixed_part(&self) -> (String, &str) {
        let (mut fixed, mut text, mut rest) = (String::new(), String::new(), self.text.as_str());
        let mut chars = self.text.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '*' | '?' | '[' | '{' => return (fixed, rest),
                '/' => {
                    fixed.clone_from(&text);
                    rest = self.text.get(at..).unwrap_or_default();
                    text.push(c);
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                c => text.push(c),
            }
        }
        (text, "")
    }

    /// Returns a pattern that matches `text` only.
    pub fn escape(text: &str) -> String {
        let mut pattern = String::new();
        for c in text.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern
    }

    /// Returns whether the whole `path` matches.
    pub fn matches(&self, path: &[u8]) -> bool {
        match std::str::from_utf8(path) {
            Ok(path) => self.regex.is_match(path),
            Err(_) => self.regex.is_match(&replace_invalid(path)),
        }
    }
}

/// Returns globset's builder with the options of [`Glob`].
fn globset_builder(pattern: &str) -> GlobBuilder<'_> {
    let mut builder = GlobBuilder::new(pattern);
    // `{,x}` matches nothing or x, as in a shell.
    builder.backslash_escape(true).empty_alternates(true);
    builder
}

/// Replaces each byte that is not valid UTF-8 by U+FFFD.
fn replace_invalid(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// `**/` at the beginning: any number of folders.
const PREFIX: &str = "(?:/?|.*/)";
/// `/**` at the end: everything below a folder.
const SUFFIX: &str = "/.*";
/// `/**/`: any number of folders between two slashes.
const BETWEEN: &str = "(?:/|/.*/)";

/// Translates a pattern to a regular expression. globset has validated the pattern, so all braces are closed.
struct Translation<'a> {
    rest: Peekable<Chars<'a>>,
    /// The current character, and the previous one.
    current: Option<char>,
    previous: Option<char>,
    /// The pieces so far: of the pattern itself, then of each alternative of the open braces.
    branches: Vec<Vec<Cow<'static, str>>>,
    /// Index of the first branch of each open brace.
    open: Vec<usize>,
}

impl Translation<'_> {
    fn of(pattern: &str) -> String {
        let mut it = Translation {
            rest: pattern.chars().peekable(),
            current: None,
            previous: None,
            branches: vec![Vec::new()],
            open: Vec::new(),
        };
        while let Some(c) = it.next() {
            it.token(c);
        }
        let regex = it.branches.concat().concat();
        // Alone, `**` matches every path.
        if regex == PREFIX { ".*".to_owned() } else { regex }
    }

    fn next(&mut self) -> Option<char> {
        self.previous = self.current;
        self.current = self.rest.next();
        self.current
    }

    fn push(&mut self, piece: impl Into<Cow<'static, str>>) {
        if let Some(branch) = self.branches.last_mut() {
            branch.push(piece.into());
        }
    }

    fn token(&mut self, c: char) {
        match c {
            '*' => self.star(),
            '?' => self.push("."),
            '[' => self.class(),
            '{' => {
                self.open.push(self.branches.len());
                self.branches.push(Vec::new());
            }
            '}' => {
                let first = self.open.pop().unwrap_or(self.branches.len());
                let branches = self.branches.drain(first..).map(|branch| branch.concat());
                let alternation = branches.collect::<Vec<_>>().join("|");
                self.push(format!("(?:{alternation})"));
            }
            ',' if !self.open.is_empty() => self.branches.push(Vec::new()),
            '\\' => {
                if let Some(escaped) = self.next() {
                    self.push(literal(escaped));
                }
            }
            c => self.push(literal(c)),
        }
    }

    /// Translates `*` or `**`. `**` matches folders between slashes or ends of the pattern, and otherwise equals `*`.
    fn star(&mut self) {
        let previous = self.previous;
        if self.rest.peek() != Some(&'*') {
            return self.push(".*");
        }
        self.next();
        let (at_end, within) = (self.rest.peek().is_none(), !self.open.is_empty());
        let slash = self.rest.peek() == Some(&'/');
        if self.branches.last().is_some_and(Vec::is_empty) {
            if !at_end && !slash {
                return self.push(".*");
            }
            self.next();
            return self.push(PREFIX);
        }
        let ends = at_end || within && matches!(self.rest.peek(), Some(',' | '}'));
        if previous != Some('/') || !(ends || slash) {
            return self.push(".*");
        }
        if at_end || slash {
            self.next();
        }
        // The slash before it belongs to this piece. A PREFIX before it is kept.
        let last = self.branches.last_mut().and_then(Vec::pop);
        self.push(match last.as_deref() {
            Some(PREFIX) => PREFIX,
            _ if ends => SUFFIX,
            _ => BETWEEN,
        });
    }

    fn class(&mut self) {
        let mut class = String::from("[");
        if matches!(self.rest.peek(), Some('!' | '^')) {
            self.next();
            class.push('^');
        }
        let mut first = true;
        while let Some(c) = self.next() {
            match c {
                // Directly after the opening bracket, `]` is literal.
                ']' if !first => break,
                '-' if !first && self.rest.peek() != Some(&']') => class.push('-'),
                c => class.push_str(&literal(c)),
            }
            first = false;
        }
        class.push(']');
        self.push(class);
    }
}

/// Escapes a character for a regular expression. ASCII punctuation may always be escaped, also in classes.
fn literal(c: char) -> String {
    if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        Glob::new(pattern).unwrap().matches(path)
    }

    #[test]
    fn the_fixed_part_of_a_pattern() {
        for (pattern, fixed, rest) in [
            ("/var/run/x/*.pem", "/var/run/x", "/*.pem"),
            ("/var/run/x*/a.pem", "/var/run", "/x*/a.pem"),
            ("/etc/ssl/{a,b}.pem", "/etc/ssl", "/{a,b}.pem"),
            ("/etc/ss[lm]/a.pem", "/etc", "/ss[lm]/a.pem"),
            ("/etc/ss?/a.pem", "/etc", "/ss?/a.pem"),
            ("/etc/ssl/a.pem", "/etc/ssl/a.pem", ""),
            ("/etc/ssl/**", "/etc/ssl", "/**"),
            (r"/od\*d/a/*", "/od*d/a", "/*"),
            ("/*", "", "/*"),
            ("*.pem", "", "*.pem"),
            ("**/x.pem", "", "**/x.pem"),
            ("{/a,/b}/x", "", "{/a,/b}/x"),
        ] {
            let glob = Glob::new(pattern).unwrap();
            assert_eq!(glob.fixed_part(), (fixed.to_owned(), rest), "{pattern}");
            // The escaped part matches itself.
            let path = format!("{fixed}/x");
            let escaped = Glob::new(&format!("{}/x", Glob::escape(fixed))).unwrap();
            assert!(escaped.matches(path.as_bytes()), "{pattern}");
        }
        assert_eq!(Glob::escape(r"/a*?[]{}\b"), r"/a\*\?\[\]\{\}\\b");
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
            ("/a/**/c", "/a/b/d/c", true),
            ("/a/**/c", "/a/c", true),
            ("/a/**/c", "/a/bc", false),
            ("/a/**/c", "/ac", false),
            ("**/c.pem", "/c.pem", true),
            ("**/c.pem", "/a/b/c.pem", true),
            ("**/c.pem", "/a/bc.pem", false),
            ("/a/**", "/a/b/c", true),
            ("/a/**", "/a", false),
            ("/a**c", "/a/b/c", true),
            ("**", "/a/b", true),
            ("/{a/**,b}/c", "/a/b/c", true),
            ("/a{,/b}.pem", "/a.pem", true),
            ("{**/**,b}", "/a", false),
            ("{**/**,b}", "/a/", true),
            ("{**/**b,c}", "/ab", true),
            ("/[--a].pem", "/5.pem", true),
            ("/[+--].pem", "/,.pem", true),
            ("a.pem", "/a.pem", false),
            ("/a.b+(c)$", "/a.b+(c)$", true),
        ] {
            assert_eq!(matches(pattern, path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn wildcards_match_characters_not_bytes() {
        assert!(matches("/caf?.pem", "/café.pem".as_bytes()));
        assert!(matches("/caf[é].pem", "/café.pem".as_bytes()));
        assert!(matches("/caf[à-ü].pem", "/café.pem".as_bytes()));
        assert!(matches("/caf?.pem", b"/caf\xff.pem"));
        assert!(!matches("/caf?.pem", b"/caf\xff\xfe.pem"));
        assert!(matches("/caf??.pem", b"/caf\xff\xfe.pem"));
        assert!(matches("/a?b", b"/a\nb"));
    }

    #[test]
    fn invalid_patterns_are_errors() {
        for pattern in ["[", "[a", "{a", "a}", "[z-a]"] {
            assert!(Glob::new(pattern).is_err(), "{pattern}");
        }
    }

    proptest! {
        /// For ASCII, both have the same result.
        #[test]
        fn agrees_with_globset(
            pattern in prop_oneof![
                r"[ab/.?*\[\]!^{},\\-]{0,10}",
                "(a|/|\\*\\*|\\*\\*/|/\\*\\*|\\*|\\{a,|\\{|,|\\}|b\\}){0,7}",
            ],
            path in "[ab/.,-]{0,10}",
        ) {
            if let Ok(checked) = globset_builder(&pattern).build() {
                let ours = Glob::new(&pattern).unwrap();
                prop_assert_eq!(
                    ours.matches(path.as_bytes()), checked.compile_matcher().is_match(&path),
                    "{} against {}", checked.regex(), ours.regex
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
