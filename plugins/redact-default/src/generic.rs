//! Rules for all programs: names of secret values, user information of URLs, tokens.

use std::borrow::Cow;

use crate::edit::{Edit, name_end, part, tail, until};
use crate::mask::{self, MASK};
use crate::names::{NameKind, asks, hides, is_name, is_option, is_token, kind};

/// The rules that may match a text.
#[derive(Clone, Copy, Default)]
struct SeenWords {
    equals: bool,
    colon: bool,
    at: bool,
    blank: bool,
    quote: bool,
    slash: bool,
    run: usize,
}

fn look(text: &str) -> SeenWords {
    let mut seen = SeenWords::default();
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
            b'"' | b'\'' => seen.quote = true,
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
    let seen = look(text);
    let mut chain = Chain(Cow::Borrowed(text));
    let named = seen.equals || seen.colon;
    if named {
        if seen.colon {
            chain.then(headers);
        }
        if lead == '\0'
            && let Some(at) = whole(text)
        {
            let masked = mask::secret(tail(text, at), shell);
            return masked.map(|masked| [part(text, 0, at), &masked].concat());
        }
        if let Some(masked) = crate::pairs::assignments(&chain.0, shell, lead) {
            chain.0 = masked.into();
        }
    }
    if seen.blank {
        chain.then(options);
        chain.then(sql);
    }
    if seen.colon && seen.slash {
        chain.then(urls);
    }
    if seen.at && seen.colon {
        chain.then(connection);
    }
    if text.starts_with('<') || text.contains("</") {
        chain.then(xml);
    }
    if seen.run >= 16 {
        chain.then(tokens);
    }
    chain.end()
}

/// Masks secrets in values that are not secret themselves: user information of URLs, tokens.
pub(crate) fn always(text: &str) -> Option<String> {
    let seen = look(text);
    let mut chain = Chain(Cow::Borrowed(text));
    if seen.colon && seen.slash {
        chain.then(urls);
    }
    if seen.run >= 16 {
        chain.then(tokens);
    }
    chain.end()
}

/// `NAME=value`, `--env=NAME=value`, `Name: value`, `-name:value`: the start of a value that extends to the end.
fn whole(text: &str) -> Option<usize> {
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
        let may = equals && !slashed || skip == 2 || !value.starts_with(['/', ' ']);
        if may && !value.is_empty() && hides(name, value) && !asks(name) {
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
            crate::pairs::quoted_end(value)
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
            Some('\'' | '"') if begin > end => crate::pairs::quoted_end(value),
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

/// `scheme://user:secret@host`; for HTTP also `https://token@host`.
fn urls(text: &str) -> Option<String> {
    let mut edit = Edit::new(text);
    let mut from = 0;
    // The end of the word and the next `@` are searched once for all URLs before them.
    let (mut word_end, mut next_at) = (0, 0);
    while let Some(found) = tail(text, from).find("://") {
        let begin = from + found + 3;
        from = begin;
        let after = tail(text, begin);
        if word_end < begin {
            let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`');
            word_end = begin + until(after, ends);
        }
        if next_at < begin {
            next_at = begin + until(after, |c| c == '@');
        }
        if next_at >= word_end {
            continue;
        }
        let end = until(after, |c| matches!(c, '/' | '?' | '#')).min(word_end - begin);
        let authority = part(after, 0, end);
        let port = authority.rsplit(':').next().unwrap_or_default();
        // A password that contains a slash: there is no port, and the `@` follows later.
        let odd = authority.contains(':') && port.chars().any(|c| !c.is_ascii_digit() && c != ']');
        // `u:1/x@h`: what looks like a port is the start of a password, because an `@` follows.
        let digits =
            authority.contains(':') && !authority.contains('@') && !authority.starts_with('[');
        let up_to_at = text.get(begin + end..next_at);
        let within = if odd || digits && is_password(up_to_at) {
            part(text, begin, word_end)
        } else {
            authority
        };
        let Some(at) = within.rfind('@') else { continue };
        let user = part(within, 0, at);
        let scheme = part(text, 0, begin);
        let web = scheme.ends_with("http://") || scheme.ends_with("https://");
        let secret = match user.find(':') {
            Some(colon) if colon + 1 < user.len() => Some(colon + 1),
            None if web => Some(0),
            _ => None,
        };
        if let Some(secret) = secret
            && user.get(secret..) != Some(MASK)
        {
            edit.replace(begin + secret, begin + at, MASK);
        }
        from = begin + at;
    }
    let out = edit.finish();
    bot(out.as_deref().unwrap_or(text)).or(out)
}

/// `/rest` before an `@`, without another slash.
fn is_password(rest: Option<&str>) -> bool {
    let rest = rest.and_then(|rest| rest.strip_prefix(['/', '?', '#']));
    rest.is_some_and(|before| !before.is_empty() && !before.contains(['/', '=', '&']))
}

/// `/bot123456:secret/`, the form of Telegram.
fn bot(text: &str) -> Option<String> {
    let from = text.find("/bot")? + 4;
    let rest = text.get(from..)?;
    let digits = Some(until(rest, |c| !c.is_ascii_digit())).filter(|&digits| digits > 0)?;
    let secret = rest.get(digits..)?.strip_prefix(':')?;
    let begin = text.len() - secret.len();
    let end = begin + until(secret, |c| matches!(c, '/' | ' ' | '"' | '\''));
    mask::between(text, begin, end, false)
}

/// `user:secret@tcp(host)/db`, `user:secret@host:5432/db`, `jdbc:oracle:thin:user/secret@host`.
fn connection(text: &str) -> Option<String> {
    if let Some(found) = text.find("jdbc:oracle:") {
        let slash = found + text.get(found..)?.find('/')? + 1;
        let at = text.rfind('@').filter(|&at| at > slash)?;
        return mask::between(text, slash, at, false);
    }
    if text.contains("://") {
        return None;
    }
    let begin = text.find('=').map_or(0, |at| at + 1);
    let begin = if text.starts_with('-') { begin } else { 0 };
    let rest = text.get(begin..)?;
    let user = name_end(rest)?;
    let at = rest.rfind('@')?;
    let secret = rest.get(user..at)?.strip_prefix(':')?;
    let host = rest.get(at + 1..)?;
    let named = ["tcp(", "tcp6(", "unix(", "(", "/"].iter().any(|begin| host.starts_with(begin));
    let end = until(host, |c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-')));
    let addressed = end > 0
        && host.get(end..).is_some_and(|rest| {
            let digits = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
            rest.strip_prefix(':').is_some_and(digits) || rest.starts_with('/')
        });
    let digest = host.starts_with("sha256:") || host.starts_with("sha512:");
    if secret.is_empty() || secret.starts_with('/') || digest || !(named || addressed) {
        return None;
    }
    mask::between(text, begin + user + 1, begin + at, false)
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
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if is_name(c) {
            continue;
        }
        if at >= start + 16 && text.get(start..at).is_some_and(|word| is_token(word, false)) {
            edit.replace(start, at, MASK);
        }
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
