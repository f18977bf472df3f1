//! Rules for all programs: names of secret values, user information of URLs (see `urls.rs`), tokens.

use std::borrow::Cow;

use crate::edit::{Edit, name_end, part, tail, until};
use crate::mask::{self, MASK};
use crate::names::{NameKind, asks, hides, is_name, is_option, is_token, kind};
use crate::{pairs, urls};

/// Properties of a text that determine which rules may match it.
#[derive(Clone, Copy, Default)]
struct TextFeatures {
    equals: bool,
    colon: bool,
    at: bool,
    blank: bool,
    less: bool,
    slash: bool,
    /// Bytes of the longest run of letters, digits, `_`, `-` and `.`.
    run: usize,
}

fn features(text: &str) -> TextFeatures {
    let mut seen = TextFeatures::default();
    let mut run = 0_usize;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
            run += 1;
            continue;
        }
        seen.run = seen.run.max(run);
        run = 0;
        match byte {
            b'=' => seen.equals = true,
            b':' => seen.colon = true,
            b'@' => seen.at = true,
            b'/' => seen.slash = true,
            b'<' => seen.less = true,
            b' ' | b'\t' | b'\n' | b'\r' => seen.blank = true,
            _ => {}
        }
    }
    seen.run = seen.run.max(run);
    seen
}

/// Result of a chain of rules. Each rule gets the output of the one before.
struct Chain<'a>(Cow<'a, str>);

impl Chain<'_> {
    #[inline(never)]
    fn then(&mut self, rule: fn(&str) -> Option<String>) {
        if let Some(masked) = rule(&self.0) {
            self.0 = masked.into();
        }
    }

    fn end(self) -> Option<String> {
        match self.0 {
            Cow::Owned(masked) => Some(masked),
            Cow::Borrowed(_) => None,
        }
    }
}

/// The masked text. None: nothing is masked.
pub(crate) fn text(text: &str, shell: bool) -> Option<String> {
    rules(text, shell, '\0')
}

/// `host=h password='a b'`: pairs separated by spaces.
pub(crate) fn pairs_of_words(text: &str, shell: bool) -> Option<String> {
    if text.contains("://") { rules(text, shell, '\0') } else { rules(text, shell, ' ') }
}

/// `lead`: separator before the first pair. NUL: the first value extends to the end of the text.
fn rules(text: &str, shell: bool, lead: char) -> Option<String> {
    let seen = features(text);
    let mut chain = Chain(Cow::Borrowed(text));
    let named = seen.equals || seen.colon;
    if named {
        if seen.colon {
            chain.then(headers);
        }
        if lead == '\0'
            && let Some(at) = value_to_end(text)
        {
            let masked = mask::secret(tail(text, at), shell);
            return masked.map(|masked| [part(text, 0, at), &masked].concat());
        }
        if let Some(masked) = pairs::assignments(&chain.0, shell, lead) {
            chain.0 = masked.into();
        }
    }
    if seen.blank {
        chain.then(options);
        chain.then(sql);
    }
    if seen.colon && seen.slash {
        chain.then(urls::user_information);
    }
    if seen.at && seen.colon {
        chain.then(urls::connection);
    }
    if seen.less && (text.starts_with('<') || text.contains("</")) {
        chain.then(xml);
    }
    if seen.run >= 16 {
        chain.then(tokens);
    }
    chain.end()
}

/// Masks secrets in values that are not secret themselves: user information of URLs, tokens.
pub(crate) fn always(text: &str) -> Option<String> {
    let seen = features(text);
    let mut chain = Chain(Cow::Borrowed(text));
    if seen.colon && seen.slash {
        chain.then(urls::user_information);
    }
    if seen.run >= 16 {
        chain.then(tokens);
    }
    chain.end()
}

/// `NAME=value`, `--env=NAME=value`, `Name: value`, `-name:value`: the start of a value that extends to the end.
fn value_to_end(text: &str) -> Option<usize> {
    // `/password:x`, the form of programs from Windows.
    let mut at = usize::from(text.starts_with('/') && !text.get(1..)?.contains('/'));
    let slashed = at > 0;
    loop {
        let rest = text.get(at..)?;
        let end = name_end(rest)?;
        let (name, after) = rest.split_at(end);
        let equals = after.starts_with('=');
        let skip = if after.starts_with(":=") || after.starts_with(": ") { 2 } else { 1 };
        let value = after.get(skip..).filter(|_| equals || after.starts_with(':'))?;
        let allowed = equals && !slashed || skip == 2 || !value.starts_with(['/', ' ']);
        if allowed && !value.is_empty() && hides(name, value) && !asks(name) {
            // In a text of several lines, the value of `--password: a` ends with its line.
            return (equals || !value.contains('\n')).then_some(at + end + skip);
        }
        if !equals {
            return None;
        }
        at += end + 1;
        if kind(name) == NameKind::Pair && !value.contains("://") {
            // `CURL_AUTH=user:x`
            let colon = value.find(':').filter(|&colon| colon > 0 && colon + 1 < value.len())?;
            return Some(at + colon + 1);
        }
    }
}

/// Start of the shell code in `ProxyCommand=…`, `--rsh=…`.
pub(crate) fn code(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let end = name_end(rest)?;
        let (name, after) = rest.split_at(end);
        if !after.starts_with('=') {
            return None;
        }
        at += end + 1;
        if kind(name) == NameKind::Code {
            return Some(at);
        }
    }
}

/// `Authorization: …` and `Cookie: …` anywhere in a text. The secret extends to a quote or to the end of the line.
fn headers(text: &str) -> Option<String> {
    let mut edit = Edit::new(text);
    for (colon, _) in text.match_indices(':') {
        let before = part(text, 0, colon).as_bytes();
        let ends = |name: &[u8]| {
            let start = before.len().checked_sub(name.len());
            start
                .and_then(|start| before.get(start..))
                .is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        if colon < edit.done || !ends(b"authorization") && !ends(b"cookie") {
            continue;
        }
        let value = tail(text, colon + 1);
        let end = until(value, |c| matches!(c, '"' | '\'' | '\n' | '\r'));
        let value = part(value, 0, end).trim();
        if value.is_empty() || value == MASK {
            continue;
        }
        edit.replace(colon + 1, colon + 1 + end, " ***");
    }
    edit.finish()
}

/// `--password x` in a text that is not shell code.
fn options(text: &str) -> Option<String> {
    let mut edit = Edit::new(text);
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| {
        rest.find(" -").or_else(|| rest.starts_with('-').then_some(0).filter(|_| from == 0))
    }) {
        let start = from
            + found
            + usize::from(!text.get(from + found..).is_some_and(|it| it.starts_with('-')));
        let rest = tail(text, start);
        let end = until(rest, |c| !is_name(c));
        from = start + end.max(1);
        let name = part(rest, 0, end);
        let after = tail(rest, end);
        let value = after.trim_start_matches(' ');
        let begin = text.len() - value.len();
        if value.len() == after.len() || !hides(name, value) || asks(name) || is_option(value) {
            continue;
        }
        let quoted = value.starts_with(['"', '\'']);
        let size = if quoted {
            pairs::quoted_end(value)
        } else {
            until(value, |c| c.is_whitespace() || matches!(c, '"' | '\''))
        };
        if size == 0 || value.get(..size) == Some(MASK) || is_option(part(value, 0, size)) {
            continue;
        }
        edit.replace(begin, begin + size, MASK);
        from = edit.done;
    }
    edit.finish()
}

/// `IDENTIFIED BY 'x'`, `PASSWORD 'x'`, `PASSWORD('x')`.
fn sql(text: &str) -> Option<String> {
    const WORDS: [&str; 4] = ["identified by", "password", "secret", " by"];
    let lower = text.to_ascii_lowercase();
    let identified = lower.contains("identified");
    let mut edit = Edit::new(text);
    let mut from = 0;
    loop {
        let rest = tail(&lower, from);
        let found = WORDS.iter().filter(|word| identified || word.len() > 3);
        let found = found.filter_map(|word| Some((rest.find(word)?, *word))).min_by_key(|it| it.0);
        let Some((found, word)) = found else { break };
        let end = from + found + word.len();
        from = end;
        let rest = tail(text, end);
        let value = rest.trim_start_matches([' ', '(', '=']).trim_start_matches(['N', 'E']);
        let begin = text.len() - value.len();
        let size = match value.chars().next() {
            Some('\'' | '"') if begin > end => pairs::quoted_end(value),
            Some(_) if word == "identified by" && rest.starts_with(' ') => {
                until(value, |c| c.is_whitespace() || matches!(c, ';' | '"' | '\''))
            }
            _ => continue,
        };
        if size == 0 || value.get(..size) == Some(MASK) {
            continue;
        }
        edit.replace(begin, begin + size, MASK);
        from = edit.done;
    }
    edit.finish()
}

/// `<password>x</password>`.
fn xml(text: &str) -> Option<String> {
    let mut edit = Edit::new(text);
    for (close, _) in text.match_indices('>') {
        let before = part(text, edit.done, close);
        let name = before.rsplit('<').next().unwrap_or_default();
        let name = name.split([' ', '\n']).next().unwrap_or_default();
        let value = tail(text, close + 1);
        let end = until(value, |c| c == '<');
        if end == 0 {
            continue;
        }
        let is_tag = before.contains('<') && !name.starts_with(['/', '?', '!']);
        if !is_tag || !hides(name.rsplit(':').next().unwrap_or(name), part(value, 0, end)) {
            continue;
        }
        edit.replace(close + 1, close + 1 + end, MASK);
    }
    edit.finish()
}

/// Tokens with the prefix of a well-known service, and JSON Web Tokens.
fn tokens(text: &str) -> Option<String> {
    let mut edit = Edit::new(text);
    let mut start = 0;
    loop {
        let at = start + until(tail(text, start), |c| !is_name(c));
        if at >= start + 16 && is_token(part(text, start, at), false) {
            edit.replace(start, at, MASK);
        }
        let Some(c) = tail(text, at).chars().next() else { break };
        start = at + c.len_utf8();
    }
    edit.finish()
}

/// Masks a possible secret at the end of a truncated text.
pub(crate) fn unfinished(text: &str) -> Option<String> {
    let word = text.rfind(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ',' | ';'));
    let start = word.map_or(0, |at| {
        at + text.get(at..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8)
    });
    let last = text.get(start..)?;
    if let Some(begin) = text.rfind("-----BEGIN") {
        return mask::from_offset(text, begin, false);
    }
    if let Some(scheme) = text.rfind("://") {
        let rest = tail(text, scheme + 3);
        if let Some(at) = rest.rfind('@')
            && until(tail(rest, at), |c| matches!(c, '/' | ' ')) == rest.len() - at
        {
            // A secret may contain an `@`.
            return mask::from_offset(text, scheme + 4 + at, false);
        }
    }
    if let Some(scheme) = text.rfind("://") {
        // The `@` may be cut off; the name of a user or a host is not masked.
        let rest = text.get(scheme + 3..)?;
        if !rest.contains(['@', ' ', '\'', '"']) {
            let host = rest.find(['/', '?', '#', ':']);
            let secret = match host {
                Some(colon) if rest.get(colon..)?.starts_with(':') => Some(colon + 1),
                Some(_) => None,
                None => Some(0),
            };
            return secret.and_then(|at| mask::from_offset(text, scheme + 3 + at, false));
        }
    }
    if let Some(colon) = tail(last, 1).find(':').map(|at| at + 1) {
        let value = last.get(colon + 1..)?;
        if !value.starts_with('/') && value.chars().any(|c| !c.is_ascii_digit()) {
            return mask::from_offset(text, start + colon + 1, false);
        }
    }
    let run = last.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
    last.get(run..)
        .filter(|run| is_token(run, true))
        .and_then(|_| mask::from_offset(text, start + run, false))
}
