//! Filters that leave nothing, whatever happens: the operator should know before waiting for it.

use super::{COMM_BYTES, Select};
use crate::glob::Glob;
use crate::interest::Interest;
use crate::printable::printable;

/// Longest file name in bytes, on every file system that Linux knows.
const MOST_NAME: usize = 255;
/// Endings of a pattern that are looked at; with more it is taken to match something.
const MOST_ENDS: usize = 64;

impl Select {
    /// Why no event can be left: a line for each reason. Empty where one can, as far as that is to know.
    pub fn unmet(&self, interest: &Interest) -> Vec<String> {
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
        reasons.extend(self.files.iter().filter_map(|glob| unmet_glob(glob, interest)));
        reasons
    }
}

fn can_be_name(text: &[u8]) -> bool {
    text.len() <= COMM_BYTES || text.len() <= MOST_NAME && !text.contains(&b'/')
}

fn unmet_glob(glob: &Glob, interest: &Interest) -> Option<String> {
    let text = glob.as_str();
    let shown = printable(text);
    if !text.starts_with(['/', '*', '?', '[', '{', '\\']) {
        return Some(format!(
            "--file '{shown}' matches no path: all begin with /; write for example '*/{shown}'"
        ));
    }
    let ends = literal_ends(text)?;
    if ends.iter().any(|end| can_end(end, interest)) {
        return None;
    }
    Some(format!("--file '{shown}' matches no file that a classifier asks for"))
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

/// What every path that matches ends with: one text, or one for each alternative. None: not to be said.
fn literal_ends(pattern: &str) -> Option<Vec<String>> {
    if pattern.contains('\\') {
        return None;
    }
    let mut ends = Vec::new();
    for pattern in alternatives(pattern)? {
        let at = pattern.rfind(['*', '?', ']']).map_or(0, |at| at + 1);
        ends.push(pattern.get(at..).unwrap_or_default().to_owned());
    }
    Some(ends)
}

/// The pattern without braces, once for each way through them. None: there are too many, or they are nested.
fn alternatives(pattern: &str) -> Option<Vec<String>> {
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
        Select { files, ..Select::default() }.unmet(&interest())
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
            r"*\.txt",
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
        for glob in
            ["*.txt", "*.{txt,log}", "/etc/passwd", "*/x_id_rsa", "server.pem", "*/rsa", "*/"]
        {
            assert_eq!(reasons(&[glob]).len(), 1, "{glob}");
        }
        assert_eq!(reasons(&["*{1,2,3,4,5,6,7,8}{1,2,3,4,5,6,7,8}.txt"]).len(), 1);
        assert!(reasons(&["server.pem"])[0].ends_with("'*/server.pem'"));
        assert_eq!(reasons(&["*.txt", "*.pem"]).len(), 1);
    }

    #[test]
    fn filters_that_contradict_each_other() {
        let unmet = |select: Select| select.unmet(&interest()).len();
        assert_eq!(unmet(Select::default()), 0);
        assert_eq!(unmet(Select { pids: vec![7, 7], ..Select::default() }), 0);
        assert_eq!(unmet(Select { pids: vec![7, 8], ..Select::default() }), 1);
        let libraries = vec![b"libssl".to_vec()];
        let files = vec![Glob::new("*.pem").unwrap()];
        assert_eq!(unmet(Select { files, libraries: libraries.clone(), ..Select::default() }), 1);
        let select = Select { libraries, ..Select::default() };
        assert_eq!(select.unmet(&Interest::default()).len(), 1);
        for (name, count) in
            [(vec![b'x'; 255], 0), (vec![b'x'; 256], 1), (b"/usr/sbin/nginx-long".to_vec(), 1)]
        {
            assert_eq!(unmet(Select { names: vec![name], ..Select::default() }), count);
        }
    }
}
