//! Secrets in URLs and in connection strings: user information and the tokens of bots.

use crate::edit::{Edit, name_end, part, tail, until};
use crate::mask::{self, MASK};

/// `scheme://user:secret@host`; for HTTP also `https://token@host`. Then masks the token of a bot.
pub(crate) fn user_information(text: &str) -> Option<String> {
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
        let has_slash =
            authority.contains(':') && port.chars().any(|c| !c.is_ascii_digit() && c != ']');
        // `u:1/x@h`: what looks like a port is the start of a password, because an `@` follows.
        let may_be_port =
            authority.contains(':') && !authority.contains('@') && !authority.starts_with('[');
        let up_to_at = text.get(begin + end..next_at);
        let within = if has_slash || may_be_port && is_password(up_to_at) {
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
    telegram_bot(out.as_deref().unwrap_or(text)).or(out)
}

/// `/rest` before an `@`, without another slash.
fn is_password(rest: Option<&str>) -> bool {
    let rest = rest.and_then(|rest| rest.strip_prefix(['/', '?', '#']));
    rest.is_some_and(|before| !before.is_empty() && !before.contains(['/', '=', '&']))
}

/// `/bot123456:secret/`, the form of Telegram.
fn telegram_bot(text: &str) -> Option<String> {
    let from = text.find("/bot")? + 4;
    let rest = text.get(from..)?;
    let digits = Some(until(rest, |c| !c.is_ascii_digit())).filter(|&digits| digits > 0)?;
    let secret = rest.get(digits..)?.strip_prefix(':')?;
    let begin = text.len() - secret.len();
    let end = begin + until(secret, |c| matches!(c, '/' | ' ' | '"' | '\''));
    mask::between(text, begin, end, false)
}

/// `user:secret@tcp(host)/db`, `user:secret@host:5432/db`, `jdbc:oracle:thin:user/secret@host`.
pub(crate) fn connection(text: &str) -> Option<String> {
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
