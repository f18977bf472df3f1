//! Rules for every program: names that say that a value is secret, user information of URLs, tokens.

use std::borrow::Cow;

use crate::names::{Kind, asks, hides, is_name, is_option, is_token, kind};
use crate::values::{self, MASK};

/// Which rules can find something in a text.
#[derive(Clone, Copy, Default)]
struct Seen {
    equals: bool,
    colon: bool,
    at: bool,
    blank: bool,
    quote: bool,
    slash: bool,
    run: usize,
}

fn look(text: &str) -> Seen {
    let mut seen = Seen::default();
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

/// What is left of a chain of rules, each of which sees what the one before made.
struct Chain<'a>(Cow<'a, str>);

impl Chain<'_> {
    fn then(&mut self, rule: impl FnOnce(&str) -> Option<String>) {
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

/// A text masked; None: nothing in it is hidden.
pub(crate) fn text(text: &str, shell: bool) -> Option<String> {
    rules(text, shell, '\0')
}

/// `host=h password='a b'`: pairs between blanks.
pub(crate) fn pairs_of_words(text: &str, shell: bool) -> Option<String> {
    if text.contains("://") { rules(text, shell, '\0') } else { rules(text, shell, ' ') }
}

/// `lead`: what separates pairs where no pair stands before; NUL: the first value is all that follows.
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
            let masked = values::secret(text.get(at..).unwrap_or_default(), shell);
            return masked.map(|masked| [text.get(..at).unwrap_or_default(), &masked].concat());
        }
        chain.then(|text| crate::pairs::assignments(text, shell, lead));
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

/// What is hidden even where a value is no secret: user information of URLs, tokens.
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

/// `NAME=value`, `--env=NAME=value`, `Name: value`, `-name:value`: where the value begins that is all that follows.
fn whole(text: &str) -> Option<usize> {
    // `/password:x`, as programs from Windows have it.
    let mut at = usize::from(text.starts_with('/') && !text.get(1..)?.contains('/'));
    let slashed = at > 0;
    loop {
        let rest = text.get(at..)?;
        let end = rest.find(|c| !is_name(c)).filter(|&end| end > 0)?;
        let (name, behind) = rest.split_at(end);
        let equals = behind.starts_with('=');
        let skip = if behind.starts_with(":=") || behind.starts_with(": ") { 2 } else { 1 };
        let value = behind.get(skip..).filter(|_| equals || behind.starts_with(':'))?;
        let may = equals && !slashed || skip == 2 || !value.starts_with(['/', ' ']);
        if may && !value.is_empty() && hides(name, value) && !asks(name) {
            // `--password: a` on one line of many is no whole value.
            return (equals || !value.contains('\n')).then_some(at + end + skip);
        }
        if !equals {
            return None;
        }
        at += end + 1;
        if kind(name) == Kind::Pair && !value.contains("://") {
            // `CURL_AUTH=user:x`
            let colon = value.find(':').filter(|&colon| colon > 0 && colon + 1 < value.len())?;
            return Some(at + colon + 1);
        }
    }
}

/// Where the shell code begins in `ProxyCommand=…`, `--rsh=…`.
pub(crate) fn code(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = text.get(at..)?;
        let end = rest.find(|c| !is_name(c)).filter(|&end| end > 0)?;
        let (name, behind) = rest.split_at(end);
        if !behind.starts_with('=') {
            return None;
        }
        at += end + 1;
        if kind(name) == Kind::Code {
            return Some(at);
        }
    }
}

/// `Authorization: …` and `Cookie: …` wherever they are: all that follows is the secret, up to a quote or a line's end.
fn headers(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for (colon, _) in text.match_indices(':') {
        let before = text.get(..colon).unwrap_or_default().as_bytes();
        let ends = |name: &[u8]| {
            let start = before.len().checked_sub(name.len());
            start.and_then(|start| before.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(name))
        };
        if colon < copied || !ends(b"authorization") && !ends(b"cookie") {
            continue;
        }
        let value = text.get(colon + 1..).unwrap_or_default();
        let end = value.find(['"', '\'', '\n', '\r']).unwrap_or(value.len());
        let value = value.get(..end).unwrap_or_default().trim();
        if value.is_empty() || value == MASK {
            continue;
        }
        out.push_str(text.get(copied..=colon).unwrap_or_default());
        out.push(' ');
        out.push_str(MASK);
        copied = colon + 1 + end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (copied > 0).then_some(out)
}

/// `--password x` within a text that is no shell code.
fn options(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(" -").or_else(|| {
        rest.starts_with('-').then_some(0).filter(|_| from == 0)
    })) {
        let start = from + found + usize::from(!text.get(from + found..).is_some_and(|it| it.starts_with('-')));
        let rest = text.get(start..).unwrap_or_default();
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        from = start + end.max(1);
        let name = rest.get(..end).unwrap_or_default();
        let behind = rest.get(end..).unwrap_or_default();
        let value = behind.trim_start_matches(' ');
        let begin = text.len() - value.len();
        if value.len() == behind.len() || !hides(name, value) || asks(name) || is_option(value) {
            continue;
        }
        let quoted = value.starts_with(['"', '\'']);
        let size = if quoted { crate::pairs::quoted_end(value) } else {
            value.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(value.len())
        };
        if size == 0 || value.get(..size) == Some(MASK) || is_option(value.get(..size).unwrap_or_default()) {
            continue;
        }
        out.push_str(text.get(copied..begin).unwrap_or_default());
        out.push_str(MASK);
        copied = begin + size;
        from = copied;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (copied > 0).then_some(out)
}

/// `IDENTIFIED BY 'x'`, `PASSWORD 'x'`, `PASSWORD('x')`.
fn sql(text: &str) -> Option<String> {
    const WORDS: [&str; 4] = ["identified by", "password", "secret", " by"];
    let lower = text.to_ascii_lowercase();
    let identified = lower.contains("identified");
    let mut out = String::new();
    let (mut copied, mut from) = (0, 0);
    loop {
        let rest = lower.get(from..).unwrap_or_default();
        let found = WORDS.iter().filter(|word| identified || word.len() > 3);
        let found = found.filter_map(|word| Some((rest.find(word)?, *word))).min_by_key(|it| it.0);
        let Some((found, word)) = found else { break };
        let end = from + found + word.len();
        from = end;
        let rest = text.get(end..).unwrap_or_default();
        let value = rest.trim_start_matches([' ', '(', '=']).trim_start_matches(['N', 'E']);
        let begin = text.len() - value.len();
        let size = match value.chars().next() {
            Some('\'' | '"') if begin > end => crate::pairs::quoted_end(value),
            Some(_) if word == "identified by" && rest.starts_with(' ') => {
                let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '"' | '\'');
                value.find(ends).unwrap_or(value.len())
            }
            _ => continue,
        };
        if size == 0 || value.get(..size) == Some(MASK) {
            continue;
        }
        out.push_str(text.get(copied..begin).unwrap_or_default());
        out.push_str(MASK);
        copied = begin + size;
        from = copied;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (copied > 0).then_some(out)
}

/// `scheme://user:secret@host`; for the web also `https://token@host`.
fn urls(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(colon) = rest.find("://") {
        let (scheme, behind) = rest.split_at(colon + 3);
        out.push_str(scheme);
        let word_end = behind
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'))
            .unwrap_or(behind.len());
        let end = behind.find(['/', '?', '#']).unwrap_or(word_end).min(word_end);
        let authority = behind.get(..end).unwrap_or_default();
        let port = authority.rsplit(':').next().unwrap_or_default();
        // A password with a slash in it: no port, and the `@` comes later.
        let odd = authority.contains(':') && port.chars().any(|c| !c.is_ascii_digit() && c != ']');
        // `u:1/x@h`: what looks like a port is the beginning of a password, as an `@` follows.
        let digits = authority.contains(':') && !authority.contains('@') && !authority.starts_with('[');
        let within = if odd || digits && is_password(behind.get(end..word_end)) {
            behind.get(..word_end).unwrap_or_default()
        } else {
            authority
        };
        rest = behind;
        let Some(at) = within.rfind('@') else { continue };
        let user = within.get(..at).unwrap_or_default();
        let web = scheme.ends_with("http://") || scheme.ends_with("https://");
        match user.find(':') {
            Some(colon) if colon + 1 < user.len() => {
                out.push_str(user.get(..=colon).unwrap_or_default());
                out.push_str(MASK);
            }
            None if web => out.push_str(MASK),
            _ => out.push_str(user),
        }
        rest = behind.get(at..).unwrap_or_default();
    }
    out.push_str(rest);
    let out = bot(&out).unwrap_or(out);
    (out != text).then_some(out)
}

/// `/rest@host`: no further slash before the `@`, and a host behind it.
fn is_password(rest: Option<&str>) -> bool {
    let rest = rest.and_then(|rest| rest.strip_prefix(['/', '?', '#']));
    rest.and_then(|rest| rest.split_once('@')).is_some_and(|(before, _)| {
        !before.is_empty() && !before.contains(['/', '=', '&'])
    })
}

/// `/bot123456:secret/`, as Telegram has it.
fn bot(text: &str) -> Option<String> {
    let from = text.find("/bot")? + 4;
    let rest = text.get(from..)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&digits| digits > 0)?;
    let secret = rest.get(digits..)?.strip_prefix(':')?;
    let begin = text.len() - secret.len();
    let end = secret.find(['/', ' ', '"', '\'']).map_or(text.len(), |end| begin + end);
    values::between(text, begin, end, false)
}

/// `user:secret@tcp(host)/db`, `user:secret@host:5432/db`, `jdbc:oracle:thin:user/secret@host`.
fn connection(text: &str) -> Option<String> {
    if let Some(found) = text.find("jdbc:oracle:") {
        let slash = found + text.get(found..)?.find('/')? + 1;
        let at = text.rfind('@').filter(|&at| at > slash)?;
        return values::between(text, slash, at, false);
    }
    if text.contains("://") {
        return None;
    }
    let begin = text.find('=').map_or(0, |at| at + 1);
    let begin = if text.starts_with('-') { begin } else { 0 };
    let rest = text.get(begin..)?;
    let user = rest.find(|c| !is_name(c)).filter(|&end| end > 0)?;
    let at = rest.rfind('@')?;
    let secret = rest.get(user..at)?.strip_prefix(':')?;
    let host = rest.get(at + 1..)?;
    let named = ["tcp(", "tcp6(", "unix(", "(", "/"].iter().any(|begin| host.starts_with(begin));
    let end = host.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(host.len());
    let addressed = end > 0 && host.get(end..).is_some_and(|rest| {
        let digits = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        rest.strip_prefix(':').is_some_and(digits) || rest.starts_with('/')
    });
    let digest = host.starts_with("sha256:") || host.starts_with("sha512:");
    if secret.is_empty() || secret.starts_with('/') || digest || !(named || addressed) {
        return None;
    }
    values::between(text, begin + user + 1, begin + at, false)
}

/// `<password>x</password>`.
fn xml(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    for (close, _) in text.match_indices('>') {
        let before = text.get(copied..close).unwrap_or_default();
        let name = before.rsplit('<').next().unwrap_or_default();
        let name = name.split([' ', '\n']).next().unwrap_or_default();
        let value = text.get(close + 1..).unwrap_or_default();
        let Some(end) = value.find('<').filter(|&end| end > 0) else { continue };
        let is_tag = before.contains('<') && !name.starts_with(['/', '?', '!']);
        if !is_tag || !hides(name.rsplit(':').next().unwrap_or(name), value.get(..end).unwrap_or_default()) {
            continue;
        }
        out.push_str(text.get(copied..=close).unwrap_or_default());
        out.push_str(MASK);
        copied = close + 1 + end;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (copied > 0).then_some(out)
}

/// A token that begins like those of a well-known service, and web tokens.
fn tokens(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut start = 0;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        if is_name(c) {
            continue;
        }
        if at >= start + 16 && text.get(start..at).is_some_and(|word| is_token(word, false)) {
            out.push_str(text.get(copied..start).unwrap_or_default());
            out.push_str(MASK);
            copied = at;
        }
        start = at + c.len_utf8();
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    (copied > 0).then_some(out)
}

/// What may be a secret at the end of a text whose rest is missing, masked.
pub(crate) fn unfinished(text: &str) -> Option<String> {
    let word = text.rfind(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '=' | ',' | ';'));
    let start = word.map_or(0, |at| at + text.get(at..).and_then(|it| it.chars().next()).map_or(1, char::len_utf8));
    let last = text.get(start..)?;
    if let Some(begin) = text.rfind("-----BEGIN") {
        return values::behind(text, begin, false);
    }
    if let Some(scheme) = text.rfind("://") {
        // The `@` may be missing; a user's name or a host stays.
        let rest = text.get(scheme + 3..)?;
        if !rest.contains(['@', ' ', '\'', '"']) {
            let host = rest.find(['/', '?', '#', ':']);
            let secret = match host {
                Some(colon) if rest.get(colon..)?.starts_with(':') => {
                    let port = rest.get(colon + 1..)?;
                    let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
                    let port_ends = digits > 0 && port.get(digits..)?.starts_with(['/', '?', '#']);
                    (!port_ends).then_some(colon + 1)
                }
                Some(_) => None,
                None => Some(0),
            };
            return secret.and_then(|at| values::behind(text, scheme + 3 + at, false));
        }
    }
    if let Some(colon) = last.find(':').filter(|&at| at > 0) {
        let value = last.get(colon + 1..)?;
        if !value.starts_with('/') && value.chars().any(|c| !c.is_ascii_digit()) {
            return values::behind(text, start + colon + 1, false);
        }
    }
    let run = last.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
    last.get(run..).filter(|run| is_token(run, true)).and_then(|_| values::behind(text, start + run, false))
}
