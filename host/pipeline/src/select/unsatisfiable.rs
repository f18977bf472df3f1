//! Filters that leave nothing, whatever happens: the operator should know before waiting for it.

use std::str::Chars;

use super::{COMM_BYTES, Select};
use crate::glob::Glob;
use crypto_tracer_event::interest::Interest;
use crypto_tracer_event::printable::printable;

/// Longest file name in bytes, on every file system that Linux knows.
const MOST_NAME: usize = 255;
/// Endings of a pattern that are looked at; with more it is taken to match something.
const MOST_ENDS: usize = 64;

impl Select {
    /// Why no event can be left: a line for each reason. Empty where one can, as far as that is to know.
    pub fn unsatisfiable(&self, interest: &Interest) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.files.is_empty() && !self.libraries.is_empty() {
            reasons.push(
                "no event has both a file and a library: --file and --library leave nothing"
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
            reasons.push(format!("no process is named like --name {name}"));
        }
        for library in self.libraries.iter().filter(|_| interest.libraries.is_empty()) {
            let library = printable(&String::from_utf8_lossy(library));
            reasons.push(format!("--library {library}: no classifier asks for any library"));
        }
        reasons.extend(self.files.iter().filter_map(|glob| unsatisfiable_glob(glob, interest)));
        reasons
    }
}

fn can_be_name(text: &[u8]) -> bool {
    text.len() <= COMM_BYTES || text.len() <= MOST_NAME && !text.contains(&b'/')
}

/// None where some way through the braces can be met.
fn unsatisfiable_glob(glob: &Glob, interest: &Interest) -> Option<String> {
    let shown = printable(glob.as_str());
    let ways = alternatives(glob.as_str())?;
    let reasons: Option<Vec<Unsatisfiable>> =
        ways.iter().map(|way| unsatisfiable_way(way, interest)).collect();
    Some(match reasons?.into_iter().min()? {
        Unsatisfiable::Begin => format!(
            "--file '{shown}' matches no path: all begin with /; write for example '*/{shown}'"
        ),
        Unsatisfiable::Resolved => format!(
            "--file '{shown}' matches no path: what is compared is resolved, without //, /./ and /../"
        ),
        Unsatisfiable::OnlyBegun => format!(
            "--file '{shown}' matches only files whose names begin with {}: no classifier asks for other names that end so",
            words(interest.prefixes.iter())
        ),
        Unsatisfiable::End => {
            format!("--file '{shown}' matches no file that a classifier asks for")
        }
    })
}

/// As a list for people: `a, b or c`.
fn words<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<String> = all.map(|word| printable(word).to_string()).collect();
    match all.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => all.concat(),
    }
}

/// Why nothing matches; what is easiest to put right stands first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unsatisfiable {
    /// Paths begin otherwise.
    Begin,
    /// Paths are resolved.
    Resolved,
    /// A classifier asks for names that begin otherwise than the pattern says, and nobody may have thought of them.
    OnlyBegun,
    /// No classifier asks for names that end so.
    End,
}

/// `way` has no braces.
fn unsatisfiable_way(way: &str, interest: &Interest) -> Option<Unsatisfiable> {
    let pieces = pieces(way);
    // The beginning of a path that was too long is cut off.
    let begins = match pieces.first() {
        Some(GlobPiece::Itself(first)) => matches!(first, '/' | '…'),
        Some(GlobPiece::Other { slash }) => *slash,
        None => false,
    };
    if !begins {
        return Some(Unsatisfiable::Begin);
    }
    let literal = |piece: &GlobPiece| match piece {
        GlobPiece::Itself(c) => *c,
        // Nobody asks for it in a name.
        GlobPiece::Other { .. } => '\0',
    };
    let text: String = pieces.iter().map(literal).collect();
    if ["//", "/./", "/../"].iter().any(|never| text.contains(never)) {
        return Some(Unsatisfiable::Resolved);
    }
    let end = text.rsplit('\0').next().unwrap_or_default();
    if can_end(end, interest) { None } else { begin_of_name(&text, interest) }
}

/// Whether a name can begin as a classifier asks. `text` has NUL where anything may stand, a slash too.
fn begin_of_name(text: &str, interest: &Interest) -> Option<Unsatisfiable> {
    let name = text.rsplit('/').next().unwrap_or(text);
    let mut prefixes = interest.prefixes.iter();
    if !name.contains('\0') {
        let begins = prefixes.any(|prefix| name.starts_with(prefix.as_str()));
        return (!begins).then_some(Unsatisfiable::End);
    }
    if prefixes.len() == 0 {
        return Some(Unsatisfiable::End);
    }
    let meant = prefixes.any(|prefix| name.contains(prefix.as_str()));
    (!meant).then_some(Unsatisfiable::OnlyBegun)
}

/// A part of a pattern without braces.
enum GlobPiece {
    /// This character.
    Itself(char),
    /// One or several of many; whether a slash can be the first one.
    Other { slash: bool },
}

fn pieces(way: &str) -> Vec<GlobPiece> {
    // At the beginning it can be nothing, slash and all.
    let (mut pieces, way) = match way.strip_prefix("**/") {
        Some(rest) => (vec![GlobPiece::Other { slash: true }], rest),
        None => (Vec::new(), way),
    };
    let mut rest = way.chars();
    while let Some(c) = rest.next() {
        pieces.push(match c {
            '*' | '?' => GlobPiece::Other { slash: true },
            '[' => GlobPiece::Other { slash: class_has_slash(&mut rest) },
            '\\' => GlobPiece::Itself(rest.next().unwrap_or('\\')),
            c => GlobPiece::Itself(c),
        });
    }
    pieces
}

/// Reads behind `[`, to the end of the class.
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

/// Whether a path that ends so can be one that is asked for.
fn can_end(end: &str, interest: &Interest) -> bool {
    let (folder, name) = match end.rsplit_once('/') {
        Some((_, name)) => (true, name.as_bytes()),
        None => (false, end.as_bytes()),
    };
    let suffixes = interest.suffixes.iter().map(|suffix| suffix.as_bytes());
    let names = interest.names.iter().map(|name| name.as_bytes());
    suffixes.into_iter().any(|suffix| ends_with(name, suffix) || !folder && ends_with(suffix, name))
        || names.into_iter().any(|wanted| name == wanted || !folder && wanted.ends_with(name))
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// The pattern without braces, once for each way through them. None: there are too many, or they are nested.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
    if pattern.contains('{') && pattern.contains('\\') {
        return None;
    }
    let mut whole = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}')?;
        if inside.contains(['{', '[']) || before.contains('[') {
            return None;
        }
        let words: Vec<&str> = inside.split(',').collect();
        if whole.len() * words.len() > MOST_ENDS {
            return None;
        }
        let each = |start: &String| {
            words.iter().map(|word| format!("{start}{before}{word}")).collect::<Vec<_>>()
        };
        whole = whole.iter().flat_map(each).collect();
        rest = behind;
    }
    whole.iter_mut().for_each(|start| start.push_str(rest));
    Some(whole)
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
    fn a_class_may_have_a_slash() {
        for (class, slash) in [
            ("/]x", true),
            ("ab]x", false),
            ("!ab]x", true),
            ("^/]x", false),
            // The bracket and the mark are characters where they stand.
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
    fn patterns_that_can_match_are_not_warned_about() {
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
    fn patterns_that_cannot_match_are() {
        let (begin, resolved, end) = ("all begin with /", "resolved", "classifier asks");
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
            let said = reasons(&[glob]);
            assert!(said.len() == 1 && said[0].contains(word), "{glob}: {said:?}");
        }
        assert_eq!(reasons(&["*{1,2,3,4,5,6,7,8}{1,2,3,4,5,6,7,8}.txt"]).len(), 1);
        assert!(reasons(&["server.pem"])[0].ends_with("'*/server.pem'"));
        assert_eq!(reasons(&["*.txt", "*.pem"]).len(), 1);
    }

    #[test]
    fn patterns_and_beginnings_of_names() {
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
            let said = reasons(glob);
            assert!(said.len() == 1 && said[0].contains(word), "{glob}: {said:?}");
        }
    }

    #[test]
    fn filters_that_contradict_each_other() {
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
