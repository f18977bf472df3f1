//! Detects filters that no event can pass, so that the operator is warned at the start.

use std::str::Chars;

use super::{COMM_BYTES, Select};
use crate::glob::Glob;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;

/// Maximum length of a file name in bytes on Linux.
const NAME_MAX: usize = 255;
/// Maximum number of alternatives in a pattern that are checked. A pattern with more is assumed to be satisfiable.
const MAX_ALTERNATIVES: usize = 64;

impl Select {
    /// Returns the reasons why no event can pass, one line each. The check is conservative: an empty list does not prove
    /// that an event can pass.
    pub fn unsatisfiable(&self, interest: &Interest) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.files.is_empty() && !self.libraries.is_empty() {
            reasons.push(
                "no event has both a file and a library: nothing matches --file and --library"
                    .to_owned(),
            );
        }
        if let Some((first, rest)) = self.pids.split_first()
            && let Some(other) = rest.iter().find(|pid| *pid != first)
        {
            reasons.push(format!("no process is both --pid {first} and --pid {other}"));
        }
        for name in self.names.iter().filter(|name| !can_be_name(name)) {
            let name = printable(&String::from_utf8_lossy(name));
            reasons.push(format!("no process name can contain --name {name}"));
        }
        for library in self.libraries.iter().filter(|_| interest.libraries.is_empty()) {
            let library = printable(&String::from_utf8_lossy(library));
            reasons.push(format!("--library {library}: no classifier requests libraries"));
        }
        reasons.extend(self.files.iter().filter_map(|glob| unsatisfiable_glob(glob, interest)));
        reasons
    }
}

fn can_be_name(text: &[u8]) -> bool {
    text.len() <= COMM_BYTES || text.len() <= NAME_MAX && !text.contains(&b'/')
}

/// Returns why no path of interest matches; `None` if any alternative of the braces can match.
fn unsatisfiable_glob(glob: &Glob, interest: &Interest) -> Option<String> {
    let shown = printable(glob.as_str());
    let patterns = alternatives(glob.as_str())?;
    let reasons: Option<Vec<Unsatisfiable>> =
        patterns.iter().map(|pattern| unsatisfiable_alternative(pattern, interest)).collect();
    Some(match reasons?.into_iter().min()? {
        Unsatisfiable::NotAbsolute => format!(
            "--file '{shown}' matches no path: paths begin with /; write for example '*/{shown}'"
        ),
        Unsatisfiable::NotResolved => format!(
            "--file '{shown}' matches no path: resolved paths are compared, without //, /./ and /../"
        ),
        Unsatisfiable::PrefixOnly => format!(
            "--file '{shown}' matches only files whose names begin with {}: no classifier requests other names with this ending",
            join_or(interest.prefixes.iter())
        ),
        Unsatisfiable::NotOfInterest => {
            format!("--file '{shown}' matches no file that a classifier requests")
        }
    })
}

/// Joins names: `a, b or c`.
fn join_or<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<String> = names.map(|name| printable(name).to_string()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Why nothing matches, ordered by how easy the correction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unsatisfiable {
    /// The pattern does not match the `/` at the beginning of a path.
    NotAbsolute,
    /// The pattern contains `//`, `/./` or `/../`.
    NotResolved,
    /// Only names with a prefix of a classifier can match, which the operator may not intend.
    PrefixOnly,
    /// No classifier requests a matching name.
    NotOfInterest,
}

/// Checks a pattern without braces.
fn unsatisfiable_alternative(pattern: &str, interest: &Interest) -> Option<Unsatisfiable> {
    let pieces = pieces(pattern);
    // A truncated path begins with `…`.
    let can_begin_path = match pieces.first() {
        Some(GlobPiece::Literal(first)) => matches!(first, '/' | '…'),
        Some(GlobPiece::Wildcard { slash }) => *slash,
        None => false,
    };
    if !can_begin_path {
        return Some(Unsatisfiable::NotAbsolute);
    }
    let literal = |piece: &GlobPiece| match piece {
        GlobPiece::Literal(c) => *c,
        // No requested name contains NUL.
        GlobPiece::Wildcard { .. } => '\0',
    };
    let text: String = pieces.iter().map(literal).collect();
    if ["//", "/./", "/../"].iter().any(|part| text.contains(part)) {
        return Some(Unsatisfiable::NotResolved);
    }
    let end = text.rsplit('\0').next().unwrap_or_default();
    if can_end(end, interest) { None } else { unsatisfiable_prefix(&text, interest) }
}

/// Checks the requested prefixes. `text` has NUL for each wildcard, which may match a slash.
fn unsatisfiable_prefix(text: &str, interest: &Interest) -> Option<Unsatisfiable> {
    let name = text.rsplit('/').next().unwrap_or(text);
    let mut prefixes = interest.prefixes.iter();
    if !name.contains('\0') {
        let matches = prefixes.any(|prefix| name.starts_with(prefix.as_str()));
        return (!matches).then_some(Unsatisfiable::NotOfInterest);
    }
    if prefixes.len() == 0 {
        return Some(Unsatisfiable::NotOfInterest);
    }
    let is_intended = prefixes.any(|prefix| name.contains(prefix.as_str()));
    (!is_intended).then_some(Unsatisfiable::PrefixOnly)
}

/// A part of a pattern without braces.
enum GlobPiece {
    /// This character.
    Literal(char),
    /// A wildcard or a class. `slash`: whether the first matched character can be a slash.
    Wildcard { slash: bool },
}

fn pieces(pattern: &str) -> Vec<GlobPiece> {
    // At the beginning, `**/` can match nothing.
    let (mut pieces, pattern) = match pattern.strip_prefix("**/") {
        Some(rest) => (vec![GlobPiece::Wildcard { slash: true }], rest),
        None => (Vec::new(), pattern),
    };
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' | '?' => GlobPiece::Wildcard { slash: true },
            '[' => GlobPiece::Wildcard { slash: class_has_slash(&mut rest) },
            '\\' => GlobPiece::Literal(rest.next().unwrap_or('\\')),
            c => GlobPiece::Literal(c),
        });
    }
    pieces
}

/// Reads a class from after its `[` to its end. Returns whether it matches a slash.
fn class_has_slash(rest: &mut Chars<'_>) -> bool {
    let mut class: Vec<char> = Vec::new();
    let mut negated = false;
    for c in rest.by_ref() {
        match c {
            '!' | '^' if class.is_empty() && !negated => negated = true,
            ']' if !class.is_empty() => break,
            c => class.push(c),
        }
    }
    let range =
        |window: &[char]| matches!(window, [from, '-', to] if ('/' >= *from) && ('/' <= *to));
    (class.contains(&'/') || class.windows(3).any(range)) != negated
}

/// Returns whether a path with this end can have a requested suffix or name.
fn can_end(end: &str, interest: &Interest) -> bool {
    let (is_whole_name, name) = match end.rsplit_once('/') {
        Some((_, name)) => (true, name.as_bytes()),
        None => (false, end.as_bytes()),
    };
    let suffixes = interest.suffixes.iter().map(|suffix| suffix.as_bytes());
    let names = interest.names.iter().map(|name| name.as_bytes());
    suffixes
        .into_iter()
        .any(|suffix| ends_with(name, suffix) || !is_whole_name && ends_with(suffix, name))
        || names
            .into_iter()
            .any(|wanted| name == wanted || !is_whole_name && wanted.ends_with(name))
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// Expands the braces of a pattern. Returns `None` if there are too many alternatives, or if braces are nested.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    if pattern.contains('{') && pattern.contains('\\') {
        return None;
    }
    let mut expanded = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}')?;
        if inside.contains(['{', '[']) || before.contains('[') {
            return None;
        }
        let branches: Vec<&str> = inside.split(',').collect();
        if expanded.len() * branches.len() > MAX_ALTERNATIVES {
            return None;
        }
        let append = |start: &String| {
            branches.iter().map(|branch| format!("{start}{before}{branch}")).collect::<Vec<_>>()
        };
        expanded = expanded.iter().flat_map(append).collect();
        rest = after;
    }
    expanded.iter_mut().for_each(|start| start.push_str(rest));
    Some(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest() -> Interest {
        let mut interest = Interest::default();
        interest.add_suffix(".pem").unwrap();
        interest.add_name("id_rsa").unwrap();
        interest.add_library("libssl").unwrap();
        interest
    }

    fn reasons(globs: &[&str]) -> Vec<String> {
        let files = globs.iter().map(|glob| Glob::new(glob).unwrap()).collect();
        Select { files, ..Select::default() }.unsatisfiable(&interest())
    }

    #[test]
    fn classes_with_and_without_a_slash() {
        for (class, slash) in [
            ("/]x", true),
            ("ab]x", false),
            ("!ab]x", true),
            ("^/]x", false),
            // `]` as the first character and `!` after the first are literal.
            ("]/]x", true),
            ("/!]x", true),
            ("!!]x", true),
            ("+-5]x", true),
            ("0-5]x", false),
        ] {
            let mut rest = class.chars();
            assert_eq!((class_has_slash(&mut rest), rest.as_str()), (slash, "x"), "{class}");
        }
    }

    #[test]
    fn patterns_that_can_match_have_no_warning() {
        for glob in [
            "*",
            "/etc/*",
            "*.pem",
            "*.PEM",
            "*m",
            "/a/b.pem",
            "*server*",
            "*.{txt,pem}",
            "*/id_rsa",
            "*rsa",
            "/a/id_rs?",
            "*.[pt]*",
            r"*\.pem",
            r"\/a.pem",
            "**/a.pem",
            "**//a.pem",
            "/a/**/b.pem",
            "[!a]etc/x.pem",
            "[/]x.pem",
            "[!-z]x.pem",
            "{a,/b}.pem",
            "…/x.pem",
            "/a[/]/x.pem",
            "/etc/..x.pem",
            "/etc/.../x.pem",
            "*.p[ab]m",
            "{/a,/b}/c.pem",
            "*{,x}",
            "/home/*/x.Pem",
            "/a[b]{.txt,.log}",
            "*{1,2,3,4,5,6,7,8,9}{1,2,3,4,5,6,7,8,9}.txt",
        ] {
            assert_eq!(reasons(&[glob]), [] as [String; 0], "{glob}");
        }
    }

    #[test]
    fn patterns_that_cannot_match_have_a_warning() {
        let (begin, resolved, end) = ("paths begin with /", "resolved", "classifier requests");
        for (glob, word) in [
            ("*.txt", end),
            (r"*\.txt", end),
            ("*.{txt,log}", end),
            ("/etc/passwd", end),
            ("*/x_id_rsa", end),
            ("*/rsa", end),
            ("*/", end),
            ("server.pem", begin),
            ("{a,b}.pem", begin),
            ("[ab].pem", begin),
            ("[a-z].pem", begin),
            ("[!/]x.pem", begin),
            (r"\a.pem", begin),
            ("{/a.txt,b.pem}", begin),
            ("/etc//x.pem", resolved),
            ("/etc/../x.pem", resolved),
            ("/./x.pem", resolved),
            ("*/./x.pem", resolved),
        ] {
            let warnings = reasons(&[glob]);
            assert!(warnings.len() == 1 && warnings[0].contains(word), "{glob}: {warnings:?}");
        }
        assert_eq!(reasons(&["*{1,2,3,4,5,6,7,8}{1,2,3,4,5,6,7,8}.txt"]).len(), 1);
        assert!(reasons(&["server.pem"])[0].ends_with("'*/server.pem'"));
        assert_eq!(reasons(&["*.txt", "*.pem"]).len(), 1);
    }

    #[test]
    fn patterns_and_requested_prefixes() {
        let mut interest = interest();
        interest.add_prefix("id_ed25519").unwrap();
        interest.add_prefix("ssh_host_").unwrap();
        let reasons = |glob: &str| {
            let files = vec![Glob::new(glob).unwrap()];
            Select { files, ..Select::default() }.unsatisfiable(&interest)
        };
        for glob in [
            "*/id_ed25519",
            "*/id_ed25519_work",
            "*id_ed25519_work",
            "/root/.ssh/id_ed25519_*k",
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssh/ssh_host_*_key",
            "*github*",
            "*.pem",
        ] {
            assert_eq!(reasons(glob), [] as [String; 0], "{glob}");
        }
        for (glob, word) in [
            ("*.txt", "only files whose names begin with id_ed25519 or ssh_host_"),
            ("*_work", "only files whose names begin with"),
            ("*/x_id_ed25519", "matches no file"),
            ("*/ID_ED25519", "matches no file"),
            ("/etc/passwd", "matches no file"),
        ] {
            let warnings = reasons(glob);
            assert!(warnings.len() == 1 && warnings[0].contains(word), "{glob}: {warnings:?}");
        }
    }

    #[test]
    fn contradicting_filters_have_a_warning() {
        let unsatisfiable = |select: Select| select.unsatisfiable(&interest()).len();
        assert_eq!(unsatisfiable(Select::default()), 0);
        assert_eq!(unsatisfiable(Select { pids: vec![7, 7], ..Select::default() }), 0);
        assert_eq!(unsatisfiable(Select { pids: vec![7, 8], ..Select::default() }), 1);
        let libraries = vec![b"libssl".to_vec()];
        let files = vec![Glob::new("*.pem").unwrap()];
        assert_eq!(
            unsatisfiable(Select { files, libraries: libraries.clone(), ..Select::default() }),
            1
        );
        let select = Select { libraries, ..Select::default() };
        assert_eq!(select.unsatisfiable(&Interest::default()).len(), 1);
        for (name, count) in
            [(vec![b'x'; 255], 0), (vec![b'x'; 256], 1), (b"/usr/sbin/nginx-long".to_vec(), 1)]
        {
            assert_eq!(unsatisfiable(Select { names: vec![name], ..Select::default() }), count);
        }
    }
}
